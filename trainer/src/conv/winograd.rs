//! Convolution of 3x3 by Winograd's F(4x4, 3x3), for many channels: 36 products for 16 outputs in place of 144.
//!
//! The image is cut into tiles of 6x6 that overlap by two. Tiles and weights are transformed; at each of the 36 places of a
//! tile what is left is a product of matrices, outputs x inputs by inputs x tiles, which runs on the tiles of the direct
//! convolution ([`Forward`]). The values of a few images at a time are kept in the cache.
//!
//! # Source
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308.

use super::Epilogue;
use super::kernel::Shape;
use super::tiles::{BLOCK, Forward, LANES};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Outputs along a side of a tile.
const OUT: usize = 4;
/// Inputs along a side of a tile.
const IN: usize = OUT + 2;
/// Places of a transformed tile.
const PLACES: usize = IN * IN;
/// Transforms cost two to three operations for each input and output: below so many channels they take what products save.
const CHANNELS: usize = 64;
/// Tiles that are worked on at once, where there are so many: as many as keep vectors full and the cache unspilled.
const TILES: usize = 64;

/// Whether this is the faster way.
pub fn suits(shape: &Shape) -> bool {
    // Vectors of weights hold those of two inputs.
    shape.kernel == 3
        && shape.inputs.is_multiple_of(2)
        && shape.inputs.min(shape.outputs) >= CHANNELS
        && shape.height.min(shape.width) >= OUT
}

/// Transformed weights, for images of any size.
#[derive(Debug, Clone)]
pub struct Filters {
    /// `[block of outputs][place][input][output in block]`
    values: Vec<f32>,
}

impl Filters {
    /// From `[outputs, inputs, 3, 3]`.
    pub fn new(shape: &Shape, weight: &[f32]) -> Self {
        let Shape { inputs, outputs, .. } = *shape;
        Self::from(inputs, outputs, |o, i, tap| weight[(o * inputs + i) * 9 + tap])
    }

    /// Those of [`Shape::transposed`], from the weights of the convolution itself.
    pub fn transposed(shape: &Shape, weight: &[f32]) -> Self {
        let Shape { inputs, outputs, .. } = *shape;
        Self::from(outputs, inputs, |i, o, tap| weight[(o * inputs + i) * 9 + 8 - tap])
    }

    /// `weight` gives the value of an output, an input and a tap, 0 to 8.
    fn from(inputs: usize, outputs: usize, weight: impl Fn(usize, usize, usize) -> f32 + Sync) -> Self {
        let mut values = vec![0.0; outputs.div_ceil(BLOCK) * PLACES * inputs * BLOCK];
        let blocks = values.par_chunks_exact_mut(PLACES * inputs * BLOCK).enumerate();
        blocks.for_each_init(Vec::new, |taps, (block, places)| {
            taps.clear();
            taps.resize(9 * inputs * BLOCK, 0.0);
            for o in 0..BLOCK.min(outputs - block * BLOCK) {
                for i in 0..inputs {
                    for tap in 0..9 {
                        taps[(tap * inputs + i) * BLOCK + o] = weight(block * BLOCK + o, i, tap);
                    }
                }
            }
            Arch::new().dispatch(OfWeights { taps, places });
        });
        Self { values }
    }
}

/// A convolution without its input.
pub struct Winograd<'a> {
    pub shape: &'a Shape,
    pub filters: &'a Filters,
    pub bias: Option<&'a [f32]>,
    pub epilogue: Epilogue,
}

impl Winograd<'_> {
    /// `[images, outputs, height, width]` from `[images, inputs, height, width]`. With `mask`, the output of a ReLU of the
    /// size of `x`, only the values of `x` that it let through count.
    pub fn convolve(&self, x: &[f32], mask: Option<&[f32]>) -> Vec<f32> {
        let shape = self.shape;
        let (input, output) = (shape.inputs * shape.pixels(), shape.outputs * shape.pixels());
        let mut y = vec![0.0; shape.images * output];
        let groups = (shape.images * tiles(shape) / TILES).clamp(1, shape.images.max(1));
        let at_once = shape.images.div_ceil(groups).max(1);
        let (mut transformed, mut products) = (Vec::new(), Vec::new());
        for (group, y) in y.chunks_mut(at_once * output).enumerate() {
            let from = group * at_once * input;
            let here = from..from + y.len() / output * input;
            self.group(&x[here.clone()], mask.map(|m| &m[here]), y, &mut transformed, &mut products);
        }
        y
    }

    /// Some images; the vectors are room that is used again.
    fn group(&self, x: &[f32], mask: Option<&[f32]>, y: &mut [f32], v: &mut Vec<f32>, m: &mut Vec<f32>) {
        let shape = self.shape;
        let (inputs, outputs, pixels) = (shape.inputs, shape.outputs, shape.pixels());
        let images = y.len() / (outputs * pixels);
        let count = (images * tiles(shape)).next_multiple_of(LANES);
        v.resize(inputs * PLACES * count, 0.0);
        v.par_chunks_exact_mut(PLACES * count).enumerate().for_each_init(Vec::new, |padded, (c, v)| {
            for n in 0..images {
                let here = (n * inputs + c) * pixels..(n * inputs + c + 1) * pixels;
                pad(shape, &x[here.clone()], mask.map(|m| &m[here]), padded);
                gather(shape, padded, v, count, n * tiles(shape));
            }
            Arch::new().dispatch(OfInput(v));
        });
        let blocks = outputs.div_ceil(BLOCK);
        let distances: Vec<usize> = (0..inputs).map(|i| i * count).collect();
        m.resize(PLACES * blocks * BLOCK * count, 0.0);
        m.par_chunks_exact_mut(blocks * BLOCK * count).enumerate().for_each_init(
            Vec::new,
            |x, (place, m)| {
                // Side by side: read as they lie, all inputs of a place would share a few lines of the nearest cache.
                x.clear();
                v.chunks_exact(PLACES * count)
                    .for_each(|v| x.extend_from_slice(&v[place * count..][..count]));
                for (block, y) in m.chunks_exact_mut(BLOCK * count).enumerate() {
                    let weights =
                        self.filters.values[(block * PLACES + place) * inputs * BLOCK..].as_chunks().0;
                    let weights = &weights[..inputs];
                    Arch::new().dispatch(Forward { x, distances: &distances, weights, rows: BLOCK, y });
                }
            },
        );
        let mut planes: Vec<Vec<&mut [f32]>> = (0..outputs).map(|_| Vec::with_capacity(images)).collect();
        for (at, plane) in y.chunks_exact_mut(pixels).enumerate() {
            planes[at % outputs].push(plane);
        }
        planes.into_par_iter().enumerate().for_each_init(Vec::new, |room, (o, planes)| {
            room.resize(PLACES * count, 0.0);
            for (place, to) in room.chunks_exact_mut(count).enumerate() {
                to.copy_from_slice(&m[(place * blocks * BLOCK + o) * count..][..count]);
            }
            let bias = self.bias.map_or(0.0, |b| b[o]);
            Arch::new().dispatch(OfOutput { m: room, bias, epilogue: self.epilogue });
            for (n, plane) in planes.into_iter().enumerate() {
                scatter(shape, room, plane, count, n * tiles(shape));
            }
        });
    }
}

/// Tiles along an image's width.
fn across(shape: &Shape) -> usize {
    shape.width.div_ceil(OUT)
}

/// Tiles of an image.
fn tiles(shape: &Shape) -> usize {
    across(shape) * shape.height.div_ceil(OUT)
}

/// A plane with a border of zeros, one above and left, and as much below and right as fills the last tiles.
fn pad(shape: &Shape, plane: &[f32], mask: Option<&[f32]>, padded: &mut Vec<f32>) {
    let width = across(shape) * OUT + 2;
    padded.clear();
    padded.resize(width * (shape.height.div_ceil(OUT) * OUT + 2), 0.0);
    let to = padded.chunks_exact_mut(width).skip(1).map(|row| &mut row[1..=shape.width]);
    let rows = to.zip(plane.chunks_exact(shape.width));
    match mask {
        None => rows.for_each(|(to, from)| to.copy_from_slice(from)),
        Some(mask) => {
            for ((to, from), mask) in rows.zip(mask.chunks_exact(shape.width)) {
                for ((to, from), &mask) in to.iter_mut().zip(from).zip(mask) {
                    *to = if mask <= 0.0 { 0.0 } else { *from };
                }
            }
        }
    }
}

/// Spreads the tiles of a padded plane over `[place][tile]`, the first at `first`.
fn gather(shape: &Shape, padded: &[f32], v: &mut [f32], count: usize, first: usize) {
    let across = across(shape);
    let width = across * OUT + 2;
    for down in 0..shape.height.div_ceil(OUT) {
        for row in 0..IN {
            let from = &padded[(down * OUT + row) * width..][..width];
            for col in 0..IN {
                let to = &mut v[(row * IN + col) * count + first + down * across..][..across];
                let from = from[col..].chunks(OUT);
                to.iter_mut().zip(from).for_each(|(to, from)| *to = from[0]);
            }
        }
    }
}

/// The first 16 places are the outputs; what lies beyond the image is dropped.
fn scatter(shape: &Shape, room: &[f32], plane: &mut [f32], count: usize, first: usize) {
    let across = across(shape);
    for (y, to) in plane.chunks_exact_mut(shape.width).enumerate() {
        for col in 0..OUT {
            let from = &room[(y % OUT * OUT + col) * count + first + y / OUT * across..][..across];
            let to = to.get_mut(col..).unwrap_or_default().chunks_mut(OUT);
            to.zip(from).for_each(|(to, from)| to[0] = *from);
        }
    }
}

// What follows are loops and functions that are always inlined, no closures: those would be compiled without the vectors
// that the processor was found to have.

/// One column or row of a tile before its transform, or after.
type Column<S, const N: usize> = [<S as Simd>::f32s; N];

/// Vectors of `[place][vector]`.
struct Places<'a, V> {
    all: &'a mut [V],
    /// Vectors of a place.
    each: usize,
}

impl<V: Copy> Places<'_, V> {
    /// Vector `at` of `N` places, `step` apart.
    #[inline(always)]
    fn load<const N: usize>(&self, first: usize, step: usize, at: usize) -> [V; N] {
        let mut found = [self.all[first * self.each + at]; N];
        for (k, found) in found.iter_mut().enumerate() {
            *found = self.all[(first + k * step) * self.each + at];
        }
        found
    }

    #[inline(always)]
    fn store<const N: usize>(&mut self, first: usize, step: usize, at: usize, values: [V; N]) {
        for (k, value) in values.into_iter().enumerate() {
            self.all[(first + k * step) * self.each + at] = value;
        }
    }
}

/// `factor · v + sum`
#[inline(always)]
fn by<S: Simd>(simd: S, factor: f32, v: S::f32s, sum: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), v, sum)
}

/// `Bᵀ d B` of each tile in `[place][tile]`.
struct OfInput<'a>(&'a mut [f32]);

impl WithSimd for OfInput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let all = S::as_mut_simd_f32s(self.0).0;
        let mut d = Places { each: all.len() / PLACES, all };
        for at in 0..d.each {
            for col in 0..IN {
                d.store(col, IN, at, input_column(simd, d.load(col, IN, at)));
            }
            for row in 0..IN {
                d.store(row * IN, 1, at, input_column(simd, d.load(row * IN, 1, at)));
            }
        }
    }
}

#[inline(always)]
fn input_column<S: Simd>(simd: S, d: Column<S, IN>) -> Column<S, IN> {
    let (even, odd) = (by(simd, -4.0, d[2], d[4]), by(simd, -4.0, d[1], d[3]));
    let (near, far) = (simd.sub_f32s(d[4], d[2]), simd.sub_f32s(d[3], d[1]));
    [
        by(simd, 4.0, d[0], by(simd, -5.0, d[2], d[4])),
        simd.add_f32s(even, odd),
        simd.sub_f32s(even, odd),
        by(simd, 2.0, far, near),
        by(simd, -2.0, far, near),
        by(simd, 4.0, d[1], by(simd, -5.0, d[3], d[5])),
    ]
}

/// `G w Gᵀ`, from `[tap][lane]` to `[place][lane]`.
struct OfWeights<'a> {
    taps: &'a [f32],
    places: &'a mut [f32],
}

impl WithSimd for OfWeights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (w, all) = (S::as_simd_f32s(self.taps).0, S::as_mut_simd_f32s(self.places).0);
        let mut out = Places { each: all.len() / PLACES, all };
        let n = out.each;
        for at in 0..n {
            let mut columns = [[simd.splat_f32s(0.0); IN]; 3];
            for (col, column) in columns.iter_mut().enumerate() {
                *column =
                    weight_column(simd, [w[col * n + at], w[(3 + col) * n + at], w[(6 + col) * n + at]]);
            }
            let [a, b, c] = columns;
            for row in 0..IN {
                out.store(row * IN, 1, at, weight_column(simd, [a[row], b[row], c[row]]));
            }
        }
    }
}

#[inline(always)]
fn weight_column<S: Simd>(simd: S, w: Column<S, 3>) -> Column<S, IN> {
    let sixth = simd.splat_f32s(1.0 / 6.0);
    let outer = simd.neg_f32s(simd.mul_f32s(sixth, simd.add_f32s(w[0], w[2])));
    let far = by(simd, 1.0 / 24.0, w[0], simd.mul_f32s(sixth, w[2]));
    [
        simd.mul_f32s(simd.splat_f32s(0.25), w[0]),
        by(simd, -1.0 / 6.0, w[1], outer),
        by(simd, 1.0 / 6.0, w[1], outer),
        by(simd, 1.0 / 12.0, w[1], far),
        by(simd, -1.0 / 12.0, w[1], far),
        w[2],
    ]
}

/// `Aᵀ m A` of each tile in `[place][tile]`, with what follows a convolution, to the first 16 places.
struct OfOutput<'a> {
    m: &'a mut [f32],
    bias: f32,
    epilogue: Epilogue,
}

impl WithSimd for OfOutput<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let all = S::as_mut_simd_f32s(self.m).0;
        let mut m = Places { each: all.len() / PLACES, all };
        let (bias, zero) = (simd.splat_f32s(self.bias), simd.splat_f32s(0.0));
        for at in 0..m.each {
            let mut rows = [[zero; IN]; OUT];
            for col in 0..IN {
                let column = output_column(simd, m.load(col, IN, at));
                for (row, v) in rows.iter_mut().zip(column) {
                    row[col] = v;
                }
            }
            for (row, cells) in rows.into_iter().enumerate() {
                let mut out = output_column(simd, cells);
                for v in &mut out {
                    *v = simd.add_f32s(*v, bias);
                    if self.epilogue == Epilogue::Relu {
                        // Not `max`, which would turn what is not a number into zero and hide it.
                        *v = simd.select_f32s(simd.less_than_or_equal_f32s(*v, zero), zero, *v);
                    }
                }
                m.store(row * OUT, 1, at, out);
            }
        }
    }
}

#[inline(always)]
fn output_column<S: Simd>(simd: S, m: Column<S, IN>) -> Column<S, OUT> {
    let (near, far) = (simd.add_f32s(m[1], m[2]), simd.add_f32s(m[3], m[4]));
    let (near_odd, far_odd) = (simd.sub_f32s(m[1], m[2]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(near, far)),
        by(simd, 2.0, far_odd, near_odd),
        by(simd, 4.0, far, near),
        simd.add_f32s(m[5], by(simd, 8.0, far_odd, near_odd)),
    ]
}
