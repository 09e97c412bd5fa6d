//! Direct convolution and its gradients on slices.
//!
//! Each image is copied once into planes with a zero border. In such a flat plane the input of a tap lies at
//! a fixed distance from the output, so a convolution is a sum over a list of distances: no patches are
//! gathered, and a tile of 8 channels x 1 or 2 vectors stays in registers while it runs down the list. The few
//! positions between two rows are computed too and thrown away.
//!
//! Every sum has a fixed order, whatever the number of threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Channels of a tile.
const BLOCK: usize = 8;
/// Taps of a tile of the weight gradient.
const TAPS: usize = 3;
/// Floats of the widest tile, and of the slack behind each plane.
const SPAN: usize = 32;

/// Sizes of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Images in the batch.
    pub images: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Side of the kernel, odd.
    pub kernel: usize,
}

impl Shape {
    fn pad(&self) -> usize {
        self.kernel / 2
    }

    /// Width of a padded row.
    fn stride(&self) -> usize {
        self.width + 2 * self.pad()
    }

    /// Positions of a flat output plane, rounded up to whole tiles.
    fn span(&self) -> usize {
        (self.height * self.stride()).next_multiple_of(SPAN)
    }

    /// Length of a padded input plane, with room for the last tile's furthest tap.
    fn plane(&self) -> usize {
        self.span() + 2 * self.pad() * (self.stride() + 1)
    }

    fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Distances from an output position to its inputs, channel by channel, in the order of the weights.
    fn distances(&self, channels: usize) -> Vec<usize> {
        let k = self.kernel;
        let tap = |c: usize, t: usize| c * self.plane() + (t / k) * self.stride() + t % k;
        (0..channels).flat_map(|c| (0..k * k).map(move |t| tap(c, t))).collect()
    }

    /// Copies an image of `channels` planes into zeroed planes of length `plane`, rows at `first`.
    fn flatten(&self, image: &[f32], plane: usize, first: usize) -> Vec<f32> {
        let channels = image.len() / self.pixels();
        let mut flat = vec![0.0; channels * plane];
        for (from, to) in image.chunks_exact(self.pixels()).zip(flat.chunks_exact_mut(plane)) {
            for (y, row) in from.chunks_exact(self.width).enumerate() {
                let at = first + y * self.stride();
                to[at..at + self.width].copy_from_slice(row);
            }
        }
        flat
    }

    fn padded(&self, image: &[f32]) -> Vec<f32> {
        self.flatten(image, self.plane(), self.pad() * self.stride() + self.pad())
    }
}

/// `[images, outputs, height, width]` from `[images, inputs, height, width]` and
/// `[outputs, inputs, kernel, kernel]`.
pub fn forward(shape: &Shape, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let taps = shape.inputs * shape.kernel * shape.kernel;
    let distances = shape.distances(shape.inputs);
    // [block][tap][channel in block], zero beyond the last channel.
    let mut packed = vec![[0.0; BLOCK]; shape.outputs.div_ceil(BLOCK) * taps];
    for (o, row) in weight.chunks_exact(taps).enumerate() {
        for (t, &w) in row.iter().enumerate() {
            packed[o / BLOCK * taps + t][o % BLOCK] = w;
        }
    }
    let mut y = vec![0.0; shape.images * shape.outputs * shape.pixels()];
    let images = x.par_chunks_exact(shape.inputs * shape.pixels());
    y.par_chunks_exact_mut(shape.outputs * shape.pixels()).zip(images).for_each(|(y, x)| {
        let x = shape.padded(x);
        let blocks = y.par_chunks_mut(BLOCK * shape.pixels()).zip(packed.par_chunks_exact(taps));
        blocks.enumerate().for_each(|(block, (y, weights))| {
            let mut flat = vec![0.0; BLOCK * shape.span()];
            Arch::new().dispatch(Forward { x: &x, distances: &distances, weights, y: &mut flat });
            for (c, y) in y.chunks_exact_mut(shape.pixels()).enumerate() {
                let bias = bias.map_or(0.0, |b| b[block * BLOCK + c]);
                let rows = flat[c * shape.span()..].chunks(shape.stride());
                for (y, row) in y.chunks_exact_mut(shape.width).zip(rows) {
                    y.iter_mut().zip(row).for_each(|(y, v)| *y = v + bias);
                }
            }
        });
    });
    y
}

/// Gradient of the input: the convolution of the output's gradient with the turned and transposed weights.
pub fn input_gradient(shape: &Shape, dy: &[f32], weight: &[f32]) -> Vec<f32> {
    let taps = shape.kernel * shape.kernel;
    let mut turned = vec![0.0; weight.len()];
    for o in 0..shape.outputs {
        for i in 0..shape.inputs {
            for t in 0..taps {
                turned[(i * shape.outputs + o) * taps + taps - 1 - t] =
                    weight[(o * shape.inputs + i) * taps + t];
            }
        }
    }
    let swapped = Shape { inputs: shape.outputs, outputs: shape.inputs, ..*shape };
    forward(&swapped, dy, &turned, None)
}

/// Gradient of the weights.
pub fn weight_gradient(shape: &Shape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let distances = shape.distances(shape.inputs);
    let images = x.par_chunks_exact(shape.inputs * shape.pixels());
    let images = images.zip(dy.par_chunks_exact(shape.outputs * shape.pixels()));
    let parts: Vec<Vec<f32>> = images
        .map(|(x, dy)| {
            let (x, dy) = (shape.padded(x), shape.flatten(dy, shape.span(), 0));
            let mut dw = vec![0.0; shape.outputs * distances.len()];
            let blocks = dw.par_chunks_mut(BLOCK * distances.len());
            blocks.zip(dy.par_chunks(BLOCK * shape.span())).for_each(|(dw, dy)| {
                let span = shape.span();
                Arch::new().dispatch(WeightGradient { x: &x, dy, span, distances: &distances, dw });
            });
            dw
        })
        .collect();
    let mut sum = vec![0.0; shape.outputs * distances.len()];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
    sum
}

/// Gradient of the bias.
pub fn bias_gradient(shape: &Shape, dy: &[f32]) -> Vec<f32> {
    let mut db = vec![0.0; shape.outputs];
    for (i, plane) in dy.chunks_exact(shape.pixels()).enumerate() {
        // Sixteen sums side by side: one alone would wait for itself at every addition.
        let (parts, rest) = plane.as_chunks::<16>();
        let mut sums = [0.0f32; 16];
        parts.iter().for_each(|part| sums.iter_mut().zip(part).for_each(|(s, v)| *s += v));
        db[i % shape.outputs] += sums.iter().chain(rest).sum::<f32>();
    }
    db
}

/// One block of output channels over a whole plane.
struct Forward<'a> {
    x: &'a [f32],
    distances: &'a [usize],
    weights: &'a [[f32; BLOCK]],
    /// `[BLOCK, span]`
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Registers decide: 32 of AVX-512 hold two vectors a channel, 16 of the others only one.
        if S::F32_LANES == 16 { self.run::<S, 2>(simd) } else { self.run::<S, 1>(simd) }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let (width, span) = (V * S::F32_LANES, self.y.len() / BLOCK);
        for at in (0..span).step_by(width) {
            let mut sums = [[simd.splat_f32s(0.0); V]; BLOCK];
            for (distance, weights) in self.distances.iter().zip(self.weights) {
                let x = vectors::<S, V>(&self.x[at + distance..at + distance + width]);
                for (sums, &weight) in sums.iter_mut().zip(weights) {
                    let weight = simd.splat_f32s(weight);
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum = simd.mul_add_e_f32s(weight, x, *sum);
                    }
                }
            }
            for (c, sums) in sums.iter().enumerate() {
                let y = &mut self.y[c * span + at..c * span + at + width];
                S::as_mut_simd_f32s(y).0.copy_from_slice(sums);
            }
        }
    }
}

/// Up to one block of output channels, all taps.
struct WeightGradient<'a> {
    x: &'a [f32],
    /// `[≤ BLOCK, span]`
    dy: &'a [f32],
    span: usize,
    distances: &'a [usize],
    /// `[≤ BLOCK, taps]`
    dw: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let channels = self.dy.len() / self.span;
        let mut done = 0;
        // 8 channels x 3 taps fit into 32 registers, 4 x 3 into 16.
        if S::F32_LANES == 16 && channels == BLOCK {
            self.run::<S, BLOCK>(simd, 0);
            done = BLOCK;
        }
        while done + 4 <= channels {
            self.run::<S, 4>(simd, done);
            done += 4;
        }
        while done < channels {
            self.run::<S, 1>(simd, done);
            done += 1;
        }
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    fn run<S: Simd, const C: usize>(&mut self, simd: S, first: usize) {
        let (lanes, taps) = (S::F32_LANES, self.distances.len());
        for at in (0..taps).step_by(TAPS) {
            // The last group repeats its last tap; the repeated sums are dropped.
            let tap = |k: usize| self.distances[(at + k).min(taps - 1)];
            let taps3: [usize; TAPS] = std::array::from_fn(tap);
            let mut sums = [[simd.splat_f32s(0.0); TAPS]; C];
            for p in (0..self.span).step_by(lanes) {
                let x: [S::f32s; TAPS] =
                    std::array::from_fn(|k| vector::<S>(&self.x[p + taps3[k]..p + taps3[k] + lanes]));
                for (c, sums) in sums.iter_mut().enumerate() {
                    let start = (first + c) * self.span + p;
                    let dy = vector::<S>(&self.dy[start..start + lanes]);
                    for (sum, &x) in sums.iter_mut().zip(&x) {
                        *sum = simd.mul_add_e_f32s(dy, x, *sum);
                    }
                }
            }
            for (c, sums) in sums.iter().enumerate() {
                let row = &mut self.dw[(first + c) * taps..(first + c + 1) * taps];
                for (w, &sum) in row[at..].iter_mut().zip(sums) {
                    *w = simd.reduce_sum_f32s(sum);
                }
            }
        }
    }
}

#[inline(always)]
fn vectors<S: Simd, const V: usize>(x: &[f32]) -> &[S::f32s; V] {
    S::as_simd_f32s(x).0.first_chunk().expect("the slice holds V vectors")
}

#[inline(always)]
fn vector<S: Simd>(x: &[f32]) -> S::f32s {
    S::as_simd_f32s(x).0[0]
}
