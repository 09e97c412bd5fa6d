//! x86-64 with AVX2: 16 lanes are two registers.

use crate::cpu::conv::form::Narrowing;
use crate::cpu::norm::{Lanes, entries};
use core::arch::x86_64::*;

entries!(Avx2, 2, #[target_feature(enable = "avx2,fma")]);

struct Avx2;

// SAFETY: the methods access 16 values each.
unsafe impl Lanes for Avx2 {
    type V = [__m256; 2];

    #[inline(always)]
    unsafe fn load(p: *const i16) -> Self::V {
        // SAFETY: 32 bytes by contract.
        unsafe {
            let eight = |p: *const i16| _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(p.cast())));
            [eight(p), eight(p.add(8))]
        }
    }
    #[inline(always)]
    unsafe fn load_floats(p: *const f32) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
    }
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { [_mm256_set1_ps(x); 2] }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn keep(a: Self::V, mask: *const u32) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe {
            let mask: *const f32 = mask.cast();
            let [first, second] = [_mm256_loadu_ps(mask), _mm256_loadu_ps(mask.add(8))];
            [_mm256_and_ps(a[0], first), _mm256_and_ps(a[1], second)]
        }
    }
    #[inline(always)]
    unsafe fn sum(a: Self::V) -> f32 {
        // SAFETY: the processor has AVX2 by contract.
        unsafe {
            let eight = _mm256_add_ps(a[0], a[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn store_i8(a: Self::V, limits: (f32, f32), to: Narrowing, p: *mut u8) {
        // SAFETY: 16 bytes by contract.
        unsafe {
            let zero = _mm256_set1_epi32(to.zero_point);
            let [a, b] = round(a, limits);
            let (a, b) = (_mm256_add_epi32(a, zero), _mm256_add_epi32(b, zero));
            // Values of 8 bits: saturation changes none.
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a, b));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(p.cast(), _mm_xor_si128(bytes, _mm_set1_epi8(to.xor.cast_signed())));
        }
    }
    #[inline(always)]
    unsafe fn store_i16(a: Self::V, limits: (f32, f32), p: *mut i16) {
        // SAFETY: 32 bytes by contract.
        unsafe {
            let [a, b] = round(a, limits);
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(a, b));
            _mm256_storeu_si256(p.cast(), words);
        }
    }
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn round(a: [__m256; 2], (lo, hi): (f32, f32)) -> [__m256i; 2] {
    // SAFETY: the processor has AVX2 by contract.
    unsafe {
        let (lo, hi) = (_mm256_set1_ps(lo), _mm256_set1_ps(hi));
        [round_eight(a[0], lo, hi), round_eight(a[1], lo, hi)]
    }
}

/// As [`round`], a vector. (Not a closure: the compiler would not give it the features, and call every intrinsic.)
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn round_eight(a: __m256, lo: __m256, hi: __m256) -> __m256i {
    // SAFETY: the processor has AVX2 by contract.
    unsafe {
        let magic = _mm256_set1_ps(crate::arithmetic::MAGIC);
        let clamped = _mm256_min_ps(_mm256_max_ps(a, lo), hi);
        let shifted = _mm256_castps_si256(_mm256_add_ps(clamped, magic));
        _mm256_sub_epi32(shifted, _mm256_castps_si256(magic))
    }
}
