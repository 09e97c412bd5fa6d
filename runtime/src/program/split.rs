//! Joined nodes taken apart again, for executors that have no kernel for them.

use crate::model::Extent;
use crate::program::lowered::Program;
use crate::program::order::Order;
use crate::program::reach::Reach;
use crate::program::work::{Add, BilinearSkip, Convolution, Edge, Epilogue, Node, Work};
use alloc::{sync::Arc, vec, vec::Vec};

impl Program {
    /// The same program with those joined nodes taken apart that `takes` refuses. It is asked for nodes whose
    /// [`Work`] is a [`BilinearSkip`] or a [`Convolution`] with a shuffle; the parts are always taken.
    pub fn split(self, mut takes: impl FnMut(&Self, usize) -> bool) -> Self {
        let mut out: Vec<Node> = Vec::with_capacity(self.nodes.len());
        // The new number of every edge.
        let mut edges: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for (id, node) in self.nodes.iter().enumerate() {
            let mut node = node.clone();
            node.inputs.iter_mut().for_each(|i| *i = edges[*i]);
            match node.work.clone() {
                Work::BilinearSkip(skip) if !takes(&self, id) => split_skip(node, skip, &mut out),
                Work::Convolution(conv) if conv.epilogue.shuffle.is_some() && !takes(&self, id) => {
                    split_shuffle(node, &conv, &mut out);
                }
                _ => out.push(node),
            }
            edges.push(out.len() - 1);
        }
        Self { nodes: out, ..self }
    }
}

/// The interpolation at the low resolution, the sum there, and the pixel shuffle.
fn split_skip(node: Node, skip: BilinearSkip, out: &mut Vec<Node>) {
    let upscale = skip.resize.upscale;
    let low = Edge {
        dtype: node.edge.dtype,
        channels: node.edge.channels * upscale * upscale,
        extent: divided(node.edge.extent, upscale),
    };
    let (correction, image) = (node.inputs[0], node.inputs[1]);
    let interpolated = out.len();
    out.push(Node {
        origin: skip.resize_node,
        inputs: vec![image],
        edge: Edge { dtype: skip.interpolated, ..low },
        reach: Reach::Rows { upscale: 1, above: 1, below: 1 },
        padding: 1,
        work: Work::LowResize(skip.resize),
    });
    // In the graph's order.
    let [of_correction, of_image] = skip.factors;
    let (inputs, factors) = if skip.image_first {
        (vec![interpolated, correction], [of_image, of_correction])
    } else {
        (vec![correction, interpolated], [of_correction, of_image])
    };
    out.push(Node {
        origin: node.origin,
        inputs,
        edge: low,
        reach: Reach::Rows { upscale: 1, above: 0, below: 0 },
        padding: 0,
        work: Work::Add(Add { factors }),
    });
    out.push(shuffle(node, skip.shuffle_node, upscale, interpolated + 1));
}

/// The convolution and the pixel shuffle.
fn split_shuffle(node: Node, conv: &Convolution, out: &mut Vec<Node>) {
    let Some(shuffled) = conv.epilogue.shuffle else { unreachable!("asked for only where it is") };
    let half = conv.kernel as i64 / 2;
    let epilogue = Epilogue { shuffle: None, ..conv.epilogue };
    out.push(Node {
        origin: shuffled.convolution,
        edge: Edge {
            dtype: node.edge.dtype,
            channels: conv.out_channels,
            extent: divided(node.edge.extent, shuffled.upscale),
        },
        reach: Reach::Rows { upscale: 1, above: half, below: half },
        work: Work::Convolution(Arc::new(Convolution { epilogue, ..conv.clone() })),
        ..node.clone()
    });
    let input = out.len() - 1;
    let origin = node.origin;
    out.push(shuffle(node, origin, shuffled.upscale, input));
}

/// The size in front of an enlargement.
fn divided(extent: Extent, by: usize) -> Extent {
    extent
        .reduced(by as u8)
        .expect("what a shuffle makes is a fraction of the input's size, and so was what it read")
}

/// The pixel shuffle at the end of a joined node.
fn shuffle(node: Node, origin: u16, upscale: usize, input: usize) -> Node {
    Node {
        origin,
        inputs: vec![input],
        reach: Reach::Rows { upscale: upscale as i64, above: 0, below: 0 },
        padding: 0,
        work: Work::PixelShuffle { upscale, order: Order::Rows },
        ..node
    }
}
