//! Losses between pixels.

use super::distance::mean_distance;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Added to the squared error in [`Loss::Psnr`], so that equal images have a finite one.
const PSNR_EPS: f64 = 1e-8;
/// Square of the width of the round bottom of [`Loss::Charbonnier`].
const CHARBONNIER_EPS2: f64 = 1e-6;

/// A reconstruction loss. Each network is trained with the one of its paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// `mean|sr − hr|`.
    #[default]
    L1,
    /// `mean √((sr − hr)² + ε²)`, ε = 1e-3.
    Charbonnier,
    /// `mean (sr − hr)²`.
    L2,
    /// `10·log₁₀ mean (sr − hr)²` of each image, averaged: the negative PSNR. NAFNet's.
    Psnr,
}

impl Loss {
    /// The loss of an output `sr`; by [`Self::L1`] the gradient reaches only that.
    ///
    /// # Shapes
    /// both `[N, C, H, W]`; output `[1]`
    pub fn of(self, sr: Tensor<4>, hr: Tensor<4>) -> Tensor<1> {
        let [n, c, h, w] = sr.dims();
        let square = |sr: Tensor<4>, hr: Tensor<4>| {
            let difference = sr - hr;
            difference.clone() * difference
        };
        match self {
            Self::L1 => mean_distance(sr, hr),
            Self::L2 => square(sr, hr).mean(),
            Self::Charbonnier => (square(sr, hr) + CHARBONNIER_EPS2).sqrt().mean(),
            Self::Psnr => {
                let squares = square(sr, hr).reshape([n, c * h * w]);
                (squares.mean_dim(1) + PSNR_EPS).log().mean() * (10.0 / std::f64::consts::LN_10)
            }
        }
    }
}

/// `mean|sr − hr|` over all elements.
///
/// # Shapes
/// both `[N, C, H, W]`; output `[1]`
pub fn l1(sr: Tensor<4>, hr: Tensor<4>) -> Tensor<1> {
    Loss::L1.of(sr, hr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, Stream};
    use burn::tensor::{Device, TensorData};

    const ALL: [Loss; 4] = [Loss::L1, Loss::Charbonnier, Loss::L2, Loss::Psnr];

    fn image(values: Vec<f32>, device: &Device) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, [2, 1, 2, 2]), device)
    }

    fn value(loss: Loss, a: &[f32], b: &[f32]) -> f64 {
        let device = Device::flex();
        loss.of(image(a.to_vec(), &device), image(b.to_vec(), &device)).into_scalar::<f32>().into()
    }

    #[test]
    fn values_are_the_definitions() {
        let (a, b) = ([0.5f32; 8], [0.4, 0.4, 0.4, 0.4, 0.51, 0.51, 0.51, 0.51]);
        for (loss, expected) in [
            (Loss::L1, 0.055),
            (Loss::L2, (0.01 + 0.0001) / 2.0),
            (Loss::Charbonnier, ((0.01f64 + 1e-6).sqrt() + (0.0001f64 + 1e-6).sqrt()) / 2.0),
            // 20 dB and 40 dB: the mean over images, not over pixels.
            (Loss::Psnr, -30.0),
        ] {
            let found = value(loss, &a, &b);
            assert!((found - expected).abs() < 1e-3 * expected.abs(), "{loss:?}: {found} for {expected}");
        }
        assert!(value(Loss::Psnr, &a, &a).is_finite());
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let draw = |index| -> Vec<f32> {
            let mut stream = Stream::new(6, Purpose::Weights, index);
            (0..8).map(|_| 0.5 + stream.symmetric(0.5)).collect()
        };
        let (a, b) = (draw(0), draw(1));
        let device = Device::flex().autodiff();
        for loss in ALL {
            let x = image(a.clone(), &device).require_grad();
            let grads = loss.of(x.clone(), image(b.clone(), &device)).backward();
            let grad = x.grad(&grads).expect("a gradient").into_data().try_into_vec::<f32>().expect("f32");
            for i in 0..8 {
                let at = |by: f32| {
                    let mut moved = a.clone();
                    moved[i] += by;
                    value(loss, &moved, &b)
                };
                let (slope, found) = ((at(2e-3) - at(-2e-3)) / 4e-3, f64::from(grad[i]));
                assert!(
                    (slope - found).abs() < 0.01 * (0.1 + found.abs()),
                    "{loss:?} {i}: {found} for {slope}"
                );
            }
        }
    }
}
