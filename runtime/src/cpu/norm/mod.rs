//! Layer norm of 16-bit pixels with few channels, held in registers from reading to writing.
//!
//! `cpu::steps::layer_norm` has the definition, in plain Rust: 16 lanes that are added up in a fixed order. The code
//! here does the same with the vectors of an instruction set, so that all of them give the same bits. It exists since
//! compilers turn masks and sums across lanes into scalar code.

#[cfg(test)]
mod tests;

use crate::arithmetic::sqrt;
use crate::cpu::conv::form::Narrowing;

/// Lanes that are summed up on their own.
pub(crate) const LANES: usize = 16;
/// Most vectors of a pixel that stay in registers.
const MAX_VECTORS: usize = 4;

/// What turns a pixel into a normalised one.
pub(crate) struct Norm<'a> {
    pub channels: usize,
    /// Real value of a step of the input.
    pub from_scale: f32,
    /// Added to the variance of real values.
    pub eps: f32,
    /// Weight and bias by channel in steps of the output, with zeros up to whole vectors.
    pub weight: &'a [[f32; LANES]],
    pub bias: &'a [[f32; LANES]],
    /// Smallest and largest stored value of the output, relative to its zero point.
    pub limits: (f32, f32),
}

/// Entry of an instruction set: pixels from 16 to 8 bits, or to 16. Returns how many values are done; the rest has no room
/// for whole vectors.
///
/// # Safety
/// The processor has the instruction set; [`to_i8`] or [`to_i16`] has checked the lengths.
#[derive(Clone, Copy)]
pub(crate) struct NormKernel {
    pub to_i8: unsafe fn(&Norm<'_>, &[i16], Narrowing, &mut [u8]) -> usize,
    pub to_i16: unsafe fn(&Norm<'_>, &[i16], &mut [i16]) -> usize,
}

/// Normalises pixels to 8 bits; returns how many values are done, 0 for pixels that do not fit the registers.
#[inline]
pub(crate) fn to_i8(
    kernel: NormKernel,
    norm: &Norm<'_>,
    input: &[i16],
    to: Narrowing,
    out: &mut [u8],
) -> usize {
    if !fits(norm) {
        return 0;
    }
    assert!(input.len() >= out.len(), "a value for each one to write");
    // SAFETY: lengths checked; `Isa::norm` hands out what this processor has.
    unsafe { (kernel.to_i8)(norm, input, to, out) }
}

/// As [`to_i8`], to 16 bits.
#[inline]
pub(crate) fn to_i16(kernel: NormKernel, norm: &Norm<'_>, input: &[i16], out: &mut [i16]) -> usize {
    if !fits(norm) {
        return 0;
    }
    assert!(input.len() >= out.len(), "a value for each one to write");
    // SAFETY: lengths checked; `Isa::norm` hands out what this processor has.
    unsafe { (kernel.to_i16)(norm, input, out) }
}

/// Whether all lanes but those of a pixel's last vector are channels, and the vectors fit the registers.
fn fits(norm: &Norm<'_>) -> bool {
    let vectors = norm.channels.div_ceil(LANES);
    (1..=MAX_VECTORS).contains(&vectors) && norm.weight.len() == vectors && norm.bias.len() == vectors
}

/// Operations on 16 floats.
///
/// # Safety
/// Implementations access exactly the memory that the method's description names. All methods may only be called on a
/// processor with the instruction set.
pub(crate) unsafe trait Lanes {
    type V: Copy;

    /// 16 integers as floats.
    unsafe fn load(p: *const i16) -> Self::V;
    /// 16 floats.
    unsafe fn load_floats(p: *const f32) -> Self::V;
    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// The lanes whose bits are ones in `mask`, and zeros.
    unsafe fn keep(a: Self::V, mask: *const u32) -> Self::V;
    /// Lane `l` and `l + 8`, then those of the 8 sums and so on.
    unsafe fn sum(a: Self::V) -> f32;
    /// Clamps, rounds half to even, and writes 16 bytes.
    unsafe fn store_i8(a: Self::V, limits: (f32, f32), to: Narrowing, p: *mut u8);
    /// Clamps, rounds half to even, and writes 16 integers.
    unsafe fn store_i16(a: Self::V, limits: (f32, f32), p: *mut i16);
}

/// The values of `P` pixels, normalised, in steps of the output. Several at once, as one alone is a chain of operations that
/// wait for each other.
///
/// # Safety
/// As [`Lanes`]; `input` points to `P` pixels of which the last has `16 · N` values, and the norm has `N` vectors.
#[inline(always)]
unsafe fn some<L: Lanes, const N: usize, const P: usize>(
    norm: &Norm<'_>,
    mask: &[u32; LANES],
    input: *const i16,
) -> [[L::V; N]; P] {
    // SAFETY: the caller's contract; a vector of weights has 16 floats.
    unsafe {
        let share = 1.0 / norm.channels as f32;
        let mut x = [[L::splat(0.0); N]; P];
        for (p, x) in x.iter_mut().enumerate() {
            for (n, x) in x.iter_mut().enumerate() {
                *x = L::load(input.add(p * norm.channels + n * LANES));
            }
            x[N - 1] = L::keep(x[N - 1], mask.as_ptr());
        }
        for x in &mut x {
            let mut parts = x[0];
            for &v in &x[1..] {
                parts = L::add(parts, v);
            }
            let mean = L::splat(L::sum(parts) * share);
            for x in x.iter_mut() {
                *x = L::sub(*x, mean);
            }
            x[N - 1] = L::keep(x[N - 1], mask.as_ptr());
        }
        let scale = norm.from_scale;
        let mut factors = [L::splat(0.0); P];
        for (x, factor) in x.iter().zip(&mut factors) {
            let mut parts = L::mul(x[0], x[0]);
            for &v in &x[1..] {
                parts = L::add(parts, L::mul(v, v));
            }
            let variance = L::sum(parts) * share;
            *factor = L::splat(scale / sqrt(variance * (scale * scale) + norm.eps));
        }
        for n in 0..N {
            let weight = L::load_floats(norm.weight.as_ptr().add(n).cast());
            let bias = L::load_floats(norm.bias.as_ptr().add(n).cast());
            for (x, &factor) in x.iter_mut().zip(&factors) {
                x[n] = L::add(L::mul(L::mul(x[n], factor), weight), bias);
            }
        }
        x
    }
}

/// All pixels that have room for whole vectors: the lanes behind the last channel are written as well, and then again with
/// the next pixel. `store` writes a vector to a place.
///
/// # Safety
/// As [`Lanes`]; `input` has at least `total` values; the norm has `N` vectors.
#[inline(always)]
unsafe fn pixels<L: Lanes, const N: usize, const P: usize>(
    norm: &Norm<'_>,
    input: &[i16],
    total: usize,
    mut store: impl FnMut(L::V, usize),
) -> usize {
    let used = norm.channels - (N - 1) * LANES;
    let mask: [u32; LANES] = core::array::from_fn(|l| if l < used { u32::MAX } else { 0 });
    let mut at = 0;
    while at + (P - 1) * norm.channels + N * LANES <= total {
        // SAFETY: that many values are left.
        let x = unsafe { some::<L, N, P>(norm, &mask, input.as_ptr().add(at)) };
        for x in &x {
            for (n, &x) in x.iter().enumerate() {
                store(x, at + n * LANES);
            }
            at += norm.channels;
        }
    }
    while at + N * LANES <= total {
        // SAFETY: that many values are left.
        let [x] = unsafe { some::<L, N, 1>(norm, &mask, input.as_ptr().add(at)) };
        for (n, &x) in x.iter().enumerate() {
            store(x, at + n * LANES);
        }
        at += norm.channels;
    }
    at
}

/// As [`pixels`], for any number of vectors that `fits` lets through.
///
/// # Safety
/// As [`Lanes`]; `input` has at least `total` values; the norm [`fits`].
#[inline(always)]
pub(crate) unsafe fn rows<L: Lanes, const P: usize>(
    norm: &Norm<'_>,
    input: &[i16],
    total: usize,
    store: impl FnMut(L::V, usize),
) -> usize {
    // SAFETY: the caller's contract.
    unsafe {
        match norm.weight.len() {
            1 => pixels::<L, 1, P>(norm, input, total, store),
            2 => pixels::<L, 2, P>(norm, input, total, store),
            3 => pixels::<L, 3, P>(norm, input, total, store),
            _ => pixels::<L, 4, P>(norm, input, total, store),
        }
    }
}

/// Entries of an instruction set from its [`Lanes`], which work on some pixels at once.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
macro_rules! entries {
    ($lanes:ty, $pixels:literal, #[$feature:meta]) => {
        pub(crate) const KERNEL: crate::cpu::norm::NormKernel =
            crate::cpu::norm::NormKernel { to_i8, to_i16 };

        /// # Safety
        /// As [`NormKernel`](crate::cpu::norm::NormKernel).
        #[$feature]
        unsafe fn to_i8(
            norm: &crate::cpu::norm::Norm<'_>,
            input: &[i16],
            to: crate::cpu::conv::form::Narrowing,
            out: &mut [u8],
        ) -> usize {
            let (total, base, limits) = (out.len(), out.as_mut_ptr(), norm.limits);
            // SAFETY: lengths checked by the caller; `rows` names places with 16 values behind them.
            unsafe {
                crate::cpu::norm::rows::<$lanes, $pixels>(norm, input, total, |x, at| {
                    <$lanes as crate::cpu::norm::Lanes>::store_i8(x, limits, to, base.add(at));
                })
            }
        }

        /// # Safety
        /// As [`NormKernel`](crate::cpu::norm::NormKernel).
        #[$feature]
        unsafe fn to_i16(norm: &crate::cpu::norm::Norm<'_>, input: &[i16], out: &mut [i16]) -> usize {
            let (total, base, limits) = (out.len(), out.as_mut_ptr(), norm.limits);
            // SAFETY: lengths checked by the caller; `rows` names places with 16 values behind them.
            unsafe {
                crate::cpu::norm::rows::<$lanes, $pixels>(norm, input, total, |x, at| {
                    <$lanes as crate::cpu::norm::Lanes>::store_i16(x, limits, base.add(at));
                })
            }
        }
    };
}
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
pub(crate) use entries;
