use super::*;
use crate::data::pairs::Pair;
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::image::Image;
use mcir_runtime::model::{Activation, Conv2d, Graph, Op, Role, TensorData as Values};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::sync::Arc;

/// A small network with coarse types, so that rounding costs much and a little tuning shows.
fn model() -> Model {
    let graph = edsr::graph(&Config::edge(2, 6, 1));
    let net = GraphNet::random(&graph, 3, &Device::flex()).unwrap();
    let lines: Vec<String> = graph
        .nodes
        .iter()
        .map(|node| match node.name.as_str() {
            "input" => "input i8:0.003921569:-128 i8:0.003921569:-128".to_owned(),
            name => format!("{name} i8:0.02:-3 i16:0.0001"),
        })
        .collect();
    let metadata = vec![("name".into(), "test".into()), (TYPES.into(), lines.join("\n"))];
    export::model(&crate::net::Net::Graph(net), metadata).unwrap()
}

fn recipe() -> Recipe {
    let image = |side: usize| {
        let pixel = |i: usize| ((i / 3 % side * 7) ^ (i / 3 / side * 5)) as u8;
        Image::new(side, side, 3, (0..side * side * 3).map(pixel).collect()).unwrap()
    };
    let pair = Pair { name: "a".into(), path: "a.png".into(), hr: image(96), lr: image(48), grey: false };
    Recipe {
        images: Arc::new(vec![pair].into()),
        seed: 1,
        batch: 2,
        patch: 16,
        upscale: 2,
        augment: true,
        degrade: None,
    }
}

fn values(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

#[test]
fn inputs_take_the_levels_of_their_type() {
    let types = Types(vec![Some((0.5, -126))]);
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::from_data(
        TensorData::new(vec![-9.0_f32, -0.3, 0.26, 7.9, 200.0], [1, 1, 1, 5]),
        &device,
    );
    let x = x.require_grad();
    let y = types.input(0, x.clone());
    assert_eq!(values(y.clone()), [-1.0, -0.5, 0.5, 8.0, 126.5]);
    let grads = y.sum().backward();
    let slope: Vec<f32> = x.grad(&grads).unwrap().into_data().try_into_vec().unwrap();
    assert_eq!(slope, [0.0, 1.0, 1.0, 1.0, 0.0], "straight through inside of the range, none outside");
}

#[test]
fn weights_take_127_steps_a_channel() {
    let device = Device::flex();
    let data = vec![1.27_f32, -0.304, 0.006, 0.0, -25.4, 0.35, 0.0, 0.05];
    let w = Tensor::<4>::from_data(TensorData::new(data, [2, 4, 1, 1]), &device);
    let found = values(Types(vec![]).weight(w));
    let expected = [1.27, -0.30, 0.01, 0.0, -25.4, 0.4, 0.0, 0.0];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
}

#[test]
fn tuning_brings_the_rounded_network_closer() {
    let mut losses = Vec::new();
    let settings = Settings { steps: 40, lr: 1e-3 };
    let tuned =
        tune(&model(), recipe(), settings, &Device::flex(), &mut |_, loss| losses.push(loss)).unwrap();
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    assert!(mean(&losses[30..]) < 0.8 * mean(&losses[..5]), "{losses:?}");
    assert_eq!((tuned.meta(TYPES), tuned.graph()), (model().meta(TYPES), model().graph()));
    assert_eq!(tuned.meta("qat.steps"), Some("40"));
    let again = tune(&model(), recipe(), settings, &Device::flex(), &mut |_, _| {}).unwrap();
    assert!(again.to_bytes() == tuned.to_bytes(), "the same every time");
}

#[test]
fn bad_models_are_refused() {
    let tune = |metadata: Vec<(String, String)>| {
        let model = model().with_metadata(metadata).unwrap();
        tune(&model, recipe(), Settings { steps: 1, lr: 1e-4 }, &Device::flex(), &mut |_, _| {}).unwrap_err()
    };
    assert!(matches!(tune(vec![]), QatError::NoTypes));
    for text in
        ["nobody i8:0.1:0", "input", "input i16:0.1", "input i8:0:0", "input i8:0.1:900", "input i8:x:1"]
    {
        let error = tune(vec![(TYPES.into(), text.into())]);
        assert!(matches!(&error, QatError::Line { line } if line == text), "{error}");
    }
}

/// Types of what the convolutions of [`residual`] read and write.
const PIXEL: (f32, i8) = (1.0 / 255.0, -128);
const FIRST: (f32, i8) = (0.011, -7);
const HIDDEN: (f32, i8) = (0.006, -128);
const SUM: (f32, i8) = (0.012, 3);

fn conv(in_channels: u16, out_channels: u16, activation: Option<Activation>) -> Op {
    Op::Conv2d(Conv2d { in_channels, out_channels, kernel: 3, activation })
}

/// A network with a residual block, in floats.
fn residual() -> Graph {
    let mut graph = Graph::default();
    let mut push = |name: &str, op, inputs: &[NodeId]| graph.push(name, op, inputs, DType::F32);
    let input = push("input", Op::Input { channels: 3 }, &[]);
    let first = push("first", conv(3, 8, None), &[input]);
    let conv1 = push("conv1", conv(8, 8, Some(Activation::Relu)), &[first]);
    let conv2 = push("conv2", conv(8, 8, None), &[conv1]);
    let add = push("add", Op::Add { res_scale: 1.0 }, &[first, conv2]);
    let last = push("last", conv(8, 12, None), &[add]);
    push("shuffle", Op::PixelShuffle { upscale: 2 }, &[last]);
    graph
}

/// The int8 model of [`residual`], written down by hand as the quantizer would.
fn residual_int8(float: &Model) -> Model {
    let i8 = |(scale, zero_point)| DType::I8 { scale, zero_point };
    let wide = DType::I16 { scale: 5e-5 };
    let mut graph = Graph::default();
    let mut params = Vec::new();
    let mut push = |name: &str, op, inputs: &[NodeId], dtype, read: Option<(f32, i8)>| {
        params.push(read.map_or_else(Vec::new, |(scale, _)| int8_params(float, name, scale)));
        graph.push(name, op, inputs, dtype)
    };
    let input = push("input", Op::Input { channels: 3 }, &[], DType::PIXEL, None);
    let first = push("first", conv(3, 8, None), &[input], wide, Some(PIXEL));
    let narrow = push("first.i8", Op::Convert, &[first], i8(FIRST), None);
    let conv1 = push("conv1", conv(8, 8, Some(Activation::Relu)), &[narrow], i8(HIDDEN), Some(FIRST));
    let conv2 = push("conv2", conv(8, 8, None), &[conv1], wide, Some(HIDDEN));
    let add = push("add", Op::Add { res_scale: 1.0 }, &[first, conv2], i8(SUM), None);
    let last = push("last", conv(8, 12, None), &[add], DType::PIXEL, Some(SUM));
    push("shuffle", Op::PixelShuffle { upscale: 2 }, &[last], DType::PIXEL, None);
    Model::new(graph, &params, vec![]).unwrap()
}

/// 8-bit weights (the largest of a row is 127), the bias in steps of the sums, and the steps of the weights.
fn int8_params(float: &Model, name: &str, input_scale: f32) -> Vec<Values> {
    let id = float.graph().nodes.iter().position(|n| n.name == name).unwrap() as NodeId;
    let (weight, bias) = (float.f32s(id, Role::Weight), float.f32s(id, Role::Bias));
    let rows = weight.chunks_exact(weight.len() / bias.len());
    let scales: Vec<f32> =
        rows.clone().map(|row| row.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 127.0).collect();
    let weight = rows.zip(&scales).flat_map(|(row, s)| row.iter().map(move |w| (w / s).round() as i8));
    let bias = bias.iter().zip(&scales).map(|(b, s)| (b / (input_scale * s)).round() as i32);
    vec![Values::I8(weight.collect()), Values::I32(bias.collect()), Values::F32(scales)]
}

#[test]
fn the_simulation_is_the_int8_engine() {
    let (side, device) = (24, Device::flex());
    let graph = residual();
    let net = GraphNet::random(&graph, 5, &device).unwrap();
    let float = export::model(&crate::net::Net::Graph(net.clone()), vec![]).unwrap();
    let types = Types(
        graph
            .nodes
            .iter()
            .map(|node| match node.name.as_str() {
                "input" | "last" | "shuffle" => Some(PIXEL),
                "first" => Some(FIRST),
                "conv1" => Some(HIDDEN),
                "add" => Some(SUM),
                _ => None,
            })
            .collect(),
    );
    let pixels: Vec<u8> = (0..side * side * 3).map(|i| ((i / 3 % side * 11) ^ (i / 40 * 5)) as u8).collect();
    let channel = |c: usize| pixels.iter().skip(c).step_by(3).map(|&p| f32::from(p) / 255.0);
    let planes: Vec<f32> = (0..3).flat_map(channel).collect();
    let image = Tensor::<4>::from_data(TensorData::new(planes, [1, 3, side, side]), &device);
    let level = |x: f32| (x.clamp(0.0, 1.0) * 255.0).round() as i32;
    let levels = |y: Tensor<4>| values(y.permute([0, 2, 3, 1])).into_iter().map(level).collect::<Vec<i32>>();
    let simulated = levels(net.forward_with(image.clone(), Some(&types)));
    let exact = levels(net.forward(image));

    let int8 = residual_int8(&float);
    let plan = Plan::new(&int8, side, &PlanOptions::default()).unwrap();
    let mut found = vec![0; 4 * side * side * 3];
    plan.run_image(&mut plan.workspace(), &pixels, side, &mut found).unwrap();

    let differences = |other: &[i32]| -> Vec<i32> {
        found.iter().zip(other).map(|(&a, b)| (i32::from(a) - b).abs()).collect()
    };
    let (close, far) = (differences(&simulated), differences(&exact));
    // What is left are values that lie between two levels, which rounding in 16 bits or in f32 moves.
    let count = |all: &[i32]| all.iter().filter(|&&d| d > 0).count();
    assert!(close.iter().all(|&d| d <= 1), "at most one grey level apart");
    assert!(count(&close) * 25 < found.len(), "{} of {} differ", count(&close), found.len());
    assert!(count(&far) * 10 > found.len(), "the float network does not pass: {}", count(&far));
}
