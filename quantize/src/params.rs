//! Scales and zero points: which [`DType`] an edge gets, from the values that it was seen to take.
//!
//! 8-bit edges are clipped where the mean of `|error|³` over the observed values is least: clipping a few
//! large values costs less than a coarser step for all others. A fixed percentile would not do, as in
//! super-resolution the rare values carry hard edges and saturated colours. For the same reason the power is 3
//! and not 2: on drawn pictures, which a set of photographs does not prepare for, squared errors clip so much
//! that `edsr-edge` lost 0.09 dB (x4) and 0.13 dB (x2) on Set14's ppt3 instead of 0.02 dB.

use crate::histogram::Histogram;
use mcir_runtime::model::{Activation, DType, Filter, Graph, Model, NodeId, Op, Role};

/// 16-bit edges reach this many times as far as any value that was seen, so that sums on other images do
/// not saturate; it costs one of the 16 bits.
pub const I16_HEADROOM: f32 = 2.0;
/// Smallest clip range that the search considers, as a part of the observed range.
const LEAST_CLIP: f64 = 0.2;
/// The same where values beyond some point are all alike.
const LEAST_CLIP_FLAT: f64 = 0.02;
/// Steps of each round of the search, in each direction.
const SEARCH_STEPS: usize = 10;
/// Rounds; each looks closer around the best range so far.
const SEARCH_ROUNDS: usize = 4;
/// Range of an edge that was only seen to be zero. Any will do; that of a pixel keeps all ratios sane.
const RANGE_OF_ZERO: f32 = 1.0;
/// Largest 16-bit value in use.
const I16_MAX: f32 = 32767.0;

/// Edges that meet in sums share a scale unless it would be this many times as large as that of the smallest of them needs
/// to be, which would leave it fewer than eleven bits.
const MOST_SHARED: f32 = 32.0;

/// The two integer types that an edge can have: 8 bits for convolutions, 16 for sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EdgeTypes {
    /// Type where a convolution or a table reads the edge.
    pub narrow: DType,
    /// Type where an addition reads it.
    pub wide: DType,
}

/// Which 8-bit types there are to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Levels {
    /// 256 levels around any zero point: values that are never negative have all of them.
    #[default]
    Any,
    /// Zero point 0, for engines that know no other; values that are never negative have 128 levels. Edges that hold the image's
    /// pixels exactly stay as they are.
    Symmetric,
}

/// The types of all edges of a float model; `seen` holds the histogram of each edge.
///
/// # Panics
/// If `seen` does not have an entry for each node.
pub fn edge_types(model: &Model, seen: &[Histogram], levels: Levels) -> Vec<EdgeTypes> {
    let graph = model.graph();
    assert_eq!(seen.len(), graph.nodes.len(), "one histogram for each edge");
    let pixel = EdgeTypes { narrow: DType::PIXEL, wide: DType::PIXEL };
    let mut types: Vec<EdgeTypes> = Vec::with_capacity(seen.len());
    for (id, histogram) in (0..).zip(seen) {
        let op = graph.node(id).op;
        let found = if matches!(op, Op::Input { .. }) {
            pixel
        } else if matches!(op, Op::PixelShuffle { .. } | Op::MaxPool(_)) {
            // They copy what they read.
            types[usize::from(graph.node(id).inputs[0])]
        } else {
            exact(model, id).unwrap_or_else(|| EdgeTypes {
                narrow: match flattened_by(graph, id) {
                    Some(activation) => search_i8_through(histogram, activation, levels),
                    None => search_i8(histogram, levels),
                },
                wide: i16_for(histogram.max_abs()),
            })
        };
        types.push(found);
    }
    share_scales(model, &mut types);
    // The output is pixels, and so is what shuffles only reorder on the way there.
    let mut id = graph.output();
    types[usize::from(id)] = pixel;
    while let Op::PixelShuffle { .. } = graph.node(id).op {
        id = graph.node(id).inputs[0];
        types[usize::from(id)].narrow = DType::PIXEL;
    }
    types
}

/// Edges whose 8-bit values are pixels: those of the image, before anything was computed from them, and those of the output.
pub fn hold_pixels(graph: &Graph) -> Vec<bool> {
    let mut pixels: Vec<bool> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        pixels.push(match node.op {
            Op::Input { .. } => true,
            Op::Convert | Op::Affine | Op::Resize { .. } => pixels[usize::from(node.inputs[0])],
            _ => false,
        });
    }
    let mut id = graph.output();
    pixels[usize::from(id)] = true;
    while let Op::PixelShuffle { .. } | Op::Convert = graph.node(id).op {
        id = graph.node(id).inputs[0];
        pixels[usize::from(id)] = true;
    }
    pixels
}

/// The activation by which alone an edge is read in 8 bits, if it is one that has flat parts: values that lie there need no
/// levels of their own.
fn flattened_by(graph: &Graph, id: NodeId) -> Option<Activation> {
    let mut found = None;
    for reader in graph.readers(id) {
        match graph.node(reader).op {
            Op::Activation(activation) => {
                if found.replace(activation).is_some_and(|other| other != activation) {
                    return None;
                }
            }
            // They read 16 bits, or only the size.
            Op::Add { .. }
            | Op::Mul
            | Op::Affine
            | Op::LayerNorm { .. }
            | Op::Resize { .. }
            | Op::Interpolate { .. }
            | Op::Reduce { .. } => {}
            Op::Input { .. }
            | Op::Conv2d(_)
            | Op::WindowAttention { .. }
            | Op::PixelShuffle { .. }
            | Op::MaxPool(_)
            | Op::GlobalPool { .. }
            | Op::Convert
            | Op::PRelu => return None,
        }
    }
    let flat = |activation: &Activation| match activation {
        Activation::Tanh
        | Activation::Sigmoid
        | Activation::Silu
        | Activation::HardSigmoid { .. }
        | Activation::HardSwish { .. } => true,
        // GELU is flat too; its networks were measured without this.
        Activation::Relu | Activation::LeakyRelu { .. } | Activation::Gelu => false,
    };
    found.filter(flat)
}

/// Gives the 16-bit edges that meet in sums, over a whole chain of residual blocks, the scale of the largest: sums of
/// integers have nothing to round, which costs less time, and no accuracy, as the values are read in 8 bits.
fn share_scales(model: &Model, types: &mut [EdgeTypes]) {
    let graph = model.graph();
    let scale_of = |id: NodeId| match types[usize::from(id)].wide {
        DType::I16 { scale } if exact(model, id).is_none() => Some(scale),
        _ => None,
    };
    // Groups that edges are in, of as many members as have a scale, with the least and the largest.
    let mut group: Vec<usize> = (0..types.len()).collect();
    let mut range: Vec<Option<(f32, f32)>> =
        (0..).zip(types.iter()).map(|(id, _)| scale_of(id).map(|scale| (scale, scale))).collect();
    let mut join = |a: NodeId, b: NodeId| {
        let (a, b) = (group[usize::from(a)], group[usize::from(b)]);
        if let (Some(one), Some(other)) = (range[a], range[b]) {
            let (least, most) = (one.0.min(other.0), one.1.max(other.1));
            if a != b && most <= least * MOST_SHARED {
                range[a] = Some((least, most));
                group.iter_mut().filter(|g| **g == b).for_each(|g| *g = a);
            }
        }
    };
    for (id, node) in (0..).zip(&graph.nodes) {
        // With a factor for one of them there is something to round.
        if matches!(node.op, Op::PixelShuffle { .. } | Op::MaxPool(_))
            || node.op == (Op::Add { res_scale: 1.0 })
        {
            node.inputs.iter().for_each(|&input| join(id, input));
        }
    }
    for (types, group) in types.iter_mut().zip(group) {
        if let (DType::I16 { scale }, Some((_, most))) = (&mut types.wide, range[group]) {
            *scale = most;
        }
    }
}

/// Types that hold an edge without any error, where there are such.
pub(crate) fn exact(model: &Model, id: NodeId) -> Option<EdgeTypes> {
    let node = model.graph().node(id);
    if node.inputs != [0] {
        return None;
    }
    if let Op::Resize { upscale, filter } = node.op {
        return match filter {
            Filter::Nearest => Some(EdgeTypes { narrow: DType::PIXEL, wide: DType::PIXEL }),
            Filter::Bilinear => {
                // Sums of pixels with weights in units of 1/(2·upscale)².
                let unit = (2.0 * f32::from(upscale)).powi(2);
                let wide = DType::I16 { scale: 1.0 / (255.0 * unit) };
                (255.0 * unit <= I16_MAX).then_some(EdgeTypes { narrow: DType::PIXEL, wide })
            }
            Filter::Bicubic | Filter::SharpBicubic | Filter::AlignedBilinear => None,
        };
    }
    if node.op != Op::Affine {
        return None;
    }
    // Pixels moved by a whole number of levels, the same for all channels, keep all 256 levels.
    let (weight, bias) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
    let (a, b) = (weight[0], bias[0]);
    let same = weight.iter().all(|&x| x == a) && bias.iter().all(|&x| x == b);
    let level = -255.0 * b / a;
    let whole = level.round();
    let fits = same && a > 0.0 && (0.0..=255.0).contains(&whole) && (level - whole).abs() < 1e-3;
    let narrow = DType::I8 { scale: a / 255.0, zero_point: (whole as i32 - 128) as i8 };
    fits.then_some(EdgeTypes { narrow, wide: narrow })
}

/// The symmetric 16-bit type for values up to `max_abs`, with [`I16_HEADROOM`].
pub fn i16_for(max_abs: f32) -> DType {
    let range = if max_abs > 0.0 { max_abs } else { RANGE_OF_ZERO };
    DType::I16 { scale: (range * I16_HEADROOM / I16_MAX).max(1e-11) }
}

/// The 8-bit type with the least mean of `|error|³` over the observed values.
///
/// Real zero is always one of the levels, as padding needs it. Values that are never negative (after a
/// ReLU) get the zero point −128 and so all levels, where any zero point will do.
pub fn search_i8(seen: &Histogram, levels: Levels) -> DType {
    search(seen, levels, LEAST_CLIP, cubed_error)
}

/// The same for values of which only the activation matters.
fn search_i8_through(seen: &Histogram, activation: Activation, levels: Levels) -> DType {
    search(seen, levels, LEAST_CLIP_FLAT, |counts, dtype| {
        let DType::I8 { scale, zero_point } = dtype else { unreachable!("the search is for 8 bits") };
        let (scale, zero) = (f64::from(scale), f64::from(zero_point));
        let level = |stored: f64| activated(activation, (stored - zero) * scale);
        let levels: Vec<f64> = (-128..128).map(|stored| level(f64::from(stored))).collect();
        let error = |&(x, n): &(f64, u64)| {
            let stored = (x / scale + zero).round_ties_even().clamp(-128.0, 127.0);
            (activated(activation, x) - levels[(stored + 128.0) as usize]).abs().powi(3) * n as f64
        };
        counts.iter().map(error).sum()
    })
}

/// An activation of a real value.
fn activated(activation: Activation, x: f64) -> f64 {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    let hard = |alpha: f32, beta: f32| (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0);
    match activation {
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid,
        Activation::Silu => x * sigmoid,
        Activation::HardSigmoid { alpha, beta } => hard(alpha, beta),
        Activation::HardSwish { alpha, beta } => x * hard(alpha, beta),
        Activation::Relu | Activation::LeakyRelu { .. } | Activation::Gelu => {
            unreachable!("it is not searched through")
        }
    }
}

/// The 8-bit type of the least cost, that of the whole range if it is no better with less than all; ranges from `least` of what
/// was seen are tried.
fn search(seen: &Histogram, levels: Levels, least: f64, cost: impl Fn(&[(f64, u64)], DType) -> f64) -> DType {
    let (min, max) = match levels {
        Levels::Any => (f64::from(seen.min()), f64::from(seen.max())),
        // One side to search: the other is as long.
        Levels::Symmetric => (0.0, f64::from(seen.max_abs())),
    };
    let dtype_for = |lo: f64, hi: f64| match levels {
        Levels::Any => i8_for(lo, hi),
        Levels::Symmetric => DType::I8 { scale: ((hi / 127.0).max(1e-11)) as f32, zero_point: 0 },
    };
    if min == 0.0 && max == 0.0 {
        return dtype_for(0.0, f64::from(RANGE_OF_ZERO));
    }
    let counts: Vec<(f64, u64)> = seen.counts().collect();
    let cost = |lo: f64, hi: f64| {
        let dtype = dtype_for(lo * min, hi * max);
        (cost(&counts, dtype), dtype)
    };
    // The whole range comes first, so that of equal errors it wins.
    let (mut best, mut centre) = (cost(1.0, 1.0), (1.0, 1.0));
    let mut reach = 1.0 - least;
    for _ in 0..SEARCH_ROUNDS {
        let around = |centre: f64| {
            let step = 2.0 * reach / SEARCH_STEPS as f64;
            (0..=SEARCH_STEPS).map(move |i| (centre + reach - step * i as f64).clamp(least, 1.0))
        };
        let lows: Vec<f64> = if min < 0.0 { around(centre.0).collect() } else { vec![1.0] };
        let highs: Vec<f64> = if max > 0.0 { around(centre.1).collect() } else { vec![1.0] };
        for &lo in &lows {
            for &hi in &highs {
                let found = cost(lo, hi);
                if found.0 < best.0 {
                    (best, centre) = (found, (lo, hi));
                }
            }
        }
        reach *= 2.0 / SEARCH_STEPS as f64;
    }
    best.1
}

/// The type whose levels span `lo..=hi`, moved so that zero is a level.
fn i8_for(lo: f64, hi: f64) -> DType {
    let scale = ((hi - lo) / 255.0).max(1e-11);
    let zero_point = (-128.0 - lo / scale).round().clamp(-128.0, 127.0);
    DType::I8 { scale: scale as f32, zero_point: zero_point as i8 }
}

/// Sum of `|error|³` of storing the counted values in a type.
fn cubed_error(counts: &[(f64, u64)], dtype: DType) -> f64 {
    let DType::I8 { scale, zero_point } = dtype else { unreachable!("the search is for 8 bits") };
    let (scale, zero) = (f64::from(scale), f64::from(zero_point));
    let (lo, hi) = (-128.0 - zero, 127.0 - zero);
    let per_unit = 1.0 / scale;
    let error = |&(x, n): &(f64, u64)| {
        // Rounds half to even without a library call.
        const MAGIC: f64 = 1.5 * (1_u64 << 52) as f64;
        let level = ((x * per_unit).clamp(lo, hi) + MAGIC) - MAGIC;
        let d = x - level * scale;
        d.abs() * d * d * n as f64
    };
    counts.iter().map(error).sum()
}

/// Short name of a dtype without its parameters.
pub fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::I8 { .. } => "i8",
        DType::I16 { .. } => "i16",
    }
}

#[cfg(test)]
mod tests;
