//! From sums to stored values on aarch64: the one place that rounds, clamps and packs. Tiles ([`store`]), rows ([`rows`]) and the
//! interpolated image walk over what they have and come here with it.
//!
//! Kernels in assembly have these steps between their multiplications, in an order that is theirs. What they compute with is
//! [`Finish`], for all of them.
//!
//! [`store`]: crate::cpu::aarch64::store
//! [`rows`]: crate::cpu::aarch64::neon::rows
//! [`Finish`]: crate::cpu::aarch64::tile_6x4::Finish

use crate::arithmetic::MAGIC;
use crate::cpu::conv::form::{Narrowing, Store};
use core::arch::aarch64::*;

/// The low 16 bits of all values: of a vector or two in the first, of the others in the second.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
pub(crate) unsafe fn halves<const NV: usize>(values: [int16x8_t; NV]) -> [int16x8_t; 2] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let last = NV - 1;
        [vuzp1q_s16(values[0], values[last.min(1)]), vuzp1q_s16(values[last.min(2)], values[last.min(3)])]
    }
}

/// As [`halves`], but of integers in the bits of `MAGIC` that may be beyond 16 bits: saturating.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
pub(crate) unsafe fn saturated<const NV: usize>(values: [int16x8_t; NV]) -> [int16x8_t; 2] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let base = vdupq_n_s32(MAGIC.to_bits().cast_signed());
        let integers = values.map(|v| vsubq_s32(vreinterpretq_s32_s16(v), base));
        let last = NV - 1;
        let low = vqmovn_high_s32(vqmovn_s32(integers[0]), integers[last.min(1)]);
        [low, vqmovn_high_s32(vqmovn_s32(integers[last.min(2)]), integers[last.min(3)])]
    }
}

/// 16 bits to 8, saturating.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
pub(crate) unsafe fn narrow(halves: [int16x8_t; 2]) -> int8x16_t {
    // SAFETY: NEON is part of the target.
    unsafe { vqmovn_high_s16(vqmovn_s16(halves[0]), halves[1]) }
}

/// # Safety
/// `out` takes 4 · NV bytes.
#[inline(always)]
pub(crate) unsafe fn store_bytes<const NV: usize>(bytes: int8x16_t, out: *mut u8) {
    // SAFETY: as promised by the caller.
    unsafe {
        match NV {
            1 => vst1q_lane_s32::<0>(out.cast(), vreinterpretq_s32_s8(bytes)),
            2 => vst1_s8(out.cast(), vget_low_s8(bytes)),
            3 => {
                vst1_s8(out.cast(), vget_low_s8(bytes));
                vst1q_lane_s32::<2>(out.add(8).cast(), vreinterpretq_s32_s8(bytes));
            }
            _ => vst1q_s8(out.cast(), bytes),
        }
    }
}

/// # Safety
/// `out` takes 8 · NV bytes.
#[inline(always)]
pub(crate) unsafe fn store_halves<const NV: usize>(halves: [int16x8_t; 2], out: *mut u8) {
    // SAFETY: as promised by the caller.
    unsafe {
        match NV {
            1 => vst1_s16(out.cast(), vget_low_s16(halves[0])),
            2 => vst1q_s16(out.cast(), halves[0]),
            3 => {
                vst1q_s16(out.cast(), halves[0]);
                vst1_s16(out.add(16).cast(), vget_low_s16(halves[1]));
            }
            _ => {
                // One instruction for both: two cost twice the time.
                vst1q_s16_x2(out.cast(), int16x8x2_t(halves[0], halves[1]));
            }
        }
    }
}

/// Requantizes and stores `lanes` of four integer sums.
///
/// # Safety
/// `mult` points to 4 multipliers, `out` takes `lanes` stored values.
#[inline(always)]
pub(crate) unsafe fn store_i32(sum: int32x4_t, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
    // SAFETY: as promised by the caller; fewer than 4 values go through a buffer on the stack.
    unsafe {
        let x = vmulq_f32(vcvtq_f32_s32(sum), vld1q_f32(mult));
        match *store {
            Store::I8 { lo, hi, zero_point, xor } => {
                let q = vaddq_s32(round_clamp(x, lo, hi), vdupq_n_s32(zero_point));
                let q = vmovn_s32(q);
                let q = vmovn_s16(vcombine_s16(q, q));
                let word = vget_lane_u32::<0>(vreinterpret_u32_s8(q)) ^ (u32::from(xor) * 0x0101_0101);
                write(word.to_le_bytes(), out, lanes);
            }
            Store::I16 { lo, hi } => {
                let q = vmovn_s32(round_clamp(x, lo, hi));
                let word = vget_lane_u64::<0>(vreinterpret_u64_s16(q));
                write(word.to_le_bytes(), out, 2 * lanes);
            }
            Store::F32 { relu } => store_f32(x, relu, out, lanes),
        }
    }
}

/// # Safety
/// `out` takes `count` bytes; `count` is at most N.
#[inline(always)]
unsafe fn write<const N: usize>(bytes: [u8; N], out: *mut u8, count: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        if count == N {
            out.cast::<[u8; N]>().write_unaligned(bytes);
        } else {
            out.copy_from_nonoverlapping(bytes.as_ptr(), count);
        }
    }
}

/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
unsafe fn round_clamp(x: float32x4_t, lo: f32, hi: f32) -> int32x4_t {
    // SAFETY: NEON is part of the target. `fcvtns` rounds half to even.
    unsafe { vcvtnq_s32_f32(vminnmq_f32(vmaxnmq_f32(x, vdupq_n_f32(lo)), vdupq_n_f32(hi))) }
}

/// # Safety
/// `out` takes `lanes` floats.
#[inline(always)]
pub(crate) unsafe fn store_f32(x: float32x4_t, relu: bool, out: *mut u8, lanes: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let x = if relu { vmaxnmq_f32(x, vdupq_n_f32(0.0)) } else { x };
        let mut values = [0.0_f32; 4];
        vst1q_f32(values.as_mut_ptr(), x);
        write(bytemuck::cast::<[f32; 4], [u8; 16]>(values), out, 4 * lanes);
    }
}

/// A short factor as [`products`] takes it.
pub(crate) struct Factor {
    pub factor: f32,
    /// `−MAGIC · factor`.
    pub offset: float32x4_t,
}

impl Factor {
    pub fn new(factor: f32) -> Self {
        // SAFETY: NEON is part of the target.
        Self { factor, offset: unsafe { vdupq_n_f32(-MAGIC * factor) } }
    }
}

/// Values times a factor, each product rounded once.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
pub(crate) unsafe fn products(values: int16x8_t, by: &Factor) -> [float32x4_t; 2] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let magic = vreinterpretq_s32_f32(vdupq_n_f32(MAGIC));
        let product = |x: int32x4_t| {
            // Loaded anew every time: the multiplication overwrites it, and a load costs less than a copy.
            let offset = core::ptr::from_ref(&by.offset).read_volatile();
            vfmaq_f32(offset, vreinterpretq_f32_s32(x), vdupq_n_f32(by.factor))
        };
        [product(vaddw_s16(magic, vget_low_s16(values))), product(vaddw_high_s16(magic, values))]
    }
}

/// Rounded to even, plus the zero point (of which `ODD` is what is odd), clamped. `values(k)` are the eight values from `k` on.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
pub(crate) unsafe fn to_bytes<const ODD: i32>(
    values: impl Fn(usize) -> [float32x4_t; 2],
    to: Narrowing,
) -> [u8; 32] {
    let Narrowing { zero_point, .. } = to;
    // Rounding to even does not change when an even number is added first.
    let magic = MAGIC + (zero_point - ODD) as f32;
    let mut out = [0; 32];
    for k in (0..32).step_by(16) {
        // SAFETY: whole vectors of the array; NEON is part of the target.
        unsafe {
            let half = |k: usize| {
                let [low, high] = values(k).map(|x| vreinterpretq_s16_f32(vaddq_f32(x, vdupq_n_f32(magic))));
                let half = vuzp1q_s16(low, high);
                if ODD == 0 { half } else { vqaddq_s16(half, vdupq_n_s16(1)) }
            };
            let bytes = vreinterpretq_u8_s8(narrow([half(k), half(k + 8)]));
            vst1q_u8(out.as_mut_ptr().add(k), bytes);
        }
    }
    out
}
