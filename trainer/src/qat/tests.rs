use super::*;
use crate::data::pairs::Pair;
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::image::Image;
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
    let pair = Pair { name: "a".into(), hr: image(96), lr: image(48) };
    Recipe { pairs: Arc::new(vec![pair]), seed: 1, batch: 2, patch: 16, upscale: 2, augment: true }
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
