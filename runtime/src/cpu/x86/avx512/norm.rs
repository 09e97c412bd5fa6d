//! x86-64 with AVX-512: 16 lanes are a register.

use crate::cpu::conv::form::Narrowing;
use crate::cpu::norm::{Lanes, entries};
use core::arch::x86_64::*;

entries!(Avx512, 4, #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]);

struct Avx512;

// SAFETY: the methods access 16 values each.
unsafe impl Lanes for Avx512 {
    type V = __m512;

    #[inline(always)]
    unsafe fn load(p: *const i16) -> Self::V {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(p.cast()))) }
    }
    #[inline(always)]
    unsafe fn load_floats(p: *const f32) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn keep(a: Self::V, mask: *const u32) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe {
            let mask = _mm512_loadu_si512(mask.cast());
            _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), mask))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: Self::V) -> f32 {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe {
            let upper = _mm512_castpd_ps(_mm512_shuffle_f64x2::<0b11_10_11_10>(
                _mm512_castps_pd(a),
                _mm512_castps_pd(a),
            ));
            let eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_castps512_ps256(upper));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn store_i8(a: Self::V, limits: (f32, f32), to: Narrowing, p: *mut u8) {
        // SAFETY: 16 bytes by contract.
        unsafe {
            let value = _mm512_add_epi32(round(a, limits), _mm512_set1_epi32(to.zero_point));
            let bytes = _mm_xor_si128(_mm512_cvtepi32_epi8(value), _mm_set1_epi8(to.xor.cast_signed()));
            _mm_storeu_si128(p.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn store_i16(a: Self::V, limits: (f32, f32), p: *mut i16) {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtepi32_epi16(round(a, limits))) }
    }
}

/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn round(a: __m512, (lo, hi): (f32, f32)) -> __m512i {
    // SAFETY: the processor has AVX-512 by contract.
    unsafe {
        let a = _mm512_min_ps(_mm512_max_ps(a, _mm512_set1_ps(lo)), _mm512_set1_ps(hi));
        _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a)
    }
}
