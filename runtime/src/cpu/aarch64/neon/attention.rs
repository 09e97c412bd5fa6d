//! aarch64: widening multiplications by a lane, on pairs kept apart.

use crate::cpu::attention::{Attention, C1, C2, C3, Head, Lanes, ONE, Sums, run};
use crate::program::EXPONENT_BITS;
use core::arch::aarch64::*;

pub(crate) const ATTENTION: Attention = Attention { entry: attend, lanes: 8 };

/// # Safety
/// As [`Attend`](crate::cpu::attention::Attend).
unsafe fn attend(head: &Head<'_>, sums: &mut Sums) {
    // SAFETY: passed on from the caller.
    unsafe { run::<Neon>(head, sums) }
}

struct Neon;

// SAFETY: the methods access 8 numbers or pairs each, and `dot` one pair.
unsafe impl Lanes for Neon {
    const LANES: usize = 8;
    type S = [int32x4_t; 2];
    /// First and second of the pairs.
    type P = int16x8x2_t;

    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self::S {
        // SAFETY: 32 bytes by contract.
        unsafe { [vld1q_s32(p), vld1q_s32(p.add(4))] }
    }
    #[inline(always)]
    unsafe fn store(p: *mut i32, s: Self::S) {
        // SAFETY: 32 bytes by contract.
        unsafe {
            vst1q_s32(p, s[0]);
            vst1q_s32(p.add(4), s[1]);
        }
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const i16) -> Self::P {
        // SAFETY: 32 bytes by contract.
        unsafe { vld2q_s16(p) }
    }
    #[inline(always)]
    unsafe fn store_pairs(p: *mut i16, pairs: Self::P) {
        // SAFETY: 32 bytes by contract.
        unsafe { vst2q_s16(p, pairs) }
    }
    #[inline(always)]
    unsafe fn dot(sum: Self::S, pairs: Self::P, two: *const i16) -> Self::S {
        // SAFETY: 4 bytes by contract.
        unsafe {
            let two = vreinterpret_s16_s32(vdup_n_s32(two.cast::<i32>().read_unaligned()));
            let low = vmlal_lane_s16::<0>(sum[0], vget_low_s16(pairs.0), two);
            let low = vmlal_lane_s16::<1>(low, vget_low_s16(pairs.1), two);
            let high = vmlal_high_lane_s16::<0>(sum[1], pairs.0, two);
            let high = vmlal_high_lane_s16::<1>(high, pairs.1, two);
            [low, high]
        }
    }
    #[inline(always)]
    unsafe fn max(a: Self::S, b: Self::S) -> Self::S {
        // SAFETY: NEON is there.
        unsafe { [vmaxq_s32(a[0], b[0]), vmaxq_s32(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn weights(a: Self::S, b: Self::S, largest: Self::S, shift: u32) -> Self::P {
        // SAFETY: NEON is there.
        unsafe {
            let right = vdupq_n_s32(-shift.cast_signed());
            int16x8x2_t(
                weight(vcombine_s16(below(largest[0], a[0], right), below(largest[1], a[1], right))),
                weight(vcombine_s16(below(largest[0], b[0], right), below(largest[1], b[1], right))),
            )
        }
    }
}

/// [`crate::cpu::attention::weight`] of eight.
///
/// # Safety
/// None beyond NEON.
#[inline(always)]
unsafe fn weight(e: int16x8_t) -> int16x8_t {
    // SAFETY: NEON is there.
    unsafe {
        let x = vandq_s16(vshlq_n_s16::<4>(e), vdupq_n_s16(0x7ff0));
        let p = vsubq_s16(vdupq_n_s16(C2), vqrdmulhq_s16(x, vdupq_n_s16(C3)));
        let p = vsubq_s16(vdupq_n_s16(C1), vqrdmulhq_s16(x, p));
        let p = vsubq_s16(vdupq_n_s16(ONE), vqrdmulhq_s16(x, p));
        vshlq_s16(p, vnegq_s16(vshrq_n_s16::<{ EXPONENT_BITS as i32 }>(e)))
    }
}

/// `min((largest − score) >> −right, 32767)` of four.
///
/// # Safety
/// None beyond NEON.
#[inline(always)]
unsafe fn below(largest: int32x4_t, score: int32x4_t, right: int32x4_t) -> int16x4_t {
    // SAFETY: NEON is there.
    unsafe { vqmovn_s32(vshlq_s32(vsubq_s32(largest, score), right)) }
}
