//! Bicubic resampling that reproduces MATLAB's `imresize` on `uint8` images bit for bit.
//!
//! Super-resolution is measured on images that were shrunk with exactly this function; another bicubic (other
//! `a`, no antialiasing, one rounding) shifts results by tenths of a dB.

use crate::image::owned::{Image, ImageError, samples};
use alloc::{vec, vec::Vec};

/// The image at `width` x `height` pixels, bicubic.
///
/// The kernel has `a = −0.5`, is widened by the factor when it shrinks (antialiasing), its weights are
/// normalised, and borders are mirrored with the edge pixel repeated. The dimension with the smaller factor
/// goes first, vertical when they are equal, and its result is rounded to 8 bits before the other follows.
///
/// # Errors
/// [`ImageError::Size`] when the result would be empty or too large to address.
///
/// # Source
/// The documented behaviour of MATLAB's `imresize(A, [rows cols], 'bicubic')`; Keys, "Cubic convolution
/// interpolation for digital image processing", 1981, for the kernel.
pub fn resize_bicubic(image: &Image, width: usize, height: usize) -> Result<Image, ImageError> {
    samples(width, height, image.channels)?;
    // height / image.height <= width / image.width, without division.
    let vertical_first = height as u128 * image.width as u128 <= width as u128 * image.height as u128;
    if vertical_first {
        horizontal(&vertical(image, height)?, width)
    } else {
        vertical(&horizontal(image, width)?, height)
    }
}

/// Which input samples make each output sample, and with what weight.
struct Taps {
    /// Taps of output `i` are `taps[starts[i]..starts[i + 1]]`.
    starts: Vec<usize>,
    /// Input index, mirrored into the image, and weight.
    taps: Vec<(usize, f64)>,
}

impl Taps {
    fn new(from: usize, to: usize) -> Self {
        // The inverse of the factor is exact for integer shrinking, where ties in rounding are common.
        let inverse = from as f64 / to as f64;
        let stretch = if inverse > 1.0 { inverse } else { 1.0 };
        let reach = 2.0 * stretch;
        let mut starts = Vec::with_capacity(to + 1);
        let mut taps: Vec<(usize, f64)> = Vec::new();
        for i in 0..to {
            starts.push(taps.len());
            // Centre of output pixel i in input pixels, counted from the centre of the first one.
            let centre = (i as f64 + 0.5) * inverse - 0.5;
            let first = libm::floor(centre - reach) as i64;
            let last = libm::ceil(centre + reach) as i64;
            let begin = taps.len();
            let mut sum = 0.0;
            for k in first..=last {
                let weight = cubic((centre - k as f64) / stretch);
                sum += weight;
                if weight != 0.0 {
                    taps.push((mirror(k, from), weight));
                }
            }
            taps[begin..].iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        starts.push(taps.len());
        Self { starts, taps }
    }

    fn of(&self, i: usize) -> &[(usize, f64)] {
        &self.taps[self.starts[i]..self.starts[i + 1]]
    }
}

/// Keys' cubic with `a = −0.5`.
fn cubic(x: f64) -> f64 {
    let x = libm::fabs(x);
    let (x2, x3) = (x * x, x * x * x);
    if x <= 1.0 {
        1.5 * x3 - 2.5 * x2 + 1.0
    } else if x <= 2.0 {
        -0.5 * x3 + 2.5 * x2 - 4.0 * x + 2.0
    } else {
        0.0
    }
}

/// Index into a signal of `n` samples that continues mirrored on both sides, the edge sample repeated.
fn mirror(k: i64, n: usize) -> usize {
    let n = n as i64;
    let k = k.rem_euclid(2 * n);
    (if k < n { k } else { 2 * n - 1 - k }) as usize
}

/// Rounds half away from zero and clips.
fn to_u8(v: f64) -> u8 {
    let whole = v as i32;
    (whole + i32::from(v - f64::from(whole) >= 0.5)).clamp(0, 255) as u8
}

fn vertical(image: &Image, height: usize) -> Result<Image, ImageError> {
    let taps = Taps::new(image.height, height);
    let mut data = Vec::with_capacity(samples(image.width, height, image.channels)?);
    let mut sums = vec![0.0; image.width * image.channels];
    for y in 0..height {
        sums.fill(0.0);
        for &(k, weight) in taps.of(y) {
            for (sum, &v) in sums.iter_mut().zip(image.row(k)) {
                *sum += weight * f64::from(v);
            }
        }
        data.extend(sums.iter().map(|&v| to_u8(v)));
    }
    Ok(Image { height, data, ..*image })
}

fn horizontal(image: &Image, width: usize) -> Result<Image, ImageError> {
    let taps = Taps::new(image.width, width);
    let mut data = Vec::with_capacity(samples(width, image.height, image.channels)?);
    for y in 0..image.height {
        let row = image.row(y);
        match image.channels {
            3 => horizontal_row::<3>(row, &taps, width, &mut data),
            _ => horizontal_row::<1>(row, &taps, width, &mut data),
        }
    }
    Ok(Image { width, data, ..*image })
}

fn horizontal_row<const C: usize>(row: &[u8], taps: &Taps, width: usize, out: &mut Vec<u8>) {
    for x in 0..width {
        let mut sums = [0.0; C];
        for &(k, weight) in taps.of(x) {
            let pixel = &row[k * C..(k + 1) * C];
            for (sum, &v) in sums.iter_mut().zip(pixel) {
                *sum += weight * f64::from(v);
            }
        }
        out.extend(sums.map(to_u8));
    }
}
