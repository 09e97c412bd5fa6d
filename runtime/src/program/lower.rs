//! One node of a program for each node of the graph.

use crate::model::{Conv2d, DType, Model, NodeId, Op};
use crate::program::edges::{dtypes, scale_of};
use crate::program::numerics;
use crate::program::order::Order;
use crate::program::reach::{Reach, column_padding};
use crate::program::work::{Edge, GlobalPool, Interpolate, Node, Reduce, Work};
use alloc::{sync::Arc, vec::Vec};

/// All nodes, with the channels of every edge in the graph's order.
pub(crate) fn one_to_one(model: &Model) -> Vec<Node> {
    (0..model.graph().nodes.len() as NodeId).map(|id| node(model, id, Order::Torch)).collect()
}

/// Node `id`; between a convolution and the pixel shuffle that alone reads it, the channels stand in this order. Its inputs are
/// the graph's.
pub(crate) fn node(model: &Model, id: NodeId, order: Order) -> Node {
    let node = model.graph().node(id);
    Node { work: work(model, id, order), ..bare(model, id, &node.op) }
}

/// Node `id` without its numbers.
pub(crate) fn bare(model: &Model, id: NodeId, op: &Op) -> Node {
    let (node, shape) = (model.graph().node(id), model.shape(id));
    Node {
        origin: id,
        inputs: node.inputs.iter().map(|&i| usize::from(i)).collect(),
        edge: Edge { dtype: node.dtype, channels: usize::from(shape.channels), extent: shape.extent },
        reach: Reach::of(op),
        padding: column_padding(op),
        work: Work::Input,
    }
}

fn work(model: &Model, id: NodeId, order: Order) -> Work {
    let ([a, b], out) = dtypes(model, id);
    match model.graph().node(id).op {
        Op::Input { .. } => Work::Input,
        Op::Conv2d(conv) => {
            let order = channel_order(model, id, conv, order);
            Work::Convolution(Arc::new(numerics::convolution(model, id, conv, &order)))
        }
        Op::Add { res_scale } => Work::Add(numerics::add((a, b), res_scale, out)),
        Op::Mul => Work::Mul(numerics::mul((a, b), out)),
        Op::Affine => Work::Affine(Arc::new(numerics::affine(model, id))),
        Op::Activation(activation) => Work::Activation(activation),
        Op::LayerNorm { eps } => Work::LayerNorm(Arc::new(numerics::layer_norm(model, id, eps))),
        Op::WindowAttention { num_heads, window_size, shift } => {
            let windows = (num_heads, window_size, shift);
            match a {
                DType::I8 { .. } => Work::IntAttention(Arc::new(numerics::int_attention(model, id, windows))),
                DType::F32 | DType::I16 { .. } => {
                    Work::Attention(Arc::new(numerics::attention(model, id, windows)))
                }
            }
        }
        Op::PixelShuffle { upscale } => Work::PixelShuffle { upscale: usize::from(upscale), order },
        Op::Resize { upscale, filter } => Work::Resize(numerics::resize(a, out, upscale, filter)),
        Op::PRelu => Work::PRelu(Arc::new(numerics::prelu(model, id))),
        Op::MaxPool(pool) => Work::MaxPool(pool),
        Op::GlobalPool { statistic } => Work::GlobalPool(GlobalPool { statistic, factor: scale_of(a) }),
        Op::Interpolate { filter } => {
            Work::Interpolate(Interpolate { filter, factor: numerics::convert(a, out) })
        }
        Op::Reduce { factor, filter } => {
            Work::Reduce(Reduce { by: factor, filter, factor: numerics::convert(a, out) })
        }
        Op::Convert => Work::Convert { factor: numerics::convert(a, out) },
    }
}

/// The graph's channel that stands at each place of convolution `id`'s edge, if the pixel shuffle that reads it wants this
/// order.
fn channel_order(model: &Model, id: NodeId, conv: Conv2d, order: Order) -> Vec<usize> {
    let graph = model.graph();
    if let Some(reader) = graph.readers(id).next()
        && let Op::PixelShuffle { upscale } = graph.node(reader).op
    {
        return order.channels(usize::from(upscale), usize::from(model.shape(reader).channels));
    }
    (0..usize::from(conv.out_channels)).collect()
}
