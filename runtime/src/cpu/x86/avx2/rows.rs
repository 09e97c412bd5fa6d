//! Pointwise work on rows of 16-bit values with AVX2, for all instruction sets of 256 bits: their packs are what the compiler
//! does not find by itself.

use crate::cpu::conv::form::Narrowing;
use crate::cpu::isa::Isa;
use crate::cpu::kernels::RowKernels;
use core::arch::x86_64::*;

pub(crate) const ROWS: RowKernels = RowKernels { residual, narrow, add, post_ops: None };

/// Values in a step of the loops.
const STEP: usize = 32;
const I16_MAX: f32 = 32767.0;

/// `values = round(values · factors[0] + residual · factors[1])`.
fn residual(values: &mut [i16], residual: &[i16], factors: [f32; 2]) {
    assert!(Isa::Avx2.is_available(), "checked when the table was chosen");
    assert_eq!(values.len(), residual.len(), "rows of the same length");
    // SAFETY: the processor has the features.
    unsafe { residual_row(values, residual, factors) }
}

/// `round(values · factor)` as 8 bits.
fn narrow(values: &[i16], factor: f32, to: Narrowing, out: &mut [u8]) -> bool {
    assert!(Isa::Avx2.is_available(), "checked when the table was chosen");
    assert_eq!(values.len(), out.len(), "rows of the same length");
    // SAFETY: the processor has the features.
    unsafe { bytes_row::<false>(values, values, [factor; 2], to, out) }
    true
}

/// `round(a · factors[0] + b · factors[1])` as 8 bits.
fn add(a: &[i16], b: &[i16], factors: [f32; 2], to: Narrowing, out: &mut [u8]) -> bool {
    assert!(Isa::Avx2.is_available(), "checked when the table was chosen");
    assert!(a.len() == out.len() && b.len() == out.len(), "rows of the same length");
    // SAFETY: the processor has the features.
    unsafe { bytes_row::<true>(a, b, factors, to, out) }
    true
}

/// The values, zeros behind the end.
#[inline(always)]
fn tail(values: &[i16]) -> [i16; STEP] {
    let mut last = [0; STEP];
    last[..values.len()].copy_from_slice(values);
    last
}

/// Eight values times a factor.
///
/// # Safety
/// `values` points to them; the processor has AVX2.
#[inline(always)]
unsafe fn scaled(values: *const i16, factor: __m256) -> __m256 {
    // SAFETY: as promised by the caller.
    unsafe {
        let values = _mm256_cvtepi16_epi32(_mm_loadu_si128(values.cast()));
        _mm256_mul_ps(_mm256_cvtepi32_ps(values), factor)
    }
}

/// `round(a · factors[0] + b · factors[1])` for eight values each, or without the second summand, not above `hi`. What is
/// below any bound becomes the smallest integer.
///
/// # Safety
/// Both point to eight values; the processor has AVX2.
#[inline(always)]
unsafe fn eight<const SUM: bool>(a: *const i16, b: *const i16, factors: [__m256; 2], hi: __m256) -> __m256i {
    // SAFETY: as promised by the caller. The conversion rounds half to even: the default of MXCSR, which Rust does not
    // change.
    unsafe {
        let mut x = scaled(a, factors[0]);
        if SUM {
            x = _mm256_add_ps(x, scaled(b, factors[1]));
        }
        _mm256_cvtps_epi32(_mm256_min_ps(hi, x))
    }
}

/// A whole step of [`residual`].
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn residual_step(values: &mut [i16; STEP], residual: &[i16; STEP], factors: [f32; 2]) {
    // SAFETY: the processor has the features; the arrays hold two vectors of 16 values.
    unsafe {
        let lo = _mm256_set1_epi16(-(I16_MAX as i16));
        let hi = _mm256_set1_ps(I16_MAX);
        let by = [_mm256_set1_ps(factors[0]), _mm256_set1_ps(factors[1])];
        for at in [0, 16] {
            let (v, r) = (values.as_mut_ptr().add(at), residual.as_ptr().add(at));
            let sums = if factors == [1.0; 2] {
                // Sums of integers: nothing to round.
                _mm256_adds_epi16(_mm256_loadu_si256(v.cast()), _mm256_loadu_si256(r.cast()))
            } else {
                let q = [eight::<true>(v, r, by, hi), eight::<true>(v.add(8), r.add(8), by, hi)];
                // Packs work inside halves of a vector; the quarters are put in order.
                _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(q[0], q[1]))
            };
            _mm256_storeu_si256(v.cast(), _mm256_max_epi16(sums, lo));
        }
    }
}

/// # Safety
/// Rows of the same length; the processor has AVX2.
#[target_feature(enable = "avx2,fma")]
unsafe fn residual_row(values: &mut [i16], residual: &[i16], factors: [f32; 2]) {
    let (values, rest) = values.as_chunks_mut::<STEP>();
    let (residual, residual_rest) = residual.as_chunks::<STEP>();
    for (v, r) in values.iter_mut().zip(residual) {
        // SAFETY: the processor has the features.
        unsafe { residual_step(v, r, factors) };
    }
    let mut last = tail(rest);
    // SAFETY: the processor has the features.
    unsafe { residual_step(&mut last, &tail(residual_rest), factors) };
    let n = rest.len();
    rest.copy_from_slice(&last[..n]);
}

/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn bytes_step<const SUM: bool>(
    a: &[i16; STEP],
    b: &[i16; STEP],
    factors: [f32; 2],
    to: Narrowing,
    out: &mut [u8; STEP],
) {
    // SAFETY: the processor has the features; the arrays hold four vectors of 8 values.
    unsafe {
        let (a, b) = (a.as_ptr(), b.as_ptr());
        let by = [_mm256_set1_ps(factors[0]), _mm256_set1_ps(factors[1])];
        let hi = _mm256_set1_ps((127 - to.zero_point) as f32);
        let q0 = eight::<SUM>(a, b, by, hi);
        let q1 = eight::<SUM>(a.add(8), b.add(8), by, hi);
        let q2 = eight::<SUM>(a.add(16), b.add(16), by, hi);
        let q3 = eight::<SUM>(a.add(24), b.add(24), by, hi);
        // The packs are the lower bound.
        let zero = _mm256_set1_epi16(to.zero_point as i16);
        let low = _mm256_adds_epi16(_mm256_packs_epi32(q0, q1), zero);
        let high = _mm256_adds_epi16(_mm256_packs_epi32(q2, q3), zero);
        let in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), in_order);
        let bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(to.xor.cast_signed()));
        _mm256_storeu_si256(out.as_mut_ptr().cast(), bytes);
    }
}

/// # Safety
/// Rows of the same length; the processor has AVX2.
#[target_feature(enable = "avx2,fma")]
unsafe fn bytes_row<const SUM: bool>(a: &[i16], b: &[i16], factors: [f32; 2], to: Narrowing, out: &mut [u8]) {
    let (a, a_rest) = a.as_chunks::<STEP>();
    let (b, b_rest) = b.as_chunks::<STEP>();
    let (out, out_rest) = out.as_chunks_mut::<STEP>();
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        // SAFETY: the processor has the features.
        unsafe { bytes_step::<SUM>(a, b, factors, to, out) };
    }
    let mut last = [0; STEP];
    // SAFETY: the processor has the features.
    unsafe { bytes_step::<SUM>(&tail(a_rest), &tail(b_rest), factors, to, &mut last) };
    let n = out_rest.len();
    out_rest.copy_from_slice(&last[..n]);
}
