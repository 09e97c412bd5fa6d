use super::*;
use crate::import;
use crate::net::{Architecture, Net};
use crate::weights::Tensors;
use burn::tensor::Device;

/// The network of `testdata/dehazeformer.py`.
fn config() -> Config {
    Config {
        embed_dims: [8, 12, 16, 12, 8],
        mlp_ratios: [2; 5],
        depths: [1, 2, 2, 1, 1],
        num_heads: [2, 2, 2, 1, 1],
        attn_ratio: [0.0, 0.5, 1.0, 0.0, 0.0],
        window_size: 4,
    }
}

/// Weights, gradients of the mean square of the output, input and output, by PyTorch.
fn reference() -> (Tensors, Tensors, Tensor<4>, Tensor<4>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/dehazeformer.safetensors");
    let all = import::read(&path).expect("the test data can be read");
    let part = |prefix: &str| {
        let mut tensors = Tensors::default();
        for (name, shape, values) in all.iter() {
            if let Some(name) = name.strip_prefix(prefix) {
                tensors.insert(name.into(), shape.to_vec(), values.to_vec());
            }
        }
        tensors
    };
    let image = |name: &str| {
        let values = all.get(name, &[2, 3, 18, 22]).expect("there").to_vec();
        Tensor::from_data(TensorData::new(values, [2, 3, 18, 22]), &Device::flex())
    };
    (part("net/"), part("grad/"), image("in"), image("out"))
}

#[test]
fn output_and_gradients_are_those_of_pytorch() {
    let (tensors, expected, input, output) = reference();
    let device = Device::flex().autodiff();
    let net = Dehazeformer::from_tensors(&config(), &tensors, &device).expect("fits");
    let y = net.forward(Tensor::from_inner(input));
    let worst = (y.clone().inner() - output.clone()).abs().max().into_scalar::<f32>();
    assert!(worst < 1e-4 * output.abs().max().into_scalar::<f32>(), "{worst}");
    // A bias of all scores changes nothing: its gradient is rounding alone.
    net.named.assert_gradients((y.clone() * y).mean(), &expected, 2e-3, 1e-3);
}

#[test]
fn published_names_are_recognised_and_images_of_any_size_done() {
    let (tensors, ..) = reference();
    let found = import::detect_dehazeformer(&tensors).expect("recognised");
    // No shape tells the side of the windows.
    assert_eq!(found, Config { window_size: 8, ..config() });
    let device = Device::flex();
    let architecture = Architecture::Dehazeformer(config());
    let net = Net::from_tensors(&architecture, &tensors, &device).expect("fits");
    assert_eq!(net.to_tensors(), tensors);
    assert_eq!((net.architecture(), net.upscale(), net.in_channels()), (architecture, 1, 3));
    for (h, w) in [(1, 1), (3, 9), (16, 16)] {
        let y = net.forward(Tensor::full([1, 3, h, w], 0.5, &device));
        assert_eq!(y.dims(), [1, 3, h, w]);
        assert!(y.abs().max().into_scalar::<f32>().is_finite());
    }
    for config in [Config::tiny(), Config::small(), Config::base()] {
        let net = Dehazeformer::random(&config, 1, &device).expect("valid");
        assert_eq!(import::detect_dehazeformer(&net.to_tensors()).expect("recognised"), config);
    }
}
