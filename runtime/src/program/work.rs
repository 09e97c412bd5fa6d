//! What a node of a program computes, and its numbers.

use crate::model::{Activation, DType, Extent, Filter, NodeId, Pool, Statistic};
use crate::program::order::Order;
use crate::program::reach::Reach;
use alloc::{sync::Arc, vec::Vec};

/// The edge that a node writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Edge {
    /// Element type with its quantization parameters.
    pub dtype: DType,
    /// Channels.
    pub channels: usize,
    /// Rows and columns; nodes that it names are the graph's.
    pub extent: Extent,
}

/// A node to run; its number is also that of the edge it writes.
#[derive(Debug, Clone)]
pub struct Node {
    /// The graph's node that it belongs to.
    pub origin: NodeId,
    /// Edges read, all of lower number.
    pub inputs: Vec<usize>,
    /// The edge written.
    pub edge: Edge,
    /// Which rows of its inputs it needs.
    pub reach: Reach,
    /// Pixels of padding that it reads at either side of its inputs' rows; their value is real zero.
    pub padding: usize,
    /// What it computes.
    pub work: Work,
}

/// What a node computes. Integers are relative to their edge's zero point unless something else is said.
#[derive(Debug, Clone)]
pub enum Work {
    /// The input image arrives.
    Input,
    /// A convolution with stride 1 and zero padding, and what is done with its sums.
    Convolution(Arc<Convolution>),
    /// The narrow copy that the convolution just before it writes along with its own edge ([`Epilogue::narrow`]).
    Narrowed,
    /// A sum of two edges.
    Add(Add),
    /// A product of two edges.
    Mul(Mul),
    /// A factor and an offset for every channel.
    Affine(Arc<Affine>),
    /// A non-linearity of real values.
    Activation(Activation),
    /// Interpolating upsampling.
    Resize(Resize),
    /// Bilinear upsampling that stays at the input's resolution: `[H, W, C] → [H, W, r²·C]`, channels in the order
    /// [`Order::Rows`].
    LowResize(Resize),
    /// The end of a real-time network in one.
    BilinearSkip(BilinearSkip),
    /// Depth to space.
    PixelShuffle {
        /// Factor.
        upscale: usize,
        /// Order of the channels that it reads.
        order: Order,
    },
    /// `round(value · factor)`: a change of dtype.
    Convert {
        /// Real value of the input's step in steps of the output.
        factor: f32,
    },
    /// Normalisation over the channels of each pixel, in float.
    LayerNorm(Arc<LayerNorm>),
    /// A factor for what is positive, and one for every channel for the rest.
    PRelu(Arc<PRelu>),
    /// The largest value of each window.
    MaxPool(Pool),
    /// One float for each channel of the whole image.
    GlobalPool(GlobalPool),
    /// Interpolation to the size of the second input.
    Interpolate(Interpolate),
    /// Interpolation to a whole fraction of the size.
    Reduce(Reduce),
    /// Attention in windows, in float.
    Attention(Arc<Attention>),
    /// Attention in windows on 8 bits, in integers.
    IntAttention(Arc<IntAttention>),
}

/// A convolution with stride 1.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// Channels read.
    pub in_channels: usize,
    /// Channels computed; with a shuffle, those before it.
    pub out_channels: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Weights and what belongs to the sums.
    pub numbers: Numbers,
    /// What the sums are stored as.
    pub epilogue: Epilogue,
}

/// The numbers of a convolution, by output channel. Weights are `[out, kernel, kernel, in]`.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// Floats. Sums are made with fused multiply-add, in the order of the weights, beginning with the bias.
    F32 {
        /// Weights.
        weights: Vec<f32>,
        /// Initial sums.
        bias: Vec<f32>,
    },
    /// 8-bit activations as they are stored, zero point included: `sum = bias + Σ stored · weight`, stored as
    /// `round(sum · multiplier)`.
    I8 {
        /// Weights, in −127..=127.
        weights: Vec<i8>,
        /// Initial sums: the bias with `−zero_point · Σ weight` folded in.
        bias: Vec<i32>,
        /// `input scale · weight scale / output scale`, with 22 significant bits ([`short`](crate::program::short)).
        multipliers: Vec<f32>,
        /// Largest magnitude that the sum can reach, whatever the activations are.
        largest: Vec<i64>,
    },
    /// 16-bit activations, which have no zero point.
    I16 {
        /// Weights, in −127..=127.
        weights: Vec<i8>,
        /// Initial sums.
        bias: Vec<i32>,
        /// `input scale · weight scale / output scale`.
        multipliers: Vec<f32>,
    },
}

/// What is done with the sums of a convolution, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epilogue {
    /// Non-linearity. On integers only ReLU: a clamp at the zero point.
    pub activation: Option<Activation>,
    /// Dtype that the (activated) sums are rounded to. It is the edge's, unless a residual sum has another scale.
    pub output: DType,
    /// `round(value · factors[0] + residual · factors[1])`, clamped to 16 bits: the residual is the node's second input, and
    /// the sum is the node's edge.
    pub residual: Option<[f32; 2]>,
    /// A copy of the edge in 8 bits, which is the edge of the node that follows.
    pub narrow: Option<Narrow>,
    /// A pixel shuffle, in whose places the values are written.
    pub shuffle: Option<Shuffled>,
}

/// `round(value · factor)` as 8 bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Narrow {
    /// Real value of the wide edge's step in steps of the narrow one.
    pub factor: f32,
    /// The narrow edge's dtype.
    pub dtype: DType,
}

/// A convolution's pixel shuffle. The convolution's channels are in the order [`Order::Rows`], so that the channels of an input
/// pixel that belong to one output row are `upscale` output pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shuffled {
    /// Factor.
    pub upscale: usize,
    /// The convolution's node in the graph.
    pub convolution: NodeId,
}

/// `round(a · factors[0] + b · factors[1])`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Add {
    /// Real values of the inputs' steps in steps of the output, the second one times the residual scaling.
    pub factors: [f32; 2],
}

/// `round((a · b) · factor)`; the product of two edges of which one has 8 bits is exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mul {
    /// Real value of the product of the inputs' steps in steps of the output.
    pub factor: f32,
}

/// `round(value · factors[c] + offsets[c])`.
#[derive(Debug, Clone)]
pub struct Affine {
    /// By channel.
    pub factors: Vec<f32>,
    /// By channel, in steps of the output.
    pub offsets: Vec<f32>,
}

/// `round(value · positive)` where the value is positive, `round(value · negative[c])` elsewhere.
#[derive(Debug, Clone)]
pub struct PRelu {
    /// Real value of the input's step in steps of the output; 1 for floats.
    pub positive: f32,
    /// By channel: the same times the channel's slope.
    pub negative: Vec<f32>,
}

/// A statistic of all values of a channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GlobalPool {
    /// Which.
    pub statistic: Statistic,
    /// Real value of the input's step.
    pub factor: f32,
}

/// An interpolation to a size of its own: with `n` rows of the input and `m` of the output, row `y` lies at
/// `((2·y + 1)·n − m) / 2m`, not above the first and not below the last (nearest: at `⌊y·n / m⌋`); columns alike. The weighted
/// sum of a row's two columns is made first, then that of the two rows, and multiplied with the factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interpolate {
    /// Nearest or bilinear.
    pub filter: Filter,
    /// Real value of the input's step in steps of the output.
    pub factor: f32,
}

/// An interpolation to a whole fraction of the size, separable: sums of the taps of [`reduction`](crate::program::reduction) down
/// the columns first, then along the rows, multiplied with the factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reduce {
    /// Rows that become one.
    pub by: u8,
    /// Interpolation kernel.
    pub filter: Filter,
    /// Real value of the input's step in steps of the output.
    pub factor: f32,
}

/// An interpolation by a whole factor, separable; the numbers of taps and phases are in [`phases`](crate::program::phases).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resize {
    /// Factor.
    pub upscale: usize,
    /// Interpolation kernel.
    pub filter: Filter,
    /// What weighted sums are multiplied with: 1 over what the weights of both dimensions sum up to, in steps of the output.
    pub factor: f32,
}

/// The bilinearly interpolated image, the network's correction added to it, and the correction's pixel shuffle:
/// `round(correction · factors[0] + interpolated · factors[1])`. Inputs are the correction, with channels in the order
/// [`Order::Rows`], and the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BilinearSkip {
    /// The interpolation, whose result is rounded to `interpolated` before the sum.
    pub resize: Resize,
    /// Dtype of the interpolated image.
    pub interpolated: DType,
    /// Of the correction and of the interpolated image.
    pub factors: [f32; 2],
    /// Whether the interpolated image is the graph's first input of the sum.
    pub image_first: bool,
    /// The interpolation's node in the graph.
    pub resize_node: NodeId,
    /// The pixel shuffle's node in the graph.
    pub shuffle_node: NodeId,
}

/// `(x − mean) / √(variance + eps) · weight[c] + bias[c]` over the channels of a pixel.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// Added to the variance of real values.
    pub eps: f32,
    /// By channel, in steps of the output.
    pub weight: Vec<f32>,
    /// By channel, in steps of the output.
    pub bias: Vec<f32>,
}

/// `softmax(q·kᵀ/√d + bias) · v` in the windows between the lines `shift + k · window`.
#[derive(Debug, Clone)]
pub struct Attention {
    /// Heads.
    pub heads: usize,
    /// Side of a window in pixels.
    pub window: usize,
    /// Shift of the windows in pixels.
    pub shift: usize,
    /// `[(query row − key row + window − 1) · (2·window − 1) + the same of columns, head]`.
    pub bias: Vec<f32>,
}

/// As [`Attention`], in integers; `docs/model-format.md` has the definition.
#[derive(Debug, Clone)]
pub struct IntAttention {
    /// Heads.
    pub heads: usize,
    /// Side of a window in pixels.
    pub window: usize,
    /// Shift of the windows in pixels.
    pub shift: usize,
    /// What a query is multiplied with before it is rounded.
    pub query_factor: f32,
    /// Bits of a score below the exponent's.
    pub score_shift: u32,
    /// As in [`Attention`], in units of a score.
    pub bias: Vec<i32>,
    /// Real value of a step of the input in steps of the output.
    pub factor: f32,
}

impl Convolution {
    /// The part of it that computes these output channels.
    pub fn channels(&self, range: core::ops::Range<usize>) -> Self {
        let depth = self.kernel * self.kernel * self.in_channels;
        let rows = range.start * depth..range.end * depth;
        let numbers = match &self.numbers {
            Numbers::F32 { weights, bias } => {
                Numbers::F32 { weights: weights[rows].to_vec(), bias: bias[range.clone()].to_vec() }
            }
            Numbers::I8 { weights, bias, multipliers, largest } => Numbers::I8 {
                weights: weights[rows].to_vec(),
                bias: bias[range.clone()].to_vec(),
                multipliers: multipliers[range.clone()].to_vec(),
                largest: largest[range.clone()].to_vec(),
            },
            Numbers::I16 { weights, bias, multipliers } => Numbers::I16 {
                weights: weights[rows].to_vec(),
                bias: bias[range.clone()].to_vec(),
                multipliers: multipliers[range.clone()].to_vec(),
            },
        };
        Self { out_channels: range.len(), numbers, ..*self }
    }
}
