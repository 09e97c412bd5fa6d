//! Convolution of 16-bit activations with 8-bit weights, for the nodes that 8 bits are too coarse for.
//!
//! Weights are widened to 16 bits when they are packed, so that the inner loop is one widening multiply-add for
//! each product: at least half of the speed of 8 bits where there is no dot product, a quarter where there
//! is. The sums are 32-bit integers; that they cannot overflow is checked when a model is loaded. They are
//! stored as those of 8-bit convolutions, by the same code.

use super::scalar;
// The entries of the modules below name it.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::tile;
use super::tile::{ConvRow, Geometry, Layout, Store, Tile, conv_entry};
use core::array::from_fn;

/// The kernel of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct WideTable {
    pub conv: ConvRow,
    pub geometry: Geometry,
}

pub(super) const SCALAR: WideTable = WideTable {
    conv: conv_i16,
    geometry: Geometry { name: "gemm_i16_2x8c1_scalar", lanes: 4, kt: 1, max_nv: 2, layout: Layout::Dot },
};

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
        unsafe { scalar::I8::bias(p) }
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
        unsafe { scalar::I8::store(sum, mult, store, out, lanes) }
    }
}

/// `vpmaddwd` on pairs, also on processors with AVX-512.
#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use super::super::avx2;
    use super::super::tile::{Geometry, Layout, Store, Tile, conv_entry};
    use super::WideTable;
    use core::arch::x86_64::*;

    pub(in super::super) const TABLE: WideTable = WideTable {
        conv: conv_i16,
        geometry: Geometry { name: "gemm_i16_4x16c2_avx2", lanes: 8, kt: 2, max_nv: 2, layout: Layout::Dot },
    };

    conv_entry!(
        #[target_feature(enable = "avx2,fma")]
        conv_i16,
        I16,
        (1, 6),
        (2, 4)
    );

    struct I16;

    // SAFETY: the methods read the bytes that the trait names and write `lanes` values.
    unsafe impl Tile for I16 {
        const LANES: usize = 8;
        const GROUP_BYTES: usize = 4;
        const A_GROUPS: usize = 1;
        const W_BYTES: usize = 32;
        type V = __m256i;
        type A = __m256i;
        type W = __m256i;

        #[inline(always)]
        unsafe fn bias(p: *const u8) -> Self::V {
            // SAFETY: 32 bytes by contract.
            unsafe { avx2::I8::bias(p) }
        }
        #[inline(always)]
        unsafe fn load_a(p: *const u8) -> Self::A {
            // SAFETY: 4 bytes by contract.
            unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
        }
        #[inline(always)]
        unsafe fn load_w(p: *const u8) -> Self::W {
            // SAFETY: 32 bytes by contract.
            unsafe { _mm256_loadu_si256(p.cast()) }
        }
        #[inline(always)]
        unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
            // SAFETY: the processor has AVX2 by contract.
            unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, w)) }
        }
        #[inline(always)]
        unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
            // SAFETY: the caller's contract.
            unsafe { avx2::I8::store(sum, mult, store, out, lanes) }
        }
    }
}

/// `smlal` by one lane of the activations, on every aarch64 processor.
#[cfg(target_arch = "aarch64")]
pub(super) mod neon {
    use super::super::neon;
    use super::super::tile::{Geometry, Layout, Store, Tile, conv_entry};
    use super::WideTable;
    use core::arch::aarch64::*;

    pub(in super::super) const TABLE: WideTable = WideTable {
        conv: conv_i16,
        geometry: Geometry { name: "gemm_i16_4x16c1_neon", lanes: 4, kt: 1, max_nv: 4, layout: Layout::Dot },
    };

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
            unsafe { neon::I8::bias(p) }
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
            unsafe { neon::I8::store(sum, mult, store, out, lanes) }
        }
    }
}

#[cfg(test)]
mod tests;
