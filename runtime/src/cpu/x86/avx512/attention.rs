//! x86-64 with AVX-512 VNNI: `vpdpwssd` adds the dot products of 16 pairs.

use crate::cpu::attention::{Attention, C1, C2, C3, Head, Lanes, ONE, Sums, run};
use crate::program::EXPONENT_BITS;
use core::arch::x86_64::*;

pub(crate) const ATTENTION: Attention = Attention { entry: attend, lanes: 16 };

/// # Safety
/// As [`Attend`](crate::cpu::attention::Attend).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn attend(head: &Head<'_>, sums: &mut Sums) {
    // SAFETY: passed on from the caller.
    unsafe { run::<Avx512>(head, sums) }
}

struct Avx512;

// SAFETY: the methods access 16 numbers or pairs each, and `dot` one pair.
unsafe impl Lanes for Avx512 {
    const LANES: usize = 16;
    type S = __m512i;
    type P = __m512i;

    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self::S {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut i32, s: Self::S) {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_storeu_si512(p.cast(), s) }
    }
    #[inline(always)]
    unsafe fn load_pairs(p: *const i16) -> Self::P {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_pairs(p: *mut i16, pairs: Self::P) {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_storeu_si512(p.cast(), pairs) }
    }
    #[inline(always)]
    unsafe fn dot(sum: Self::S, pairs: Self::P, two: *const i16) -> Self::S {
        // SAFETY: 4 bytes by contract.
        unsafe { _mm512_dpwssd_epi32(sum, pairs, _mm512_set1_epi32(two.cast::<i32>().read_unaligned())) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::S, b: Self::S) -> Self::S {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe { _mm512_max_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn weights(a: Self::S, b: Self::S, largest: Self::S, shift: u32) -> Self::P {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe {
            let count = _mm_cvtsi32_si128(shift.cast_signed());
            let limit = _mm512_set1_epi32(32767);
            let a = _mm512_min_epi32(_mm512_sra_epi32(_mm512_sub_epi32(largest, a), count), limit);
            let b = _mm512_min_epi32(_mm512_sra_epi32(_mm512_sub_epi32(largest, b), count), limit);
            let e = _mm512_or_si512(a, _mm512_slli_epi32::<16>(b));
            let x = _mm512_and_si512(_mm512_slli_epi16::<4>(e), _mm512_set1_epi16(0x7ff0));
            let p = _mm512_sub_epi16(_mm512_set1_epi16(C2), _mm512_mulhrs_epi16(x, _mm512_set1_epi16(C3)));
            let p = _mm512_sub_epi16(_mm512_set1_epi16(C1), _mm512_mulhrs_epi16(x, p));
            let p = _mm512_sub_epi16(_mm512_set1_epi16(ONE), _mm512_mulhrs_epi16(x, p));
            _mm512_srlv_epi16(p, _mm512_srli_epi16::<EXPONENT_BITS>(e))
        }
    }
}
