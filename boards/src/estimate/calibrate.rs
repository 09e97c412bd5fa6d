//! Networks to measure a machine's speed with: the usual shapes, with weights of no meaning.
//!
//! Speed does not depend on the weights, but it does on the ratio of multiplications to what steps write; the
//! networks here span it.

use crate::error::{Error, Result};
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::model::{
    DType, Element, Graph, Model, NodeId, Op, Role, TensorData, infer, param_specs_of,
};

/// Names and shapes, small to large.
pub const NETWORKS: [(&str, Config); 5] = [
    ("edge 16x4 x4", Config::edge(4, 16, 4)),
    ("edge 16x4 x2", Config::edge(2, 16, 4)),
    ("edge 32x8 x2", Config::edge(2, 32, 8)),
    ("edge 48x4 x3", Config::edge(3, 48, 4)),
    ("light x2", Config::light(2)),
];

/// A network of this shape in f32 or int8.
///
/// # Errors
/// [`Error::Load`] never, unless a shape above is impossible.
pub fn network(name: &str, config: &Config, float: bool) -> Result<Model> {
    let graph = edsr::graph(config);
    let graph = if float { graph } else { int8(&graph) };
    filled(graph).map_err(|source| Error::Load { name: name.into(), source })
}

/// The graph that the quantizer makes of a float one, with arbitrary scales: convolutions in 8 bits, residual sums
/// in 16.
fn int8(graph: &Graph) -> Graph {
    let (eight, sum) = (DType::I8 { scale: 0.02, zero_point: 0 }, DType::I16 { scale: 0.001 });
    let is_conv = |id: NodeId| matches!(graph.node(id).op, Op::Conv2d(_));
    let only_convs = |id: NodeId| graph.readers(id).all(is_conv);
    let shuffled_to_convs =
        |id: NodeId| matches!(graph.node(id).op, Op::PixelShuffle { .. }) && only_convs(id);
    let mut out = Graph::new(3, DType::PIXEL);
    let (mut map, mut quantized) = (vec![0 as NodeId], vec![Some(0 as NodeId)]);
    let last = graph.output();
    for (id, node) in (0..).zip(&graph.nodes).skip(1) {
        let dtype = match node.op {
            _ if id == last => DType::PIXEL,
            Op::Conv2d(_) if only_convs(id) || graph.readers(id).all(shuffled_to_convs) => eight,
            Op::PixelShuffle { .. } => out.node(map[usize::from(node.inputs[0])]).dtype,
            Op::Resize { upscale, .. } => {
                DType::I16 { scale: 1.0 / (255.0 * 4.0 * f32::from(upscale) * f32::from(upscale)) }
            }
            _ => sum,
        };
        let mut inputs = Vec::new();
        for &input in &node.inputs {
            let input = usize::from(input);
            let wide = matches!(out.node(map[input]).dtype, DType::I16 { .. });
            inputs.push(match node.op {
                Op::Conv2d(_) if wide => *quantized[input].get_or_insert_with(|| {
                    out.push(format!("quantize.{input}"), Op::Convert, &[map[input]], eight)
                }),
                _ => map[input],
            });
        }
        map.push(out.push(node.name.clone(), node.op, &inputs, dtype));
        quantized.push(None);
    }
    out
}

/// A model with small pseudo-random weights.
fn filled(graph: Graph) -> Result<Model, mcir_runtime::error::LoadError> {
    let shapes = infer(&graph)?;
    let mut state = 1_u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as i8
    };
    let mut params = Vec::new();
    for node in &graph.nodes {
        let input = node.inputs.first().map(|&i| (graph.node(i).dtype, shapes[usize::from(i)]));
        let tensor = |spec: &mcir_runtime::model::ParamSpec| match (spec.element, spec.role) {
            (Element::I8, _) => TensorData::I8((0..spec.len()).map(|_| next().max(-127)).collect()),
            (Element::I32, _) => TensorData::I32(vec![0; spec.len()]),
            (Element::F32, Role::WeightScale) => TensorData::F32(vec![0.001; spec.len()]),
            (Element::F32, _) => {
                TensorData::F32((0..spec.len()).map(|_| f32::from(next()) / 2048.0).collect())
            }
        };
        params.push(param_specs_of(node, input).iter().map(tensor).collect());
    }
    Model::new(graph, &params, vec![])
}
