//! Interpolation as two products with constant matrices.
//!
//! The matrices hold the weights of the definition, borders included, so that the result follows it exactly
//! at every size; burn's own interpolation differs at the borders and in the bicubic constant.

use burn::tensor::{Device, Tensor, TensorData};
use mcir_runtime::model::Filter;

/// Upscales by an integer factor. Pixel centres lie at half-integers and edge pixels are repeated outside
/// the image, as [`Filter`] defines.
///
/// # Shapes
/// input `[N, C, H, W]`; output `[N, C, H·upscale, W·upscale]`
pub fn resize(x: Tensor<4>, upscale: usize, filter: Filter) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    resize_to(x, [h * upscale, w * upscale], filter)
}

/// Interpolates to a height and width, without smoothing where they are smaller.
///
/// # Shapes
/// input `[N, C, H, W]`; output `[N, C, H', W']`
pub fn resize_to(x: Tensor<4>, [to_h, to_w]: [usize; 2], filter: Filter) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    if (h, w) == (1, 1) {
        // Of one pixel every filter makes that pixel.
        return x.expand([n, c, to_h, to_w]);
    }
    let device = x.device();
    let rows = matrix(h, to_h, filter, &device).reshape([1, to_h, h]);
    let columns = matrix(w, to_w, filter, &device);
    let x = x.reshape([n * c * h, w]).matmul(columns.transpose()).reshape([n * c, h, to_w]);
    rows.expand([n * c, to_h, h]).matmul(x).reshape([n, c, to_h, to_w])
}

/// The interpolation of one dimension, `[to, n]`.
fn matrix(n: usize, to: usize, filter: Filter, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(weights(n, to, filter), [to, n]), device)
}

fn weights(n: usize, to: usize, filter: Filter) -> Vec<f32> {
    let mut weights = vec![0.0; to * n];
    for (out, row) in weights.chunks_exact_mut(n).enumerate() {
        // Position of the output pixel's centre in units of input pixels.
        let centre = match filter {
            Filter::AlignedBilinear => out as f64 * (n as f64 - 1.0) / (to as f64 - 1.0).max(1.0),
            _ => (out as f64 + 0.5) * n as f64 / to as f64 - 0.5,
        };
        let first = centre.floor() as i64;
        let taps: Vec<(i64, f64)> = match filter {
            Filter::Nearest => vec![((out * n / to) as i64, 1.0)],
            Filter::Bilinear | Filter::AlignedBilinear => {
                (first..first + 2).map(|i| (i, 1.0 - (centre - i as f64).abs())).collect()
            }
            Filter::Bicubic => cubic_taps(first, centre, -0.5),
            Filter::SharpBicubic => cubic_taps(first, centre, -0.75),
        };
        for (i, weight) in taps {
            row[i.clamp(0, n as i64 - 1) as usize] += weight as f32;
        }
    }
    weights
}

fn cubic_taps(first: i64, centre: f64, a: f64) -> Vec<(i64, f64)> {
    (first - 1..first + 3).map(|i| (i, cubic(centre - i as f64, a))).collect()
}

/// Keys' kernel.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bilinear_by_two_is_quarters() {
        let w = weights(3, 6, Filter::Bilinear);
        let expected = [
            [1.0, 0.0, 0.0],
            [0.75, 0.25, 0.0],
            [0.25, 0.75, 0.0],
            [0.0, 0.75, 0.25],
            [0.0, 0.25, 0.75],
            [0.0, 0.0, 1.0],
        ];
        assert_eq!(w, expected.concat());
    }

    #[test]
    fn a_ramp_stays_a_ramp_inside() {
        let n = 9;
        for upscale in [2, 3, 4] {
            for filter in [Filter::Bilinear, Filter::Bicubic] {
                let w = weights(n, n * upscale, filter);
                for out in 2 * upscale..(n - 2) * upscale {
                    let y: f32 = (0..n).map(|i| w[out * n + i] * i as f32).sum();
                    let centre = (out as f32 + 0.5) / upscale as f32 - 0.5;
                    assert!((y - centre).abs() < 1e-5, "{filter:?} x{upscale} at {out}: {y} for {centre}");
                }
            }
        }
    }

    #[test]
    fn weights_sum_to_one_even_for_one_pixel() {
        for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::SharpBicubic] {
            for n in [1, 2, 5] {
                for row in weights(n, 4 * n, filter).chunks_exact(n) {
                    assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{filter:?} {n}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn tensors_are_resized_in_both_dimensions() {
        let device = Device::flex();
        let x = Tensor::<4>::from_data(
            TensorData::new(vec![0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0], [1, 1, 2, 3]),
            &device,
        );
        let y = resize(x, 2, Filter::Nearest).into_data().try_into_vec::<f32>().expect("f32");
        let rows = [[0.0, 0.0, 1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0, 5.0, 5.0]];
        assert_eq!(y, [rows[0], rows[0], rows[1], rows[1]].concat());
    }
}
