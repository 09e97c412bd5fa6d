//! [`Planes`]: an image as planes of floats, and the linear filters that degradations are made of.

use super::settings::ResizeFilter;
use mcir_runtime::image::{Image, ImageError};
use pulp::{Arch, Simd, WithSimd};

/// An image in planes, values in 0..1 where nothing overshoots.
#[derive(Debug, Clone, PartialEq)]
pub struct Planes {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `[channels, height, width]`
    pub data: Vec<f32>,
}

impl Planes {
    /// From interleaved bytes.
    pub fn of(image: &Image) -> Self {
        let channels = image.channels();
        let plane = |c: usize| image.data()[c..].iter().step_by(channels).map(|&v| f32::from(v) / 255.0);
        let data = (0..channels).flat_map(plane).collect();
        Self { width: image.width(), height: image.height(), data }
    }

    /// Rounded to bytes.
    ///
    /// # Errors
    /// The image has no pixels.
    pub fn to_image(&self) -> Result<Image, ImageError> {
        Image::new(self.width, self.height, self.channels(), self.bytes())
    }

    /// Rounded and interleaved.
    pub fn bytes(&self) -> Vec<u8> {
        let (n, channels) = (self.pixels(), self.channels());
        let byte =
            |i: usize| (self.data[i % channels * n + i / channels].clamp(0.0, 1.0) * 255.0).round() as u8;
        (0..n * channels).map(byte).collect()
    }

    /// Number of planes.
    pub fn channels(&self) -> usize {
        self.data.len() / self.pixels().max(1)
    }

    fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// Rounds every value to that of a byte, clamped to 0..1.
    pub fn round(&mut self) {
        self.data.iter_mut().for_each(|v| *v = (v.clamp(0.0, 1.0) * 255.0).round() / 255.0);
    }

    /// A rectangle of it.
    ///
    /// # Panics
    /// If it leaves the image.
    pub fn crop(&self, (x, y): (usize, usize), (width, height): (usize, usize)) -> Self {
        assert!(x + width <= self.width && y + height <= self.height, "a crop stays in its image");
        let mut data = Vec::with_capacity(self.channels() * width * height);
        for plane in self.data.chunks_exact(self.pixels()) {
            let rows = plane.chunks_exact(self.width).skip(y).take(height);
            rows.for_each(|row| data.extend_from_slice(&row[x..x + width]));
        }
        Self { width, height, data }
    }

    /// Adds `left` columns and `top` rows that repeat the edge.
    pub fn extend(&self, left: usize, top: usize) -> Self {
        let mut data = Vec::with_capacity(self.channels() * (self.width + left) * (self.height + top));
        for plane in self.data.chunks_exact(self.pixels()) {
            for y in 0..self.height + top {
                let row = &plane[y.saturating_sub(top) * self.width..][..self.width];
                data.extend(std::iter::repeat_n(row[0], left));
                data.extend_from_slice(row);
            }
        }
        Self { width: self.width + left, height: self.height + top, data }
    }

    /// The correlation with a square kernel of odd side; the edge is repeated outside the image.
    pub fn filter(&self, kernel: &[f32]) -> Self {
        let side = kernel.len().isqrt();
        self.filter_with(kernel, side, side)
    }

    /// The correlation with a column and then a row of an odd number of taps.
    pub fn filter_separably(&self, taps: &[f32]) -> Self {
        self.filter_with(taps, 1, taps.len()).filter_with(taps, taps.len(), 1)
    }

    fn filter_with(&self, kernel: &[f32], columns: usize, rows: usize) -> Self {
        debug_assert_eq!(kernel.len(), columns * rows, "a kernel of its size");
        let (w, h) = (self.width, self.height);
        let padded = self.bordered(columns / 2, rows / 2);
        let mut data = vec![0.0; self.data.len()];
        let planes = padded.data.chunks_exact(padded.width * padded.height).zip(data.chunks_exact_mut(w * h));
        for (from, to) in planes {
            Arch::new().dispatch(Filter { from, width: padded.width, kernel, columns, to, out_width: w });
        }
        Self { width: w, height: h, data }
    }

    /// With the edge repeated on every side.
    fn bordered(&self, x: usize, y: usize) -> Self {
        let (width, height) = (self.width + 2 * x, self.height + 2 * y);
        let mut data = Vec::with_capacity(self.channels() * width * height);
        for plane in self.data.chunks_exact(self.pixels()) {
            for row in 0..height {
                let row = &plane[row.saturating_sub(y).min(self.height - 1) * self.width..][..self.width];
                data.extend(std::iter::repeat_n(row[0], x));
                data.extend_from_slice(row);
                data.extend(std::iter::repeat_n(row[self.width - 1], x));
            }
        }
        Self { width, height, data }
    }

    /// Resampled to another size, rows first; the corners of both images coincide.
    pub fn resize(&self, width: usize, height: usize, filter: ResizeFilter) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let (rows, columns) = (taps(self.height, height, filter), taps(self.width, width, filter));
        let mut data = Vec::with_capacity(self.channels() * width * height);
        let mut sums = vec![0.0; self.width];
        for plane in self.data.chunks_exact(self.pixels()) {
            for (first, weights) in &rows {
                sums.fill(0.0);
                for (row, &weight) in plane.chunks_exact(self.width).skip(*first).zip(weights) {
                    sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
                }
                let dot = |(first, weights): &(usize, Vec<f32>)| {
                    sums[*first..].iter().zip(weights).map(|(x, w)| x * w).sum::<f32>()
                };
                data.extend(columns.iter().map(dot));
            }
        }
        Self { width, height, data }
    }
}

/// The correlation of a plane that has its border with a kernel.
struct Filter<'a> {
    from: &'a [f32],
    width: usize,
    kernel: &'a [f32],
    columns: usize,
    to: &'a mut [f32],
    out_width: usize,
}

/// Sums that stay in registers while the kernel passes.
const BLOCK: usize = 64;

impl WithSimd for Filter<'_> {
    type Output = ();

    /// Plain code, compiled for the processor's vectors. Every sum runs down the kernel in order, whatever their width.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (y, out) in self.to.chunks_exact_mut(self.out_width).enumerate() {
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let mut sums = [0.0; BLOCK];
                for (ky, taps) in self.kernel.chunks_exact(self.columns).enumerate() {
                    let row = &self.from[(y + ky) * self.width + block * BLOCK..];
                    for (kx, &tap) in taps.iter().enumerate() {
                        match row.get(kx..kx + BLOCK) {
                            Some(row) => sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += tap * x),
                            // The end of the last row.
                            None => sums.iter_mut().zip(&row[kx..]).for_each(|(sum, x)| *sum += tap * x),
                        }
                    }
                }
                out.copy_from_slice(&sums[..out.len()]);
            }
        }
    }
}

/// For each of `to` samples of a row of `from`: the first sample read, and the weights from there on, of sum one.
fn taps(from: usize, to: usize, filter: ResizeFilter) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f64 / to as f64;
    // Against aliasing the kernel is as wide as the output's grid; when enlarging, as the input's.
    let wide = scale.max(1.0);
    let support = match filter {
        ResizeFilter::Area => 0.5 * wide + 0.5,
        ResizeFilter::Bilinear => wide,
        ResizeFilter::Bicubic => 2.0 * wide,
    };
    let one = |out: usize| {
        let centre = (out as f64 + 0.5) * scale - 0.5;
        let (first, last) = ((centre - support).ceil() as i64, (centre + support).floor() as i64);
        // Mirrored at the border, its pixel repeated, as MATLAB does.
        let inside = |i: i64| {
            let (n, period) = (from as i64, 2 * from as i64);
            let i = i.rem_euclid(period);
            (if i < n { i } else { period - 1 - i }) as usize
        };
        let (low, high) =
            (first..=last).map(inside).fold((from, 0), |(low, high), i| (low.min(i), high.max(i)));
        let mut weights = vec![0.0; high - low + 1];
        for i in first..=last {
            let x = (i as f64 - centre).abs();
            weights[inside(i) - low] += match filter {
                // What the pixel's area and the output's have in common.
                ResizeFilter::Area => (0.5 * wide + 0.5 - x).clamp(0.0, wide.min(1.0)),
                ResizeFilter::Bilinear => (1.0 - x / wide).max(0.0),
                ResizeFilter::Bicubic => keys(x / wide),
            };
        }
        let sum: f64 = weights.iter().sum();
        (low, weights.iter().map(|w| (w / sum) as f32).collect())
    };
    (0..to).map(one).collect()
}

/// Keys' kernel with a = −0.5 at a distance of `x` or more than zero.
fn keys(x: f64) -> f64 {
    match x {
        x if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}
