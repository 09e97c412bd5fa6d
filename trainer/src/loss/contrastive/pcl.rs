//! The contrastive loss of PCL-SR: the output shall be nearer to sharpened copies of the original than to blurred ones.
//!
//! # Source
//! Wu, Jiang, Jiang, Liu, "A Practical Contrastive Learning Framework for Single-Image Super-Resolution", arXiv
//! 2111.13924, and the authors' public code for the ranges of sharpening and blur. The paper takes the features of
//! a discriminator that is trained along; here they are those of the same frozen network as in the other
//! contrastive losses, so that losses can be compared with everything else equal.

use super::Contrast;
use crate::seed::{Purpose, Stream};
use burn::tensor::{Device, Tensor, TensorData};
use std::ops::Range;

/// Sharpening of the positives: 1 is the original, below it is smoothed.
const SHARPNESS: Range<f32> = 0.5..3.0;
/// Standard deviation of the negatives' blur in each direction, in pixels.
const SIGMA: Range<f32> = 0.1..2.0;
/// Keeps features that vanish from dividing by zero.
const EPS: f64 = 1e-12;

impl Contrast {
    /// InfoNCE over the layers `l`, positives `p` and images:
    /// `−Σ_l a_l · mean_p log(e^{s(sr, p)/τ} / (e^{s(sr, p)/τ} + Σ_n e^{s(sr, n)/τ}))`, `s` being the cosine
    /// between the channels of two feature maps, averaged over pixels. Positives are the original and `copies`
    /// sharpened ones of it, negatives the interpolated input and `copies` blurred originals. It is added to the
    /// reconstruction loss.
    ///
    /// # Shapes
    /// all `[N, 3, H, W]`; `sr` with, the others without autodiff; output `[1]`
    pub fn info_nce(
        &self,
        sr: Tensor<4>,
        hr: Tensor<4>,
        input: Tensor<4>,
        copies: usize,
        temperature: f64,
        step: u64,
    ) -> Tensor<1> {
        let window = self.window(&sr, step);
        let cut = |x: Tensor<4>| super::cut(x, window);
        let images = sr.dims()[0];
        let mut stream = Stream::new(self.seed, Purpose::Copies, step);
        let mut within = |r: &Range<f32>| (r.start + r.end + stream.symmetric(r.end - r.start)) / 2.0;
        let (mut positives, mut negatives) = (vec![cut(hr.clone())], vec![cut(input)]);
        for _ in 0..copies {
            positives.push(cut(sharpen(hr.clone(), within(&SHARPNESS))));
            let (x, y) = (within(&SIGMA), within(&SIGMA));
            negatives.push(cut(blur(hr.clone(), x, y)));
        }
        let ours = self.tracked.forward(cut(sr));
        let count = positives.len();
        let theirs = self.plain.forward(Tensor::cat([positives, negatives].concat(), 0));
        let term = |((sr, others), weight): ((Tensor<4>, Tensor<4>), &f64)| {
            let sr = unit(sr);
            let others = Tensor::from_inner(unit(others));
            let similarity = |k: usize| {
                let other = others.clone().narrow(0, k * images, images);
                let [n, _, h, w] = other.dims();
                (sr.clone() * other).sum_dim(1).reshape([n, h * w]).mean_dim(1) / temperature
            };
            let negatives = (count..2 * count).map(|k| similarity(k).exp());
            let negatives = negatives.reduce(|a, b| a + b).expect("the input is a negative");
            let losses = (0..count).map(|k| {
                let positive = similarity(k);
                ((positive.clone().exp() + negatives.clone()).log() - positive).mean()
            });
            losses.reduce(|a, b| a + b).expect("the original is a positive") * (*weight / count as f64)
        };
        let terms = ours.into_iter().zip(theirs).zip(&self.weights).map(term);
        terms.reduce(|a, b| a + b).expect("the configuration names at least one layer")
    }
}

/// Each pixel's channels scaled to length one.
fn unit(x: Tensor<4>) -> Tensor<4> {
    let length = ((x.clone() * x.clone()).sum_dim(1) + EPS).sqrt();
    x / length
}

/// `smooth + factor·(x − smooth)`, clipped to 0..1; `smooth` is the mean of the 3x3 neighbourhood in which the
/// pixel itself counts five times.
fn sharpen(x: Tensor<4>, factor: f32) -> Tensor<4> {
    let box3 = [1.0 / 3.0; 3];
    let smooth = filter(x.clone(), &box3, &box3) * (9.0 / 13.0) + x.clone() * (4.0 / 13.0);
    (smooth.clone() + (x - smooth) * factor).clamp(0.0, 1.0)
}

/// Gaussian blur with these standard deviations.
fn blur(x: Tensor<4>, sigma_x: f32, sigma_y: f32) -> Tensor<4> {
    filter(x, &gaussian(sigma_x), &gaussian(sigma_y))
}

/// Weights of a Gaussian out to three standard deviations.
fn gaussian(sigma: f32) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil().max(1.0) as i32;
    let weights = (-radius..=radius).map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp());
    let sum: f32 = weights.clone().sum();
    weights.map(|w| w / sum).collect()
}

/// Weighted sums of neighbours along rows and columns, edge pixels repeated outside the image.
fn filter(x: Tensor<4>, row: &[f32], column: &[f32]) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let device = x.device();
    let x = x.reshape([n * c * h, w]).matmul(matrix(w, row, &device).transpose());
    let x = x.reshape([n * c, h, w]);
    let rows = matrix(h, column, &device).reshape([1, h, h]).expand([n * c, h, h]);
    rows.matmul(x).reshape([n, c, h, w])
}

/// The sums along one dimension of `n` pixels, `[n, n]`.
fn matrix(n: usize, weights: &[f32], device: &Device) -> Tensor<2> {
    let mut values = vec![0.0; n * n];
    for (i, out) in values.chunks_exact_mut(n).enumerate() {
        for (k, weight) in weights.iter().enumerate() {
            let at = (i + k).saturating_sub(weights.len() / 2).min(n - 1);
            out[at] += weight;
        }
    }
    Tensor::from_data(TensorData::new(values, [n, n]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Spn;
    use crate::conv::Precision;

    const SHAPE: [usize; 4] = [2, 3, 12, 10];

    fn image(index: u64, device: &Device) -> Tensor<4> {
        let mut stream = Stream::new(8, Purpose::Weights, index);
        let values = (0..SHAPE.iter().product()).map(|_| 0.5 + stream.symmetric(0.5)).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, SHAPE), device)
    }

    fn contrast(layers: &[&str], weights: &[f64]) -> Contrast {
        let mut spn = Spn::default();
        spn.features.layers = layers.iter().map(ToString::to_string).collect();
        spn.features.weights = weights.to_vec();
        Contrast::new(&spn, 1, Precision::F32, &Device::flex()).expect("loads")
    }

    fn number(v: Tensor<1>) -> f64 {
        v.into_scalar::<f32>().into()
    }

    #[test]
    fn a_constant_image_has_no_copies() {
        let device = Device::flex();
        let x = Tensor::<4>::full(SHAPE, 0.25, &device);
        for y in [sharpen(x.clone(), 2.5), blur(x.clone(), 0.1, 1.9)] {
            assert!((y - x.clone()).abs().max().into_scalar::<f32>() < 1e-6);
        }
    }

    #[test]
    fn copies_are_the_definitions() {
        let device = Device::flex();
        // One bright pixel in the middle of a dark row.
        let mut values = vec![0.0f32; 9];
        values[4] = 0.5;
        let x = Tensor::<4>::from_data(TensorData::new(values, [1, 1, 1, 9]), &device);
        let row = |y: Tensor<4>| y.into_data().try_into_vec::<f32>().expect("f32");
        // The row above and below repeat it: 3 of 13 from the side, 7 of 13 from the middle.
        let sharp = row(sharpen(x.clone(), 1.5));
        let smooth = [0.5 * 3.0 / 13.0, 0.5 * 7.0 / 13.0];
        assert!((sharp[4] - (smooth[1] + 1.5 * (0.5 - smooth[1]))).abs() < 1e-6, "{sharp:?}");
        assert_eq!(sharp[3], 0.0, "clipped");
        let soft = row(sharpen(x.clone(), 0.5));
        assert!((soft[3] - 0.5 * smooth[0]).abs() < 1e-6, "{soft:?}");
        let blurred = row(blur(x, 1.0, 1.0));
        let expected = |i: f64| 0.5 * (-0.5 * i * i).exp() / (2.0 * std::f64::consts::PI).sqrt();
        for (i, b) in blurred.iter().enumerate() {
            assert!((f64::from(*b) - expected(i as f64 - 4.0)).abs() < 2e-3, "{blurred:?}");
        }
    }

    /// The definition with plain numbers for one layer, without copies.
    #[test]
    fn the_loss_is_the_definition() {
        let device = Device::flex();
        let (sr, hr, input) = (image(0, &device), image(1, &device), image(2, &device));
        let contrast = contrast(&["relu1_1"], &[0.7]);
        let found = number(contrast.info_nce(sr.clone().autodiff(), hr.clone(), input.clone(), 0, 0.5, 3));
        let features = |x: Tensor<4>| {
            contrast.plain.forward(x).remove(0).into_data().try_into_vec::<f32>().expect("f32")
        };
        let (pixels, image) = (120, 64 * 120);
        let cosine = |a: &[f32], b: &[f32], n: usize| {
            let dot = |a: &[f32], b: &[f32], p: usize| -> f64 {
                (0..64)
                    .map(|c| {
                        f64::from(a[n * image + c * pixels + p]) * f64::from(b[n * image + c * pixels + p])
                    })
                    .sum()
            };
            let at = |p: usize| dot(a, b, p) / (dot(a, a, p) * dot(b, b, p)).sqrt();
            (0..pixels).map(at).sum::<f64>() / pixels as f64
        };
        let (sr, hr, input) = (features(sr), features(hr), features(input));
        let one = |n: usize| {
            let (p, m) = ((cosine(&sr, &hr, n) / 0.5).exp(), (cosine(&sr, &input, n) / 0.5).exp());
            -(p / (p + m)).ln()
        };
        let expected = 0.7 * (one(0) + one(1)) / 2.0;
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let device = Device::flex();
        let contrast = contrast(&["relu1_1", "relu2_1"], &[0.3, 0.7]);
        let (hr, input) = (image(1, &device), image(2, &device));
        let loss = |x: Tensor<4>| contrast.info_nce(x, hr.clone(), input.clone(), 2, 0.2, 5);
        let x = image(0, &device.clone().autodiff()).require_grad();
        let grad = x.grad(&loss(x.clone()).backward()).expect("a gradient");
        // Along the gradient, where the slope is largest against rounding, it is the gradient's length.
        let length = number((grad.clone() * grad.clone()).sum()).sqrt();
        let direction = grad / length;
        let at = |t: f64| number(loss((image(0, &device) + direction.clone() * t).autodiff()));
        let slope = (at(2e-2) - at(-2e-2)) / 4e-2;
        assert!((slope - length).abs() < 0.01 * length, "{slope} for {length}");
    }

    #[test]
    fn the_original_is_better_than_its_blurred_copy_and_copies_follow_from_the_step() {
        let device = Device::flex();
        let (hr, input) = (image(1, &device), blur(image(1, &device), 2.0, 2.0));
        let contrast = contrast(&["relu1_1"], &[1.0]);
        let loss = |x: &Tensor<4>, step| {
            number(contrast.info_nce(x.clone().autodiff(), hr.clone(), input.clone(), 3, 1.0, step))
        };
        assert!(loss(&hr, 1) < loss(&input, 1));
        assert_eq!(loss(&hr, 1), loss(&hr, 1));
        assert_ne!(loss(&hr, 1), loss(&hr, 2));
    }
}
