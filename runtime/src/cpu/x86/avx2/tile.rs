//! x86-64 with AVX2: pairs of products by `vpmaddwd` on values widened to 16 bits. `vpmaddubsw` would do
//! twice the work an instruction but saturates, and then the bits would differ from the other sets.

use crate::cpu::conv::form::Store;

use crate::cpu::conv::tile::{Tile, conv_entry};
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
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: 8 multipliers and `lanes` stored values by contract; a full vector is stored only when
        // there are 8, else it goes through a buffer on the stack.
        unsafe {
            let x = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(mult));
            match *store {
                Store::I8 { lo, hi, zero_point, xor } => {
                    let q = _mm256_add_epi32(round_clamp(x, lo, hi), _mm256_set1_epi32(zero_point));
                    let low = _mm256_castsi256_si128(q);
                    let q = _mm_packs_epi32(low, _mm256_extracti128_si256::<1>(q));
                    let q = _mm_xor_si128(_mm_packs_epi16(q, q), _mm_set1_epi8(xor.cast_signed()));
                    let mut bytes = [0_u8; 8];
                    _mm_storel_epi64(bytes.as_mut_ptr().cast(), q);
                    if lanes == 8 {
                        out.cast::<[u8; 8]>().write_unaligned(bytes);
                    } else {
                        out.copy_from_nonoverlapping(bytes.as_ptr(), lanes);
                    }
                }
                Store::I16 { lo, hi } => {
                    let q = round_clamp(x, lo, hi);
                    let q = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256::<1>(q));
                    if lanes == 8 {
                        _mm_storeu_si128(out.cast(), q);
                    } else {
                        let mut bytes = [0_u8; 16];
                        _mm_storeu_si128(bytes.as_mut_ptr().cast(), q);
                        out.copy_from_nonoverlapping(bytes.as_ptr(), 2 * lanes);
                    }
                }
                Store::F32 { relu } => store_f32(x, relu, out, lanes),
            }
        }
    }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn round_clamp(x: __m256, lo: f32, hi: f32) -> __m256i {
    // SAFETY: as promised by the caller. The conversion rounds half to even, the default of MXCSR.
    unsafe { _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(lo)), _mm256_set1_ps(hi))) }
}

/// # Safety
/// `out` takes `lanes` floats; the processor has AVX2.
#[inline(always)]
unsafe fn store_f32(x: __m256, relu: bool, out: *mut u8, lanes: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let x = if relu { _mm256_max_ps(x, _mm256_setzero_ps()) } else { x };
        if lanes == 8 {
            _mm256_storeu_ps(out.cast(), x);
        } else {
            let mut values = [0.0_f32; 8];
            _mm256_storeu_ps(values.as_mut_ptr(), x);
            out.copy_from_nonoverlapping(values.as_ptr().cast(), 4 * lanes);
        }
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
        unsafe { store_f32(sum, relu, out, lanes) }
    }
}
