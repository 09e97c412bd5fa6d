//! From sums to stored values: the one place that rounds, clamps and packs vectors of 512 bits. Tiles ([`store`]), tiles with
//! post-ops ([`post_ops`]), rows ([`rows`]) and convolutions to a few channels ([`narrow_out`]) walk over what they have and
//! come here with it.
//!
//! [`store`]: crate::cpu::x86::avx512::store
//! [`post_ops`]: crate::cpu::x86::avx512::post_ops
//! [`rows`]: crate::cpu::x86::avx512::rows
//! [`narrow_out`]: crate::cpu::x86::avx512::narrow_out

use crate::cpu::conv::form::Store;
use core::arch::x86_64::*;

pub(crate) const I16_MAX: f32 = 32767.0;
/// Factors below this leave products of 16-bit values, and sums of two, in 32 bits.
pub(crate) const MAX_FACTOR: f32 = 30_000.0;
/// A factor for values that stand in the upper halves of what is converted: they are 2^16 times as large, which is exact.
const IN_UPPER_HALF: f32 = 1.0 / 65536.0;

/// `round(sum · mult)` of up to 16 sums, as what is stored.
///
/// # Safety
/// `mult` points to 16 multipliers, `out` takes `lanes` stored values; the processor has AVX-512 BW and VL.
#[inline(always)]
pub(crate) unsafe fn store(sum: __m512i, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
    // SAFETY: 16 multipliers and `lanes` stored values by contract; masked stores touch no others.
    unsafe {
        let x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(mult));
        match *store {
            Store::I8 { lo, hi, zero_point, xor } => {
                let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(lo)), _mm512_set1_ps(hi));
                // The conversion rounds half to even: the default of MXCSR, which Rust does not change.
                let q = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(zero_point));
                let q = _mm_xor_si128(_mm512_cvtepi32_epi8(q), _mm_set1_epi8(xor.cast_signed()));
                if lanes == 16 {
                    _mm_storeu_si128(out.cast(), q);
                } else {
                    _mm_mask_storeu_epi8(out.cast(), mask(lanes), q);
                }
            }
            Store::I16 { lo, hi } => {
                let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(lo)), _mm512_set1_ps(hi));
                let q = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x));
                if lanes == 16 {
                    _mm256_storeu_si256(out.cast(), q);
                } else {
                    _mm256_mask_storeu_epi16(out.cast(), mask(lanes), q);
                }
            }
            Store::F32 { relu } => store_f32(x, relu, out, lanes),
        }
    }
}

/// # Safety
/// `out` takes `lanes` floats; the processor has AVX-512.
#[inline(always)]
pub(crate) unsafe fn store_f32(x: __m512, relu: bool, out: *mut u8, lanes: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let x = if relu { _mm512_max_ps(x, _mm512_setzero_ps()) } else { x };
        _mm512_mask_storeu_ps(out.cast(), mask(lanes), x);
    }
}

/// `round(sum · mult)`, with `CLAMP` not above `hi`. What is below any bound, or no number, then becomes the smallest
/// integer, which the packs that follow turn into the lower bound.
///
/// # Safety
/// As [`converted`], but with `CLAMP` any products.
#[inline(always)]
pub(crate) unsafe fn rounded<const CLAMP: bool>(sum: __m512i, mult: *const f32, hi: __m512) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        if !CLAMP {
            return converted(sum, mult);
        }
        capped(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(mult)), hi)
    }
}

/// `round(sum · mult)` of products that 32 bits hold.
///
/// # Safety
/// 16 multipliers; the processor has AVX-512.
#[inline(always)]
pub(crate) unsafe fn converted(sum: __m512i, mult: *const f32) -> __m512i {
    // SAFETY: as promised by the caller. The conversion rounds half to even: the default of MXCSR, which Rust does not
    // change.
    unsafe { _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(mult))) }
}

/// `round(x)` of what 32 bits hold, half to even: the default of MXCSR, which Rust does not change.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn nearest(x: __m512) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe { _mm512_cvtps_epi32(x) }
}

/// `round(x)`, not above `hi`. What is below any bound, or no number, becomes the smallest integer, which packs turn into the
/// lower bound.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
pub(crate) unsafe fn capped(x: __m512, hi: __m512) -> __m512i {
    // SAFETY: as promised by the caller. `vminps` returns its second operand when one is no number.
    unsafe { _mm512_cvtps_epi32(_mm512_min_ps(hi, x)) }
}

/// Two vectors as 16 bits, not below `lo`.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(crate) unsafe fn pack_shorts(q: [__m512i; 2], lo: __m512i) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        // Packs work inside quarters of a vector; this puts the quarters in order.
        let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        let packed = _mm512_max_epi16(_mm512_packs_epi32(q[0], q[1]), lo);
        _mm512_permutexvar_epi64(order, packed)
    }
}

/// Four vectors as bytes `clamp(q, lo, 127 − zero point) + zero point`, with the sign bit flipped.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    lo: __m512i,
    offset: __m512i,
    order: __m512i,
}

impl Bytes {
    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    pub unsafe fn new(lo: f32, zero_point: i32) -> Self {
        // SAFETY: as promised by the caller.
        unsafe {
            Self {
                lo: _mm512_set1_epi16(lo as i16),
                offset: _mm512_set1_epi16((zero_point + 128) as i16),
                order: _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
            }
        }
    }

    /// Without `CLAMP` the lower bound is that of the bytes, without `OFFSET` there is nothing to add.
    ///
    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    pub unsafe fn pack<const CLAMP: bool, const OFFSET: bool>(self, q: [__m512i; 4]) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            let (low, high) =
                (self.half::<CLAMP, OFFSET>(q[0], q[1]), self.half::<CLAMP, OFFSET>(q[2], q[3]));
            _mm512_permutexvar_epi32(self.order, _mm512_packus_epi16(low, high))
        }
    }

    /// The same, of vectors whose values alternate in fours, as unpacking leaves them.
    ///
    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    unsafe fn pack_unpacked(self, q: [__m512i; 4]) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            // What is below the bound is negative, or saturates there, and becomes 0.
            let (low, high) = (self.half::<false, true>(q[0], q[1]), self.half::<false, true>(q[2], q[3]));
            let in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            _mm512_permutexvar_epi64(in_order, _mm512_packus_epi16(low, high))
        }
    }

    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    unsafe fn half<const CLAMP: bool, const OFFSET: bool>(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            let q = _mm512_packs_epi32(a, b);
            let q = if CLAMP { _mm512_max_epi16(q, self.lo) } else { q };
            if OFFSET { _mm512_adds_epi16(q, self.offset) } else { q }
        }
    }
}

/// The sums of 32 values and as many of a residual, in the same steps.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(crate) unsafe fn plus(values: __m512i, residual: __m512i) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe { _mm512_max_epi16(_mm512_adds_epi16(values, residual), _mm512_set1_epi16(-(I16_MAX as i16))) }
}

/// `round(values · factors[0] + residual · factors[1])` for 32 values. Without `CLAMP` factors are below [`MAX_FACTOR`].
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(crate) unsafe fn scaled_sum<const CLAMP: bool>(
    values: __m512i,
    residual: __m512i,
    factors: [f32; 2],
) -> __m512i {
    // SAFETY: as promised by the caller. Unpacking keeps to the quarters of a vector, and so does packing.
    unsafe {
        let hi = _mm512_set1_ps(I16_MAX);
        let [low, high] = unpacked_sums::<CLAMP>(values, residual, factors, hi);
        _mm512_max_epi16(_mm512_packs_epi32(low, high), _mm512_set1_epi16(-(I16_MAX as i16)))
    }
}

/// `round(values · factor)` of 64 values as bytes with the sign bit flipped. Without `CLAMP` the factor is below
/// [`MAX_FACTOR`].
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(crate) unsafe fn narrow<const CLAMP: bool>(
    values: [__m512i; 2],
    factor: f32,
    zero_point: i32,
) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        let hi = _mm512_set1_ps((127 - zero_point) as f32);
        let factor = _mm512_set1_ps(factor * IN_UPPER_HALF);
        let [q0, q1] = unpacked::<CLAMP>(values[0], factor, hi);
        let [q2, q3] = unpacked::<CLAMP>(values[1], factor, hi);
        Bytes::new((-128 - zero_point) as f32, zero_point).pack_unpacked([q0, q1, q2, q3])
    }
}

/// `round(a · factors[0] + b · factors[1])` of 64 values each as bytes with the sign bit flipped.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(crate) unsafe fn narrow_sum(
    a: [__m512i; 2],
    b: [__m512i; 2],
    factors: [f32; 2],
    zero_point: i32,
) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        let hi = _mm512_set1_ps((127 - zero_point) as f32);
        let [q0, q1] = unpacked_sums::<true>(a[0], b[0], factors, hi);
        let [q2, q3] = unpacked_sums::<true>(a[1], b[1], factors, hi);
        Bytes::new((-128 - zero_point) as f32, zero_point).pack_unpacked([q0, q1, q2, q3])
    }
}

/// The lower and the upper fours of the quarters of 32 values as floats, 2^16 times as large: in the upper halves of 32 bits.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn floats(values: __m512i) -> [__m512; 2] {
    // SAFETY: as promised by the caller.
    unsafe {
        let zero = _mm512_setzero_si512();
        [
            _mm512_cvtepi32_ps(_mm512_unpacklo_epi16(zero, values)),
            _mm512_cvtepi32_ps(_mm512_unpackhi_epi16(zero, values)),
        ]
    }
}

/// `round(values · factor)`, as [`floats`] orders them; the factor is that of values in upper halves.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn unpacked<const CLAMP: bool>(values: __m512i, factor: __m512, hi: __m512) -> [__m512i; 2] {
    // SAFETY: as promised by the caller. (No closure: it may be compiled without the instruction set.)
    unsafe {
        let [low, high] = floats(values);
        let (low, high) = (_mm512_mul_ps(low, factor), _mm512_mul_ps(high, factor));
        if CLAMP { [capped(low, hi), capped(high, hi)] } else { [nearest(low), nearest(high)] }
    }
}

/// `round(a · factors[0] + b · factors[1])`, as [`floats`] orders them.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn unpacked_sums<const CLAMP: bool>(
    a: __m512i,
    b: __m512i,
    factors: [f32; 2],
    hi: __m512,
) -> [__m512i; 2] {
    // SAFETY: as promised by the caller.
    unsafe {
        let [mine, theirs] = [factors[0] * IN_UPPER_HALF, factors[1] * IN_UPPER_HALF];
        let (mine, theirs) = (_mm512_set1_ps(mine), _mm512_set1_ps(theirs));
        let ([a0, a1], [b0, b1]) = (floats(a), floats(b));
        let low = _mm512_add_ps(_mm512_mul_ps(a0, mine), _mm512_mul_ps(b0, theirs));
        let high = _mm512_add_ps(_mm512_mul_ps(a1, mine), _mm512_mul_ps(b1, theirs));
        if CLAMP { [capped(low, hi), capped(high, hi)] } else { [nearest(low), nearest(high)] }
    }
}

/// The first `lanes` of 16.
#[inline(always)]
pub(crate) fn mask(lanes: usize) -> u16 {
    (0xffff_u32 >> (16 - lanes)) as u16
}
