//! Normalisation over the channels of each pixel: `(x − mean) / √(variance + eps) · weight[c] + bias[c]`.
//!
//! Computed in float inside, whatever the dtypes of the edges. Sums run in 16 interleaved parts that are
//! added in a fixed order, so that they vectorize and still give the same bits everywhere. The lanes behind the last
//! channel are of the next pixel and masked out. `cpu::norm` does the same for 16-bit pixels of few channels.

use crate::arithmetic::sqrt;
use crate::cpu::codec::Codec;
use crate::cpu::norm::{self, LANES, Norm};
use crate::cpu::steps::step::{Dtypes, Pointwise};
use crate::cpu::table::Cpu;
use crate::program::LayerNorm;
use alloc::vec::Vec;

/// Most channels; a pixel is kept on the stack.
const MAX_CHANNELS: usize = 1024;

/// A layer norm.
pub(crate) struct LayerNormStep {
    from: Codec,
    to: Codec,
    from_scale: f32,
    eps: f32,
    channels: usize,
    /// Weight and bias in units of the output's scale, with zeros up to whole vectors; from 8 on, a power of two.
    weight: Vec<[f32; LANES]>,
    bias: Vec<[f32; LANES]>,
    kernel: Option<norm::NormKernel>,
}

impl LayerNormStep {
    /// `None` for more channels than there is room for.
    pub fn new(norm: &LayerNorm, channels: usize, dtypes: Dtypes, cpu: Cpu) -> Option<Self> {
        if channels > MAX_CHANNELS {
            return None;
        }
        let vectors = match channels.div_ceil(LANES) {
            few @ 1..=8 => few,
            many => many.next_power_of_two(),
        };
        let padded = |values: &[f32]| {
            let mut vectors = alloc::vec![[0.0; LANES]; vectors];
            vectors.as_flattened_mut()[..channels].copy_from_slice(values);
            vectors
        };
        let (weight, bias) = (padded(&norm.weight), padded(&norm.bias));
        let ((from, to), (from_scale, _)) = (dtypes.codecs(), dtypes.scales());
        Some(Self { from, to, from_scale, eps: norm.eps, channels, weight, bias, kernel: cpu.norm })
    }

    /// All pixels of a row with `N` vectors each.
    #[inline(always)]
    fn pixels<const N: usize>(&self, input: &[u8], out: &mut [u8]) {
        let total = out.len() / self.to.size_bytes();
        let reach = N * LANES;
        let mut at = self.by_kernel(input, out);
        while at + reach <= total {
            let mut x = [[0.0; LANES]; N];
            self.from.load(input, at, x.as_flattened_mut());
            self.normalize(&mut x);
            self.to.store(x.as_flattened(), out, at);
            at += self.channels;
        }
        // The last pixels: no lanes behind them.
        while at < total {
            let mut x = [[0.0; LANES]; N];
            self.from.load(input, at, &mut x.as_flattened_mut()[..self.channels]);
            self.normalize(&mut x);
            self.to.store(&x.as_flattened()[..self.channels], out, at);
            at += self.channels;
        }
    }

    /// Lets the instruction set's kernel do what it can; returns how many values are done.
    fn by_kernel(&self, input: &[u8], out: &mut [u8]) -> usize {
        let (Some(kernel), Codec::I16) = (self.kernel, self.from) else { return 0 };
        let norm = Norm {
            channels: self.channels,
            from_scale: self.from_scale,
            eps: self.eps,
            weight: &self.weight,
            bias: &self.bias,
            limits: self.to.limits(),
        };
        let input = bytemuck::cast_slice(input);
        match (self.to, self.to.narrowing()) {
            (_, Some(to)) => norm::to_i8(kernel, &norm, input, to, out),
            (Codec::I16, None) => norm::to_i16(kernel, &norm, input, bytemuck::cast_slice_mut(out)),
            _ => 0,
        }
    }

    /// Only loops over whole vectors: closures would not be compiled for the instruction set.
    #[inline(always)]
    fn normalize<const N: usize>(&self, x: &mut [[f32; LANES]; N]) {
        let share = 1.0 / self.channels as f32;
        let (Some(weight), Some(bias)) = (self.weight.first_chunk::<N>(), self.bias.first_chunk::<N>())
        else {
            unreachable!("a row is worked on with as many vectors as there are weights");
        };
        mask(x, self.channels);
        let mean = sum(x) * share;
        for v in x.iter_mut() {
            for x in v {
                *x -= mean;
            }
        }
        mask(x, self.channels);
        let mut squares = *x;
        for v in &mut squares {
            for x in v {
                *x *= *x;
            }
        }
        let variance = sum(&squares) * share;
        let scale = self.from_scale;
        let factor = scale / sqrt(variance * (scale * scale) + self.eps);
        for n in 0..N {
            for l in 0..LANES {
                x[n][l] = x[n][l] * factor * weight[n][l] + bias[n][l];
            }
        }
    }
}

/// Zeros behind the last channel.
#[inline(always)]
fn mask<const N: usize>(x: &mut [[f32; LANES]; N], channels: usize) {
    // Up to eight vectors there are no more than needed: only the last one can have other lanes.
    for (n, vector) in x.iter_mut().enumerate().skip(if N <= 8 { N - 1 } else { 0 }) {
        for (l, value) in vector.iter_mut().enumerate() {
            *value = if n * LANES + l < channels { *value } else { 0.0 };
        }
    }
}

impl Pointwise for LayerNormStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        match self.weight.len() {
            1 => self.pixels::<1>(input, out),
            2 => self.pixels::<2>(input, out),
            3 => self.pixels::<3>(input, out),
            4 => self.pixels::<4>(input, out),
            5 => self.pixels::<5>(input, out),
            6 => self.pixels::<6>(input, out),
            7 => self.pixels::<7>(input, out),
            8 => self.pixels::<8>(input, out),
            16 => self.pixels::<16>(input, out),
            32 => self.pixels::<32>(input, out),
            _ => self.pixels::<{ MAX_CHANNELS / LANES }>(input, out),
        }
    }
}

#[inline(always)]
fn sum<const N: usize>(x: &[[f32; LANES]; N]) -> f32 {
    let mut parts = x[0];
    for v in &x[1..] {
        for l in 0..LANES {
            parts[l] += v[l];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            parts[l] += parts[l + width];
        }
        width /= 2;
    }
    parts[0]
}
