//! Losses between pixels.

use burn::tensor::Tensor;

/// `mean|sr − hr|` over all elements.
///
/// # Shapes
/// both `[N, C, H, W]`; output `[1]`
pub fn l1(sr: Tensor<4>, hr: Tensor<4>) -> Tensor<1> {
    (sr - hr).abs().mean()
}
