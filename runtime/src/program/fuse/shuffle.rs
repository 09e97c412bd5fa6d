//! A convolution and the pixel shuffle that alone reads it.
//!
//! With the channels in the order `(dy, dx, c)`, an input pixel's channels for one `dy` are `r` output pixels. So an
//! output row is a row of a convolution with a part of the channels, dense and without any moving.

use crate::model::{Model, NodeId, Op};
use crate::program::lower;
use crate::program::order::Order;
use crate::program::work::{Convolution, Epilogue, Node, Shuffled, Work};
use alloc::{sync::Arc, vec};

/// The pixel shuffle that alone reads convolution `id`.
pub(super) fn behind(model: &Model, id: NodeId) -> Option<NodeId> {
    let graph = model.graph();
    if !matches!(graph.node(id).op, Op::Conv2d(_)) || order(model, id) != Order::Rows {
        return None;
    }
    graph.readers(id).next().filter(|&shuffle| graph.node(shuffle).dtype == graph.node(id).dtype)
}

/// Convolution `conv`, which reads this edge, with its pixel shuffle.
pub(super) fn lower(model: &Model, conv: NodeId, shuffle: NodeId, input: usize) -> Node {
    let Op::PixelShuffle { upscale } = model.graph().node(shuffle).op else {
        unreachable!("a pixel shuffle reads the convolution")
    };
    let node = lower::node(model, conv, Order::Rows);
    let Work::Convolution(convolution) = &node.work else { unreachable!("it begins with a convolution") };
    let shuffled = Shuffled { upscale: usize::from(upscale), convolution: conv };
    let convolution = Convolution {
        epilogue: Epilogue { shuffle: Some(shuffled), ..convolution.epilogue },
        ..Convolution::clone(convolution)
    };
    Node {
        inputs: vec![input],
        reach: node.reach.scaled(upscale),
        padding: node.padding,
        work: Work::Convolution(Arc::new(convolution)),
        ..lower::bare(model, shuffle, &model.graph().node(shuffle).op)
    }
}

/// The channel order of the edge between a convolution and a pixel shuffle: row by row when node `id` is one
/// of the two and nothing else reads that edge.
pub(crate) fn order(model: &Model, id: NodeId) -> Order {
    let graph = model.graph();
    let is_conv = |id: NodeId| matches!(graph.node(id).op, Op::Conv2d(_));
    let is_shuffle = |id: NodeId| matches!(graph.node(id).op, Op::PixelShuffle { .. });
    let edge = if is_shuffle(id) { graph.node(id).inputs[0] } else { id };
    let mut readers = graph.readers(edge);
    let only = readers.next().is_some_and(is_shuffle) && readers.next().is_none();
    if only && is_conv(edge) { Order::Rows } else { Order::Torch }
}
