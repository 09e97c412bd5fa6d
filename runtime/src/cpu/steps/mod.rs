//! Operators: one file each, in the order documentation, float, int8, tests.
//!
//! A [`Step`] is a node prepared for execution: packed weights, multipliers, tables. It reads rows of its
//! input rings and writes rows of its output ring. What belongs here: what an operator computes. What does
//! not: when it runs and where its rows lie (`stream`), and intrinsics (the folders of the instruction sets).

mod activation;
mod add;
mod affine;
mod conv2d;
mod convert;
mod global_pool;
mod image_add;
mod interpolate;
mod layer_norm;
mod max_pool;
mod mul;
mod narrow_out;
mod pair;
mod pixel_shuffle;
mod prelu;
mod reduce;
mod resize;
mod shuffled_conv;
mod shuffled_resize;
pub(crate) mod step;
mod window_attention;
mod window_attention_i8;

use crate::cpu::table::Cpu;
use crate::model::Filter;
use crate::program::{Program, Work};
use alloc::boxed::Box;
use image_add::ImageAddStep;
use step::{Dtypes, Step};

/// Whether these kernels have something for a joined node of a program; otherwise its parts are run.
pub(crate) fn takes(program: &Program, id: usize, cpu: Cpu) -> bool {
    let node = &program.nodes()[id];
    if let Work::Convolution(conv) = &node.work {
        return shuffled_conv::takes(conv, cpu);
    }
    let Work::BilinearSkip(skip) = &node.work else { return true };
    let dtypes = Dtypes { from: program.reads(id), to: node.edge.dtype, xor: cpu.xor };
    ImageAddStep::new(skip, node.edge.channels, dtypes, cpu).is_some()
}

/// A node has sizes that its step does not have room for.
pub(crate) struct Unsupported;

/// Prepares node `id` of a program; `None` for the input and for what the node before writes along.
///
/// # Errors
/// [`Unsupported`] for sizes that the steps do not have room for.
pub(crate) fn prepare(program: &Program, id: usize, cpu: Cpu) -> Result<Option<Box<dyn Step>>, Unsupported> {
    let node = &program.nodes()[id];
    let dtypes = Dtypes { from: program.reads(id), to: node.edge.dtype, xor: cpu.xor };
    let channels = node.edge.channels;
    let step: Option<Box<dyn Step>> = match &node.work {
        Work::Input | Work::Narrowed => return Ok(None),
        Work::Convolution(conv) if conv.epilogue.shuffle.is_some() => {
            boxed(shuffled_conv::ShuffledConvStep::new(conv, dtypes, cpu))
        }
        Work::Convolution(conv) => boxed(conv2d::Conv2dStep::new(conv, dtypes.from[0], cpu)),
        Work::Add(add) => boxed(add::AddStep::new(*add, dtypes)),
        Work::Mul(mul) => boxed(mul::MulStep::new(*mul, dtypes)),
        Work::Affine(affine) => boxed(affine::AffineStep::new(affine.clone(), dtypes)),
        Work::Activation(activation) => boxed(activation::ActivationStep::new(*activation, dtypes, cpu)),
        Work::Resize(resize) if resize.filter == Filter::AlignedBilinear => {
            boxed(interpolate::InterpolateStep::aligned(*resize, channels, dtypes))
        }
        Work::Resize(resize) => resize::ResizeStep::new(*resize, channels, dtypes).and_then(boxed),
        Work::LowResize(resize) => {
            shuffled_resize::ShuffledResizeStep::new(*resize, channels, dtypes, cpu).and_then(boxed)
        }
        Work::BilinearSkip(skip) => ImageAddStep::new(skip, channels, dtypes, cpu).and_then(boxed),
        Work::PixelShuffle { upscale, order } => boxed(pixel_shuffle::PixelShuffleStep::new(
            *upscale,
            channels,
            node.edge.dtype.size_bytes(),
            *order,
        )),
        Work::Convert { factor } => boxed(convert::ConvertStep::new(*factor, dtypes)),
        Work::LayerNorm(norm) => layer_norm::LayerNormStep::new(norm, channels, dtypes, cpu).and_then(boxed),
        Work::PRelu(prelu) => boxed(prelu::PReluStep::new(prelu.clone(), dtypes)),
        Work::MaxPool(pool) => {
            boxed(max_pool::MaxPoolStep::new(*pool, channels, dtypes.codec(node.edge.dtype)))
        }
        Work::GlobalPool(pool) => {
            boxed(global_pool::GlobalPoolStep::new(*pool, channels, dtypes.codec(dtypes.from[0])))
        }
        Work::Interpolate(numbers) => boxed(interpolate::InterpolateStep::new(*numbers, channels, dtypes)),
        Work::Reduce(numbers) => reduce::ReduceStep::new(*numbers, channels, dtypes).and_then(boxed),
        Work::Attention(attention) => {
            window_attention::WindowAttentionStep::new(attention, channels, dtypes).and_then(boxed)
        }
        Work::IntAttention(attention) => {
            window_attention_i8::IntAttentionStep::new(attention, channels, dtypes, cpu).and_then(boxed)
        }
    };
    step.map(Some).ok_or(Unsupported)
}

fn boxed<S: Step + 'static>(step: S) -> Option<Box<dyn Step>> {
    Some(Box::new(step))
}
