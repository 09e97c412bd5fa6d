//! Normalisation over the channels of each pixel: `(x − mean) / √(variance + eps) · weight[c] + bias[c]`.
//!
//! Computed in float inside, whatever the dtypes of the edges. Sums run in 16 interleaved parts that are
//! added in a fixed order, so that they vectorize and still give the same bits everywhere. A pixel's channels
//! stay in registers; the lanes behind the last channel are of the next pixel and masked out.

use super::rows::Codec;
use super::{Pointwise, dtypes, scale_of};
use crate::error::PlanError;
use crate::kernel::scalar::round_clamp;
use crate::kernel::{Isa, sqrt};
use crate::model::{Model, NodeId, Role};
use alloc::vec::Vec;
use core::array::from_fn;

/// Most channels; a pixel is kept on the stack.
const MAX_CHANNELS: usize = 1024;
const LANES: usize = 16;

/// A layer norm.
pub(crate) struct LayerNormStep {
    from: Codec,
    to: Codec,
    from_scale: f32,
    eps: f32,
    channels: usize,
    /// Weight and bias in units of the output's scale, with zeros up to a power of two of vectors.
    weight: Vec<[f32; LANES]>,
    bias: Vec<[f32; LANES]>,
}

impl LayerNormStep {
    pub fn new(model: &Model, id: NodeId, eps: f32, isa: Isa) -> Result<Self, PlanError> {
        let ([from, _], to) = dtypes(model, id);
        let xor = isa.table().xor;
        let channels = usize::from(model.shape(id).channels);
        if channels > MAX_CHANNELS {
            return Err(PlanError::Unsupported { node: id });
        }
        let vectors = channels.div_ceil(LANES).next_power_of_two();
        let scale = scale_of(to);
        let in_output_steps = |role| {
            let mut vectors = alloc::vec![[0.0; LANES]; vectors];
            let values = model.f32s(id, role);
            vectors.as_flattened_mut().iter_mut().zip(values).for_each(|(to, x)| *to = x / scale);
            vectors
        };
        let (weight, bias) = (in_output_steps(Role::Weight), in_output_steps(Role::Bias));
        let (from_scale, from, to) = (scale_of(from), Codec::new(from, xor), Codec::new(to, xor));
        Ok(Self { from, to, from_scale, eps, channels, weight, bias })
    }

    /// All pixels of a row with `N` vectors each.
    #[inline(always)]
    fn pixels<const N: usize>(&self, input: &[u8], out: &mut [u8]) {
        let total = out.len() / self.to.size_bytes();
        let whole = N * LANES;
        let mut at = 0;
        match (self.from, self.to) {
            (Codec::I16, Codec::I8 { zero_point, xor }) => {
                let values: &[i16] = bytemuck::cast_slice(input);
                let (lo, hi) = self.to.limits();
                while at + whole <= total {
                    let x = vectors::<i16, N>(&values[at..at + whole]).map(|v| v.map(f32::from));
                    let y = self.normalize(x);
                    for (to, y) in out[at..at + whole].chunks_exact_mut(LANES).zip(y) {
                        for (to, y) in to.iter_mut().zip(y) {
                            *to = (round_clamp(y, lo, hi) + zero_point) as u8 ^ xor;
                        }
                    }
                    at += self.channels;
                }
            }
            _ => {
                while at + whole <= total {
                    let mut x = [[0.0; LANES]; N];
                    self.from.load(input, at, x.as_flattened_mut());
                    let y = self.normalize(x);
                    self.to.store(y.as_flattened(), out, at);
                    at += self.channels;
                }
            }
        }
        // The last pixels: no lanes behind them.
        while at < total {
            let mut x = [[0.0; LANES]; N];
            self.from.load(input, at, &mut x.as_flattened_mut()[..self.channels]);
            let y = self.normalize(x);
            self.to.store(&y.as_flattened()[..self.channels], out, at);
            at += self.channels;
        }
    }

    #[inline(always)]
    fn normalize<const N: usize>(&self, x: [[f32; LANES]; N]) -> [[f32; LANES]; N] {
        let count = self.channels as f32;
        let mask = |x: [[f32; LANES]; N]| -> [[f32; LANES]; N] {
            from_fn(|n| from_fn(|l| if n * LANES + l < self.channels { x[n][l] } else { 0.0 }))
        };
        let x = mask(x);
        let mean = sum(x) / count;
        let x = mask(x.map(|v| v.map(|x| x - mean)));
        let variance = sum(x.map(|v| v.map(|x| x * x))) / count;
        let scale = self.from_scale;
        let factor = scale / sqrt(variance * (scale * scale) + self.eps);
        from_fn(|n| from_fn(|l| x[n][l] * factor * self.weight[n][l] + self.bias[n][l]))
    }
}

impl Pointwise for LayerNormStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        match self.weight.len() {
            1 => self.pixels::<1>(input, out),
            2 => self.pixels::<2>(input, out),
            4 => self.pixels::<4>(input, out),
            8 => self.pixels::<8>(input, out),
            16 => self.pixels::<16>(input, out),
            32 => self.pixels::<32>(input, out),
            _ => self.pixels::<{ MAX_CHANNELS / LANES }>(input, out),
        }
    }
}

#[inline(always)]
fn vectors<T: Copy, const N: usize>(values: &[T]) -> [[T; LANES]; N] {
    from_fn(|n| from_fn(|l| values[n * LANES + l]))
}

#[inline(always)]
fn sum<const N: usize>(x: [[f32; LANES]; N]) -> f32 {
    let mut parts = x[0];
    for v in &x[1..] {
        for (part, x) in parts.iter_mut().zip(v) {
            *part += x;
        }
    }
    let eight: [f32; 8] = from_fn(|i| parts[i] + parts[i + 8]);
    let four: [f32; 4] = from_fn(|i| eight[i] + eight[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}
