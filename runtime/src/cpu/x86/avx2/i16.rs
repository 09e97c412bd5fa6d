//! 16-bit activations with AVX2: `vpmaddwd` on pairs, also on processors with AVX-512.

use crate::cpu::conv::form::{Geometry, Layout, Store};

use crate::cpu::conv::row::PostOpsAt;
use crate::cpu::conv::tile::{Destination, Tile, conv_entry};
use crate::cpu::x86::avx2::tile::I8;
use crate::cpu::x86::avx2::{post_ops, store};
use core::arch::x86_64::*;

pub(crate) const GEOMETRY: Geometry =
    Geometry { name: "gemm_i16_4x16c2_avx2", lanes: 8, kt: 2, max_nv: 2, layout: Layout::Dot };

conv_entry!(
    #[target_feature(enable = "avx2,fma")]
    conv_i16,
    I16,
    (1, 6),
    (2, 4)
);

pub(crate) struct I16;

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
        unsafe { I8::bias(p) }
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
    unsafe fn store_tile<const MR: usize, const NV: usize>(sums: &[[Self::V; NV]; MR], to: &Destination<'_>) {
        // SAFETY: passed on.
        unsafe { store::store_tile(sums, to) }
    }
    const POST_OPS: bool = true;
    #[inline(always)]
    unsafe fn store_post_ops<const MR: usize, const NV: usize>(
        sums: &[[Self::V; NV]; MR],
        to: &Destination<'_>,
        post_ops: &PostOpsAt,
    ) {
        // SAFETY: passed on.
        unsafe { post_ops::store(sums, to, post_ops) }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: the caller's contract.
        unsafe { I8::store(sum, mult, store, out, lanes) }
    }
}
