//! Networks to measure speed with: the graph that the quantizer would make, and weights of no meaning.
//!
//! Speed depends on a network's shape and on how large its sums can get, not on what it was trained for. So these
//! stand in for trained models in benches, in a machine's profile and in comparisons with other engines.

use crate::model::error::LoadError;
use crate::model::{
    Activation, Conv2d, DType, Element, Graph, Model, NodeId, Op, ParamSpec, Role, TensorData, infer,
    param_specs_of,
};
use alloc::{format, vec, vec::Vec};

/// The graph that the quantizer makes of a float one, with arbitrary scales: convolutions in 8 bits,
/// residual sums in 16, attention and tables between 8 bits.
pub fn int8(graph: &Graph) -> Graph {
    // What is never negative uses all of the range.
    int8_from(graph, 0.02, -128)
}

/// As [`int8`], with activations in the middle half of their range, as the quantizer makes them for Winograd's
/// convolution in 8 bits.
pub fn int8_winograd(graph: &Graph) -> Graph {
    // Steps so large that the values of these networks stay there.
    int8_from(graph, 0.08, -64)
}

/// The graph, with 8-bit edges of this step, and this zero point where values are never negative.
fn int8_from(graph: &Graph, scale: f32, zero_point: i8) -> Graph {
    // No round part of the others: calibration gives none, and values halfway between two bytes would be common.
    let (q, sum) = (DType::I8 { scale, zero_point: 0 }, DType::I16 { scale: 0.000_973 });
    let channels = if let Op::Input { channels } = graph.node(0).op { channels } else { 3 };
    let mut out = graph.emptied();
    out.push("input", Op::Input { channels }, &[], DType::PIXEL);
    let positive = DType::I8 { scale, zero_point };
    let mut map: Vec<NodeId> = vec![0];
    let mut quantized: Vec<Option<NodeId>> = vec![Some(0)];
    let last = graph.output();
    for (id, node) in (0..).zip(&graph.nodes).skip(1) {
        let reads_8_bits = |op: &Op| matches!(op, Op::Conv2d(_) | Op::WindowAttention { .. });
        let only_narrow = graph.readers(id).all(|r| reads_8_bits(&graph.node(r).op));
        let is_shuffle = |id: NodeId| matches!(graph.node(id).op, Op::PixelShuffle { .. });
        let feeds_output = graph.readers(id).all(|r| r == last && is_shuffle(r));
        let relu = matches!(node.op, Op::Conv2d(Conv2d { activation: Some(Activation::Relu), .. }));
        let is_conv = matches!(node.op, Op::Conv2d(_));
        let dtype = if id == last || feeds_output {
            DType::PIXEL
        } else if matches!(node.op, Op::WindowAttention { .. }) {
            q
        } else if relu && only_narrow {
            positive
        } else if (is_conv || matches!(node.op, Op::LayerNorm { .. })) && only_narrow {
            q
        } else if is_shuffle(id) {
            out.node(map[usize::from(node.inputs[0])]).dtype
        } else if let Op::Resize { upscale, .. } = node.op {
            DType::I16 { scale: 1.0 / (255.0 * 4.0 * f32::from(upscale) * f32::from(upscale)) }
        } else if is_conv && graph.readers(id).all(|r| shuffles_into_conv(graph, r)) {
            q
        } else {
            sum
        };
        let mut inputs = vec![];
        for &input in &node.inputs {
            let input = usize::from(input);
            let is_i16 = matches!(out.node(map[input]).dtype, DType::I16 { .. });
            inputs.push(if is_i16 && reads_8_bits(&node.op) {
                *quantized[input].get_or_insert_with(|| {
                    out.push(format!("quantize.{input}"), Op::Convert, &[map[input]], q)
                })
            } else {
                map[input]
            });
        }
        map.push(match node.op {
            Op::Conv2d(conv @ Conv2d { activation: Some(Activation::Gelu), .. }) => {
                let plain = Op::Conv2d(Conv2d { activation: None, ..conv });
                let x = out.push(node.name.clone(), plain, &inputs, q);
                out.push(format!("{}.gelu", node.name), Op::Activation(Activation::Gelu), &[x], q)
            }
            op => out.push(node.name.clone(), op, &inputs, dtype),
        });
        quantized.push(None);
    }
    out
}

fn shuffles_into_conv(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.node(id).op, Op::PixelShuffle { .. })
        && graph
            .readers(id)
            .next()
            .is_some_and(|_| graph.readers(id).all(|r| matches!(graph.node(r).op, Op::Conv2d(_))))
}

/// A model of this graph with pseudo-random weights, the same every time.
///
/// # Errors
/// As [`Model::new`]: when the graph is not a sound one.
pub fn weighted(graph: Graph) -> Result<Model, LoadError> {
    weighted_up_to(graph, 127)
}

/// As [`weighted`], with 8-bit weights of which three add up to 8 bits.
///
/// # Errors
/// As [`weighted`].
pub fn weighted_winograd(graph: Graph) -> Result<Model, LoadError> {
    weighted_up_to(graph, 42)
}

/// A model with 8-bit weights up to `most` in magnitude.
fn weighted_up_to(graph: Graph, most: i32) -> Result<Model, LoadError> {
    let shapes = infer(&graph)?;
    let mut seed = 1_u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as i8
    };
    let mut tensor = |spec: &ParamSpec| match (spec.element, spec.role) {
        // Bell-shaped, as those of trained networks are: how large a sum can get decides which kernels take it.
        (Element::I8, _) => {
            let mut weight = || (0..4).map(|_| i32::from(next())).sum::<i32>() / 4;
            TensorData::I8((0..spec.len()).map(|_| (weight() * most / 127).max(-most) as i8).collect())
        }
        (Element::I32, _) => TensorData::I32(vec![0; spec.len()]),
        // Smaller weights stand for the same values.
        (Element::F32, Role::WeightScale) => TensorData::F32(vec![0.001 * (127 / most) as f32; spec.len()]),
        (Element::F32, _) => TensorData::F32((0..spec.len()).map(|_| f32::from(next()) / 2048.0).collect()),
    };
    let of = |id: NodeId| (graph.node(id).dtype, shapes[usize::from(id)]);
    let params: Vec<Vec<TensorData>> = graph
        .nodes
        .iter()
        .map(|node| {
            let specs = param_specs_of(node, node.inputs.first().map(|&id| of(id)));
            specs.iter().map(&mut tensor).collect()
        })
        .collect();
    Model::new(graph, &params, vec![])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{edsr, swinir};

    #[test]
    fn every_architecture_has_a_stand_in() {
        let graphs = [
            edsr::graph(&edsr::Config::light(4)),
            edsr::graph(&edsr::Config::edge(2, 16, 4)),
            swinir::graph(&swinir::Config::edge(4)),
        ];
        for graph in graphs {
            let (float, small) = (weighted(graph.clone()).unwrap(), weighted(int8(&graph)).unwrap());
            assert!(!float.is_quantized() && small.is_quantized());
            assert!(weighted_winograd(int8_winograd(&graph)).unwrap().is_quantized());
            assert_eq!(float.macs_per_pixel(), small.macs_per_pixel());
            assert_eq!(float.upscale(), small.upscale());
        }
    }
}
