//! Window attention in burn, the way the published networks compute it: roll, cut into windows, attend with a
//! mask, put together, roll back. The engine computes the same without rolling; the tests compare the two
//! through the reference networks.
//!
//! On the CPU it is an operation of its own (`attention/flex.rs`), which keeps a window in the cache.

mod flex;
mod tile;

use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

/// Added to scores between pixels that are not neighbours in the image.
const MASKED: f32 = -100.0;

/// Shape of a window attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Heads.
    pub heads: usize,
    /// Side in pixels.
    pub side: usize,
    /// Cyclic shift in pixels.
    pub shift: usize,
}

/// `softmax(q·kᵀ/√d + bias) · v` inside windows.
///
/// # Shapes
/// qkv `[N, 3·C, H, W]`, H and W multiples of the window; table `[(2·side − 1)², heads]`; output `[N, C, H, W]`
pub fn attend(qkv: Tensor<4>, table: Tensor<2>, window: Window) -> Tensor<4> {
    flex::attend(&qkv, &table, window).unwrap_or_else(|| general(qkv, table, window))
}

/// The same by burn's operations.
fn general(qkv: Tensor<4>, table: Tensor<2>, window: Window) -> Tensor<4> {
    let Window { heads, side, shift } = window;
    let [n, channels, h, w] = qkv.dims();
    let (c, d, area) = (channels / 3, channels / 3 / heads, side * side);
    let (rows, columns) = (h / side, w / side);
    let count = n * rows * columns;
    let device = qkv.device();
    let x = roll(roll(qkv, 2, shift), 3, shift);
    // [N, 3·heads·d, rows, side, columns, side] to [3, N, rows, columns, heads, side, side, d]
    let x = x.reshape([n, 3 * heads, d, rows, side, columns, side]).permute([1, 0, 3, 5, 4, 6, 2]);
    let x = x.reshape([3, heads, count, area, d]);
    let part = |k: usize| x.clone().narrow(0, k, 1).reshape([heads * count, area, d]);
    let (q, k, v) = (part(0), part(1), part(2));
    let scores = (q * (d as f64).powf(-0.5)).matmul(k.swap_dims(1, 2)).reshape([heads, count, area, area]);
    let index = Tensor::<1, burn::tensor::Int>::from_data(relative_positions(side), &device);
    let bias = table.select(0, index).reshape([1, area, area, heads]).permute([3, 0, 1, 2]);
    let mut scores = scores + bias;
    if shift > 0 {
        let mask = mask(rows, columns, side, shift, &device).reshape([1, 1, rows * columns, area * area]);
        let flat = scores.reshape([heads, n, rows * columns, area * area]) + mask;
        scores = flat.reshape([heads, count, area, area]);
    }
    let y = softmax(scores, 3).reshape([heads * count, area, area]).matmul(v);
    // [heads, N, rows, columns, side, side, d] back to [N, heads, d, rows, side, columns, side]
    let y = y.reshape([heads, n, rows, columns, side, side, d]).permute([1, 0, 6, 2, 4, 3, 5]);
    let y = y.reshape([n, c, h, w]);
    roll(roll(y, 2, h - shift), 3, w - shift)
}

/// Moves everything `by` places towards the start of a dimension, cyclically.
fn roll(x: Tensor<4>, dim: usize, by: usize) -> Tensor<4> {
    let n = x.dims()[dim];
    let by = by % n;
    if by == 0 {
        return x;
    }
    Tensor::cat(vec![x.clone().narrow(dim, by, n - by), x.narrow(dim, 0, by)], dim)
}

/// Row of the table for every query and key of a window.
fn relative_positions(side: usize) -> TensorData {
    let area = side * side;
    let rows: Vec<i64> = (0..area * area).map(|i| position(side, i / area, i % area) as i64).collect();
    TensorData::new(rows, [area * area])
}

/// Row of the table for a query and a key.
fn position(side: usize, query: usize, key: usize) -> usize {
    let difference = |query: usize, key: usize| query + side - 1 - key;
    difference(query / side, key / side) * (2 * side - 1) + difference(query % side, key % side)
}

/// For every window of the rolled image, query and key: 0 where both come from the same side of each seam.
fn mask(rows: usize, columns: usize, side: usize, shift: usize, device: &Device) -> Tensor<1> {
    // Only the last window of a row or column holds a seam, `shift` pixels before its end.
    let after = |i: usize, windows: usize| i >= windows * side - shift;
    let mut values = Vec::with_capacity(rows * columns * side.pow(4));
    for (wy, wx) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
        let region = |i: usize| (after(wy * side + i / side, rows), after(wx * side + i % side, columns));
        for q in 0..side * side {
            values.extend((0..side * side).map(|k| if region(q) == region(k) { 0.0 } else { MASKED }));
        }
    }
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

#[cfg(test)]
mod tests;
