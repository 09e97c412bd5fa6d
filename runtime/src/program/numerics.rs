//! The numbers of a program: biases with zero points folded in, multipliers, bounds of sums.

use crate::model::{Conv2d, DType, Filter, Model, NodeId, Role};
use crate::program::edges::{dtypes, scale_of};
use crate::program::interpolation::phases;
use crate::program::work::{
    Add, Affine, Attention, Convolution, Epilogue, IntAttention, LayerNorm, Mul, Narrow, Numbers, PRelu,
    Resize,
};
use alloc::vec::Vec;
use core::f64::consts::LOG2_E;

/// Fraction bits of the exponent of an integer softmax.
pub const EXPONENT_BITS: u32 = 11;
/// Largest magnitude of a scaled query of an integer attention, and of a key or value without its zero point.
pub const MAX_QUERY: i32 = 32767;
/// Largest magnitude of a position bias of an integer attention.
pub const MAX_BIAS: i32 = 1 << 29;
/// Most bits of a score below the exponent's.
const MAX_SCORE_SHIFT: u32 = 12;
/// Largest magnitude of a 16-bit value; symmetric.
pub const I16_MAX: f32 = 32767.0;

/// The multiplier with 22 significant bits instead of 24 that is nearest to `mult`, so that three times (and
/// 1.5 · 2²³ times) it is a float as well.
pub fn short(mult: f32) -> f32 {
    f32::from_bits((mult.to_bits() + 2) & !3)
}

/// Smallest and largest value that an edge of this dtype stores, relative to its zero point, with a ReLU or without.
pub fn limits(dtype: DType, relu: bool) -> (f32, f32) {
    let (lo, hi) = match dtype {
        DType::F32 => (f32::MIN, f32::MAX),
        DType::I8 { zero_point, .. } => {
            (f32::from(-128 - i16::from(zero_point)), f32::from(127 - i16::from(zero_point)))
        }
        DType::I16 { .. } => (-I16_MAX, I16_MAX),
    };
    // A zero point of 127 leaves no positive values; the range stays in order all the same.
    (if relu { lo.max(0.0).min(hi) } else { lo }, hi)
}

/// Convolution `id` with its output channels in this order, stored as its own edge.
pub(crate) fn convolution(model: &Model, id: NodeId, conv: Conv2d, order: &[usize]) -> Convolution {
    let ([input, _], output) = dtypes(model, id);
    // What the output channels have of values, which all of them have the same number of.
    fn gather<T: Copy>(values: &[T], conv: Conv2d, order: &[usize]) -> Vec<T> {
        let each = values.len() / usize::from(conv.out_channels);
        order.iter().flat_map(|&channel| &values[channel * each..][..each]).copied().collect()
    }
    let floats = |role| gather(&model.f32s(id, role), conv, order);
    let multipliers = |scale: f32| {
        let out_scale = scale_of(output);
        let all: Vec<f32> = model.f32s(id, Role::WeightScale).iter().map(|w| scale * w / out_scale).collect();
        gather(&all, conv, order)
    };
    let numbers = match input {
        DType::F32 => Numbers::F32 { weights: floats(Role::Weight), bias: floats(Role::Bias) },
        DType::I8 { scale, zero_point } => {
            let weights = gather(model.i8s(id, Role::Weight), conv, order);
            let depth = weights.len() / order.len();
            let mut bias = gather(&model.i32s(id, Role::Bias), conv, order);
            let mut largest = Vec::with_capacity(bias.len());
            for (bias, row) in bias.iter_mut().zip(weights.chunks_exact(depth)) {
                // Σ stored·w − zero_point·Σw = Σ (stored − zero_point)·w.
                let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
                *bias = bias.wrapping_sub(i32::from(zero_point).wrapping_mul(sum));
                largest.push(largest_sum(*bias, row));
            }
            let multipliers = multipliers(scale).into_iter().map(short).collect();
            Numbers::I8 { weights, bias, multipliers, largest }
        }
        DType::I16 { scale } => Numbers::I16 {
            weights: gather(model.i8s(id, Role::Weight), conv, order),
            bias: gather(&model.i32s(id, Role::Bias), conv, order),
            multipliers: multipliers(scale),
        },
    };
    Convolution {
        in_channels: usize::from(conv.in_channels),
        out_channels: order.len(),
        kernel: usize::from(conv.kernel),
        numbers,
        epilogue: Epilogue {
            activation: conv.activation,
            output,
            residual: None,
            narrow: None,
            shuffle: None,
        },
    }
}

/// Largest magnitude of `bias + Σ stored · weight`, whatever 8-bit values are stored.
pub(crate) fn largest_sum(bias: i32, weights: &[i8]) -> i64 {
    let (mut low, mut high) = (i64::from(bias), i64::from(bias));
    for w in weights.iter().map(|&w| i64::from(w)) {
        low += (-128 * w).min(127 * w);
        high += (-128 * w).max(127 * w);
    }
    high.max(-low)
}

/// What the two inputs of a sum are multiplied with.
pub(crate) fn add((a, b): (DType, DType), res_scale: f32, out: DType) -> Add {
    let out = scale_of(out);
    Add { factors: [scale_of(a) / out, res_scale * scale_of(b) / out].map(short) }
}

/// What the product of two inputs is multiplied with.
pub(crate) fn mul((a, b): (DType, DType), out: DType) -> Mul {
    // The quotient first: the product of two scales that are allowed may be too small for a float, or too large.
    Mul { factor: short(scale_of(a) / scale_of(out) * scale_of(b)) }
}

/// What the values of `from` are multiplied with to be stored as `to`.
pub(crate) fn convert(from: DType, to: DType) -> f32 {
    short(scale_of(from) / scale_of(to))
}

/// A copy of edge `from` in the 8 bits of `to`.
pub(crate) fn narrow(from: DType, to: DType) -> Narrow {
    Narrow { factor: convert(from, to), dtype: to }
}

/// The numbers of an interpolation from edge to edge.
pub(crate) fn resize(from: DType, to: DType, upscale: u8, filter: Filter) -> Resize {
    let upscale = usize::from(upscale);
    let total = phases(filter, upscale).total;
    Resize { upscale, filter, factor: scale_of(from) / (scale_of(to) * (total * total)) }
}

/// The numbers of node `id`, an affine layer.
pub(crate) fn affine(model: &Model, id: NodeId) -> Affine {
    let ([from, _], to) = dtypes(model, id);
    let (from, to) = (scale_of(from), scale_of(to));
    Affine {
        factors: model.f32s(id, Role::Weight).iter().map(|w| w * from / to).collect(),
        offsets: model.f32s(id, Role::Bias).iter().map(|b| b / to).collect(),
    }
}

/// The numbers of node `id`, a PReLU.
pub(crate) fn prelu(model: &Model, id: NodeId) -> PRelu {
    let ([from, _], to) = dtypes(model, id);
    let positive = scale_of(from) / scale_of(to);
    PRelu { positive, negative: model.f32s(id, Role::Weight).iter().map(|slope| slope * positive).collect() }
}

/// The numbers of node `id`, a layer norm.
pub(crate) fn layer_norm(model: &Model, id: NodeId, eps: f32) -> LayerNorm {
    let scale = scale_of(model.graph().node(id).dtype);
    let in_steps = |role| model.f32s(id, role).iter().map(|x| x / scale).collect();
    LayerNorm { eps, weight: in_steps(Role::Weight), bias: in_steps(Role::Bias) }
}

/// The numbers of node `id`, an attention in windows.
pub(crate) fn attention(model: &Model, id: NodeId, (heads, window, shift): (u16, u8, u8)) -> Attention {
    Attention {
        heads: usize::from(heads),
        window: usize::from(window),
        shift: usize::from(shift),
        bias: model.f32s(id, Role::PositionBias),
    }
}

/// The same in integers, for an edge of 8 bits.
pub(crate) fn int_attention(model: &Model, id: NodeId, windows: (u16, u8, u8)) -> IntAttention {
    let Attention { heads, window, shift, bias } = attention(model, id, windows);
    let ([from, _], to) = dtypes(model, id);
    let head = usize::from(model.shape(id).channels) / heads;
    // Powers of two of a product of two stored values, in units of the exponent.
    let unit = LOG2_E * f64::from(1_u32 << EXPONENT_BITS);
    let scale = f64::from(scale_of(from));
    let product = unit * scale * scale / libm::sqrt(head as f64);
    let fits = |shift: &u32| product * f64::from(1_u32 << shift) * 255.0 <= f64::from(MAX_QUERY);
    let score_shift = (0..=MAX_SCORE_SHIFT).rev().find(fits).unwrap_or(0);
    let power = f64::from(1_u32 << score_shift);
    let most = f64::from(MAX_BIAS);
    let in_scores = |bias: f32| libm::rint((f64::from(bias) * (unit * power)).clamp(-most, most)) as i32;
    IntAttention {
        heads,
        window,
        shift,
        query_factor: (product * power) as f32,
        score_shift,
        bias: bias.into_iter().map(in_scores).collect(),
        factor: scale_of(from) / scale_of(to),
    }
}
