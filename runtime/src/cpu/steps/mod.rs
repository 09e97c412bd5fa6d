//! Operators: one file each, in the order documentation, float, int8, tests.
//!
//! A [`Step`] is a node prepared for execution: packed weights, multipliers, tables. It reads rows of its
//! input rings and writes rows of its output ring. What belongs here: what an operator computes. What does
//! not: when it runs and where its rows lie (`stream`), and intrinsics (the folders of the instruction sets).

pub(crate) mod activation;
mod add;
mod affine;
mod conv2d;
mod convert;
mod image_add;
mod layer_norm;
mod narrow_out;
mod pixel_shuffle;
mod resize;
mod shuffled_conv;
mod shuffled_resize;
mod window_attention;
mod window_attention_i8;

pub(crate) use conv2d::Conv2dStep;
pub(crate) use image_add::ImageAddStep;
pub(crate) use shuffled_resize::MAX_SHUFFLED_UPSCALE;

use crate::cpu::kernels::Elementwise;
use crate::cpu::table::Cpu;
use crate::error::PlanError;
use crate::memory::ring::{InView, OutView};
use crate::model::{DType, Model, NodeId, Op};
use crate::program::lower::{Action, Lowered};
use crate::program::order::Order;
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
    pub cpu: Cpu,
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
    IntAttention(window_attention_i8::IntAttentionStep),
}

impl Step {
    /// Prepares a node; `None` for the input and for what the node before does along.
    pub fn new(model: &Model, node: &Lowered, cpu: Cpu) -> Result<Option<Self>, PlanError> {
        let id = node.origin;
        Ok(Some(match node.action {
            Action::Input | Action::Along => return Ok(None),
            Action::Convolution { conv, sum, convert } => {
                Self::Conv2d(Box::new(conv2d::Conv2dStep::chain(model, conv, sum, convert, cpu)))
            }
            Action::Operator(order) => Self::operator(model, id, order, cpu)?,
            Action::ShuffledConvolution(upscale) => {
                Self::ShuffledConv(shuffled_conv::ShuffledConvStep::new(model, id, usize::from(upscale), cpu))
            }
            Action::ShuffledResize => {
                Self::ShuffledResize(shuffled_resize::ShuffledResizeStep::new(model, id, cpu)?)
            }
            Action::ImageAdd { resize } => Self::ImageAdd(
                ImageAddStep::new(model, id, resize, cpu).ok_or(PlanError::Unsupported { node: id })?,
            ),
            Action::Shuffle(upscale) => Self::PixelShuffle(pixel_shuffle::PixelShuffleStep::new(
                usize::from(upscale),
                node.channels,
                node.dtype.size_bytes(),
                Order::Rows,
            )),
        }))
    }

    fn operator(model: &Model, id: NodeId, order: Order, cpu: Cpu) -> Result<Self, PlanError> {
        let node = model.graph().node(id);
        Ok(match node.op {
            Op::Conv2d(_) => Self::Conv2d(Box::new(conv2d::Conv2dStep::new(model, id, order, cpu))),
            Op::Add { res_scale } => Self::Add(add::AddStep::new(model, id, res_scale, cpu)),
            Op::Affine => Self::Affine(affine::AffineStep::new(model, id, cpu)),
            Op::Activation(a) => Self::Activation(activation::ActivationStep::new(model, id, a, cpu)),
            Op::PixelShuffle { upscale } => Self::PixelShuffle(pixel_shuffle::PixelShuffleStep::new(
                usize::from(upscale),
                usize::from(model.shape(id).channels),
                node.dtype.size_bytes(),
                order,
            )),
            Op::Resize { upscale, filter } => {
                Self::Resize(resize::ResizeStep::new(model, id, upscale, filter, cpu)?)
            }
            Op::Convert => Self::Convert(convert::ConvertStep::new(model, id, cpu)),
            Op::LayerNorm { eps } => Self::LayerNorm(layer_norm::LayerNormStep::new(model, id, eps, cpu)?),
            Op::WindowAttention { num_heads, window_size, shift } => {
                let (heads, size, shift) =
                    (usize::from(num_heads), usize::from(window_size), usize::from(shift));
                let windows = window_attention::Windows { size, shift };
                match model.graph().node(node.inputs[0]).dtype {
                    DType::I8 { .. } => Self::IntAttention(window_attention_i8::IntAttentionStep::new(
                        model, id, heads, windows, cpu,
                    )?),
                    DType::F32 | DType::I16 { .. } => Self::WindowAttention(
                        window_attention::WindowAttentionStep::new(model, id, heads, windows, cpu)?,
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
        io.cpu.run(Row(operator, input, io.out.row_mut(y)));
    }
}
