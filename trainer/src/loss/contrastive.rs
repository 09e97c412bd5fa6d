//! Distances between images in the feature space of a frozen network, for the SPN loss and its relatives.

mod ccr;
mod pcl;

use super::distance::mean_distance;
use super::features::{FeatureNet, FeaturesError};
use crate::config::Spn;
use crate::conv::Precision;
use crate::seed::{Purpose, Stream};
use burn::tensor::{Device, Tensor};

/// The negative loss `L_neg = (1/K) Σ_k Σ_l a_l · mean|φ_l(sr) − φ_l(negative_k)|`.
///
/// The gradient reaches `sr` only: negatives and their features are computed on the device without autodiff.
/// There is no ground truth in it. The total is `L_rec − λ·L_neg`.
///
/// # Source
/// "Learning from History", arXiv 2309.06023, equations 4 to 6.
#[derive(Debug, Clone)]
pub struct Contrast {
    tracked: FeatureNet,
    plain: FeatureNet,
    /// `a_l`, in the order of the network's layers.
    weights: Vec<f64>,
    crop: Option<usize>,
    seed: u64,
}

impl Contrast {
    /// The loss of a configuration. `device` is the one without autodiff.
    ///
    /// # Errors
    /// The feature network cannot be loaded.
    pub fn new(spn: &Spn, seed: u64, precision: Precision, device: &Device) -> Result<Self, FeaturesError> {
        let devices = [&device.clone().autodiff(), device];
        let ([tracked, plain], weights) = FeatureNet::load(&spn.features, precision, devices)?;
        Ok(Self { tracked, plain, weights, crop: spn.crop, seed })
    }

    /// `L_neg` of an output and those of the negatives for the same input.
    ///
    /// # Shapes
    /// all `[N, 3, H, W]`; `sr` with, `negatives` without autodiff; output `[1]`
    ///
    /// # Panics
    /// If there is no negative.
    pub fn negative_loss(&self, sr: Tensor<4>, negatives: Vec<Tensor<4>>, step: u64) -> Tensor<1> {
        let window = self.window(&sr, step);
        let cut = |x: Tensor<4>| cut(x, window);
        let negatives = Tensor::cat(negatives.into_iter().map(cut).collect(), 0);
        let theirs = self.plain.forward(negatives);
        let ours = self.tracked.forward(cut(sr));
        // One batch holds the features of all negatives: its mean is the mean over them.
        let distance = |((a, b), weight): ((Tensor<4>, Tensor<4>), &f64)| mean_distance(a, b) * *weight;
        let terms = ours.into_iter().zip(theirs).zip(&self.weights).map(distance);
        terms.reduce(|a, b| a + b).expect("the configuration names at least one layer")
    }

    /// The contrastive regularization `Σ_l a_l · mean|φ_l(sr) − φ_l(hr)| / mean|φ_l(sr) − φ_l(input)|`: the
    /// original is the positive, the interpolated input the negative. The total is `L_rec + λ·L`.
    ///
    /// # Shapes
    /// all `[N, 3, H, W]`; `sr` with, the others without autodiff; output `[1]`
    ///
    /// # Source
    /// Wu et al., "Contrastive Learning for Compact Single Image Dehazing", CVPR 2021, equation 5.
    pub fn regularization(&self, sr: Tensor<4>, hr: Tensor<4>, input: Tensor<4>, step: u64) -> Tensor<1> {
        let window = self.window(&sr, step);
        let cut = |x: Tensor<4>| cut(x, window);
        let [positive, negative] = [hr, input].map(|x| self.plain.forward(cut(x)));
        let ours = self.tracked.forward(cut(sr));
        let distance = |a: &Tensor<4>, b: Tensor<4>| mean_distance(a.clone(), b);
        let term = |(((a, p), n), weight): (((Tensor<4>, _), _), &f64)| {
            // As in the authors' code: equal images must not divide by zero.
            distance(&a, p) / (distance(&a, n) + 1e-7) * *weight
        };
        let terms = ours.into_iter().zip(positive).zip(negative).zip(&self.weights).map(term);
        terms.reduce(|a, b| a + b).expect("the configuration names at least one layer")
    }

    /// Left, top and side of the part that the features are taken from; the same for the whole batch.
    fn window(&self, sr: &Tensor<4>, step: u64) -> Option<Window> {
        let [_, _, h, w] = sr.dims();
        let side = self.crop.filter(|&side| side < h.min(w))?;
        let mut stream = Stream::new(self.seed, Purpose::FeatureCrop, step);
        Some((stream.below(w - side + 1), stream.below(h - side + 1), side))
    }
}

/// Left, top and side.
type Window = (usize, usize, usize);

fn cut(x: Tensor<4>, window: Option<Window>) -> Tensor<4> {
    match window {
        Some((x0, y0, side)) => x.narrow(2, y0, side).narrow(3, x0, side),
        None => x,
    }
}

#[cfg(test)]
mod tests;
