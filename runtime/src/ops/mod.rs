//! Operators: one file each, in the order documentation, float, int8, tests.
//!
//! A [`Step`] is a node prepared for execution: packed weights, multipliers, tables. It reads rows of its
//! input rings and writes rows of its output ring. What belongs here: what an operator computes. What does
//! not: when it runs and where its rows lie (`plan`, `exec`), and intrinsics (`kernel`).

pub(crate) mod activation;
mod add;
mod affine;
mod conv2d;
mod convert;
mod few_channels;
mod image_add;
mod int_attention;
mod layer_norm;
mod math;
mod pixel_shuffle;
mod resize;
pub(crate) mod rows;
mod shuffled_conv;
mod shuffled_resize;
mod window_attention;

pub(crate) use conv2d::Conv2dStep;
pub(crate) use image_add::ImageAddStep;
pub(crate) use pixel_shuffle::Order;
pub(crate) use shuffled_resize::MAX_SHUFFLED_UPSCALE;

use crate::error::PlanError;
use crate::kernel::view::{InView, OutView};
use crate::kernel::{Elementwise, Isa};
use crate::model::{DType, Model, NodeId, Op};
use crate::plan::lower::{Action, Lowered};
use alloc::boxed::Box;
use core::ops::Range;

/// What a step reads and writes in one call.
pub(crate) struct Io<'a> {
    /// Rings of the edges read; the second one only for `Add`.
    pub inputs: [InView<'a>; 2],
    /// The columns to write.
    pub out: OutView<'a>,
    /// The same columns of the other edge that a convolution may write.
    pub second: Option<OutView<'a>>,
    /// The rows to write.
    pub rows: Range<usize>,
    pub isa: Isa,
}

/// A node prepared for execution.
pub(crate) enum Step {
    Conv2d(Box<conv2d::Conv2dStep>),
    Add(add::AddStep),
    Affine(affine::AffineStep),
    Activation(activation::ActivationStep),
    PixelShuffle(pixel_shuffle::PixelShuffleStep),
    Resize(resize::ResizeStep),
    ShuffledResize(shuffled_resize::ShuffledResizeStep),
    ShuffledConv(shuffled_conv::ShuffledConvStep),
    ImageAdd(ImageAddStep),
    Convert(convert::ConvertStep),
    LayerNorm(layer_norm::LayerNormStep),
    WindowAttention(window_attention::WindowAttentionStep),
    IntAttention(int_attention::IntAttentionStep),
}

impl Step {
    /// Prepares a node; `None` for the input and for what the node before does along.
    pub fn new(model: &Model, node: &Lowered, isa: Isa) -> Result<Option<Self>, PlanError> {
        let id = node.origin;
        Ok(Some(match node.action {
            Action::Input | Action::Along => return Ok(None),
            Action::Convolution { conv, sum, convert } => {
                Self::Conv2d(Box::new(conv2d::Conv2dStep::chain(model, conv, sum, convert, isa)))
            }
            Action::Operator(order) => Self::operator(model, id, order, isa)?,
            Action::ShuffledConvolution(upscale) => {
                Self::ShuffledConv(shuffled_conv::ShuffledConvStep::new(model, id, usize::from(upscale), isa))
            }
            Action::ShuffledResize => {
                Self::ShuffledResize(shuffled_resize::ShuffledResizeStep::new(model, id, isa)?)
            }
            Action::ImageAdd { resize } => Self::ImageAdd(
                ImageAddStep::new(model, id, resize, isa).ok_or(PlanError::Unsupported { node: id })?,
            ),
            Action::Shuffle(upscale) => Self::PixelShuffle(pixel_shuffle::PixelShuffleStep::new(
                usize::from(upscale),
                node.channels,
                node.dtype.size_bytes(),
                Order::Rows,
            )),
        }))
    }

    fn operator(model: &Model, id: NodeId, order: Order, isa: Isa) -> Result<Self, PlanError> {
        let node = model.graph().node(id);
        Ok(match node.op {
            Op::Conv2d(_) => Self::Conv2d(Box::new(conv2d::Conv2dStep::new(model, id, order, isa))),
            Op::Add { res_scale } => Self::Add(add::AddStep::new(model, id, res_scale, isa)),
            Op::Affine => Self::Affine(affine::AffineStep::new(model, id, isa)),
            Op::Activation(a) => Self::Activation(activation::ActivationStep::new(model, id, a, isa)),
            Op::PixelShuffle { upscale } => Self::PixelShuffle(pixel_shuffle::PixelShuffleStep::new(
                usize::from(upscale),
                usize::from(model.shape(id).channels),
                node.dtype.size_bytes(),
                order,
            )),
            Op::Resize { upscale, filter } => {
                Self::Resize(resize::ResizeStep::new(model, id, upscale, filter, isa)?)
            }
            Op::Convert => Self::Convert(convert::ConvertStep::new(model, id, isa)),
            Op::LayerNorm { eps } => Self::LayerNorm(layer_norm::LayerNormStep::new(model, id, eps, isa)?),
            Op::WindowAttention { num_heads, window_size, shift } => {
                let (heads, size, shift) =
                    (usize::from(num_heads), usize::from(window_size), usize::from(shift));
                let windows = window_attention::Windows { size, shift };
                match model.graph().node(node.inputs[0]).dtype {
                    DType::I8 { .. } => Self::IntAttention(int_attention::IntAttentionStep::new(
                        model, id, heads, windows, isa,
                    )?),
                    DType::F32 | DType::I16 { .. } => Self::WindowAttention(
                        window_attention::WindowAttentionStep::new(model, id, heads, windows, isa)?,
                    ),
                }
            }
            Op::Input { .. } => unreachable!("the input has an action of its own"),
        })
    }

    /// Computes the rows and columns of `io`.
    pub fn run(&self, io: &mut Io<'_>) {
        match self {
            Self::Conv2d(step) => step.run(io),
            Self::Add(step) => step.run(io),
            Self::Affine(step) => pointwise(step, io),
            Self::Activation(step) => pointwise(step, io),
            Self::PixelShuffle(step) => step.run(io),
            Self::Resize(step) => step.run(io),
            Self::ShuffledResize(step) => step.run(io),
            Self::ShuffledConv(step) => step.run(io),
            Self::ImageAdd(step) => step.run(io),
            Self::Convert(step) => pointwise(step, io),
            Self::LayerNorm(step) => pointwise(step, io),
            Self::WindowAttention(step) => step.run(io),
            Self::IntAttention(step) => step.run(io),
        }
    }

    /// Bytes of packed weights and tables.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Conv2d(step) => step.weight_bytes(),
            Self::ShuffledResize(step) => step.weight_bytes(),
            Self::ShuffledConv(step) => step.weight_bytes(),
            Self::ImageAdd(step) => step.weight_bytes(),
            Self::IntAttention(step) => step.weight_bytes(),
            Self::Add(_)
            | Self::Affine(_)
            | Self::Activation(_)
            | Self::PixelShuffle(_)
            | Self::Resize(_)
            | Self::Convert(_)
            | Self::LayerNorm(_)
            | Self::WindowAttention(_) => 0,
        }
    }
}

/// An operator that computes a row from the same row of its only input.
pub(crate) trait Pointwise {
    /// `#[inline(always)]`, to be compiled for every instruction set.
    fn row(&self, input: &[u8], out: &mut [u8]);
}

/// Runs a pointwise operator on the rows and columns of `io`.
fn pointwise<P: Pointwise>(operator: &P, io: &mut Io<'_>) {
    struct Row<'a, P>(&'a P, &'a [u8], &'a mut [u8]);
    impl<P: Pointwise> Elementwise for Row<'_, P> {
        #[inline(always)]
        fn run(self) {
            self.0.row(self.1, self.2);
        }
    }
    let cols = io.out.cols();
    for y in io.rows.clone() {
        let input = io.inputs[0].pixels(y, cols.clone());
        io.isa.run(Row(operator, input, io.out.row_mut(y)));
    }
}

/// Which input rows an operator needs for which output rows, on an image without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Row `y` needs rows `y / upscale − above ..= y / upscale + below`.
    Rows { upscale: i64, above: i64, below: i64 },
    /// Row `y` needs all rows of its window.
    Windows { window: i64, shift: i64 },
}

impl Reach {
    /// How far an operator looks.
    pub fn of(op: &Op) -> Self {
        let rows = |upscale: u8, reach: usize| Self::Rows {
            upscale: i64::from(upscale),
            above: reach as i64,
            below: reach as i64,
        };
        match *op {
            Op::Conv2d(conv) => rows(1, usize::from(conv.kernel / 2)),
            Op::PixelShuffle { upscale } => rows(upscale, 0),
            Op::Resize { upscale, filter } => rows(upscale, resize::reach(filter)),
            Op::WindowAttention { window_size, shift, .. } => {
                Self::Windows { window: i64::from(window_size), shift: i64::from(shift) }
            }
            Op::Input { .. }
            | Op::Add { .. }
            | Op::Affine
            | Op::Activation(_)
            | Op::LayerNorm { .. }
            | Op::Convert => rows(1, 0),
        }
    }

    /// As this one, for an output of `upscale` times the resolution.
    pub fn scaled(self, upscale: u8) -> Self {
        match self {
            Self::Rows { upscale: r, above, below } => {
                Self::Rows { upscale: r * i64::from(upscale), above, below }
            }
            Self::Windows { .. } => unreachable!("windows are not shuffled"),
        }
    }

    /// Output rows that can be computed from `input` input rows.
    pub fn ready(self, input: i64) -> i64 {
        match self {
            Self::Rows { upscale, below, .. } => (input - below) * upscale,
            Self::Windows { window, shift } => window_attention::window_start(input, window, shift),
        }
    }

    /// Input rows that must be there for `output` output rows.
    pub fn needed(self, output: i64) -> i64 {
        match self {
            // Rounded up: an output row needs the whole input row that it comes from.
            Self::Rows { upscale, below, .. } => (output + upscale - 1).div_euclid(upscale) + below,
            Self::Windows { window, shift } => {
                window_attention::window_start(output + window - 1, window, shift)
            }
        }
    }

    /// First input row that output row `output` needs.
    pub fn first(self, output: i64) -> i64 {
        match self {
            Self::Rows { upscale, above, .. } => output.div_euclid(upscale) - above,
            Self::Windows { window, shift } => window_attention::window_start(output, window, shift),
        }
    }
}

/// Padding pixels that an operator reads at either side of a row.
pub(crate) fn column_padding(op: &Op) -> usize {
    match op {
        Op::Conv2d(conv) => usize::from(conv.kernel / 2),
        Op::Input { .. }
        | Op::Add { .. }
        | Op::Affine
        | Op::Activation(_)
        | Op::LayerNorm { .. }
        | Op::WindowAttention { .. }
        | Op::PixelShuffle { .. }
        | Op::Resize { .. }
        | Op::Convert => 0,
    }
}

/// Real value of one step on an edge; 1 for floats.
pub(crate) fn scale_of(dtype: DType) -> f32 {
    match dtype {
        DType::F32 => 1.0,
        DType::I8 { scale, .. } | DType::I16 { scale } => scale,
    }
}

/// Dtypes of the edges that node `id` reads (the first one twice if there is only one) and writes.
fn dtypes(model: &Model, id: NodeId) -> ([DType; 2], DType) {
    let node = model.graph().node(id);
    let of = |k: usize| model.graph().node(node.inputs[k.min(node.inputs.len() - 1)]).dtype;
    ([of(0), of(1)], node.dtype)
}
