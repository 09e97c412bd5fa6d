//! The layer list: [`Graph`], its nodes and the types on its edges.
//!
//! A graph holds no weights. Which tensors a node needs, and their shapes, follow from its [`Op`] and the
//! dtype of its input (see [`Node::params`](crate::model::params)). Nodes are numbered in topological order and
//! may only read lower-numbered nodes, so that a cycle cannot be written down.

use crate::model::at_most::at_most;
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Most edges that an operator reads.
const MAX_INPUTS: usize = 2;

/// Index of a node, and at the same time of the edge that leaves it: every node has exactly one output.
pub type NodeId = u16;

/// Element type of an edge, with its quantization parameters.
///
/// `real = scale · (stored − zero_point)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum DType {
    /// 32-bit float; images are in 0..1.
    F32,
    /// 8-bit integer with a zero point.
    I8 {
        /// Real value of one step.
        scale: f32,
        /// Stored value that stands for real zero; padding uses it.
        zero_point: i8,
    },
    /// 16-bit integer, symmetric; for residual sums.
    I16 {
        /// Real value of one step.
        scale: f32,
    },
}

impl DType {
    /// The exact image of a `u8` pixel: `x ^ 0x80` with scale 1/255 and zero point −128.
    pub const PIXEL: Self = Self::I8 { scale: 1.0 / 255.0, zero_point: -128 };

    /// Bytes of one element.
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I16 { .. } => 2,
            Self::I8 { .. } => 1,
        }
    }

    /// Whether the edge carries integers.
    pub const fn is_quantized(self) -> bool {
        !matches!(self, Self::F32)
    }
}

/// Pointwise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, `slope · x` elsewhere.
    LeakyRelu {
        /// Factor for negative inputs, in 0..1.
        slope: f32,
    },
    /// Gaussian error linear unit, the exact (erf) form.
    Gelu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function, `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// Sigmoid linear unit or swish, `x · sigmoid(x)`.
    Silu,
    /// `clamp(alpha · x + beta, 0, 1)`.
    HardSigmoid {
        /// Slope; 1/6 in PyTorch.
        alpha: f32,
        /// Value at zero; 1/2 in PyTorch.
        beta: f32,
    },
    /// `x · clamp(alpha · x + beta, 0, 1)`.
    HardSwish {
        /// Slope of the second factor; 1/6 in PyTorch.
        alpha: f32,
        /// Value of the second factor at zero; 1/2 in PyTorch.
        beta: f32,
    },
}

/// Interpolation used by [`Op::Resize`]. Pixel centres are aligned at half-integers, as in MATLAB's
/// `imresize`, unless a filter says otherwise; edge pixels are repeated outside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// The nearest low-resolution pixel.
    Nearest,
    /// Two taps a dimension. Its weights are multiples of `1/(2·upscale)`, so the result is an exact
    /// integer in units of `1/(2·upscale)²`: quantized networks add to it without any rounding.
    Bilinear,
    /// Four taps a dimension, `a = −0.5`.
    Bicubic,
    /// Four taps a dimension, `a = −0.75`: what PyTorch, OpenCV and ncnn call bicubic.
    SharpBicubic,
    /// Two taps a dimension, with the centres of the corner pixels on each other (`align_corners`) instead of the corners: of `n`
    /// rows made `m`, row `y` lies at `y·(n − 1) / (m − 1)`.
    AlignedBilinear,
}

impl Filter {
    /// Which rows become row `y` when so many become one: the first one relative to row `factor · y`, and how many. It is the
    /// same for all rows, as their centres lie alike between the centres of what they are made of.
    pub const fn reduced(self, factor: u8) -> (i8, u8) {
        let centre = (factor as i8 - 1) / 2;
        match self {
            Self::Nearest => (0, 1),
            // The centre is that of a row.
            _ if factor % 2 == 1 => (centre, 1),
            // Aligned corners are refused there.
            Self::Bilinear | Self::AlignedBilinear => (centre, 2),
            Self::Bicubic | Self::SharpBicubic => (centre - 1, 4),
        }
    }
}

/// Shape of a convolution: stride 1, zero padding that keeps the size, square odd kernel.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conv2d {
    /// Channels read.
    pub in_channels: u16,
    /// Channels written.
    pub out_channels: u16,
    /// Kernel side: 1, 3, 5, 7 or 9. A linear layer is a convolution with 1.
    pub kernel: u8,
    /// Activation applied before the result is stored.
    pub activation: Option<Activation>,
}

/// A pooling with a stride. `n` rows become `(n + before + after − window) / stride + 1`, rounded down; row `y` is the largest
/// of rows `y·stride − before ..` of the window, as far as they are in the image. Columns alike.
///
/// With a window of one pixel it only leaves pixels out: a convolution with a stride is one without and then this.
///
/// Where the graph's [`multiple`](Graph::multiple) makes sure that the rows are a multiple of the stride, and there is a window
/// for each stride, the result is an exact fraction of the image and streams; otherwise all of the input is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Side of the window, 1 to 15.
    pub window: u8,
    /// Rows from one window to the next, 1 to 8.
    pub stride: u8,
    /// Rows that the first window begins above the image; below 0 it begins inside. Smaller than the window.
    pub before: i8,
    /// Rows by which windows may reach beyond the end of the image; below 0 they end before it. Smaller than the window.
    pub after: i8,
}

impl Pool {
    /// Rows that it makes of so many; `None` if they are fewer than a window needs.
    pub fn size(self, rows: usize) -> Option<usize> {
        let spare = rows as i64 + i64::from(self.before) + i64::from(self.after) - i64::from(self.window);
        usize::try_from(spare).ok().map(|spare| spare / usize::from(self.stride.max(1)) + 1)
    }

    /// Whether it makes exactly one row of every `stride`, of a multiple of that.
    pub fn is_exact(self) -> bool {
        let spare = i16::from(self.before) + i16::from(self.after) - i16::from(self.window);
        self.stride > 1 && (-i16::from(self.stride)..0).contains(&spare)
    }
}

/// What is made of all pixels of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statistic {
    /// Their mean.
    Mean,
    /// Their standard deviation, with the number of pixels as divisor.
    Deviation,
}

/// Operator of a node. All edges have the shape `[H, W, C]`; the batch is always 1.
///
/// The enum is closed on purpose: every crate matches on it without a `_` arm, so the compiler lists all
/// the places that a new operator needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// The image; always node 0.
    Input {
        /// 3 for RGB, 1 for Y.
        channels: u16,
    },
    /// 2-D convolution.
    Conv2d(Conv2d),
    /// `inputs[0] + res_scale · inputs[1]`.
    Add {
        /// Residual scaling of the second input; 1 in EDSR-light.
        res_scale: f32,
    },
    /// `scale[c] · x + shift[c]`: a mean shift or range change.
    Affine,
    /// A non-linearity that could not be fused into a convolution.
    Activation(Activation),
    /// Normalisation over the channels of each pixel.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
    },
    /// Multi-head self-attention inside square windows. Reads `3·C` channels (query, key, value), writes
    /// `C`. Partition, cyclic shift, mask and reverse are index arithmetic inside the operator.
    WindowAttention {
        /// Number of heads; divides C.
        num_heads: u16,
        /// Window side in pixels.
        window_size: u8,
        /// Cyclic shift in pixels, 0 or less than the window side.
        shift: u8,
    },
    /// Depth to space: `[H, W, C·r²] → [H·r, W·r, C]`, PyTorch channel order (`c·r² + dy·r + dx`).
    PixelShuffle {
        /// r.
        upscale: u8,
    },
    /// Interpolating upsampling.
    Resize {
        /// Integer factor.
        upscale: u8,
        /// Interpolation kernel.
        filter: Filter,
    },
    /// Change of dtype: quantize, dequantize or requantize, as the dtypes of its two edges say.
    Convert,
    /// `x` where positive, `slope[c] · x` elsewhere: a leaky ReLU whose slopes are weights of each channel.
    PRelu,
    /// `inputs[0] · inputs[1]`, value by value: an attention on every pixel and channel.
    Mul,
    /// The largest value of each window, or with a window of one pixel every so many rows and columns.
    MaxPool(Pool),
    /// One value for each channel of the whole image, in float: `[H, W, C] → [1, 1, C]`.
    GlobalPool {
        /// Which.
        statistic: Statistic,
    },
    /// Interpolation of the first input to the size of the second, of which nothing else is read: half-pixel centres, edge
    /// pixels repeated, no smoothing where it becomes smaller.
    Interpolate {
        /// Nearest (`⌊y · from / to⌋`), bilinear, or bilinear with aligned corners.
        filter: Filter,
    },
    /// Interpolation of an enlarged image to one of a whole fraction of its size, as networks have it that compute more than they
    /// are asked for: half-pixel centres, edge pixels repeated, no smoothing.
    Reduce {
        /// Rows that become one, and columns.
        factor: u8,
        /// Interpolation kernel; the nearest pixel is the first of the rows that become one.
        filter: Filter,
    },
}

/// One operator and the type of the edge it writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// BasicSR's parameter prefix where there is one (`body.0.conv1`), so that published weights import by
    /// name; unique within the graph.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Edges read, all lower than this node's own number.
    #[serde(deserialize_with = "at_most::<MAX_INPUTS, _, _>")]
    pub inputs: Vec<NodeId>,
    /// Element type of the edge written.
    pub dtype: DType,
}

/// What is put below and to the right of an image that is extended to a multiple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PadMode {
    /// Its pixels mirrored; those at the edge are not repeated.
    #[default]
    Reflect,
    /// The pixels at its edge again.
    Edge,
    /// Zeros.
    Zero,
}

/// Nodes in topological order; node 0 is the input image and the last node the output image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Pixels by which the network sees the image extended on every side, by repeating the pixels at its edges; the output is
    /// cropped to what belongs to the image. It is for networks of convolutions without padding, whose output is smaller
    /// than their input: with enough pixels around it the image is not reached by the zeros of padded ones.
    #[serde(default)]
    pub margin: u16,
    /// Width and height inside the network are multiples of this, 1 to 64, and of the windows: what is smaller is extended
    /// below and at the right. It is for networks that work on every so many pixels, at an exact fraction of the resolution.
    #[serde(default = "one")]
    pub multiple: u8,
    /// What it is extended by, for [`multiple`](Self::multiple) and for windows.
    #[serde(default)]
    pub pad_mode: PadMode,
}

const fn one() -> u8 {
    1
}

impl Default for Graph {
    fn default() -> Self {
        Self { nodes: Vec::new(), margin: 0, multiple: 1, pad_mode: PadMode::Reflect }
    }
}

impl Graph {
    /// A graph with just its input.
    pub fn new(channels: u16, dtype: DType) -> Self {
        let mut graph = Self::default();
        graph.push("input", Op::Input { channels }, &[], dtype);
        graph
    }

    /// A graph without nodes that is to see the image as this one does.
    pub fn emptied(&self) -> Self {
        Self { nodes: Vec::new(), ..*self }
    }

    /// Appends a node and returns its number.
    pub fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[NodeId], dtype: DType) -> NodeId {
        let id = NodeId::try_from(self.nodes.len()).expect("a graph has at most 65535 nodes");
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), dtype });
        id
    }

    /// Number of the output node.
    ///
    /// # Panics
    /// If the graph is empty; a validated graph never is.
    pub fn output(&self) -> NodeId {
        NodeId::try_from(self.nodes.len() - 1).expect("a graph has at most 65535 nodes")
    }

    /// The node with this number.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[usize::from(id)]
    }

    /// Nodes that read edge `id`, lowest first.
    pub fn readers(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().zip(0..).filter(move |(n, _)| n.inputs.contains(&id)).map(|(_, i)| i)
    }

    /// Width or height of the image inside the network: with its margin, a multiple of [`Graph::pad_multiple`].
    pub fn seen(&self, side: usize) -> usize {
        (side + 2 * usize::from(self.margin)).next_multiple_of(self.pad_multiple())
    }

    /// Width and height of the image inside the network, with its margin, are rounded up to a multiple of this, by what
    /// [`pad_mode`](Self::pad_mode) says at the right and at the bottom; the output is cropped. It is the least multiple of
    /// [`multiple`](Self::multiple) and the window size of the attention nodes.
    pub fn pad_multiple(&self) -> usize {
        let window = |node: &Node| {
            let Op::WindowAttention { window_size, .. } = node.op else { return None };
            Some(usize::from(window_size))
        };
        let window = self.nodes.iter().filter_map(window).max().unwrap_or(1).max(1);
        let multiple = usize::from(self.multiple).max(1);
        multiple / common_divisor(multiple, window) * window
    }
}

/// The greatest number that divides both.
pub(crate) const fn common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
