//! Pointwise work on rows of 16-bit values on aarch64: residual sums and conversions to 8 bits.
//!
//! The same values as the plain code in `cpu::steps`, which does what is refused here. A 16-bit value added to the bits
//! of [`MAGIC`] is the float `MAGIC + value`; a fused multiply-add with a [short](crate::program::short) factor
//! makes the rounded product of it (see [`requant`](crate::cpu::conv::requant)).

use crate::arithmetic::MAGIC;
use crate::cpu::aarch64::epilogue::{Factor, products, to_bytes};
use crate::cpu::conv::form::Narrowing;
use crate::cpu::kernels::RowKernels;
use core::arch::aarch64::*;

pub(crate) const ROWS: RowKernels = RowKernels {
    residual,
    narrow: narrow_row,
    add,
    post_ops: Some(crate::cpu::aarch64::neon::post_ops::post_ops),
};

/// Values in a step of the loops: four vectors of 16 bits.
const STEP: usize = 32;
/// Rounded values stay below this: with a zero point they fit 16 bits.
const MAX_ROUNDED: f32 = 32500.0;
const I16_MAX: f32 = 32767.0;

/// `values = round(values · factors[0] + residual · factors[1])`.
fn residual(values: &mut [i16], residual: &[i16], factors: [f32; 2]) {
    assert_eq!(values.len(), residual.len(), "rows of the same length");
    let (values, rest) = values.as_chunks_mut::<STEP>();
    let (residual, residual_rest) = residual.as_chunks::<STEP>();
    let scaled = factors.map(Factor::new);
    if factors == [1.0; 2] {
        // Sums of integers: nothing to round.
        for (v, r) in values.iter_mut().zip(residual) {
            *v = plain_sum(v, r);
        }
    } else {
        for (v, r) in values.iter_mut().zip(residual) {
            *v = scaled_sum(v, r, &scaled);
        }
    }
    let n = rest.len();
    let (mut v, mut r) = ([0; STEP], [0; STEP]);
    v[..n].copy_from_slice(rest);
    r[..n].copy_from_slice(residual_rest);
    rest.copy_from_slice(&scaled_sum(&v, &r, &scaled)[..n]);
}

#[inline(always)]
fn plain_sum(values: &[i16; STEP], residual: &[i16; STEP]) -> [i16; STEP] {
    by_vectors(values, residual, |a, b| {
        // SAFETY: NEON is part of the target.
        unsafe { vmaxq_s16(vqaddq_s16(a, b), vdupq_n_s16(-i16::MAX)) }
    })
}

#[inline(always)]
fn scaled_sum(values: &[i16; STEP], residual: &[i16; STEP], [mine, theirs]: &[Factor; 2]) -> [i16; STEP] {
    by_vectors(values, residual, |a, b| {
        // SAFETY: NEON is part of the target.
        unsafe {
            let (a, b) = (products(a, mine), products(b, theirs));
            let sum = |k: usize| {
                let sum = vaddq_f32(a[k], b[k]);
                let sum = vminnmq_f32(vmaxnmq_f32(sum, vdupq_n_f32(-I16_MAX)), vdupq_n_f32(I16_MAX));
                vreinterpretq_s16_f32(vaddq_f32(sum, vdupq_n_f32(MAGIC)))
            };
            vuzp1q_s16(sum(0), sum(1))
        }
    })
}

#[inline(always)]
fn by_vectors(
    a: &[i16; STEP],
    b: &[i16; STEP],
    f: impl Fn(int16x8_t, int16x8_t) -> int16x8_t,
) -> [i16; STEP] {
    let mut out = [0; STEP];
    for k in (0..STEP).step_by(8) {
        // SAFETY: whole vectors of the arrays; NEON is part of the target.
        unsafe {
            let result = f(vld1q_s16(a.as_ptr().add(k)), vld1q_s16(b.as_ptr().add(k)));
            vst1q_s16(out.as_mut_ptr().add(k), result);
        }
    }
    out
}

/// `round(values · factor)` as 8 bits; whether it was done.
fn narrow_row(values: &[i16], factor: f32, to: Narrowing, out: &mut [u8]) -> bool {
    assert_eq!(values.len(), out.len(), "rows of the same length");
    if to.xor != 0 || factor.abs() * I16_MAX >= MAX_ROUNDED {
        return false;
    }
    match to.zero_point & 1 {
        0 => narrow_all::<0>(values, &Factor::new(factor), to, out),
        _ => narrow_all::<1>(values, &Factor::new(factor), to, out),
    }
    true
}

/// As [`narrow_row`], for a zero point that is odd or not.
#[inline(always)]
fn narrow_all<const ODD: i32>(values: &[i16], factor: &Factor, to: Narrowing, out: &mut [u8]) {
    let convert = |values: &[i16; STEP]| {
        // SAFETY: the array holds two vectors; NEON is part of the target.
        unsafe { to_bytes::<ODD>(|k| products(vld1q_s16(values.as_ptr().add(k)), factor), to) }
    };
    let (values, values_rest) = values.as_chunks::<STEP>();
    let (out, out_rest) = out.as_chunks_mut::<STEP>();
    for (out, values) in out.iter_mut().zip(values) {
        *out = convert(values);
    }
    let n = out_rest.len();
    let mut last = [0; STEP];
    last[..n].copy_from_slice(values_rest);
    out_rest.copy_from_slice(&convert(&last)[..n]);
}

/// `round(a · factors[0] + b · factors[1])` as 8 bits; whether it was done.
fn add(a: &[i16], b: &[i16], factors: [f32; 2], to: Narrowing, out: &mut [u8]) -> bool {
    assert!(a.len() == out.len() && b.len() == out.len(), "rows of the same length");
    if to.xor != 0 || (factors[0].abs() + factors[1].abs()) * I16_MAX >= MAX_ROUNDED {
        return false;
    }
    let factors = factors.map(Factor::new);
    match to.zero_point & 1 {
        0 => add_all::<0>(a, b, &factors, to, out),
        _ => add_all::<1>(a, b, &factors, to, out),
    }
    true
}

/// As [`add`], for a zero point that is odd or not.
#[inline(always)]
fn add_all<const ODD: i32>(a: &[i16], b: &[i16], factors: &[Factor; 2], to: Narrowing, out: &mut [u8]) {
    let sum = |a: &[i16; STEP], b: &[i16; STEP]| {
        // SAFETY: the arrays hold two vectors each; NEON is part of the target.
        unsafe {
            let half = |k: usize| {
                let a = products(vld1q_s16(a.as_ptr().add(k)), &factors[0]);
                let b = products(vld1q_s16(b.as_ptr().add(k)), &factors[1]);
                [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])]
            };
            to_bytes::<ODD>(half, to)
        }
    };
    let (a, a_rest) = a.as_chunks::<STEP>();
    let (b, b_rest) = b.as_chunks::<STEP>();
    let (out, out_rest) = out.as_chunks_mut::<STEP>();
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = sum(a, b);
    }
    let n = out_rest.len();
    let (mut last_a, mut last_b) = ([0; STEP], [0; STEP]);
    last_a[..n].copy_from_slice(a_rest);
    last_b[..n].copy_from_slice(b_rest);
    out_rest.copy_from_slice(&sum(&last_a, &last_b)[..n]);
}
