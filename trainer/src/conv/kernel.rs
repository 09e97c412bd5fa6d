//! Direct convolution and its gradients on slices.
//!
//! Each image is copied once into planes with a zero border. In such a flat plane the input of a tap lies at
//! a fixed distance from the output, so a convolution is a sum over a list of distances: no patches are
//! gathered, and a tile of channels x vectors ([`super::tiles`]) stays in registers while it runs down the list. The
//! few positions between two rows are computed too and thrown away.
//!
//! Every sum has a fixed order, whatever the number of threads.

use super::Epilogue;
use super::tiles::{BLOCK, Forward, LANES, NARROW, Reduce, SPAN, TAPS, WeightGradient};
use pulp::Arch;
use rayon::prelude::*;

/// Ranges of images whose weight gradients are summed side by side. Fixed, so that the sum is.
const PARTS: usize = 4;

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

    /// Copies an image into planes of length `plane`, rows at `first`, zeros around them. `flat` is made large
    /// enough; what it holds between the rows must be zero or come from an image of the same shape.
    fn flatten(&self, image: &[f32], plane: usize, first: usize, flat: &mut Vec<f32>) {
        let channels = image.len() / self.pixels();
        flat.resize(channels * plane, 0.0);
        for (from, to) in image.chunks_exact(self.pixels()).zip(flat.chunks_exact_mut(plane)) {
            let rows = to[first..].chunks_mut(self.stride());
            for (row, to) in from.chunks_exact(self.width).zip(rows) {
                to[..self.width].copy_from_slice(row);
            }
        }
    }

    /// The input of [`Shape::distances`].
    fn pad_into(&self, image: &[f32], flat: &mut Vec<f32>) {
        self.flatten(image, self.plane(), self.pad() * self.stride() + self.pad(), flat);
    }
}

/// `[images, outputs, height, width]` from `[images, inputs, height, width]` and
/// `[outputs, inputs, kernel, kernel]`.
pub fn forward(
    shape: &Shape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    epilogue: Epilogue,
) -> Vec<f32> {
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
    let images = y.par_chunks_exact_mut(shape.outputs * shape.pixels()).zip(images);
    images.for_each_init(Vec::new, |padded, (y, x)| {
        shape.pad_into(x, padded);
        let padded = padded.as_slice();
        let blocks = y.par_chunks_mut(BLOCK * shape.pixels()).zip(packed.par_chunks_exact(taps));
        blocks.enumerate().for_each_init(Vec::new, |flat, (block, (y, weights))| {
            let channels = y.len() / shape.pixels();
            let rows = if channels <= NARROW { NARROW } else { BLOCK };
            flat.resize(rows * shape.span(), 0.0);
            Arch::new().dispatch(Forward { x: padded, distances: &distances, weights, rows, y: flat });
            let planes = y.chunks_exact_mut(shape.pixels()).zip(flat.chunks_exact(shape.span()));
            for (c, (y, flat)) in planes.enumerate() {
                let bias = bias.map_or(0.0, |b| b[block * BLOCK + c]);
                for (y, row) in y.chunks_exact_mut(shape.width).zip(flat.chunks(shape.stride())) {
                    match epilogue {
                        Epilogue::Linear => y.iter_mut().zip(row).for_each(|(y, v)| *y = v + bias),
                        Epilogue::Relu => y.iter_mut().zip(row).for_each(|(y, v)| *y = (v + bias).max(0.0)),
                    }
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
    forward(&swapped, dy, &turned, None, Epilogue::Linear)
}

/// Gradient of the weights.
pub fn weight_gradient(shape: &Shape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let distances = shape.distances(shape.inputs);
    let groups = distances.len().div_ceil(TAPS);
    let (inputs, outputs) = (shape.inputs * shape.pixels(), shape.outputs * shape.pixels());
    let images = shape.images.div_ceil(PARTS);
    let parts = x.par_chunks(images * inputs).zip(dy.par_chunks(images * outputs));
    let parts: Vec<Vec<f32>> = parts
        .map(|(x, dy)| {
            // [block][group of taps][channel][tap][lane]
            let mut sums = vec![0.0; shape.outputs * groups * TAPS * LANES];
            let (mut padded, mut flat) = (Vec::new(), Vec::new());
            for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
                shape.pad_into(x, &mut padded);
                shape.flatten(dy, shape.span(), 0, &mut flat);
                let blocks = sums.par_chunks_mut(BLOCK * groups * TAPS * LANES);
                blocks.zip(flat.par_chunks(BLOCK * shape.span())).for_each(|(sums, dy)| {
                    let (x, span) = (padded.as_slice(), shape.span());
                    Arch::new().dispatch(WeightGradient { x, dy, span, distances: &distances, sums });
                });
            }
            let mut dw = vec![0.0; shape.outputs * distances.len()];
            let blocks = sums.chunks(BLOCK * groups * TAPS * LANES);
            for (dw, sums) in dw.chunks_mut(BLOCK * distances.len()).zip(blocks) {
                Arch::new().dispatch(Reduce { sums, taps: distances.len(), dw });
            }
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

/// The gradient before a ReLU from that behind it and the ReLU's output.
pub fn relu_gradient(y: &[f32], dy: &[f32]) -> Vec<f32> {
    y.par_iter().zip(dy).with_min_len(1 << 14).map(|(&y, &dy)| if y > 0.0 { dy } else { 0.0 }).collect()
}
