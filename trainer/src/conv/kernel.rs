//! Convolution and its gradients on slices: the direct one, and where there are many channels that of [`winograd`].
//!
//! Each image is copied once into planes with a zero border. In such a flat plane the input of a tap lies at
//! a fixed distance from the output, so a convolution is a sum over a list of distances: no patches are
//! gathered, and a tile of channels x vectors ([`super::tiles`]) stays in registers while it runs down the list. The
//! few positions between two rows are computed too and thrown away.
//!
//! Every sum has a fixed order, whatever the number of threads.

use super::Epilogue;
use super::tiles::{BLOCK, Forward, LANES, NARROW, Reduce, SPAN, TAPS, WeightGradient};
use super::winograd::{self, Filters, Winograd};
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

    /// Pixels of a plane.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Distances from an output position to its inputs, channel by channel, in the order of the weights.
    fn distances(&self, channels: usize) -> Vec<usize> {
        let k = self.kernel;
        let tap = |c: usize, t: usize| c * self.plane() + (t / k) * self.stride() + t % k;
        (0..channels).flat_map(|c| (0..k * k).map(move |t| tap(c, t))).collect()
    }

    /// The convolution that the gradient of the input is: of the gradient of the output, with turned weights.
    pub fn transposed(&self) -> Self {
        Self { inputs: self.outputs, outputs: self.inputs, ..*self }
    }

    /// Place of the first pixel in a padded plane.
    fn first(&self) -> usize {
        self.pad() * (self.stride() + 1)
    }

    /// Copies an image into planes with zeros around it, as [`Shape::distances`] expects them. `planes` is made
    /// large enough; what it holds must be zeros or come from an image of the same shape. With `y`, the output of
    /// a ReLU, only the pixels that it let through are copied.
    fn pad_into(&self, image: &[f32], y: Option<&[f32]>, planes: &mut Vec<f32>) {
        let n = self.pixels();
        planes.resize(image.len() / n * self.plane(), 0.0);
        for (c, (from, to)) in image.chunks_exact(n).zip(planes.chunks_exact_mut(self.plane())).enumerate() {
            let to = to[self.first()..].chunks_mut(self.stride()).map(|to| &mut to[..self.width]);
            let rows = from.chunks_exact(self.width).zip(to);
            match y {
                None => rows.for_each(|(from, to)| copy(from, to)),
                Some(y) => {
                    let y = y[c * n..(c + 1) * n].chunks_exact(self.width);
                    rows.zip(y).for_each(|((from, to), y)| {
                        for ((from, to), &y) in from.iter().zip(to).zip(y) {
                            *to = if y <= 0.0 { 0.0 } else { *from };
                        }
                    });
                }
            }
        }
    }
}

/// A row is too short for a call of the system's copy.
#[inline]
fn copy(from: &[f32], to: &mut [f32]) {
    let (from, from_rest) = from.as_chunks::<8>();
    let (to, to_rest) = to.as_chunks_mut::<8>();
    from.iter().zip(to).for_each(|(from, to)| *to = *from);
    from_rest.iter().zip(to_rest).for_each(|(from, to)| *to = *from);
}

/// Weights in the order of the tiles: `[block][tap][channel in block]`, zero beyond the last channel.
fn pack(outputs: usize, taps: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<[f32; BLOCK]> {
    let mut packed = vec![[0.0; BLOCK]; outputs.div_ceil(BLOCK) * taps];
    for o in 0..outputs {
        for t in 0..taps {
            packed[o / BLOCK * taps + t][o % BLOCK] = weight(o, t);
        }
    }
    packed
}

/// A convolution of one padded image.
struct Image<'a> {
    shape: &'a Shape,
    distances: &'a [usize],
    packed: &'a [[f32; BLOCK]],
    bias: Option<&'a [f32]>,
    epilogue: Epilogue,
}

impl Image<'_> {
    fn convolve(&self, padded: &[f32], y: &mut [f32]) {
        let Self { shape, distances, bias, epilogue, .. } = *self;
        let blocks =
            y.par_chunks_mut(BLOCK * shape.pixels()).zip(self.packed.par_chunks_exact(distances.len()));
        blocks.enumerate().for_each_init(Vec::new, |flat, (block, (y, weights))| {
            let channels = y.len() / shape.pixels();
            let rows = if channels <= NARROW { NARROW } else { BLOCK };
            flat.resize(rows * shape.span(), 0.0);
            Arch::new().dispatch(Forward { x: padded, distances, weights, rows, y: flat });
            let planes = y.chunks_exact_mut(shape.pixels()).zip(flat.chunks_exact(shape.span()));
            for (c, (y, flat)) in planes.enumerate() {
                let bias = bias.map_or(0.0, |b| b[block * BLOCK + c]);
                for (y, row) in y.chunks_exact_mut(shape.width).zip(flat.chunks(shape.stride())) {
                    match epilogue {
                        Epilogue::Linear => y.iter_mut().zip(row).for_each(|(y, v)| *y = v + bias),
                        // Not `max`, which would turn what is not a number into zero and hide it.
                        Epilogue::Relu => y.iter_mut().zip(row).for_each(|(y, v)| {
                            let v = v + bias;
                            *y = if v <= 0.0 { 0.0 } else { v };
                        }),
                    }
                }
            }
        });
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
    if winograd::suits(shape) {
        let filters = &Filters::new(shape, weight);
        return Winograd { shape, filters, bias, epilogue }.convolve(x, None);
    }
    direct(shape, x, weight, bias, epilogue)
}

/// [`forward`] without Winograd's algorithm.
pub fn direct(
    shape: &Shape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    epilogue: Epilogue,
) -> Vec<f32> {
    let distances = shape.distances(shape.inputs);
    let packed = pack(shape.outputs, distances.len(), |o, t| weight[o * distances.len() + t]);
    let image = Image { shape, distances: &distances, packed: &packed, bias, epilogue };
    let mut y = vec![0.0; shape.images * shape.outputs * shape.pixels()];
    let images = x.par_chunks_exact(shape.inputs * shape.pixels());
    let images = y.par_chunks_exact_mut(shape.outputs * shape.pixels()).zip(images);
    images.for_each_init(Vec::new, |padded, (y, x)| {
        shape.pad_into(x, None, padded);
        image.convolve(padded, y);
    });
    y
}

/// What [`backward`] shall compute, or has: gradients of the input, the weights and the bias.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parents<T> {
    /// `[images, inputs, height, width]`
    pub x: T,
    /// `[outputs, inputs, kernel, kernel]`
    pub weight: T,
    /// `[outputs]`
    pub bias: T,
}

/// Gradients from that of the output, `dy`; empty where not wanted. `y` is the output if it went through a ReLU.
///
/// The gradient of the input is the convolution of `dy` with the turned and transposed weights.
pub fn backward(
    shape: &Shape,
    x: &[f32],
    weight: &[f32],
    y: Option<&[f32]>,
    dy: &[f32],
    wanted: &Parents<bool>,
) -> Parents<Vec<f32>> {
    if !wanted.x || !winograd::suits(&shape.transposed()) {
        return backward_direct(shape, x, weight, y, dy, wanted);
    }
    let dx = input_gradient(shape, &Filters::transposed(shape, weight), y, dy);
    let rest = Parents { x: false, ..*wanted };
    Parents { x: dx, ..backward_direct(shape, x, weight, y, dy, &rest) }
}

/// The gradient of the input alone, by Winograd's algorithm: `filters` are [`Filters::transposed`].
pub fn input_gradient(shape: &Shape, filters: &Filters, y: Option<&[f32]>, dy: &[f32]) -> Vec<f32> {
    let shape = shape.transposed();
    Winograd { shape: &shape, filters, bias: None, epilogue: Epilogue::Linear }.convolve(dy, y)
}

fn backward_direct(
    shape: &Shape,
    x: &[f32],
    weight: &[f32],
    y: Option<&[f32]>,
    dy: &[f32],
    wanted: &Parents<bool>,
) -> Parents<Vec<f32>> {
    let area = shape.kernel * shape.kernel;
    let swapped = shape.transposed();
    let (distances, turned) = (shape.distances(shape.inputs), shape.distances(shape.outputs));
    let packed = match wanted.x {
        true => pack(shape.inputs, turned.len(), |i, t| {
            weight[(t / area * shape.inputs + i) * area + area - 1 - t % area]
        }),
        false => Vec::new(),
    };
    let image = Image {
        shape: &swapped,
        distances: &turned,
        packed: &packed,
        bias: None,
        epilogue: Epilogue::Linear,
    };
    let (inputs, outputs) = (shape.inputs * shape.pixels(), shape.outputs * shape.pixels());
    let images = shape.images.div_ceil(PARTS);
    let mut dx = vec![0.0; if wanted.x { shape.images * inputs } else { 0 }];
    // Empty slices, as many as there are parts, where the gradient of the input is not wanted.
    let dx_parts: Vec<&mut [f32]> = match wanted.x {
        true => dx.chunks_mut(images * inputs).collect(),
        false => (0..shape.images.div_ceil(images)).map(|_| Default::default()).collect(),
    };
    let starts: Vec<usize> = (0..dx_parts.len()).map(|part| part * images).collect();
    let parts: Vec<_> = dx_parts
        .into_par_iter()
        .zip(starts)
        .map(|(dx, start)| {
            let mut sums = Sums::new(shape, &distances, wanted);
            let (mut padded, mut padded_dy) = (Vec::new(), Vec::new());
            for n in start..shape.images.min(start + images) {
                let here = n * outputs..(n + 1) * outputs;
                shape.pad_into(&dy[here.clone()], y.map(|y| &y[here]), &mut padded_dy);
                if wanted.x {
                    let n = n - start;
                    image.convolve(&padded_dy, &mut dx[n * inputs..(n + 1) * inputs]);
                }
                if wanted.weight {
                    shape.pad_into(&x[n * inputs..(n + 1) * inputs], None, &mut padded);
                }
                sums.add(&padded, &padded_dy);
            }
            sums.finish()
        })
        .collect();
    let mut all = Parents { x: dx, ..Parents::default() };
    for part in parts {
        add(&mut all.weight, part.weight);
        add(&mut all.bias, part.bias);
    }
    all
}

fn add(sum: &mut Vec<f32>, part: Vec<f32>) {
    if sum.is_empty() {
        *sum = part;
    } else {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
}

/// Gradients of weights and bias, summed over images.
struct Sums<'a> {
    shape: &'a Shape,
    distances: &'a [usize],
    /// `[block][group of taps][channel][tap][lane]`
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl<'a> Sums<'a> {
    fn new(shape: &'a Shape, distances: &'a [usize], wanted: &Parents<bool>) -> Self {
        let weight = if wanted.weight { shape.outputs * Self::channel(distances) } else { 0 };
        let bias = if wanted.bias { shape.outputs } else { 0 };
        Self { shape, distances, weight: vec![0.0; weight], bias: vec![0.0; bias] }
    }

    /// Sums of an output channel.
    fn channel(distances: &[usize]) -> usize {
        distances.len().div_ceil(TAPS) * TAPS * LANES
    }

    /// Adds an image; `dy` is padded like the input.
    fn add(&mut self, x: &[f32], dy: &[f32]) {
        let (plane, span, first) = (self.shape.plane(), self.shape.span(), self.shape.first());
        for (bias, plane) in self.bias.iter_mut().zip(dy.chunks_exact(plane)) {
            // Sixteen sums side by side: one alone would wait for itself at every addition. The border is zero.
            let (parts, rest) = plane.as_chunks::<16>();
            let mut sums = [0.0f32; 16];
            parts.iter().for_each(|part| sums.iter_mut().zip(part).for_each(|(s, v)| *s += v));
            *bias += sums.iter().chain(rest).sum::<f32>();
        }
        let blocks = self.weight.par_chunks_mut(BLOCK * Self::channel(self.distances));
        blocks.zip(dy.par_chunks(BLOCK * plane)).for_each(|(sums, dy)| {
            let distances = self.distances;
            Arch::new().dispatch(WeightGradient { x, dy, plane, first, span, distances, sums });
        });
    }

    fn finish(self) -> Parents<Vec<f32>> {
        let taps = self.distances.len();
        let mut weight = vec![0.0; if self.weight.is_empty() { 0 } else { self.shape.outputs * taps }];
        let blocks = self.weight.chunks(BLOCK * Self::channel(self.distances));
        for (dw, sums) in weight.chunks_mut(BLOCK * taps).zip(blocks) {
            Arch::new().dispatch(Reduce { sums, taps, dw });
        }
        Parents { x: Vec::new(), weight, bias: self.bias }
    }
}
