//! Networks with random weights, float and int8: speed does not depend on them.

use mcir_runtime::model::{
    DType, Element, Graph, Model, NodeId, Op, Role, TensorData, infer, param_specs_of,
};

/// The graph that the quantizer makes of a float one, with arbitrary scales: convolutions in 8 bits,
/// residual sums in 16.
pub fn int8(graph: &Graph) -> Graph {
    let (q, sum) = (DType::I8 { scale: 0.02, zero_point: 0 }, DType::I16 { scale: 0.001 });
    let mut out = Graph::new(3, DType::PIXEL);
    let mut map: Vec<NodeId> = vec![0];
    let mut quantized: Vec<Option<NodeId>> = vec![Some(0)];
    let last = graph.output();
    for (id, node) in (0..).zip(&graph.nodes).skip(1) {
        let only_convs = graph.readers(id).all(|r| matches!(graph.node(r).op, Op::Conv2d(_)));
        let dtype = match node.op {
            _ if id == last => DType::PIXEL,
            Op::Conv2d(_) if only_convs => q,
            Op::PixelShuffle { .. } => out.node(map[usize::from(node.inputs[0])]).dtype,
            Op::Resize { upscale, .. } => {
                DType::I16 { scale: 1.0 / (255.0 * 4.0 * f32::from(upscale) * f32::from(upscale)) }
            }
            Op::Conv2d(_) if graph.readers(id).all(|r| shuffles_into_conv(graph, r)) => q,
            _ => sum,
        };
        let mut inputs = vec![];
        for &input in &node.inputs {
            let input = usize::from(input);
            inputs.push(match (node.op, out.node(map[input]).dtype) {
                (Op::Conv2d(_), DType::I16 { .. }) => *quantized[input].get_or_insert_with(|| {
                    out.push(format!("quantize.{input}"), Op::Convert, &[map[input]], q)
                }),
                _ => map[input],
            });
        }
        map.push(out.push(node.name.clone(), node.op, &inputs, dtype));
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

/// A model of this graph with random weights.
pub fn random_model(graph: Graph) -> Model {
    let shapes = infer(&graph).expect("the graph is sound");
    let mut seed = 1_u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as i8
    };
    let params: Vec<Vec<TensorData>> = graph
        .nodes
        .iter()
        .map(|node| {
            let input = node.inputs.first().map(|&i| (graph.node(i).dtype, shapes[usize::from(i)]));
            param_specs_of(node, input)
                .iter()
                .map(|spec| match (spec.element, spec.role) {
                    (Element::I8, _) => TensorData::I8((0..spec.len()).map(|_| next().max(-127)).collect()),
                    (Element::I32, _) => TensorData::I32(vec![0; spec.len()]),
                    (Element::F32, Role::WeightScale) => TensorData::F32(vec![0.001; spec.len()]),
                    (Element::F32, _) => {
                        TensorData::F32((0..spec.len()).map(|_| f32::from(next()) / 2048.0).collect())
                    }
                })
                .collect()
        })
        .collect();
    Model::new(graph, &params, vec![]).expect("parameters fit")
}
