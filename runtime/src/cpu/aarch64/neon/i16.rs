//! 16-bit activations with NEON: `smlal` by one lane of the activations, on every aarch64 processor.

use crate::cpu::aarch64::neon::tile::I8;
use crate::cpu::conv::form::{Geometry, Layout, Store};
use crate::cpu::conv::tile::{Tile, conv_entry};
use core::arch::aarch64::*;

pub(crate) const GEOMETRY: Geometry =
    Geometry { name: "gemm_i16_4x16c1_neon", lanes: 4, kt: 1, max_nv: 4, layout: Layout::Dot };

conv_entry!(conv_i16, I16, (1, 8), (2, 8), (3, 6), (4, 4));

struct I16;

// SAFETY: the methods read the bytes that the trait names (8 of activations) and write `lanes` values.
unsafe impl Tile for I16 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 2;
    const A_GROUPS: usize = 4;
    const W_BYTES: usize = 8;
    type V = int32x4_t;
    type A = int16x4_t;
    type W = int16x4_t;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { I8::bias(p) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 8 bytes by contract.
        unsafe { vld1_s16(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 8 bytes by contract.
        unsafe { vld1_s16(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: NEON is part of the target. Only the arm of the constant `G` stays.
        unsafe {
            match G {
                0 => vmlal_lane_s16::<0>(sum, w, a),
                1 => vmlal_lane_s16::<1>(sum, w, a),
                2 => vmlal_lane_s16::<2>(sum, w, a),
                _ => vmlal_lane_s16::<3>(sum, w, a),
            }
        }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: the caller's contract.
        unsafe { I8::store(sum, mult, store, out, lanes) }
    }
}
