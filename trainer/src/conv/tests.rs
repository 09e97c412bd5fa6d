use super::kernel::{self, Shape};
use super::*;
use crate::seed::{Purpose, Stream};
use burn::tensor::{Device, TensorData};

fn draw(n: usize, index: u64) -> Vec<f32> {
    let mut stream = Stream::new(5, Purpose::Weights, index);
    (0..n).map(|_| stream.symmetric(1.0)).collect()
}

/// The definition, in f64.
fn reference(s: &Shape, x: &[f32], w: &[f32], b: &[f32]) -> Vec<f64> {
    let (k, p) = (s.kernel as i64, s.kernel as i64 / 2);
    let mut y = Vec::new();
    for n in 0..s.images {
        for (o, &bias) in b.iter().enumerate() {
            for row in 0..s.height as i64 {
                for col in 0..s.width as i64 {
                    let mut sum = f64::from(bias);
                    for i in 0..s.inputs {
                        for ky in 0..k {
                            for kx in 0..k {
                                let (r, c) = (row + ky - p, col + kx - p);
                                if (0..s.height as i64).contains(&r) && (0..s.width as i64).contains(&c) {
                                    let at =
                                        ((n * s.inputs + i) * s.height + r as usize) * s.width + c as usize;
                                    let tap =
                                        (o * s.inputs + i) * s.kernel * s.kernel + (ky * k + kx) as usize;
                                    sum += f64::from(x[at]) * f64::from(w[tap]);
                                }
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

const SHAPES: [Shape; 10] = [
    Shape { images: 6, inputs: 3, outputs: 14, height: 6, width: 6, kernel: 3 },
    // More than one chunk of the weight gradient.
    Shape { images: 1, inputs: 2, outputs: 10, height: 40, width: 41, kernel: 3 },
    Shape { images: 2, inputs: 3, outputs: 16, height: 5, width: 7, kernel: 3 },
    Shape { images: 1, inputs: 16, outputs: 12, height: 9, width: 33, kernel: 3 },
    Shape { images: 3, inputs: 5, outputs: 3, height: 1, width: 1, kernel: 3 },
    Shape { images: 1, inputs: 4, outputs: 9, height: 6, width: 6, kernel: 1 },
    Shape { images: 1, inputs: 2, outputs: 1, height: 4, width: 40, kernel: 5 },
    // Enough channels for Winograd's algorithm: whole tiles, tiles that reach beyond the image, several groups of images.
    Shape { images: 3, inputs: 64, outputs: 72, height: 8, width: 12, kernel: 3 },
    Shape { images: 2, inputs: 66, outputs: 65, height: 5, width: 7, kernel: 3 },
    Shape { images: 5, inputs: 64, outputs: 64, height: 23, width: 17, kernel: 3 },
];

/// A bound for rounding: sums have about this size.
fn size(s: &Shape) -> f64 {
    ((s.inputs * s.kernel * s.kernel) as f64).sqrt() / 3.0
}

#[test]
fn forward_is_the_definition() {
    for s in SHAPES {
        let x = draw(s.images * s.inputs * s.height * s.width, 0);
        let w = draw(s.outputs * s.inputs * s.kernel * s.kernel, 1);
        let b = draw(s.outputs, 2);
        let y = kernel::forward(&s, &x, &w, Some(&b), Epilogue::Linear);
        let relu = kernel::forward(&s, &x, &w, Some(&b), Epilogue::Relu);
        for (i, (found, expected)) in y.iter().zip(reference(&s, &x, &w, &b)).enumerate() {
            let off = (f64::from(*found) - expected).abs() / size(&s).max(1.0);
            assert!(off < 1e-4, "{s:?} at {i}: {found} for {expected}");
            assert_eq!(relu[i], found.max(0.0), "{s:?} at {i}");
        }
    }
}

/// burn's own convolution on the same values: output and all gradients.
#[test]
fn gradients_are_those_of_burn() {
    let device = Device::flex().autodiff();
    for (s, epilogue) in SHAPES.into_iter().flat_map(|s| [(s, Epilogue::Linear), (s, Epilogue::Relu)]) {
        let make = |shape: [usize; 4], index| {
            let data = TensorData::new(draw(shape.iter().product(), index), shape);
            Tensor::<4>::from_data(data, &device).require_grad()
        };
        let x = make([s.images, s.inputs, s.height, s.width], 0);
        let w = make([s.outputs, s.inputs, s.kernel, s.kernel], 1);
        let b =
            Tensor::<1>::from_data(TensorData::new(draw(s.outputs, 2), [s.outputs]), &device).require_grad();
        let g = make([s.images, s.outputs, s.height, s.width], 3);
        let pad = s.kernel / 2;
        let options = ConvOptions::new([1, 1], [pad, pad], [1, 1], 1);
        let ours = conv_same(x.clone(), w.clone(), b.clone(), epilogue);
        let theirs = conv2d(x.clone(), w.clone(), Some(b.clone()), options);
        let theirs = if epilogue == Epilogue::Relu { relu(theirs) } else { theirs };
        let (a, e) = ((ours * g.clone()).sum().backward(), (theirs * g).sum().backward());
        let same = |name: &str, a: Option<Vec<f32>>, e: Option<Vec<f32>>| {
            let (a, e) = (a.expect(name), e.expect(name));
            assert_eq!(a.len(), e.len());
            let size = size(&s).max(size(&s.transposed())).max(1.0) as f32;
            let worst = a.iter().zip(&e).map(|(a, e)| (a - e).abs() / (size + e.abs())).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{s:?} {epilogue:?} {name}: {worst}");
        };
        let values = |t: Option<Tensor<4>>| t.map(|t| t.into_data().try_into_vec::<f32>().expect("f32"));
        same("x", values(x.grad(&a)), values(x.grad(&e)));
        same("weight", values(w.grad(&a)), values(w.grad(&e)));
        let bias = |t: Option<Tensor<1>>| t.map(|t| t.into_data().try_into_vec::<f32>().expect("f32"));
        same("bias", bias(b.grad(&a)), bias(b.grad(&e)));
    }
}

/// The same values as of a convolution whose weights could be trained, for images of several sizes one after the other.
#[test]
fn a_frozen_convolution_is_the_same_one() {
    let device = Device::flex();
    let tensor = |shape: [usize; 4], index, device: &Device| {
        Tensor::<4>::from_data(TensorData::new(draw(shape.iter().product(), index), shape), device)
    };
    for (inputs, outputs) in [(64, 66), (3, 8)] {
        let on = |device: &Device| {
            let bias = Tensor::<1>::from_data(TensorData::new(draw(outputs, 2), [outputs]), device);
            (tensor([outputs, inputs, 3, 3], 1, device), bias)
        };
        let tracked = device.clone().autodiff();
        let ((weight, bias), (plain_weight, plain_bias)) = (on(&tracked), on(&device));
        let mut frozen = Frozen::new(weight.clone(), bias.clone());
        let plain = Frozen::new(plain_weight, plain_bias);
        frozen.share(&plain);
        // Too small for tiles, with tiles, and other ones.
        for (height, width) in [(2, 9), (8, 8), (9, 6)] {
            let x = tensor([2, inputs, height, width], 0, &tracked).require_grad();
            let g = tensor([2, outputs, height, width], 3, &tracked);
            let values = |x: Tensor<4>| x.into_data().try_into_vec::<f32>().expect("f32");
            let grad = |y: Tensor<4>| values(x.grad(&(y * g.clone()).sum().backward()).expect("a gradient"));
            let ours = frozen.conv(Precision::F32, x.clone(), Epilogue::Relu);
            let theirs = conv_same(x.clone(), weight.clone(), bias.clone(), Epilogue::Relu);
            assert_eq!(values(ours.clone()), values(theirs.clone()));
            assert_eq!(
                values(plain.conv(Precision::F32, x.clone().inner(), Epilogue::Relu)),
                values(theirs.clone())
            );
            assert_eq!(grad(ours), grad(theirs));
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for (inputs, outputs) in [(16, 20), (64, 64)] {
        the_number_of_threads_changes_nothing(inputs, outputs);
    }
}

fn the_number_of_threads_changes_nothing(inputs: usize, outputs: usize) {
    let s = Shape { images: 4, inputs, outputs, height: 11, width: 13, kernel: 3 };
    let x = draw(s.images * s.inputs * s.height * s.width, 0);
    let dy = draw(s.images * s.outputs * s.height * s.width, 1);
    let w = draw(s.outputs * s.inputs * 9, 2);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let y = kernel::forward(&s, &x, &w, None, Epilogue::Relu);
            let wanted = Parents { x: true, weight: true, bias: true };
            let grads = kernel::backward(&s, &x, &w, Some(&y), &dy, &wanted);
            (y, grads)
        })
    };
    assert_eq!(run(1), run(3));
}
