//! From sums to stored values: the one place that rounds, clamps and packs vectors of 256 bits, for AVX2 and AVX-VNNI. Tiles,
//! tiles with post-ops, rows and convolutions to a few channels walk over what they have and come here with it.

use crate::cpu::conv::form::Store;
use core::arch::x86_64::*;

pub(crate) const I16_MAX: f32 = 32767.0;
/// Factors below this leave products of 16-bit values, and sums of two, in 32 bits.
pub(crate) const MAX_FACTOR: f32 = 30_000.0;
/// A factor for values that stand in the upper halves of what is converted: they are 2^16 times as large, which is exact.
const IN_UPPER_HALF: f32 = 1.0 / 65536.0;

/// `round(sum · mult)` of up to 8 sums, as what is stored.
///
/// # Safety
/// `mult` points to 8 multipliers, `out` takes `lanes` stored values; the processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn store(sum: __m256i, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
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
pub(crate) unsafe fn store_f32(x: __m256, relu: bool, out: *mut u8, lanes: usize) {
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

/// Writes the halves of a vector to two places.
///
/// # Safety
/// 16 bytes each; the processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn halves(v: __m256i, low: *mut u8, high: *mut u8) {
    // SAFETY: as promised by the caller.
    unsafe {
        _mm_storeu_si128(low.cast(), _mm256_castsi256_si128(v));
        _mm_storeu_si128(high.cast(), _mm256_extracti128_si256::<1>(v));
    }
}

/// `round(sum · mult)`, not above `hi`. What is below any bound, or no number, becomes the smallest integer, which
/// the packs that follow turn into the lower bound.
///
/// # Safety
/// 8 multipliers; the processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn rounded(sum: __m256i, mult: *const f32, hi: __m256) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe { capped(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(mult)), hi) }
}

/// `round(x)`, half to even (the default of MXCSR, which Rust does not change), not above `hi`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn capped(x: __m256, hi: __m256) -> __m256i {
    // SAFETY: as promised by the caller. `vminps` returns its second operand when one is no number.
    unsafe { _mm256_cvtps_epi32(_mm256_min_ps(hi, x)) }
}

/// Two vectors as 16 bits, not below `lo`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn pack_shorts(q: [__m256i; 2], lo: __m256i) -> __m256i {
    // SAFETY: as promised by the caller. Packs work inside halves of a vector; the quarters are put in order.
    unsafe {
        let packed = _mm256_max_epi16(_mm256_packs_epi32(q[0], q[1]), lo);
        _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
    }
}

/// Four vectors as bytes `clamp(q, lo, 127 − zero point) + zero point`, with the sign bit flipped.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    lo: __m256i,
    offset: __m256i,
    order: __m256i,
}

impl Bytes {
    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    pub unsafe fn new(lo: f32, zero_point: i32) -> Self {
        // SAFETY: as promised by the caller.
        unsafe {
            Self {
                lo: _mm256_set1_epi16(lo as i16),
                offset: _mm256_set1_epi16((zero_point + 128) as i16),
                order: _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7),
            }
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    pub unsafe fn pack(self, q: [__m256i; 4]) -> __m256i {
        // SAFETY: as promised by the caller.
        unsafe {
            let packed = _mm256_packus_epi16(self.half(q[0], q[1]), self.half(q[2], q[3]));
            _mm256_permutevar8x32_epi32(packed, self.order)
        }
    }

    /// The same, of vectors whose values alternate in fours, as unpacking leaves them, with the lower bound of the bytes.
    ///
    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn pack_unpacked(q: [__m256i; 4], zero_point: i32) -> __m256i {
        // SAFETY: as promised by the caller.
        unsafe {
            let offset = _mm256_set1_epi16((zero_point + 128) as i16);
            // What is below the bound is negative, or saturates there, and becomes 0.
            let low = _mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]), offset);
            let high = _mm256_adds_epi16(_mm256_packs_epi32(q[2], q[3]), offset);
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(low, high))
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn half(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as promised by the caller.
        unsafe { _mm256_adds_epi16(_mm256_max_epi16(_mm256_packs_epi32(a, b), self.lo), self.offset) }
    }
}

/// The sums of 16 values and as many of a residual, in the same steps.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn plus(values: __m256i, residual: __m256i) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe { _mm256_max_epi16(_mm256_adds_epi16(values, residual), _mm256_set1_epi16(-(I16_MAX as i16))) }
}

/// `round(values · factors[0] + residual · factors[1])` for 16 values. Without `CLAMP` factors are below [`MAX_FACTOR`].
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn scaled_sum<const CLAMP: bool>(
    values: __m256i,
    residual: __m256i,
    factors: [f32; 2],
) -> __m256i {
    // SAFETY: as promised by the caller. Unpacking keeps to the halves of a vector, and so does packing.
    unsafe {
        let hi = _mm256_set1_ps(I16_MAX);
        let [low, high] = unpacked_sums::<CLAMP>(values, residual, factors, hi);
        _mm256_max_epi16(_mm256_packs_epi32(low, high), _mm256_set1_epi16(-(I16_MAX as i16)))
    }
}

/// `round(values · factor)` of 32 values as bytes with the sign bit flipped.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn narrow(values: [__m256i; 2], factor: f32, zero_point: i32) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        let hi = _mm256_set1_ps((127 - zero_point) as f32);
        let factor = _mm256_set1_ps(factor * IN_UPPER_HALF);
        let ([a, b], [c, d]) = (floats(values[0]), floats(values[1]));
        let q = [
            capped(_mm256_mul_ps(a, factor), hi),
            capped(_mm256_mul_ps(b, factor), hi),
            capped(_mm256_mul_ps(c, factor), hi),
            capped(_mm256_mul_ps(d, factor), hi),
        ];
        Bytes::pack_unpacked(q, zero_point)
    }
}

/// `round(a · factors[0] + b · factors[1])` of 32 values each as bytes with the sign bit flipped.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn narrow_sum(
    a: [__m256i; 2],
    b: [__m256i; 2],
    factors: [f32; 2],
    zero_point: i32,
) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        let hi = _mm256_set1_ps((127 - zero_point) as f32);
        let [q0, q1] = unpacked_sums::<true>(a[0], b[0], factors, hi);
        let [q2, q3] = unpacked_sums::<true>(a[1], b[1], factors, hi);
        Bytes::pack_unpacked([q0, q1, q2, q3], zero_point)
    }
}

/// The lower and the upper fours of the halves of 16 values as floats, 2^16 times as large: in the upper halves of 32 bits.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn floats(values: __m256i) -> [__m256; 2] {
    // SAFETY: as promised by the caller.
    unsafe {
        let zero = _mm256_setzero_si256();
        [
            _mm256_cvtepi32_ps(_mm256_unpacklo_epi16(zero, values)),
            _mm256_cvtepi32_ps(_mm256_unpackhi_epi16(zero, values)),
        ]
    }
}

/// `round(a · factors[0] + b · factors[1])`, as [`floats`] orders them.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn unpacked_sums<const CLAMP: bool>(
    a: __m256i,
    b: __m256i,
    factors: [f32; 2],
    hi: __m256,
) -> [__m256i; 2] {
    // SAFETY: as promised by the caller. The conversion rounds half to even, the default of MXCSR.
    unsafe {
        let [mine, theirs] = [factors[0] * IN_UPPER_HALF, factors[1] * IN_UPPER_HALF];
        let (mine, theirs) = (_mm256_set1_ps(mine), _mm256_set1_ps(theirs));
        let ([a0, a1], [b0, b1]) = (floats(a), floats(b));
        let low = _mm256_add_ps(_mm256_mul_ps(a0, mine), _mm256_mul_ps(b0, theirs));
        let high = _mm256_add_ps(_mm256_mul_ps(a1, mine), _mm256_mul_ps(b1, theirs));
        if CLAMP {
            [capped(low, hi), capped(high, hi)]
        } else {
            [_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high)]
        }
    }
}
