//! PSNR and SSIM between two 8-bit images: the only copy in the project, so that the trainer, the quantizer's
//! gate and the board tool mean the same number.
//!
//! The conventions are those of the super-resolution literature: the output is rounded to 8 bits first,
//! `crop_border` pixels (usually the upscaling factor) are left out on each side, and Y is BT.601 in 16..235,
//! not rounded. An original of one channel is Y itself, which then spans 0..255, as in the tables that MATLAB's scripts
//! made; an RGB image is compared with it by its luma, stretched to that range. Programs that expand such an original to
//! RGB ([`Image::to_rgb`]) before they take Y squeeze its range, which adds 20 log10(255 / 219) = 1.32 dB to it.

#[cfg(test)]
mod tests;

use crate::image::Image;
use alloc::{vec, vec::Vec};
use core::fmt;

/// Side of the SSIM window in pixels.
pub const SSIM_WINDOW: usize = 11;
const SSIM_SIGMA: f64 = 1.5;
const PEAK: f64 = 255.0;
const C1: f64 = (0.01 * PEAK) * (0.01 * PEAK);
const C2: f64 = (0.03 * PEAK) * (0.03 * PEAK);

/// Why two images cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricError {
    /// The images differ in size or channels.
    Mismatch {
        /// `[height, width, channels]` of the first.
        expected: [usize; 3],
        /// The same of the second.
        found: [usize; 3],
    },
    /// Too little is left between the borders.
    TooSmall {
        /// Smaller side of the image in pixels.
        found: usize,
        /// Smallest side that the measure needs with this border.
        limit: usize,
    },
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Mismatch { expected: [h0, w0, c0], found: [h1, w1, c1] } => {
                write!(f, "images of {w0}x{h0}x{c0} and {w1}x{h1}x{c1} cannot be compared")
            }
            Self::TooSmall { found, limit } => {
                write!(
                    f,
                    "an image side of {found} pixels is too short to compare, at least {limit} are needed"
                )
            }
        }
    }
}

impl core::error::Error for MetricError {}

/// PSNR on Y.
///
/// # Units
/// dB with peak 255; infinite for equal images.
///
/// # Errors
/// [`MetricError::Mismatch`] when sizes or channels differ, except for an RGB image with a grey original;
/// [`MetricError::TooSmall`] when no pixel is left between the borders.
pub fn psnr_y(sr: &Image, hr: &Image, crop_border: usize) -> Result<f64, MetricError> {
    let area = Area::of_luma(sr, hr, crop_border, 1)?;
    let [sr, hr] = brightness(sr, hr);
    Ok(psnr(mean_squared_error(&area, &sr, &hr, 1)))
}

/// PSNR over all channels together, one mean squared error.
///
/// # Units
/// dB with peak 255; infinite for equal images.
///
/// # Errors
/// [`MetricError::Mismatch`] when sizes or channels differ, [`MetricError::TooSmall`] when no pixel is left
/// between the borders.
pub fn psnr_rgb(sr: &Image, hr: &Image, crop_border: usize) -> Result<f64, MetricError> {
    let area = Area::new(sr, hr, crop_border, 1)?;
    Ok(psnr(mean_squared_error(&area, sr.data(), hr.data(), sr.channels())))
}

/// SSIM on Y: Gaussian window of 11 x 11 with sigma 1.5, valid positions only, K1 = 0.01, K2 = 0.03.
///
/// # Units
/// −1..=1; 1 for equal images.
///
/// # Errors
/// [`MetricError::Mismatch`] when sizes or channels differ, except for an RGB image with a grey original;
/// [`MetricError::TooSmall`] when the window does not fit between the borders.
///
/// # Source
/// Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004.
pub fn ssim_y(sr: &Image, hr: &Image, crop_border: usize) -> Result<f64, MetricError> {
    let area = Area::of_luma(sr, hr, crop_border, SSIM_WINDOW)?;
    let [sr, hr] = brightness(sr, hr);
    Ok(ssim(&area, &sr, &hr))
}

/// Y of an image and its original: in 16..235, or in 0..255 where the original is grey.
fn brightness(sr: &Image, hr: &Image) -> [Vec<f64>; 2] {
    let [mut y, original] = [sr, hr].map(Image::luma);
    if sr.channels() != hr.channels() {
        y.iter_mut().for_each(|y| *y = (*y - 16.0) * (255.0 / 219.0));
    }
    [y, original]
}

/// Mean over the channels of the SSIM of each.
///
/// # Units
/// −1..=1; 1 for equal images.
///
/// # Errors
/// As [`ssim_y`].
pub fn ssim_rgb(sr: &Image, hr: &Image, crop_border: usize) -> Result<f64, MetricError> {
    let area = Area::new(sr, hr, crop_border, SSIM_WINDOW)?;
    let channels = sr.channels();
    let plane = |image: &Image, c: usize| -> Vec<f64> {
        image.data()[c..].iter().step_by(channels).map(|&v| f64::from(v)).collect()
    };
    let sum: f64 = (0..channels).map(|c| ssim(&area, &plane(sr, c), &plane(hr, c))).sum();
    Ok(sum / channels as f64)
}

/// The part of two equally large images that is compared.
struct Area {
    width: usize,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Area {
    /// [`Area::new`] where an RGB image may have a grey original.
    fn of_luma(sr: &Image, hr: &Image, crop_border: usize, window: usize) -> Result<Self, MetricError> {
        let size = |i: &Image| (i.height(), i.width());
        match size(sr) == size(hr) && (sr.channels(), hr.channels()) == (3, 1) {
            true => Self::new(sr, sr, crop_border, window),
            false => Self::new(sr, hr, crop_border, window),
        }
    }

    /// `window` is the least side that must remain.
    fn new(sr: &Image, hr: &Image, crop_border: usize, window: usize) -> Result<Self, MetricError> {
        let dims = |i: &Image| [i.height(), i.width(), i.channels()];
        if dims(sr) != dims(hr) {
            return Err(MetricError::Mismatch { expected: dims(sr), found: dims(hr) });
        }
        let limit = crop_border.saturating_mul(2).saturating_add(window);
        let found = sr.width().min(sr.height());
        if found < limit {
            return Err(MetricError::TooSmall { found, limit });
        }
        Ok(Self {
            width: sr.width(),
            left: crop_border,
            right: sr.width() - crop_border,
            top: crop_border,
            bottom: sr.height() - crop_border,
        })
    }

    /// Row `y` of a plane with `channels` samples a pixel, between the borders.
    fn row<'a, T>(&self, plane: &'a [T], y: usize, channels: usize) -> &'a [T] {
        let start = y * self.width;
        &plane[(start + self.left) * channels..(start + self.right) * channels]
    }
}

fn mean_squared_error<T: Copy + Into<f64>>(area: &Area, a: &[T], b: &[T], channels: usize) -> f64 {
    let mut sum = 0.0;
    for y in area.top..area.bottom {
        let pairs = area.row(a, y, channels).iter().zip(area.row(b, y, channels));
        sum += pairs.map(|(&a, &b)| (a.into() - b.into()) * (a.into() - b.into())).sum::<f64>();
    }
    sum / ((area.bottom - area.top) * (area.right - area.left) * channels) as f64
}

fn psnr(mean_squared_error: f64) -> f64 {
    // Infinite for 0: the logarithm of infinity is infinity.
    10.0 * libm::log10(PEAK * PEAK / mean_squared_error)
}

/// The weights of one dimension; the window is their outer product.
fn gaussian() -> [f64; SSIM_WINDOW] {
    let centre = (SSIM_WINDOW / 2) as f64;
    let mut window = [0.0; SSIM_WINDOW];
    for (i, w) in window.iter_mut().enumerate() {
        let d = (i as f64 - centre) / SSIM_SIGMA;
        *w = libm::exp(-0.5 * d * d);
    }
    let sum: f64 = window.iter().sum();
    window.map(|w| w / sum)
}

/// Mean SSIM over the valid positions. The window is separable: for each output row the five local moments
/// are gathered down the columns into one row each, then along the row.
fn ssim(area: &Area, a: &[f64], b: &[f64]) -> f64 {
    let window = gaussian();
    let width = area.right - area.left;
    let mut columns = vec![[0.0; 5]; width];
    let (rows, positions) = (area.bottom - area.top - SSIM_WINDOW + 1, width - SSIM_WINDOW + 1);
    let mut sum = 0.0;
    for y in 0..rows {
        columns.fill([0.0; 5]);
        for (k, weight) in window.iter().enumerate() {
            let at = area.top + y + k;
            let pairs = area.row(a, at, 1).iter().zip(area.row(b, at, 1));
            for (column, (&a, &b)) in columns.iter_mut().zip(pairs) {
                for (moment, v) in column.iter_mut().zip([a, b, a * a, b * b, a * b]) {
                    *moment += weight * v;
                }
            }
        }
        for x in 0..positions {
            let mut m = [0.0; 5];
            for (weight, column) in window.iter().zip(&columns[x..x + SSIM_WINDOW]) {
                for (moment, v) in m.iter_mut().zip(column) {
                    *moment += weight * v;
                }
            }
            sum += similarity(m);
        }
    }
    sum / (rows * positions) as f64
}

/// SSIM of one window from the means of `a`, `b`, `a²`, `b²` and `ab`.
fn similarity([mean_a, mean_b, aa, bb, ab]: [f64; 5]) -> f64 {
    let (var_a, var_b, cov) = (aa - mean_a * mean_a, bb - mean_b * mean_b, ab - mean_a * mean_b);
    let luminance = (2.0 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1);
    luminance * (2.0 * cov + C2) / (var_a + var_b + C2)
}
