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
mod pixel_shuffle;
mod resize;
pub(crate) mod rows;

pub(crate) use pixel_shuffle::Order;

use crate::error::PlanError;
use crate::kernel::Isa;
use crate::kernel::view::{InView, OutView};
use crate::model::{DType, Model, NodeId, Op};
use core::ops::Range;

/// What a step reads and writes in one call.
pub(crate) struct Io<'a> {
    /// Rings of the edges read; the second one only for `Add`.
    pub inputs: [InView<'a>; 2],
    /// The columns to write.
    pub out: OutView<'a>,
    /// The rows to write.
    pub rows: Range<usize>,
    pub isa: Isa,
}

/// What preparing a step may depend on, besides its node.
#[derive(Clone, Copy)]
pub(crate) struct StepOptions {
    pub isa: Isa,
    /// Channel order on the edge between a convolution and the pixel shuffle that alone reads it.
    pub order: Order,
}

/// A node prepared for execution.
pub(crate) enum Step {
    Conv2d(conv2d::Conv2dStep),
    Add(add::AddStep),
    Affine(affine::AffineStep),
    Activation(activation::ActivationStep),
    PixelShuffle(pixel_shuffle::PixelShuffleStep),
    Resize(resize::ResizeStep),
    Convert(convert::ConvertStep),
}

impl Step {
    /// Prepares node `id`, which is not the input.
    pub fn new(model: &Model, id: NodeId, options: StepOptions) -> Result<Self, PlanError> {
        let node = model.graph().node(id);
        Ok(match node.op {
            Op::Conv2d(_) => Self::Conv2d(conv2d::Conv2dStep::new(model, id, options)),
            Op::Add { res_scale } => Self::Add(add::AddStep::new(model, id, res_scale, options.isa)),
            Op::Affine => Self::Affine(affine::AffineStep::new(model, id, options.isa)),
            Op::Activation(a) => Self::Activation(activation::ActivationStep::new(model, id, a, options.isa)),
            Op::PixelShuffle { upscale } => Self::PixelShuffle(pixel_shuffle::PixelShuffleStep::new(
                usize::from(upscale),
                usize::from(model.shape(id).channels),
                node.dtype.size_bytes(),
                options.order,
            )),
            Op::Resize { upscale, filter } => {
                Self::Resize(resize::ResizeStep::new(model, id, upscale, filter, options.isa)?)
            }
            Op::Convert => Self::Convert(convert::ConvertStep::new(model, id, options.isa)),
            Op::Input { .. } | Op::LayerNorm { .. } | Op::WindowAttention { .. } => {
                return Err(PlanError::Unsupported { node: id });
            }
        })
    }

    /// Computes the rows and columns of `io`.
    pub fn run(&self, io: &mut Io<'_>) {
        match self {
            Self::Conv2d(step) => step.run(io),
            Self::Add(step) => step.run(io),
            Self::Affine(step) => step.run(io),
            Self::Activation(step) => step.run(io),
            Self::PixelShuffle(step) => step.run(io),
            Self::Resize(step) => step.run(io),
            Self::Convert(step) => step.run(io),
        }
    }

    /// Bytes of packed weights and tables.
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::Conv2d(step) => step.weight_bytes(),
            Self::Add(_)
            | Self::Affine(_)
            | Self::Activation(_)
            | Self::PixelShuffle(_)
            | Self::Resize(_)
            | Self::Convert(_) => 0,
        }
    }
}

/// Image rows below and above an output row that an operator reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Output rows for each input row.
    pub upscale: usize,
    /// Input rows above the one that lies under the output row.
    pub above: usize,
    /// Input rows below it.
    pub below: usize,
}

impl Reach {
    /// How far an operator looks.
    pub fn of(op: &Op) -> Self {
        let local = Self { upscale: 1, above: 0, below: 0 };
        match op {
            Op::Conv2d(conv) => {
                let half = usize::from(conv.kernel / 2);
                Self { upscale: 1, above: half, below: half }
            }
            Op::PixelShuffle { upscale } => Self { upscale: usize::from(*upscale), ..local },
            Op::Resize { upscale, filter } => {
                let taps = resize::reach(*filter);
                Self { upscale: usize::from(*upscale), above: taps, below: taps }
            }
            // Attention is planned by windows; the engine refuses it above.
            Op::Input { .. }
            | Op::Add { .. }
            | Op::Affine
            | Op::Activation(_)
            | Op::LayerNorm { .. }
            | Op::WindowAttention { .. }
            | Op::Convert => local,
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
