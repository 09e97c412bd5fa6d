use super::*;
use crate::config::{FeatureKind, Features, Negative, Spn};
use crate::conv::Precision;
use crate::loss::vgg::{Depth, Vgg};
use crate::shared;
use burn::tensor::TensorData;

fn image(path: &std::path::Path, device: &Device) -> Tensor<4> {
    let (shape, values) = shared::npy(path);
    let shape: [usize; 4] = shape.try_into().expect("four dimensions");
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn spn(layers: &[&str], weights: &[f64]) -> Spn {
    let features = Features {
        net: FeatureKind::Vgg19,
        path: shared::path("reference/vgg19/weights.safetensors"),
        layers: layers.iter().map(ToString::to_string).collect(),
        weights: weights.to_vec(),
    };
    Spn { features, crop: None, negative: Negative::Latency, ..Spn::default() }
}

fn number(v: Tensor<1>) -> f64 {
    f64::from(v.into_scalar::<f32>())
}

#[test]
fn activations_are_those_of_the_reference() {
    let Some(folder) = shared::path("reference/vgg19") else { return };
    let device = Device::flex();
    let layers = ["relu1_1", "relu2_1", "relu3_1"].map(String::from);
    let vgg =
        Vgg::load(Depth::Vgg19, Some(&folder.join("weights.safetensors")), &layers, &device).expect("loads");
    let features = vgg.forward(image(&folder.join("in.npy"), &device));
    for (name, found) in layers.iter().zip(features) {
        let expected = image(&folder.join(format!("{name}.npy")), &device);
        let worst = (found - expected.clone()).abs().max().into_scalar::<f32>();
        let size = expected.abs().max().into_scalar::<f32>();
        assert!(worst < 1e-5 * size, "{name}: {worst} of {size}");
    }
}

#[test]
fn distances_are_those_of_the_reference() {
    let Some(folder) = shared::path("reference") else { return };
    let text = std::fs::read_to_string(folder.join("spn.json")).expect("read");
    let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let device = Device::flex();
    let a = image(&folder.join("spn/image_a.npy"), &device.clone().autodiff());
    let b = image(&folder.join("spn/image_b.npy"), &device);
    let mut sum = 0.0;
    for layer in ["relu1_1", "relu2_1", "relu3_1"] {
        let contrast = Contrast::new(&spn(&[layer], &[1.0]), 1, Precision::F32, &device).expect("loads");
        let found = number(contrast.negative_loss(a.clone(), vec![b.clone()], 0));
        let expected = reference["features"]["l1_distance"][layer]["float64"].as_f64().expect("a number");
        assert!((found - expected).abs() < 1e-5, "{layer}: {found} for {expected}");
        sum += expected;
    }
    // Weighted layers in any order, and several negatives: one at distance zero halves the mean of two.
    let layers = ["relu3_1", "relu1_1", "relu2_1"];
    let contrast = Contrast::new(&spn(&layers, &[1.0, 1.0, 1.0]), 1, Precision::F32, &device).expect("loads");
    let found = number(contrast.negative_loss(a.clone(), vec![b, a.clone().inner()], 0));
    assert!((found - sum / 2.0).abs() < 1e-5, "{found} for {}", sum / 2.0);
    let gt = image(&folder.join("spn/image_gt.npy"), &device);
    let found = number(crate::loss::pixel::l1(a.inner(), gt));
    let expected = reference["pixels"]["l1_distance"]["a_vs_gt"].as_f64().expect("a number");
    assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
}

/// The stand-in network, so that the test needs no data.
#[test]
fn the_gradient_reaches_the_output_and_agrees_with_finite_differences() {
    let device = Device::flex();
    let mut spn = spn(&["relu1_1", "relu2_1"], &[0.3, 0.7]);
    spn.features.path = None;
    let contrast = Contrast::new(&spn, 1, Precision::F32, &device).expect("loads");
    let values = |index: u64| {
        let mut stream = Stream::new(8, Purpose::Weights, index);
        (0..3 * 36).map(|_| 0.5 + stream.symmetric(0.5)).collect::<Vec<f32>>()
    };
    let tensor =
        |v: Vec<f32>, device: &Device| Tensor::<4>::from_data(TensorData::new(v, [1, 3, 6, 6]), device);
    let negatives = || vec![tensor(values(1), &device), tensor(values(2), &device)];
    let tracked = device.clone().autodiff();
    let x = tensor(values(0), &tracked).require_grad();
    let grads = contrast.negative_loss(x.clone(), negatives(), 0).backward();
    let grad = x.grad(&grads).expect("a gradient").into_data().try_into_vec::<f32>().expect("f32");
    // The loss is piecewise linear: compare along a direction, where kinks average out.
    let direction = values(3).iter().map(|v| v - 0.5).collect::<Vec<f32>>();
    let at = |t: f32| {
        let moved = values(0).iter().zip(&direction).map(|(v, d)| v + t * d).collect();
        number(contrast.negative_loss(tensor(moved, &tracked), negatives(), 0))
    };
    let expected = (at(1e-3) - at(-1e-3)) / 2e-3;
    let found: f64 = grad.iter().zip(&direction).map(|(g, d)| f64::from(g * d)).sum();
    assert!((found - expected).abs() < 0.02 * (0.01 + expected.abs()), "{found} for {expected}");
}

/// The ratio of the two reference distances.
#[test]
fn the_regularization_is_small_near_the_original_and_large_near_the_input() {
    let Some(folder) = shared::path("reference") else { return };
    let text = std::fs::read_to_string(folder.join("spn.json")).expect("read");
    let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let device = Device::flex();
    let load = |name: &str| image(&folder.join(format!("spn/image_{name}.npy")), &device);
    let (a, b, gt) = (load("a"), load("b"), load("gt"));
    let contrast = Contrast::new(&spn(&["relu2_1"], &[0.5]), 1, Precision::F32, &device).expect("loads");
    let value = |sr: &Tensor<4>, input: &Tensor<4>| {
        number(contrast.regularization(sr.clone().autodiff(), gt.clone(), input.clone(), 0))
    };
    let direct = |x: &Tensor<4>, y: &Tensor<4>| {
        number(contrast.negative_loss(x.clone().autodiff(), vec![y.clone()], 0)) / 0.5
    };
    let expected = reference["features"]["l1_distance"]["relu2_1"]["float64"].as_f64().expect("a number");
    assert!((value(&a, &b) - 0.5 * direct(&a, &gt) / expected).abs() < 1e-4);
    // b is sharper than a: seen from b, the original is nearer and a is the negative.
    assert!(value(&b, &a) < value(&a, &b));
    assert!(value(&gt, &a) < 1e-3);
}

#[test]
fn a_crop_is_the_same_for_all_and_moves_with_the_step() {
    let device = Device::flex();
    let mut spn = spn(&["relu1_1"], &[1.0]);
    (spn.features.path, spn.crop) = (None, Some(4));
    let contrast = Contrast::new(&spn, 1, Precision::F32, &device).expect("loads");
    let zero = Tensor::<4>::zeros([2, 3, 9, 7], &device);
    let windows: Vec<_> = (0..50).map(|step| contrast.window(&zero, step).expect("smaller")).collect();
    assert!(windows.iter().all(|w| w.0 <= 3 && w.1 <= 5 && w.2 == 4));
    assert!(windows.iter().any(|w| *w != windows[0]));
    assert!(
        contrast.window(&Tensor::zeros([1, 3, 4, 9], &device), 0).is_none(),
        "not smaller than the image"
    );
    // Equal inside and outside the window: a distance of zero shows that both were cut alike.
    let mut stream = Stream::new(8, Purpose::Weights, 5);
    let x: Vec<f32> = (0..2 * 3 * 63).map(|_| stream.symmetric(1.0)).collect();
    let x = Tensor::<4>::from_data(TensorData::new(x, [2, 3, 9, 7]), &device);
    assert_eq!(number(contrast.negative_loss(x.clone().autodiff(), vec![x], 3)), 0.0);
}

#[test]
fn mistakes_are_named() {
    let device = Device::flex();
    let layers = [String::from("relu9_1")];
    let error = Vgg::load(Depth::Vgg16, None, &layers, &device).expect_err("refused").to_string();
    assert!(error.contains("relu9_1") && error.contains("relu5_3"), "{error}");
    let Some(edsr) = shared::path("reference/models/edsr_small_x2/weights.safetensors") else { return };
    let layers = [String::from("relu1_1")];
    let error = Vgg::load(Depth::Vgg16, Some(&edsr), &layers, &device).expect_err("refused").to_string();
    assert!(error.contains("features.0.weight") && error.contains("torchvision"), "{error}");
}
