//! Pointwise work on rows of 16-bit values with AVX2, for all instruction sets of 256 bits: their packs are what the compiler
//! does not find by itself.

use crate::cpu::conv::form::Narrowing;
use crate::cpu::isa::Isa;
use crate::cpu::kernels::RowKernels;
use crate::cpu::x86::avx2::epilogue;
use core::arch::x86_64::*;

pub(crate) const ROWS: RowKernels = RowKernels { residual, narrow, add, post_ops: None };

/// Values in a step of the loops.
const STEP: usize = 32;

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

/// The vectors of a step.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn two(values: &[i16; STEP]) -> [__m256i; 2] {
    let at = values.as_ptr();
    // SAFETY: the array holds two vectors of 16 values.
    unsafe { [_mm256_loadu_si256(at.cast()), _mm256_loadu_si256(at.add(16).cast())] }
}

/// A whole step of [`residual`].
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn residual_step(values: &mut [i16; STEP], residual: &[i16; STEP], factors: [f32; 2]) {
    // SAFETY: the processor has the features; the arrays hold two vectors of 16 values.
    unsafe {
        for at in [0, 16] {
            let (v, r) = (values.as_mut_ptr().add(at), residual.as_ptr().add(at));
            let (a, b) = (_mm256_loadu_si256(v.cast()), _mm256_loadu_si256(r.cast()));
            // Sums of integers have nothing to round.
            let sums = if factors == [1.0; 2] {
                epilogue::plus(a, b)
            } else {
                epilogue::scaled_sum::<true>(a, b, factors)
            };
            _mm256_storeu_si256(v.cast(), sums);
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
        let bytes = if SUM {
            epilogue::narrow_sum(two(a), two(b), factors, to.zero_point)
        } else {
            epilogue::narrow(two(a), factors[0], to.zero_point)
        };
        let flip = _mm256_set1_epi8((to.xor ^ 0x80).cast_signed());
        _mm256_storeu_si256(out.as_mut_ptr().cast(), _mm256_xor_si256(bytes, flip));
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
