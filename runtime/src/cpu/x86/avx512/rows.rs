//! Pointwise work on rows of 16-bit values, 64 at a time.
//!
//! No closures: one handed to a function of the standard library may be compiled without the instruction set, and every
//! intrinsic in it becomes a call.

use crate::cpu::conv::form::Narrowing;
use crate::cpu::isa::Isa;
use crate::cpu::kernels::RowKernels;
use crate::cpu::x86::avx512::epilogue;
use core::arch::x86_64::*;

pub(crate) const ROWS: RowKernels = RowKernels { residual, narrow, add, post_ops: None };

/// Values in a step of the loops.
const STEP: usize = 64;

/// `values = round(values · factors[0] + residual · factors[1])`.
fn residual(values: &mut [i16], residual: &[i16], factors: [f32; 2]) {
    assert!(Isa::Avx512Vnni.is_available(), "checked when the table was chosen");
    assert_eq!(values.len(), residual.len(), "rows of the same length");
    // SAFETY: the processor has the features.
    unsafe { residual_row(values, residual, factors) }
}

/// `round(values · factor)` as 8 bits; whether it was done.
fn narrow(values: &[i16], factor: f32, to: Narrowing, out: &mut [u8]) -> bool {
    assert!(Isa::Avx512Vnni.is_available(), "checked when the table was chosen");
    assert_eq!(values.len(), out.len(), "rows of the same length");
    // SAFETY: the processor has the features.
    to.xor == 0x80 && unsafe { scaled_row(values, factor, to, out) }
}

/// `round(a · factors[0] + b · factors[1])` as 8 bits; whether it was done.
fn add(a: &[i16], b: &[i16], factors: [f32; 2], to: Narrowing, out: &mut [u8]) -> bool {
    assert!(Isa::Avx512Vnni.is_available(), "checked when the table was chosen");
    assert!(a.len() == out.len() && b.len() == out.len(), "rows of the same length");
    // SAFETY: the processor has the features.
    to.xor == 0x80 && unsafe { sums_row(a, b, factors, to, out) }
}

/// The vectors of a step.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn two(values: &[i16; STEP]) -> [__m512i; 2] {
    let at = values.as_ptr();
    // SAFETY: the array holds two vectors of 32 values.
    unsafe { [_mm512_loadu_si512(at.cast()), _mm512_loadu_si512(at.add(32).cast())] }
}

/// The values from `at` on, zeros behind the end.
#[inline(always)]
fn tail(values: &[i16], at: usize) -> [i16; STEP] {
    let mut last = [0; STEP];
    last[..values.len() - at].copy_from_slice(&values[at..]);
    last
}

/// A whole step of [`residual`].
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn residual_step(values: &mut [i16; STEP], residual: &[i16; STEP], factors: [f32; 2]) {
    // SAFETY: the processor has the features; the arrays hold two vectors of 32 values.
    unsafe {
        for at in [0, 32] {
            let (v, r) = (values.as_mut_ptr().add(at), residual.as_ptr().add(at));
            let (a, b) = (_mm512_loadu_si512(v.cast()), _mm512_loadu_si512(r.cast()));
            // Sums of integers have nothing to round.
            let sums = if factors == [1.0; 2] {
                epilogue::plus(a, b)
            } else {
                epilogue::scaled_sum::<true>(a, b, factors)
            };
            _mm512_storeu_si512(v.cast(), sums);
        }
    }
}

/// # Safety
/// The processor has AVX-512 BW.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn residual_row(values: &mut [i16], residual: &[i16], factors: [f32; 2]) {
    let (values, rest) = values.as_chunks_mut::<STEP>();
    let (residual, residual_rest) = residual.as_chunks::<STEP>();
    for (v, r) in values.iter_mut().zip(residual) {
        // SAFETY: the processor has the features.
        unsafe { residual_step(v, r, factors) };
    }
    let mut last = tail(rest, 0);
    // SAFETY: the processor has the features.
    unsafe { residual_step(&mut last, &tail(residual_rest, 0), factors) };
    let n = rest.len();
    rest.copy_from_slice(&last[..n]);
}

/// # Safety
/// Rows of the same length; the processor has AVX-512 BW.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn scaled_row(values: &[i16], factor: f32, to: Narrowing, out: &mut [u8]) -> bool {
    let (values, rest) = values.as_chunks::<STEP>();
    let (out, out_rest) = out.as_chunks_mut::<STEP>();
    for (out, v) in out.iter_mut().zip(values) {
        // SAFETY: the processor has the features.
        unsafe { scaled_step(v, factor, to, out) };
    }
    let mut last = [0; STEP];
    // SAFETY: the processor has the features.
    unsafe { scaled_step(&tail(rest, 0), factor, to, &mut last) };
    let n = out_rest.len();
    out_rest.copy_from_slice(&last[..n]);
    true
}

/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn scaled_step(values: &[i16; STEP], factor: f32, to: Narrowing, out: &mut [u8; STEP]) {
    // SAFETY: the processor has the features; the arrays hold four vectors of 16 values.
    unsafe {
        let bytes = epilogue::narrow::<true>(two(values), factor, to.zero_point);
        _mm512_storeu_si512(out.as_mut_ptr().cast(), bytes);
    }
}

/// # Safety
/// Rows of the same length; the processor has AVX-512 BW.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn sums_row(a: &[i16], b: &[i16], factors: [f32; 2], to: Narrowing, out: &mut [u8]) -> bool {
    let (a, a_rest) = a.as_chunks::<STEP>();
    let (b, b_rest) = b.as_chunks::<STEP>();
    let (out, out_rest) = out.as_chunks_mut::<STEP>();
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        // SAFETY: the processor has the features.
        unsafe { sums_step(a, b, factors, to, out) };
    }
    let mut last = [0; STEP];
    // SAFETY: the processor has the features.
    unsafe { sums_step(&tail(a_rest, 0), &tail(b_rest, 0), factors, to, &mut last) };
    let n = out_rest.len();
    out_rest.copy_from_slice(&last[..n]);
    true
}

/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn sums_step(
    a: &[i16; STEP],
    b: &[i16; STEP],
    factors: [f32; 2],
    to: Narrowing,
    out: &mut [u8; STEP],
) {
    // SAFETY: the processor has the features; the arrays hold four vectors of 16 values.
    unsafe {
        let bytes = epilogue::narrow_sum(two(a), two(b), factors, to.zero_point);
        _mm512_storeu_si512(out.as_mut_ptr().cast(), bytes);
    }
}
