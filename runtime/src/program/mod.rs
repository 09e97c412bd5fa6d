//! A model as it is run, free of instruction sets: few kinds of nodes, with their numbers folded.
//!
//! [`Program::new`] makes it of a [`Model`] in two passes. [`lower`] turns each node of the graph into one
//! [`Work`]: weights in the order that they are used in, biases with the zero point folded in, multipliers, how large sums
//! can get, how far a node looks. [`fuse`] joins nodes where that changes no value: the residual sum and the conversion that
//! follow a convolution, the interpolated image at the end of a network, the pixel shuffle behind a convolution.
//!
//! An executor takes from it what to compute, and chooses layouts and kernels of its own. One that has no kernel for a joined
//! node takes it apart again ([`Program::split`]): the parts compute the same values, in more passes over memory. The CPU's
//! executor is in `cpu`; nothing here depends on it.
//!
//! All values are those of `docs/model-format.md`.

mod edges;
mod fuse;
mod interpolation;
mod lower;
mod numerics;
mod order;
mod reach;
mod split;
#[cfg(test)]
mod tests;
mod work;

pub use edges::scale_of;
pub use interpolation::{MAX_TAPS, MAX_UPSCALE, Phase, Phases, phases};
pub(crate) use numerics::largest_sum;
pub use numerics::{EXPONENT_BITS, I16_MAX, MAX_BIAS, MAX_QUERY, limits, short};
pub use order::Order;
pub use reach::{Reach, window_start};
pub use work::{
    Add, Affine, Attention, BilinearSkip, Convolution, Edge, Epilogue, IntAttention, LayerNorm, Narrow, Node,
    Numbers, PRelu, Resize, Shuffled, Work,
};

use crate::model::{DType, Model};
use alloc::vec::Vec;

/// A model as it is run.
///
/// Nodes are in topological order: a node reads edges of lower number. Node 0 is the input image, the last one the output.
#[derive(Debug, Clone)]
pub struct Program {
    nodes: Vec<Node>,
    pad_multiple: usize,
}

impl Program {
    /// The program of a model, with everything joined that can be.
    pub fn new(model: &Model) -> Self {
        Self { nodes: fuse::fused(model), pad_multiple: model.graph().pad_multiple() }
    }

    /// The program with one node for each of the graph's, so that every edge can be observed in the graph's channel order.
    pub fn one_to_one(model: &Model) -> Self {
        Self { nodes: lower::one_to_one(model), pad_multiple: model.graph().pad_multiple() }
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Dtypes of the edges that a node reads; the first one twice if there is only one, and the node's own for the input.
    pub fn reads(&self, id: usize) -> [DType; 2] {
        let node = &self.nodes[id];
        let of = |k: usize| node.inputs.get(k).map(|&i| self.nodes[i].edge.dtype);
        let first = of(0).unwrap_or(node.edge.dtype);
        [first, of(1).unwrap_or(first)]
    }

    /// Width and height inside the network are multiples of this, by reflection of the image at the right and the bottom;
    /// the output is cropped.
    pub fn pad_multiple(&self) -> usize {
        self.pad_multiple
    }

    /// The same program with those joined nodes taken apart that `takes` refuses. It is asked for nodes whose
    /// [`Work`] is a [`BilinearSkip`] or a [`Convolution`] with a shuffle; its parts are always taken.
    pub fn split(self, takes: impl FnMut(&Self, usize) -> bool) -> Self {
        split::split(self, takes)
    }
}
