//! From the graph to the nodes that are run: mostly one to one, with rewrites that change no value.

use crate::cpu::steps::{Conv2dStep, ImageAddStep, MAX_SHUFFLED_UPSCALE};
use crate::cpu::table::Cpu;
use crate::model::{DType, Filter, Model, NodeId, Op};
use crate::program::order::Order;
use crate::program::reach::{Reach, column_padding};
use alloc::{vec, vec::Vec};

/// What a node computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The input image arrives.
    Input,
    /// The operator of the graph's node; between a convolution and the pixel shuffle that alone reads it, the
    /// channels stand in this order.
    Operator(Order),
    /// A convolution to 16 bits whose rows are worked on while they are at hand: added to a residual (node of
    /// the `Add`; the second input is the residual), and converted (node of the `Convert`), which is the edge
    /// of the node that follows.
    Convolution { conv: NodeId, sum: Option<NodeId>, convert: Option<NodeId> },
    /// The conversion that the convolution before it has done along.
    Along,
    /// A bilinear `Resize` whose output stays at the input's resolution, `upscale²` times as many channels.
    ShuffledResize,
    /// A bilinear `Resize` (of this node), the addition to it, and the pixel shuffle, at once.
    ImageAdd { resize: NodeId },
    /// A pixel shuffle of channels in the order [`Order::Rows`], by this factor.
    Shuffle(u8),
    /// A convolution whose output channels are written where a pixel shuffle by this factor would put them.
    ShuffledConvolution(u8),
}

/// A node to run; its number is also that of the edge it writes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lowered {
    /// The graph's node that it belongs to.
    pub origin: NodeId,
    pub action: Action,
    pub inputs: Vec<usize>,
    pub dtype: DType,
    pub channels: usize,
    /// Resolution as a multiple of the input's.
    pub upscale: usize,
    pub reach: Reach,
    /// Padding pixels that it reads at either side of its inputs' rows.
    pub padding: usize,
}

/// The nodes of the graph one by one, so that every edge can be observed.
pub(crate) fn one_to_one(model: &Model) -> Vec<Lowered> {
    (0..model.graph().nodes.len() as NodeId).map(|id| node(model, id, Order::Torch)).collect()
}

/// The nodes of the graph with rewrites for speed on this instruction set.
pub(crate) fn lower(model: &Model, cpu: Cpu) -> Vec<Lowered> {
    let graph = model.graph();
    let mut nodes: Vec<Lowered> = vec![];
    // The edge that stands for each of the graph's.
    let mut edges = vec![usize::MAX; graph.nodes.len()];
    let images: Vec<ImageAdd> =
        (0..graph.nodes.len() as NodeId).filter_map(|id| ImageAdd::at(model, id)).collect();
    let chains: Vec<Chain> = (0..graph.nodes.len() as NodeId).filter_map(|id| Chain::at(model, id)).collect();
    let images_shuffle = |id: NodeId| images.iter().any(|i| i.resize == id || i.shuffle == id);
    for id in 0..graph.nodes.len() as NodeId {
        if let Some(chain) = chains.iter().find(|c| c.contains(id)) {
            if chain.end() == id {
                chain.lower(model, &mut nodes, &mut edges);
            }
            continue;
        }
        if images_shuffle(id) {
            continue;
        }
        let shuffle = shuffled_by(model, id, cpu).filter(|(shuffle, _)| !images_shuffle(*shuffle));
        if let Some((shuffle, upscale)) = shuffle {
            let conv = node(model, id, Order::Rows);
            edges[usize::from(shuffle)] = nodes.len();
            nodes.push(Lowered {
                action: Action::ShuffledConvolution(upscale),
                inputs: conv.inputs.iter().map(|&i| edges[i]).collect(),
                reach: conv.reach.scaled(upscale),
                padding: conv.padding,
                ..node(model, shuffle, Order::Rows)
            });
            continue;
        }
        // Done with its convolution.
        if edges[usize::from(id)] != usize::MAX {
            continue;
        }
        if let Some(image) = images.iter().find(|i| i.add == id) {
            image.lower(model, cpu, &mut nodes, &mut edges);
            continue;
        }
        let mut lowered = node(model, id, shuffle_order(model, id));
        lowered.inputs.iter_mut().for_each(|i| *i = edges[*i]);
        edges[usize::from(id)] = nodes.len();
        nodes.push(lowered);
    }
    nodes
}

fn node(model: &Model, id: NodeId, order: Order) -> Lowered {
    let node = model.graph().node(id);
    let shape = model.shape(id);
    Lowered {
        origin: id,
        action: if id == 0 { Action::Input } else { Action::Operator(order) },
        inputs: node.inputs.iter().map(|&i| usize::from(i)).collect(),
        dtype: node.dtype,
        channels: usize::from(shape.channels),
        upscale: usize::from(shape.upscale),
        reach: Reach::of(&node.op),
        padding: column_padding(&node.op),
    }
}

/// A convolution to 16 bits, the residual sum that alone reads it, and the conversion to 8 bits of the result.
///
/// One pass over a row that is still in the first-level cache instead of three over three edges.
struct Chain {
    conv: NodeId,
    sum: Option<NodeId>,
    convert: Option<NodeId>,
}

impl Chain {
    fn at(model: &Model, conv: NodeId) -> Option<Self> {
        let graph = model.graph();
        let dtype = |id: NodeId| graph.node(id).dtype;
        let is_i16 = |id: NodeId| matches!(dtype(id), DType::I16 { .. });
        let quantized = |id: NodeId| dtype(graph.node(id).inputs[0]).is_quantized();
        if !matches!(graph.node(conv).op, Op::Conv2d(_)) || !is_i16(conv) || !quantized(conv) {
            return None;
        }
        let mut readers = graph.readers(conv);
        let sum = match (readers.next(), readers.next()) {
            (Some(reader), None) => Some(reader).filter(|&add| {
                let &[a, b] = graph.node(add).inputs.as_slice() else { return false };
                let residual = if a == conv { b } else { a };
                matches!(graph.node(add).op, Op::Add { .. })
                    && is_i16(add)
                    && is_i16(residual)
                    && residual < conv
            }),
            _ => None,
        };
        let end = sum.unwrap_or(conv);
        let narrows =
            |&id: &NodeId| matches!(graph.node(id).op, Op::Convert) && matches!(dtype(id), DType::I8 { .. });
        let convert = graph.readers(end).find(narrows);
        (sum.is_some() || convert.is_some()).then_some(Self { conv, sum, convert })
    }

    fn contains(&self, id: NodeId) -> bool {
        self.conv == id || self.sum == Some(id) || self.convert == Some(id)
    }

    /// The node in whose place all of it is run: the sum, whose residual is there by then.
    fn end(&self) -> NodeId {
        self.sum.unwrap_or(self.conv)
    }

    fn lower(&self, model: &Model, nodes: &mut Vec<Lowered>, edges: &mut [usize]) {
        let graph = model.graph();
        let Self { conv, sum, convert } = *self;
        let input = edges[usize::from(graph.node(conv).inputs[0])];
        let residual = sum.and_then(|sum| graph.node(sum).inputs.iter().find(|&&i| i != conv));
        let residual = residual.map(|&i| edges[usize::from(i)]);
        edges[usize::from(self.end())] = nodes.len();
        nodes.push(Lowered {
            action: Action::Convolution { conv, sum, convert },
            inputs: core::iter::once(input).chain(residual).collect(),
            dtype: graph.node(self.end()).dtype,
            ..node(model, conv, Order::Torch)
        });
        if let Some(convert) = convert {
            edges[usize::from(convert)] = nodes.len();
            let inputs = vec![nodes.len() - 1];
            nodes.push(Lowered { action: Action::Along, inputs, ..node(model, convert, Order::Torch) });
        }
    }
}

/// The end of a real-time network: the interpolated image plus the pixel-shuffled correction.
///
/// Adding first and shuffling 8-bit pixels afterwards gives the same values, moves half the bytes, and the
/// interpolation becomes a 3x3 convolution with whole-numbered weights, for the same kernels as all others.
struct ImageAdd {
    resize: NodeId,
    shuffle: NodeId,
    add: NodeId,
    upscale: u8,
}

impl ImageAdd {
    fn at(model: &Model, add: NodeId) -> Option<Self> {
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
        let fits =
            upscale == r && upscale <= MAX_SHUFFLED_UPSCALE && only_reader(resize) && only_reader(shuffle);
        let ordered = shuffle_order(model, shuffle) == Order::Rows;
        (fits && quantized && ordered).then_some(Self { resize, shuffle, add, upscale })
    }

    fn lower(&self, model: &Model, cpu: Cpu, nodes: &mut Vec<Lowered>, edges: &mut [usize]) {
        let graph = model.graph();
        let edge_read_by = |id: NodeId| edges[usize::from(graph.node(id).inputs[0])];
        let corrections = edge_read_by(self.shuffle);
        if ImageAddStep::new(model, self.add, self.resize, cpu).is_some() {
            let inputs = vec![corrections, edge_read_by(self.resize)];
            edges[usize::from(self.add)] = nodes.len();
            nodes.push(Lowered {
                inputs,
                action: Action::ImageAdd { resize: self.resize },
                reach: Reach::Rows { upscale: i64::from(self.upscale), above: 1, below: 1 },
                padding: 1,
                ..node(model, self.add, Order::Torch)
            });
            return;
        }
        let wide = nodes[corrections].channels;
        let upscale = nodes[corrections].upscale;
        let base = nodes.len();
        nodes.push(Lowered {
            inputs: vec![edge_read_by(self.resize)],
            action: Action::ShuffledResize,
            channels: wide,
            upscale,
            reach: Reach::Rows { upscale: 1, above: 1, below: 1 },
            padding: 1,
            ..node(model, self.resize, Order::Torch)
        });
        let in_order = |id: NodeId| if id == self.resize { base } else { corrections };
        nodes.push(Lowered {
            inputs: graph.node(self.add).inputs.iter().map(|&i| in_order(i)).collect(),
            channels: wide,
            upscale,
            ..node(model, self.add, Order::Torch)
        });
        edges[usize::from(self.add)] = nodes.len();
        nodes.push(Lowered {
            inputs: vec![nodes.len() - 1],
            action: Action::Shuffle(self.upscale),
            dtype: graph.node(self.add).dtype,
            ..node(model, self.shuffle, Order::Rows)
        });
    }
}

/// The pixel shuffle that alone reads convolution `id`, and its factor, if the convolution can do its work.
fn shuffled_by(model: &Model, id: NodeId, cpu: Cpu) -> Option<(NodeId, u8)> {
    let graph = model.graph();
    let Op::Conv2d(conv) = graph.node(id).op else { return None };
    if shuffle_order(model, id) != Order::Rows {
        return None;
    }
    let shuffle = graph.readers(id).next()?;
    let Op::PixelShuffle { upscale } = graph.node(shuffle).op else { return None };
    let fits = graph.node(shuffle).dtype == graph.node(id).dtype
        && Conv2dStep::shuffles(conv, usize::from(upscale), cpu);
    fits.then_some((shuffle, upscale))
}

/// The channel order of the edge between a convolution and a pixel shuffle: row by row when node `id` is one
/// of the two and nothing else reads that edge.
pub(crate) fn shuffle_order(model: &Model, id: NodeId) -> Order {
    let graph = model.graph();
    let edge = match graph.node(id).op {
        Op::Conv2d(_) => id,
        Op::PixelShuffle { .. } => graph.node(id).inputs[0],
        _ => return Order::Torch,
    };
    let mut readers = graph.readers(edge);
    let only = match (readers.next(), readers.next()) {
        (Some(reader), None) => matches!(graph.node(reader).op, Op::PixelShuffle { .. }),
        _ => false,
    };
    if only && matches!(graph.node(edge).op, Op::Conv2d(_)) { Order::Rows } else { Order::Torch }
}
