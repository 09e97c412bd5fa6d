//! Images extended beyond their edges, as the network sees them.

use burn::tensor::{Tensor, TensorData};

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

/// Extends a dimension to a multiple by mirroring at its end, the last element not repeated; more than once if
/// the image is very small.
pub(super) fn reflect(x: Tensor<4>, dim: usize, multiple: usize) -> Tensor<4> {
    let n = x.dims()[dim];
    let missing = n.next_multiple_of(multiple) - n;
    if missing == 0 {
        return x;
    }
    // Places of a triangle wave: 0 1 … n−1 n−2 … 1 0 1 …
    let period = (2 * (n - 1)).max(1);
    let place = |i: usize| (i % period).min(period - i % period) as i64;
    let places: Vec<i64> = (0..n + missing).map(|i| if n == 1 { 0 } else { place(i) }).collect();
    let index =
        Tensor::<1, burn::tensor::Int>::from_data(TensorData::new(places, [n + missing]), &x.device());
    x.select(dim, index)
}
