//! x86-64 with AVX2: pairs of products by `vpmaddwd` on values widened to 16 bits. `vpmaddubsw` would do
//! twice the work an instruction but saturates, and then the bits would differ from the other sets.

use crate::cpu::conv::form::Store;

use crate::cpu::conv::row::PostOpsAt;
use crate::cpu::conv::tile::{Destination, Tile, conv_entry};
use crate::cpu::x86::avx2::{epilogue, post_ops, store};
use core::arch::x86_64::*;

conv_entry!(
    #[target_feature(enable = "avx2,fma")]
    conv_i8,
    I8,
    (1, 6),
    (2, 4)
);
conv_entry!(
    #[target_feature(enable = "avx2,fma")]
    conv_f32,
    F32,
    (1, 8),
    (2, 6)
);

pub(crate) struct I8;
struct F32;

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I8 {
    const LANES: usize = 8;
    const GROUP_BYTES: usize = 2;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 16;
    type V = __m256i;
    type A = __m256i;
    type W = __m256i;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 2 bytes by contract.
        unsafe { _mm256_cvtepi8_epi16(_mm_set1_epi16(p.cast::<i16>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 16 bytes by contract.
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(p.cast())) }
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
        // SAFETY: passed on.
        unsafe { epilogue::store(sum, mult, store, out, lanes) }
    }
}

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for F32 {
    const LANES: usize = 8;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 32;
    type V = __m256;
    type A = __m256;
    type W = __m256;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_ps(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 4 bytes by contract.
        unsafe { _mm256_set1_ps(p.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_ps(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: the processor has FMA by contract.
        unsafe { _mm256_fmadd_ps(a, w, sum) }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, _mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        let Store::F32 { relu } = *store else { unreachable!("a float convolution stores floats") };
        // SAFETY: `lanes` stored values by contract.
        unsafe { epilogue::store_f32(sum, relu, out, lanes) }
    }
}
