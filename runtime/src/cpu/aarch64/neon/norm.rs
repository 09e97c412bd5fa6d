//! aarch64: 16 lanes are four registers.

use crate::cpu::conv::form::Narrowing;
use crate::cpu::norm::{Lanes, entries};
use core::arch::aarch64::*;

entries!(Neon, 2, #[target_feature(enable = "neon")]);

struct Neon;

// SAFETY: the methods access 16 values each.
unsafe impl Lanes for Neon {
    type V = [float32x4_t; 4];

    #[inline(always)]
    unsafe fn load(p: *const i16) -> Self::V {
        // SAFETY: 32 bytes by contract.
        unsafe {
            let (a, b) = (vld1q_s16(p), vld1q_s16(p.add(8)));
            [
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))),
                vcvtq_f32_s32(vmovl_high_s16(a)),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(b))),
                vcvtq_f32_s32(vmovl_high_s16(b)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn load_floats(p: *const f32) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe { [vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))] }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: NEON belongs to the target.
        unsafe { [vdupq_n_f32(x); 4] }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: NEON belongs to the target.
        unsafe {
            [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1]), vaddq_f32(a[2], b[2]), vaddq_f32(a[3], b[3])]
        }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: NEON belongs to the target.
        unsafe {
            [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1]), vsubq_f32(a[2], b[2]), vsubq_f32(a[3], b[3])]
        }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: NEON belongs to the target.
        unsafe {
            [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1]), vmulq_f32(a[2], b[2]), vmulq_f32(a[3], b[3])]
        }
    }
    #[inline(always)]
    unsafe fn keep(a: Self::V, mask: *const u32) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe {
            let and = |a, m| vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vld1q_u32(m)));
            [and(a[0], mask), and(a[1], mask.add(4)), and(a[2], mask.add(8)), and(a[3], mask.add(12))]
        }
    }
    #[inline(always)]
    unsafe fn sum(a: Self::V) -> f32 {
        // SAFETY: NEON belongs to the target.
        unsafe {
            let four = vaddq_f32(vaddq_f32(a[0], a[2]), vaddq_f32(a[1], a[3]));
            vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)))
        }
    }
    #[inline(always)]
    unsafe fn store_i8(a: Self::V, limits: (f32, f32), to: Narrowing, p: *mut u8) {
        // SAFETY: 16 bytes by contract.
        unsafe {
            let zero = vdupq_n_s16(to.zero_point as i16);
            let [a, b] = round(a, limits).map(|words| vaddq_s16(words, zero));
            let bytes = vmovn_high_s16(vmovn_s16(a), b);
            vst1q_u8(p, veorq_u8(vreinterpretq_u8_s8(bytes), vdupq_n_u8(to.xor)));
        }
    }
    #[inline(always)]
    unsafe fn store_i16(a: Self::V, limits: (f32, f32), p: *mut i16) {
        // SAFETY: 32 bytes by contract.
        unsafe {
            let [a, b] = round(a, limits);
            vst1q_s16(p, a);
            vst1q_s16(p.add(8), b);
        }
    }
}

/// # Safety
/// NEON belongs to the target; the limits fit 16 bits.
#[inline(always)]
unsafe fn round(a: [float32x4_t; 4], (lo, hi): (f32, f32)) -> [int16x8_t; 2] {
    // SAFETY: by contract.
    unsafe {
        let (lo, hi) = (vdupq_n_f32(lo), vdupq_n_f32(hi));
        let v = a.map(|a| vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(a, lo), hi)));
        [vmovn_high_s32(vmovn_s32(v[0]), v[1]), vmovn_high_s32(vmovn_s32(v[2]), v[3])]
    }
}
