//! The curricular contrastive regularization: negatives are what other networks make of the same input, and those that the
//! network being trained has overtaken count more than those that are still ahead of it.
//!
//! # Source
//! Zheng et al., "Curricular Contrastive Regularization for Physics-aware Single Image Dehazing", CVPR 2023, equations 9
//! and 10, and the authors' public code for the sum of the weights, which is one. There a negative's difficulty is its PSNR on a test
//! set, measured before, against the network's best PSNR on that set so far. Here both are measured on the patches of the step
//! itself: it takes no further set, compares both on the same pixels, and a run resumes to the bit without keeping more state.

use super::Contrast;
use crate::loss::distance::mean_distance;
use burn::tensor::Tensor;

impl Contrast {
    /// `Σ_l a_l · d_l(hr) / (w_0·d_l(input) + Σ_k w_k·d_l(others_k))` with `d_l(x) = mean|φ_l(sr) − φ_l(x)|`. It is added to the
    /// reconstruction loss.
    ///
    /// The weight of each of the `K` other networks is in proportion to `1 + gamma` where its error is larger than that of
    /// `sr` and to `1 − gamma` otherwise, that of the input to `K`, and all weights add up to one.
    ///
    /// # Shapes
    /// all `[N, 3, H, W]`; `sr` with, the others without autodiff; output `[1]`
    pub fn curricular(
        &self,
        sr: Tensor<4>,
        hr: Tensor<4>,
        input: Tensor<4>,
        others: Vec<Tensor<4>>,
        gamma: f64,
        step: u64,
    ) -> Tensor<1> {
        let window = self.window(&sr, step);
        let cut = |x: Tensor<4>| super::cut(x, window);
        let weights = curriculum(&sr.clone().inner(), &hr, &others, gamma);
        let positive = self.plain.forward(cut(hr));
        let negatives: Vec<_> =
            [input].into_iter().chain(others).map(|x| self.plain.forward(cut(x))).collect();
        let ours = self.tracked.forward(cut(sr));
        let term = |(l, (a, positive)): (usize, (Tensor<4>, Tensor<4>))| {
            let away = negatives.iter().zip(&weights);
            let away = away.map(|(features, w)| mean_distance(a.clone(), features[l].clone()) * *w);
            let away = away.reduce(|a, b| a + b).expect("the input is a negative");
            // As in the authors' code: equal images must not divide by zero.
            mean_distance(a, positive) / (away + 1e-7) * self.weights[l]
        };
        let terms = ours.into_iter().zip(positive).enumerate().map(term);
        terms.reduce(|a, b| a + b).expect("the configuration names at least one layer")
    }
}

/// Weights of the input and of the other networks' outputs.
fn curriculum(sr: &Tensor<4>, hr: &Tensor<4>, others: &[Tensor<4>], gamma: f64) -> Vec<f64> {
    let error = |x: &Tensor<4>| {
        let difference = x.clone() - hr.clone();
        (difference.clone() * difference).mean().into_scalar::<f32>()
    };
    let ours = error(sr);
    let mut weights = vec![others.len() as f64];
    weights.extend(others.iter().map(|other| if error(other) > ours { 1.0 + gamma } else { 1.0 - gamma }));
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FeatureKind, Features, Spn};
    use crate::conv::Precision;
    use burn::tensor::{Device, TensorData};

    fn image(values: [f32; 4]) -> Tensor<4> {
        let values = values.map(|v| [v; 3]).concat();
        // One pixel after the other, three channels each.
        Tensor::<4>::from_data(TensorData::new(values, [1, 2, 2, 3]), &Device::flex()).permute([0, 3, 1, 2])
    }

    /// Worked out by hand, where features are the pixels themselves.
    #[test]
    fn the_loss_is_the_ratio_of_the_paper() {
        let features =
            Features { net: FeatureKind::Pixels, layers: vec!["x".into()], weights: vec![1.0], path: None };
        let spn = Spn { features, ..Spn::default() };
        let contrast = Contrast::new(&spn, 1, Precision::F32, &Device::flex()).expect("made");
        let [sr, hr] = [[0.4, 0.4, 0.4, 0.4], [0.5, 0.5, 0.5, 0.5]].map(image);
        let input = image([0.0, 0.2, 0.2, 0.4]);
        // The first is further from the original than the network's output, the second is nearer.
        let others = || vec![image([0.8, 0.8, 0.8, 0.8]), image([0.5, 0.5, 0.5, 0.46])];
        let of = |gamma| {
            let loss =
                contrast.curricular(sr.clone().autodiff(), hr.clone(), input.clone(), others(), gamma, 0);
            f64::from(loss.into_scalar::<f32>())
        };
        // Distances: original 0.1, input 0.2, others 0.4 and 0.09; weights 2, 1.25 and 0.75 of 4.
        let expected = |worse: f64, better: f64| 0.1 / ((2.0 * 0.2 + worse * 0.4 + better * 0.09) / 4.0);
        for (gamma, worse, better) in [(0.25, 1.25, 0.75), (0.0, 1.0, 1.0), (0.9, 1.9, 0.1)] {
            let (found, expected) = (of(gamma), expected(worse, better));
            assert!((found - expected).abs() < 1e-4 * expected, "gamma {gamma}: {found} for {expected}");
        }
    }

    /// Without other networks between them it is the contrastive regularization.
    #[test]
    fn with_the_input_as_the_only_other_it_is_the_plain_regularization() {
        let spn = Spn {
            features: Features {
                layers: vec!["relu1_1".into(), "relu1_2".into()],
                weights: vec![0.3, 0.7],
                ..Features::default()
            },
            ..Spn::default()
        };
        let contrast = Contrast::new(&spn, 1, Precision::F32, &Device::flex()).expect("made");
        let noise = |seed| {
            let mut stream = crate::seed::Stream::new(seed, crate::seed::Purpose::Weights, 0);
            let values: Vec<f32> = (0..3 * 64).map(|_| 0.5 + stream.symmetric(0.5)).collect();
            Tensor::<4>::from_data(TensorData::new(values, [1, 3, 8, 8]), &Device::flex())
        };
        let [sr, hr, input] = [1, 2, 3].map(noise);
        let number = |x: Tensor<1>| x.into_scalar::<f32>();
        let plain = number(contrast.regularization(sr.clone().autodiff(), hr.clone(), input.clone(), 0));
        let curricular = number(contrast.curricular(sr.autodiff(), hr, input.clone(), vec![input], 0.25, 0));
        assert!((plain - curricular).abs() < 1e-5 * plain, "{curricular} for {plain}");
    }
}
