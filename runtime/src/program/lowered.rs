//! The nodes of a program and what can be asked of all of them.

use crate::model::{DType, Model, PadMode};
use crate::program::work::Node;
use crate::program::{fuse, lower};
use alloc::vec::Vec;

/// A model as it is run.
///
/// Nodes are in topological order: a node reads edges of lower number. Node 0 is the input image, the last one the output.
#[derive(Debug, Clone)]
pub struct Program {
    pub(crate) nodes: Vec<Node>,
    pub(crate) pad_multiple: usize,
    pub(crate) margin: usize,
    pub(crate) pad_mode: PadMode,
}

impl Program {
    /// The program of a model, with everything joined that can be.
    pub fn new(model: &Model) -> Self {
        Self::of(model, fuse::fused(model))
    }

    /// The program with one node for each of the graph's, so that every edge can be observed in the graph's channel order.
    pub fn one_to_one(model: &Model) -> Self {
        Self::of(model, lower::one_to_one(model))
    }

    fn of(model: &Model, nodes: Vec<Node>) -> Self {
        let graph = model.graph();
        Self {
            nodes,
            pad_multiple: graph.pad_multiple(),
            margin: graph.margin.into(),
            pad_mode: graph.pad_mode,
        }
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

    /// Pixels by which the image is extended on every side, by repeating those at its edges, before anything else; the output
    /// is cropped.
    pub fn margin(&self) -> usize {
        self.margin
    }

    /// Width and height inside the network are multiples of this: the extended image is extended once more at the right and
    /// the bottom; the output is cropped.
    pub fn pad_multiple(&self) -> usize {
        self.pad_multiple
    }

    /// By what.
    pub fn pad_mode(&self) -> PadMode {
        self.pad_mode
    }
}
