//! A model as it is run, free of instruction sets: few kinds of nodes, with their numbers folded.
//!
//! [`Program::new`] makes it of a [`Model`](crate::model::Model) in two passes. `lower` turns each node of the graph into one
//! [`Work`]: weights in the order that they are used in, biases with the zero point folded in, multipliers, how large sums
//! can get, how far a node looks. `fuse` joins nodes where that changes no value: the residual sum and the conversion that
//! follow a convolution, the interpolated image at the end of a network, the pixel shuffle behind a convolution.
//!
//! An executor takes from it what to compute, and chooses layouts and kernels of its own. One that has no kernel for a joined
//! node takes it apart again ([`Program::split`]): the parts compute the same values, in more passes over memory. The CPU's
//! executor is in `cpu`; nothing here depends on it.
//!
//! All values are those of `docs/model-format.md`.

mod activation;
mod edges;
mod fuse;
mod interpolation;
mod lower;
mod lowered;
mod numerics;
mod order;
mod reach;
mod split;
#[cfg(test)]
mod tests;
mod work;

pub use activation::activation_table;
pub(crate) use activation::apply;
pub use edges::scale_of;
pub use interpolation::{MAX_TAPS, MAX_UPSCALE, Phase, Phases, phases, reduction};
pub use lowered::Program;
pub(crate) use numerics::largest_sum;
pub use numerics::{EXPONENT_BITS, I16_MAX, MAX_BIAS, MAX_QUERY, limits, short};
pub use order::Order;
pub use reach::{Reach, window_start};
pub use work::{
    Add, Affine, Attention, BilinearSkip, Convolution, Edge, Epilogue, GlobalPool, IntAttention, Interpolate,
    LayerNorm, Mul, Narrow, Node, Numbers, PRelu, Reduce, Resize, Shuffled, Work,
};
