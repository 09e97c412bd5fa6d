use crate::arch::{edsr, stand_in, swinir};
use crate::model::{Activation, Conv2d, DType, Filter, Graph, Model, NodeId, Op, Role, TensorData};
use crate::testing::{Rng, attention_graph, grey_graph, random_model, reference_edge};
use alloc::{vec, vec::Vec};

const SIZE: (usize, usize) = (16, 8);

/// The output image in 0..1.
fn run(model: &Model, pixels: &[u8]) -> Vec<f64> {
    let mut edges: Vec<Vec<f64>> = vec![];
    for id in 0..model.graph().nodes.len() as NodeId {
        let edge = reference_edge(model, id, &edges, pixels, SIZE.0, SIZE.1);
        edges.push(edge);
    }
    edges.pop().unwrap()
}

/// Largest and mean difference between what a network and its luma make of a grey image.
fn differences(model: &Model) -> (f64, f64) {
    let luma = model.luma().expect("its ends are linear");
    assert_eq!((luma.in_channels(), luma.out_channels(), luma.upscale()), (1, 1, model.upscale()));
    assert_eq!(luma.metadata(), model.metadata());
    assert_eq!(luma.graph().margin, model.graph().margin);
    assert!(luma.macs_per_pixel() < model.macs_per_pixel());
    let grey = Rng(3).bytes(SIZE.0 * SIZE.1);
    let rgb: Vec<u8> = grey.iter().flat_map(|&v| [v; 3]).collect();
    let expected = run(model, &rgb)
        .chunks_exact(3)
        .map(|p| 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2])
        .collect::<Vec<_>>();
    let found = run(&luma, &grey);
    assert_eq!(found.len(), expected.len());
    assert!(expected.iter().any(|v| (v - expected[0]).abs() > 0.02), "the network does something");
    let off: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).collect();
    (off.iter().fold(0.0, |most: f64, d| most.max(*d)), off.iter().sum::<f64>() / off.len() as f64)
}

fn small_swinir() -> swinir::Config {
    swinir::Config {
        embed_dim: 8,
        num_heads: vec![2],
        depths: vec![2],
        window_size: 8,
        ..swinir::Config::light(2)
    }
}

#[test]
fn float_networks_do_the_same_to_grey() {
    let paper = edsr::Config { num_feat: 6, num_block: 1, mean_shift: true, ..edsr::Config::light(4) };
    for (name, graph) in [
        ("bilinear", edsr::graph(&edsr::Config::edge(3, 8, 2))),
        (
            "bicubic",
            edsr::graph(&edsr::Config {
                image_residual: Some(Filter::Bicubic),
                ..edsr::Config::edge(2, 8, 1)
            }),
        ),
        ("mean shift", edsr::graph(&paper)),
        ("swinir", swinir::graph(&small_swinir())),
        ("attention on pixels", attention_graph(6, false)),
        ("margin", Graph { margin: 3, ..edsr::graph(&edsr::Config::edge(2, 8, 1)) }),
        ("one channel", grey_graph(4, 2, false)),
    ] {
        let mut model = random_model(graph, 11);
        // The colours are scaled alike at the end, as published networks do it.
        if model.graph().node(model.graph().output()).op == Op::Affine {
            let mut params: Vec<_> = (0..=model.graph().output()).map(|id| model.params(id)).collect();
            params.last_mut().unwrap()[0] = TensorData::F32(vec![0.7; 3]);
            assert!(model.luma().is_none(), "{name}: colours that are scaled differently have no luma");
            model = Model::new(model.graph().clone(), &params, vec![]).unwrap();
        }
        if model.in_channels() == 1 {
            assert!(model.luma().is_none(), "{name} has no colours");
            continue;
        }
        let (most, _) = differences(&model);
        assert!(most < 3e-6, "{name}: {most}");
    }
}

/// What rounding the weights at the ends anew, and the output once instead of three times, may change.
#[test]
fn quantized_networks_do_nearly_the_same_to_grey() {
    for (name, graph) in [
        ("x2", edsr::graph(&edsr::Config::edge(2, 8, 2))),
        ("x3", edsr::graph(&edsr::Config::edge(3, 16, 1))),
        ("x4", edsr::graph(&edsr::Config::edge(4, 12, 3))),
    ] {
        let (most, mean) = differences(&stand_in::weighted(stand_in::int8(&graph)).unwrap());
        // In levels of 8 bits; weights of no meaning lose more in 8 bits than trained ones.
        let (most, mean) = (most * 255.0, mean * 255.0);
        assert!(most < 12.0 && mean < 1.5, "{name}: {most} and {mean} levels");
    }
}

#[test]
fn sums_of_input_weights_that_fit_are_exact() {
    let conv =
        |from, to| Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 1, activation: None });
    let mut graph = Graph::new(3, DType::PIXEL);
    let first = graph.push("first", conv(3, 2), &[0], DType::I8 { scale: 0.02, zero_point: -3 });
    graph.push("last", conv(2, 3), &[first], DType::PIXEL);
    let weights = |values: &[i8], biases: &[i32], scales: &[f32]| {
        vec![
            TensorData::I8(values.to_vec()),
            TensorData::I32(biases.to_vec()),
            TensorData::F32(scales.to_vec()),
        ]
    };
    let params = vec![
        vec![],
        // The first sum is 127, the second 128.
        weights(&[100, -30, 57, 100, -30, 58], &[5, -7], &[0.25, 0.5]),
        weights(&[1, 2, 3, 4, 5, 6], &[0, 0, 0], &[0.5, 0.5, 0.5]),
    ];
    let luma = Model::new(graph, &params, vec![]).unwrap().luma().unwrap();
    assert_eq!(luma.i8s(first, Role::Weight), [127, 127]);
    assert_eq!(luma.f32s(first, Role::WeightScale), [0.25, 64.0 / 127.0]);
    assert_eq!(luma.i32s(first, Role::Bias), [5, -7]);
    // 0.299 · 1 + 0.587 · 3 + 0.114 · 5 = 2.63, and one more: the larger is 127.
    assert_eq!(luma.i8s(2, Role::Weight), [92, 127]);
}

#[test]
fn ends_that_are_not_linear_are_refused() {
    let conv = |from, to, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation })
    };
    let ends = |last: &dyn Fn(&mut Graph, NodeId)| {
        let mut graph = Graph::new(3, DType::F32);
        let x = graph.push("first", conv(3, 4, None), &[0], DType::F32);
        last(&mut graph, x);
        random_model(graph, 2)
    };
    let good = ends(&|g, x| {
        g.push("last", conv(4, 3, None), &[x], DType::F32);
    });
    assert!(good.luma().is_some());
    let with_relu = ends(&|g, x| {
        g.push("last", conv(4, 3, Some(Activation::Relu)), &[x], DType::F32);
    });
    assert!(with_relu.luma().is_none());
    let with_prelu = ends(&|g, x| {
        let x = g.push("last", conv(4, 3, None), &[x], DType::F32);
        g.push("prelu", Op::PRelu, &[x], DType::F32);
    });
    assert!(with_prelu.luma().is_none());
    // The colours before the last sum are read once more, as they are.
    let read_twice = ends(&|g, x| {
        let rgb = g.push("rgb", conv(4, 3, None), &[x], DType::F32);
        let y = g.push("again", conv(3, 3, None), &[rgb], DType::F32);
        g.push("sum", Op::Add { res_scale: 1.0 }, &[rgb, y], DType::F32);
    });
    assert!(read_twice.luma().is_none());
    let norm_of_image = {
        let mut graph = Graph::new(3, DType::F32);
        let x = graph.push("norm", Op::LayerNorm { eps: 1e-5 }, &[0], DType::F32);
        graph.push("last", conv(3, 3, None), &[x], DType::F32);
        random_model(graph, 2)
    };
    assert!(norm_of_image.luma().is_none());
}
