//! The end of a real-time network: the interpolated image plus the pixel-shuffled correction.
//!
//! Adding first and shuffling 8-bit pixels afterwards gives the same values and moves half the bytes; the interpolation, at
//! the low resolution, is a 3x3 convolution with whole-numbered weights. Where the interpolated image's 16 bits hold it
//! without rounding, all of it can be one pass.

use super::Fused;
use super::shuffle;
use crate::model::{DType, Filter, Model, NodeId, Op};
use crate::program::edges::dtypes;
use crate::program::order::Order;
use crate::program::reach::Reach;
use crate::program::work::{BilinearSkip, Node, Work};
use crate::program::{lower, numerics};
use alloc::vec;

/// Largest factor whose weights fit 8 bits: 11² = 121.
const MAX_UPSCALE: u8 = 6;

pub(super) struct Skip {
    pub resize: NodeId,
    pub shuffle: NodeId,
    pub add: NodeId,
    upscale: u8,
}

impl Skip {
    /// The one that ends with node `add`.
    pub fn at(model: &Model, add: NodeId) -> Option<Self> {
        let graph = model.graph();
        let Op::Add { .. } = graph.node(add).op else { return None };
        let &[a, b] = graph.node(add).inputs.as_slice() else { return None };
        let is_resize = |id: NodeId| matches!(graph.node(id).op, Op::Resize { .. });
        let (resize, shuffle) = if is_resize(a) { (a, b) } else { (b, a) };
        let (resized, shuffled) = (graph.node(resize), graph.node(shuffle));
        let (Op::Resize { upscale, filter: Filter::Bilinear }, Op::PixelShuffle { upscale: r }) =
            (resized.op, shuffled.op)
        else {
            return None;
        };
        let only_reader = |id: NodeId| graph.readers(id).count() == 1;
        let quantized = matches!(graph.node(resized.inputs[0]).dtype, DType::I8 { .. });
        let fits = upscale == r && upscale <= MAX_UPSCALE && only_reader(resize) && only_reader(shuffle);
        let ordered = shuffle::order(model, shuffle) == Order::Rows;
        (fits && quantized && ordered).then_some(Self { resize, shuffle, add, upscale })
    }

    pub fn lower(&self, model: &Model, all: &mut Fused) {
        let graph = model.graph();
        let edge_read_by = |id: NodeId| all.edge(graph.node(id).inputs[0]);
        let (add, Op::Add { res_scale }) = (graph.node(self.add), graph.node(self.add).op) else {
            unreachable!("it ends with a sum")
        };
        let ([from, _], interpolated) = dtypes(model, self.resize);
        let ([a, b], out) = dtypes(model, self.add);
        let factors = numerics::add((a, b), res_scale, out).factors;
        let image_first = add.inputs[0] == self.resize;
        let skip = BilinearSkip {
            resize: numerics::resize(from, interpolated, self.upscale, Filter::Bilinear),
            interpolated,
            factors: if image_first { [factors[1], factors[0]] } else { factors },
            image_first,
            resize_node: self.resize,
            shuffle_node: self.shuffle,
        };
        let node = Node {
            inputs: vec![edge_read_by(self.shuffle), edge_read_by(self.resize)],
            reach: Reach::Rows { upscale: i64::from(self.upscale), above: 1, below: 1 },
            padding: 1,
            work: Work::BilinearSkip(skip),
            ..lower::bare(model, self.add, &add.op)
        };
        all.push(self.add, node);
    }
}
