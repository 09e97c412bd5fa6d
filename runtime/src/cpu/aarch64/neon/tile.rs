//! aarch64 without the dot product: two 8-bit products fit 16 bits (weights are at least −127), so
//! `smull` + `smlal2` + `sadalp` add four products to each of four sums.

use crate::cpu::aarch64::epilogue::{store_f32, store_i32};
use crate::cpu::aarch64::store::store_sums;
use crate::cpu::conv::form::Store;
use crate::cpu::conv::tile::{Destination, Tile, conv_entry};
use core::arch::aarch64::*;

conv_entry!(conv_i8, I8, (1, 8), (2, 8), (3, 4), (4, 4));
conv_entry!(conv_f32, F32, (1, 8), (2, 8), (3, 6), (4, 4));

pub(crate) struct I8;
pub(crate) struct F32;

/// Bytes 0, 1, 0, 1, … and 2, 3, 2, 3, …: the two pairs of a group, each as often as there are sums.
const PAIRS: [u8; 16] = [0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3];

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I8 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 16;
    type V = int32x4_t;
    type A = int8x16_t;
    type W = int8x16_t;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_s32(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 4 bytes by contract, 16 of the constant.
        unsafe {
            let four = vreinterpretq_s8_s32(vdupq_n_s32(p.cast::<i32>().read_unaligned()));
            vqtbl1q_s8(four, vld1q_u8(PAIRS.as_ptr()))
        }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_s8(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: NEON is part of the target.
        unsafe {
            let first = vmull_s8(vget_low_s8(a), vget_low_s8(w));
            vpadalq_s16(sum, vmlal_high_s8(first, a, w))
        }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: the caller's contract.
        unsafe { store_i32(sum, mult, store, out, lanes) }
    }
    #[inline(always)]
    unsafe fn store_tile<const MR: usize, const NV: usize>(sums: &[[Self::V; NV]; MR], to: &Destination<'_>) {
        // SAFETY: the caller's contract.
        unsafe { store_sums(sums, to) }
    }
}

// SAFETY: the methods read the bytes that the trait names (16 of activations) and write `lanes` values.
unsafe impl Tile for F32 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 4;
    const W_BYTES: usize = 16;
    type V = float32x4_t;
    type A = float32x4_t;
    type W = float32x4_t;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_f32(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_f32(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_f32(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: NEON is part of the target. Only the arm of the constant `G` stays.
        unsafe {
            match G {
                0 => vfmaq_laneq_f32::<0>(sum, w, a),
                1 => vfmaq_laneq_f32::<1>(sum, w, a),
                2 => vfmaq_laneq_f32::<2>(sum, w, a),
                _ => vfmaq_laneq_f32::<3>(sum, w, a),
            }
        }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, _mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        let Store::F32 { relu } = *store else { unreachable!("a float convolution stores floats") };
        // SAFETY: `lanes` stored values by contract.
        unsafe { store_f32(sum, relu, out, lanes) }
    }
}
