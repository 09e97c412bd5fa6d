//! Images extended beyond their edges, as the network sees them.

use burn::tensor::{Tensor, TensorData};
use mcir_runtime::model::PadMode;

/// Extends a dimension at both ends by repeating what is there.
pub(super) fn repeat_edges(x: Tensor<4>, dim: usize, margin: usize) -> Tensor<4> {
    if margin == 0 {
        return x;
    }
    let n = x.dims()[dim];
    let places: Vec<i64> = (0..n + 2 * margin).map(|i| i.saturating_sub(margin).min(n - 1) as i64).collect();
    let index =
        Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(places, [n + 2 * margin]), &x.device());
    x.select(dim, index)
}

/// Extends a dimension to a multiple at its end: by mirroring, the last element not repeated, more than once if the image is
/// very small; by the last element again; or by zeros.
pub(super) fn to_multiple(x: Tensor<4>, dim: usize, multiple: usize, mode: PadMode) -> Tensor<4> {
    let mut dims = x.dims();
    let n = dims[dim];
    let missing = n.next_multiple_of(multiple) - n;
    if missing == 0 {
        return x;
    }
    // Places of a triangle wave: 0 1 … n−1 n−2 … 1 0 1 …
    let period = (2 * (n - 1)).max(1);
    let place = |i: usize| match mode {
        PadMode::Reflect if n > 1 => (i % period).min(period - i % period) as i64,
        PadMode::Reflect | PadMode::Edge | PadMode::Zero => i.min(n - 1) as i64,
    };
    if mode == PadMode::Zero {
        dims[dim] = missing;
        let zeros = Tensor::zeros(dims, &x.device());
        return Tensor::cat(vec![x, zeros], dim);
    }
    let places: Vec<i64> = (0..n + missing).map(place).collect();
    let index =
        Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(places, [n + missing]), &x.device());
    x.select(dim, index)
}
