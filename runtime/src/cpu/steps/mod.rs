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

use crate::cpu::codec::Codec;
use crate::cpu::kernels::Elementwise;
use crate::cpu::table::Cpu;
use crate::error::PlanError;
use crate::memory::ring::{InView, OutView};
use crate::model::DType;
use crate::program::{Program, Work, scale_of};
use alloc::boxed::Box;
use core::ops::Range;
use image_add::ImageAddStep;

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

/// Dtypes of the edges of a node, and how 8 bits are stored.
#[derive(Clone, Copy)]
pub(crate) struct Dtypes {
    /// Of the edges read; the first one twice if there is only one.
    pub from: [DType; 2],
    pub to: DType,
    xor: u8,
}

impl Dtypes {
    /// Codecs of the first input and of the output.
    fn codecs(self) -> (Codec, Codec) {
        (self.codec(self.from[0]), self.codec(self.to))
    }

    fn codec(self, dtype: DType) -> Codec {
        Codec::new(dtype, self.xor)
    }

    /// Real values of a step of the first input and of the output.
    fn scales(self) -> (f32, f32) {
        (scale_of(self.from[0]), scale_of(self.to))
    }
}

/// Whether these kernels have something for a joined node of a program; otherwise its parts are run.
pub(crate) fn takes(program: &Program, id: usize, cpu: Cpu) -> bool {
    let node = &program.nodes()[id];
    match &node.work {
        Work::Convolution(conv) => shuffled_conv::takes(conv, cpu),
        Work::BilinearSkip(skip) => {
            let dtypes = Dtypes { from: program.reads(id), to: node.edge.dtype, xor: cpu.xor };
            ImageAddStep::new(skip, node.edge.channels, dtypes, cpu).is_some()
        }
        Work::Input
        | Work::Narrowed
        | Work::Add(_)
        | Work::Affine(_)
        | Work::Activation(_)
        | Work::Resize(_)
        | Work::LowResize(_)
        | Work::PixelShuffle { .. }
        | Work::Convert { .. }
        | Work::LayerNorm(_)
        | Work::Attention(_)
        | Work::IntAttention(_) => true,
    }
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
    /// Prepares node `id` of a program; `None` for the input and for what the node before writes along.
    ///
    /// # Errors
    /// [`PlanError::Unsupported`] for sizes that the steps do not have room for.
    pub fn new(program: &Program, id: usize, cpu: Cpu) -> Result<Option<Self>, PlanError> {
        let node = &program.nodes()[id];
        let dtypes = Dtypes { from: program.reads(id), to: node.edge.dtype, xor: cpu.xor };
        let channels = node.edge.channels;
        let unsupported = PlanError::Unsupported { node: node.origin };
        let step = match &node.work {
            Work::Input | Work::Narrowed => return Ok(None),
            Work::Convolution(conv) if conv.epilogue.shuffle.is_some() => {
                Some(Self::ShuffledConv(shuffled_conv::ShuffledConvStep::new(conv, dtypes, cpu)))
            }
            Work::Convolution(conv) => {
                Some(Self::Conv2d(Box::new(conv2d::Conv2dStep::new(conv, dtypes.from[0], cpu))))
            }
            Work::Add(add) => Some(Self::Add(add::AddStep::new(*add, dtypes))),
            Work::Affine(affine) => Some(Self::Affine(affine::AffineStep::new(affine.clone(), dtypes))),
            Work::Activation(activation) => {
                Some(Self::Activation(activation::ActivationStep::new(*activation, dtypes, cpu)))
            }
            Work::Resize(resize) => resize::ResizeStep::new(*resize, channels, dtypes).map(Self::Resize),
            Work::LowResize(resize) => {
                shuffled_resize::ShuffledResizeStep::new(*resize, channels, dtypes, cpu)
                    .map(Self::ShuffledResize)
            }
            Work::BilinearSkip(skip) => ImageAddStep::new(skip, channels, dtypes, cpu).map(Self::ImageAdd),
            Work::PixelShuffle { upscale, order } => {
                Some(Self::PixelShuffle(pixel_shuffle::PixelShuffleStep::new(
                    *upscale,
                    channels,
                    node.edge.dtype.size_bytes(),
                    *order,
                )))
            }
            Work::Convert { factor } => Some(Self::Convert(convert::ConvertStep::new(*factor, dtypes))),
            Work::LayerNorm(norm) => {
                layer_norm::LayerNormStep::new(norm, channels, dtypes, cpu).map(Self::LayerNorm)
            }
            Work::Attention(attention) => {
                window_attention::WindowAttentionStep::new(attention, channels, dtypes)
                    .map(Self::WindowAttention)
            }
            Work::IntAttention(attention) => {
                window_attention_i8::IntAttentionStep::new(attention, channels, dtypes, cpu)
                    .map(Self::IntAttention)
            }
        };
        step.map(Some).ok_or(unsupported)
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
