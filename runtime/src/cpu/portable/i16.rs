//! Convolution of 16-bit activations with 8-bit weights, for the nodes that 8 bits are too coarse for.
//!
//! Weights are widened to 16 bits when they are packed, so that the inner loop is one widening multiply-add for
//! each product: at least half of the speed of 8 bits where there is no dot product, a quarter where there
//! is. The sums are 32-bit integers; that they cannot overflow is checked when a model is loaded. They are
//! stored as those of 8-bit convolutions, by the same code.

use crate::cpu::conv::form::{Geometry, Layout, Store};

use crate::cpu::conv::tile::{Tile, conv_entry};
use crate::cpu::portable::tile::I8;
use core::array::from_fn;

pub(crate) const GEOMETRY: Geometry =
    Geometry { name: "gemm_i16_2x8c1_scalar", lanes: 4, kt: 1, max_nv: 2, layout: Layout::Dot };

conv_entry!(conv_i16, I16, (1, 2), (2, 2));

struct I16;

// SAFETY: the methods read 4 values each and write `lanes` values.
unsafe impl Tile for I16 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 2;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 8;
    type V = [i32; 4];
    type A = i32;
    type W = [i16; 4];

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { I8::bias(p) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 2 bytes by contract.
        unsafe { i32::from(p.cast::<i16>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 8 bytes by contract.
        unsafe { p.cast::<[i16; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        from_fn(|i| sum[i].wrapping_add(a * i32::from(w[i])))
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: the caller's contract.
        unsafe { I8::store(sum, mult, store, out, lanes) }
    }
}
