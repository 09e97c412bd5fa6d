//! Pooling as the engine does it.

use burn::tensor::{Tensor, module::max_pool2d, ops::MaxPoolOptions};
use mcir_runtime::model::{Pool, Statistic};

/// The largest value of each window.
///
/// # Shapes
/// input `[N, C, H, W]`; output `[N, C, pool.size(H), pool.size(W)]`
///
/// # Panics
/// If the image is smaller than a window.
pub fn max_pool(x: Tensor<4>, pool: Pool) -> Tensor<4> {
    let Pool { window, stride, before, after } = pool;
    let [n, c, h, w] = x.dims();
    // What windows leave out at the ends is no padding, but less to read.
    let cut = |edge: i8| usize::from(edge.min(0).unsigned_abs());
    let inside = |size: usize| cut(before)..size - cut(after);
    let x = x.slice([0..n, 0..c, inside(h), inside(w)]);
    let beyond = |edge: i8| usize::from(edge.max(0).unsigned_abs());
    let mut options = MaxPoolOptions::new([window.into(); 2]);
    options.stride = [stride.into(); 2];
    options.padding = [(beyond(before), beyond(after)); 2];
    max_pool2d(x, options)
}

/// One value for each channel.
///
/// # Shapes
/// input `[N, C, H, W]`; output `[N, C, 1, 1]`
pub fn statistic(x: Tensor<4>, statistic: Statistic) -> Tensor<4> {
    /// So that the root of nothing has a gradient.
    const LEAST: f32 = 1e-12;
    let mean = x.clone().mean_dim(2).mean_dim(3);
    match statistic {
        Statistic::Mean => mean,
        Statistic::Deviation => (x - mean).square().mean_dim(2).mean_dim(3).add_scalar(LEAST).sqrt(),
    }
}
