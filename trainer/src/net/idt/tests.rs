use super::*;
use crate::import;
use crate::weights::Tensors;
use burn::tensor::Device;

/// The network of `testdata/idt.py`.
fn config() -> Config {
    Config {
        embed_dim: 2,
        depths: [1; LEVELS],
        num_heads: [1, 2, 2, 1, 2, 1, 2, 1, 1],
        win_size: 2,
        mlp_ratio: 2,
    }
}

fn path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/idt.safetensors")
}

fn part(all: &Tensors, prefix: &str) -> Tensors {
    let mut tensors = Tensors::default();
    for (name, shape, values) in all.iter() {
        if let Some(name) = name.strip_prefix(prefix) {
            tensors.insert(name.into(), shape.to_vec(), values.to_vec());
        }
    }
    tensors
}

#[test]
fn output_and_gradients_are_those_of_pytorch() {
    let all = import::read(&path()).expect("the test data can be read");
    let (tensors, expected) = (part(&all, "net/"), part(&all, "grad/"));
    let image = |name: &str| {
        let values = all.get(name, &[1, 3, 32, 32]).expect("there").to_vec();
        Tensor::<4>::from_data(TensorData::new(values, [1, 3, 32, 32]), &Device::flex())
    };
    let (input, output) = (image("in"), image("out"));
    let net = Idt::from_tensors(&config(), &tensors, &Device::flex().autodiff()).expect("fits");
    let y = net.forward(Tensor::from_inner(input));
    let worst = (y.clone().inner() - output.clone()).abs().max().into_scalar::<f32>();
    assert!(worst < 1e-4 * output.abs().max().into_scalar::<f32>(), "{worst}");
    // The reference has them in half precision.
    net.named.assert_gradients((y.clone() * y).mean(), &expected, 2e-3, 1e-3);
}

/// Squares overlap, and what they agree on is not changed by averaging; a small image is not changed by its extension.
#[test]
fn images_of_any_size_are_done() {
    let device = Device::flex();
    let net = Idt::random(&config(), 1, &device).expect("valid");
    for [h, w] in [[32, 32], [33, 70], [9, 40], [1, 1]] {
        let image = Tensor::<4>::ones([1, 3, h, w], &device) * 0.25;
        let y = net.forward(image);
        assert_eq!(y.dims(), [1, 3, h, w]);
        assert!(y.clone().sub(Tensor::ones_like(&y) * 0.25).abs().max().into_scalar::<f32>() < 1.0);
    }
    // With an output that is the image, so is an average of it.
    let mut tensors = net.to_tensors();
    tensors.insert("output_proj.proj.0.weight".into(), vec![3, 4, 3, 3], vec![0.0; 108]);
    tensors.insert("output_proj.proj.0.bias".into(), vec![3], vec![0.0; 3]);
    let same = Idt::from_tensors(&config(), &tensors, &device).expect("fits");
    let mut stream = crate::seed::Stream::new(3, crate::seed::Purpose::Batch, 0);
    let values: Vec<f32> = (0..3 * 45 * 71).map(|_| 0.5 + stream.symmetric(0.5)).collect();
    let image = Tensor::<4>::from_data(TensorData::new(values, [1, 3, 45, 71]), &device);
    let worst = (same.forward(image.clone()) - image).abs().max().into_scalar::<f32>();
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn squares_cover_an_image_and_overlap() {
    assert_eq!(starts(128, 128), [0]);
    assert_eq!(starts(129, 128), [0, 1]);
    assert_eq!(starts(300, 128), [0, 108, 172]);
    assert_eq!(starts(512, 128), [0, 108, 216, 324, 384]);
}

#[test]
fn the_published_shape_has_the_published_size() {
    let paper = Config::paper();
    assert_eq!((paper.side(), paper.dim(4), paper.dim(5), paper.dim(8)), (128, 512, 512, 64));
    let parameters: usize = Named::random(paper.specs(), 1).iter().map(|(_, _, values)| values.len()).sum();
    assert!((16_000_000..17_000_000).contains(&parameters), "{parameters}");
}
