use super::*;
use crate::import;
use crate::net::{Architecture, Net};
use crate::seed::{Purpose, Stream};
use crate::weights::{Tensors, WeightsError};
use burn::tensor::{Device, TensorData};

/// The network of `testdata/nafnet.py`.
fn config() -> Config {
    Config { width: 4, enc_blk_nums: vec![1, 2], middle_blk_num: 1, dec_blk_nums: vec![1, 1] }
}

/// Weights, gradients of the mean square of the output, input and output, by PyTorch.
fn reference() -> (Tensors, Tensors, Tensor<4>, Tensor<4>) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/nafnet.safetensors");
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
        let values = all.get(name, &[2, 3, 10, 7]).expect("there").to_vec();
        Tensor::from_data(TensorData::new(values, [2, 3, 10, 7]), &Device::flex())
    };
    (part("net/"), part("grad/"), image("in"), image("out"))
}

#[test]
fn output_and_gradients_are_those_of_pytorch() {
    let (tensors, expected, input, output) = reference();
    let device = Device::flex().autodiff();
    let net = Nafnet::from_tensors(&config(), &tensors, &device).expect("fits");
    let y = net.forward(Tensor::from_inner(input));
    let worst = (y.clone().inner() - output.clone()).abs().max().into_scalar::<f32>();
    assert!(worst < 1e-4 * output.abs().max().into_scalar::<f32>(), "{worst}");
    net.named.assert_gradients((y.clone() * y).mean(), &expected, 1e-3, 1e-6);
}

#[test]
fn a_fresh_network_has_blocks_that_do_nothing() {
    let device = Device::flex();
    let net = Nafnet::random(&config(), 3, &device).expect("valid");
    let mut stream = Stream::new(1, Purpose::Batch, 4);
    let values = (0..8 * 9 * 5).map(|_| stream.symmetric(1.0)).collect::<Vec<f32>>();
    let x = Tensor::<4>::from_data(TensorData::new(values, [1, 8, 9, 5]), &device);
    let y = net.block("encoders.1.1", x.clone());
    assert_eq!((y - x).abs().max().into_scalar::<f32>(), 0.0);
    assert_eq!(Nafnet::random(&config(), 3, &device).expect("valid").to_tensors(), net.to_tensors());
    assert_ne!(Nafnet::random(&config(), 4, &device).expect("valid").to_tensors(), net.to_tensors());
}

#[test]
fn tensors_go_in_and_out_unchanged_and_are_averaged() {
    let (tensors, ..) = reference();
    let device = Device::flex();
    let architecture = Architecture::Nafnet(config());
    let a = Net::from_tensors(&architecture, &tensors, &device).expect("fits");
    assert_eq!(a.to_tensors(), tensors);
    assert_eq!((a.architecture(), a.upscale(), a.in_channels()), (architecture.clone(), 1, 3));
    let b = Net::random(&architecture, 1, &device.clone().autodiff()).expect("valid");
    let mixed = a.clone().blend(&b, 0.75).to_tensors();
    let others = b.to_tensors();
    for ((name, shape, mixed), (_, _, a)) in mixed.iter().zip(tensors.iter()) {
        let b = others.get(name, shape).expect("there");
        for ((m, a), b) in mixed.iter().zip(a).zip(b) {
            let expected = 0.75 * a + 0.25 * b;
            assert!((m - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{name}: {m} for {expected}");
        }
    }
    let mut bad = tensors.clone();
    bad.remove("encoders.1.0.beta");
    let error = Net::from_tensors(&architecture, &bad, &device).expect_err("refused").to_string();
    assert!(error.contains("encoders.1.0.beta"), "{error}");
    let mut more = tensors;
    more.insert("other".into(), vec![1], vec![0.0]);
    assert!(matches!(Net::from_tensors(&architecture, &more, &device), Err(WeightsError::Count { .. })));
}
