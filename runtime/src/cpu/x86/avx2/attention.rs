//! x86-64 with AVX2: `vpmaddwd` makes the dot products of 8 pairs; `vpdpwssd` also adds them where there is AVX-VNNI.

use crate::cpu::attention::{Attention, C1, C2, C3, Head, Lanes, ONE, Sums, run};
use core::arch::x86_64::*;

pub(crate) const ATTENTION: Attention = Attention { entry: attend, lanes: 8 };
pub(crate) const WITH_VNNI: Attention = Attention { entry: attend_vnni, lanes: 8 };

/// # Safety
/// As [`Attend`](crate::cpu::attention::Attend).
#[target_feature(enable = "avx2,fma")]
unsafe fn attend(head: &Head<'_>, sums: &mut Sums) {
    // SAFETY: passed on from the caller.
    unsafe { run::<Avx2<false>>(head, sums) }
}

/// # Safety
/// As [`Attend`](crate::cpu::attention::Attend).
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn attend_vnni(head: &Head<'_>, sums: &mut Sums) {
    // SAFETY: passed on from the caller.
    unsafe { run::<Avx2<true>>(head, sums) }
}

struct Avx2<const VNNI: bool>;

// SAFETY: the methods access 8 numbers or pairs each, and `dot` one pair.
unsafe impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    const LANES: usize = 8;
    type S = __m256i;
    type P = __m256i;

    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self::S {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut i32, s: Self::S) {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_storeu_si256(p.cast(), s) }
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const i16) -> Self::P {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_pairs(p: *mut i16, pairs: Self::P) {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_storeu_si256(p.cast(), pairs) }
    }
    #[inline(always)]
    unsafe fn dot(sum: Self::S, pairs: Self::P, two: *const i16) -> Self::S {
        // SAFETY: 4 bytes by contract.
        unsafe {
            let two = _mm256_set1_epi32(two.cast::<i32>().read_unaligned());
            if VNNI {
                _mm256_dpwssd_avx_epi32(sum, pairs, two)
            } else {
                _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, two))
            }
        }
    }
    #[inline(always)]
    unsafe fn max(a: Self::S, b: Self::S) -> Self::S {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { _mm256_max_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn weights(a: Self::S, b: Self::S, largest: Self::S, shift: u32) -> Self::P {
        // SAFETY: the processor has AVX2 by contract.
        unsafe {
            let count = _mm_cvtsi32_si128(shift.cast_signed());
            let limit = _mm256_set1_epi32(32767);
            let a = _mm256_min_epi32(_mm256_sra_epi32(_mm256_sub_epi32(largest, a), count), limit);
            let b = _mm256_min_epi32(_mm256_sra_epi32(_mm256_sub_epi32(largest, b), count), limit);
            let e = _mm256_or_si256(a, _mm256_slli_epi32::<16>(b));
            let x = _mm256_and_si256(_mm256_slli_epi16::<4>(e), _mm256_set1_epi16(0x7ff0));
            let p = _mm256_sub_epi16(_mm256_set1_epi16(C2), _mm256_mulhrs_epi16(x, _mm256_set1_epi16(C3)));
            let p = _mm256_sub_epi16(_mm256_set1_epi16(C1), _mm256_mulhrs_epi16(x, p));
            let p = _mm256_sub_epi16(_mm256_set1_epi16(ONE), _mm256_mulhrs_epi16(x, p));
            // No shift by a different count in each 16-bit lane: p >> k is the upper half of
            // 2p · 2^(15 − k), and the power comes from a table, its two bytes one by one.
            let k = _mm256_srli_epi16::<11>(e);
            #[rustfmt::skip]
            let low = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, -128, 64, 32, 16, 8, 4, 2, 1);
            #[rustfmt::skip]
            let high = _mm_setr_epi8(-128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0);
            let low = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(low), k);
            let high = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(high), k);
            let power = _mm256_or_si256(low, _mm256_slli_epi16::<8>(high));
            _mm256_mulhi_epu16(_mm256_add_epi16(p, p), power)
        }
    }
}
