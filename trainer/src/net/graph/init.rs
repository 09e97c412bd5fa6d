//! Parameters that a training begins with.

use super::TABLE;
use crate::seed::{Purpose, Stream};
use crate::weights::{Tensors, mean_shift};
use mcir_runtime::arch::{edsr, ffanet};
use mcir_runtime::model::{EdgeShape, Graph, NodeId, Op};

/// Whether the output of `id` is the residual of a sum, possibly after a pixel shuffle.
fn ends_residual(graph: &Graph, id: NodeId) -> bool {
    graph.readers(id).any(|reader| match graph.node(reader).op {
        Op::Add { .. } => graph.node(reader).inputs[1] == id,
        Op::PixelShuffle { .. } => ends_residual(graph, reader),
        Op::Input { .. }
        | Op::Conv2d(_)
        | Op::Affine
        | Op::Activation(_)
        | Op::LayerNorm { .. }
        | Op::WindowAttention { .. }
        | Op::Resize { .. }
        | Op::PRelu
        | Op::Mul
        | Op::MaxPool(_)
        | Op::GlobalPool { .. }
        | Op::Interpolate { .. }
        | Op::Reduce { .. }
        | Op::Convert => false,
    })
}

pub(super) fn random_tensors(graph: &Graph, shapes: &[EdgeShape], seed: u64) -> Tensors {
    let transformer = graph.nodes.iter().any(|n| matches!(n.op, Op::WindowAttention { .. }));
    let mut tensors = Tensors::default();
    for (node, id) in graph.nodes.iter().zip(0..) {
        let mut stream = Stream::new(seed, Purpose::Weights, id.into());
        match node.op {
            Op::Conv2d(c) if ffanet::is_constant(node) => {
                let o = usize::from(c.out_channels);
                tensors.insert(format!("{}.weight", node.name), vec![o, 1, 1, 1], vec![1.0; o]);
                tensors.insert(format!("{}.bias", node.name), vec![o], vec![0.0; o]);
            }
            Op::Conv2d(c) => {
                let [o, i, k] = [c.out_channels, c.in_channels, c.kernel.into()].map(usize::from);
                let gain = if ends_residual(graph, id) { 0.1 } else { 1.0 };
                let bound = gain / ((i * k * k) as f32).sqrt();
                // The linear layers of a transformer, which are 1x1 convolutions here.
                let linear = transformer && k == 1;
                let mut draw = |n: usize| -> Vec<f32> {
                    let mut value = || if linear { 0.02 * stream.normal() } else { stream.symmetric(bound) };
                    (0..n).map(|_| value()).collect()
                };
                let weight = draw(o * i * k * k);
                let bias = if linear { vec![0.0; o] } else { draw(o) };
                tensors.insert(format!("{}.weight", node.name), vec![o, i, k, k], weight);
                tensors.insert(format!("{}.bias", node.name), vec![o], bias);
            }
            Op::LayerNorm { .. } => {
                let n = usize::from(shapes[usize::from(id)].channels);
                tensors.insert(format!("{}.weight", node.name), vec![n], vec![1.0; n]);
                tensors.insert(format!("{}.bias", node.name), vec![n], vec![0.0; n]);
            }
            // As PyTorch begins.
            Op::PRelu => {
                let n = usize::from(shapes[usize::from(id)].channels);
                tensors.insert(format!("{}.weight", node.name), vec![n], vec![0.25; n]);
            }
            Op::WindowAttention { num_heads, window_size, .. } => {
                let shape = vec![(2 * usize::from(window_size) - 1).pow(2), num_heads.into()];
                let table = (0..shape[0] * shape[1]).map(|_| 0.02 * stream.normal()).collect();
                tensors.insert(format!("{}.{TABLE}", node.name), shape, table);
            }
            Op::Affine => {
                let range = if transformer { 1.0 } else { edsr::IMG_RANGE };
                let (scale, shift) = mean_shift(&node.name, range);
                let n = usize::from(shapes[usize::from(id)].channels);
                let rgb = |v: [f32; 3]| (0..n).map(|c| v[c % 3]).collect();
                tensors.insert(format!("{}.weight", node.name), vec![n], rgb(scale));
                tensors.insert(format!("{}.bias", node.name), vec![n], rgb(shift));
            }
            Op::Input { .. }
            | Op::Add { .. }
            | Op::Mul
            | Op::Activation(_)
            | Op::PixelShuffle { .. }
            | Op::Resize { .. }
            | Op::MaxPool(_)
            | Op::GlobalPool { .. }
            | Op::Interpolate { .. }
            | Op::Reduce { .. }
            | Op::Convert => {}
        }
    }
    tensors
}
