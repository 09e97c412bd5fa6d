//! Multi-head self-attention inside square windows, with a relative position bias.
//!
//! `softmax(q·kᵀ/√d + bias) · v`, computed in float inside; `int_attention` does it for 8-bit edges. A shifted
//! layer of the published code rolls the image cyclically, cuts it into windows and masks what was not
//! adjacent. The windows that are left are the rectangles between the lines `shift + k·window`, smaller at
//! the borders; that is what is computed here, without rolling or masking. (The published mask subtracts 100
//! from the scores instead of leaving them out: a factor of 4·10⁻⁴⁴.)

use crate::arithmetic::exp;
use crate::cpu::codec::Codec;
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::memory::ring::RingReader;
use crate::program::{Attention, window_start};
use crate::threads::columns::RingWriter;
use alloc::vec::Vec;
use core::ops::Range;

/// Largest window side.
const MAX_WINDOW: usize = 8;
/// Pixels of the largest window.
const KEYS: usize = MAX_WINDOW * MAX_WINDOW;
/// Most channels of a head.
const MAX_HEAD: usize = 32;

/// Where the windows of an attention lie.
#[derive(Clone, Copy)]
pub(crate) struct Windows {
    /// Side in pixels.
    pub size: usize,
    /// The lines between windows are at `shift + k · size`.
    pub shift: usize,
}

/// A window attention on floats, and on all edges but 8-bit ones.
pub(crate) struct WindowAttentionStep {
    heads: usize,
    head: usize,
    windows: Windows,
    from: Codec,
    to: Codec,
    from_scale: f32,
    to_scale: f32,
    /// `[head][query − key row][query − key column]`, differences offset by `window − 1`.
    bias: Vec<f32>,
}

impl WindowAttentionStep {
    /// `None` for larger windows or more channels of a head than there is room for.
    pub fn new(attention: &Attention, channels: usize, dtypes: Dtypes) -> Option<Self> {
        let &Attention { heads, window: size, shift, ref bias } = attention;
        let head = channels / heads;
        if size > MAX_WINDOW || head > MAX_HEAD {
            return None;
        }
        let bias = (0..heads).flat_map(|h| bias.iter().copied().skip(h).step_by(heads)).collect();
        let ((from, to), (from_scale, to_scale)) = (dtypes.codecs(), dtypes.scales());
        Some(Self { heads, head, windows: Windows { size, shift }, from, to, from_scale, to_scale, bias })
    }
}

impl Step for WindowAttentionStep {
    fn run(&self, io: &mut Io<'_>) {
        let (input, cpu, rows) = (io.inputs[0], io.cpu, io.rows.clone());
        let out = &mut io.out;
        let cols = out.cols();
        self.windows.each((input.width(), input.height()), cols, rows, |area, queries| {
            cpu.run(Window { step: self, input, area, queries, out });
        });
    }
}

impl Windows {
    /// The line before the pixel, or at it; may lie outside the image.
    pub fn start(&self, at: usize) -> i64 {
        window_start(at as i64, self.size as i64, self.shift as i64)
    }

    /// Calls `f` with the part of every window that lies in the image, of `(width, height)`, and the part of
    /// that in `cols` and `rows`.
    pub fn each(
        &self,
        (width, height): (usize, usize),
        cols: Range<usize>,
        rows: Range<usize>,
        mut f: impl FnMut(Area, Area),
    ) {
        let mut y = rows.start;
        while y < rows.end {
            let window_rows = self.part(y, height);
            let to = window_rows.end.min(rows.end);
            let mut x = cols.start;
            while x < cols.end {
                let window_cols = self.part(x, width);
                let end = window_cols.end.min(cols.end);
                f(Area { rows: window_rows.clone(), cols: window_cols }, Area { rows: y..to, cols: x..end });
                x = end;
            }
            y = to;
        }
    }

    /// The part of a dimension of `size` pixels that is in the same window as `at`.
    fn part(&self, at: usize, size: usize) -> Range<usize> {
        let start = self.start(at);
        start.max(0) as usize..((start + self.size as i64) as usize).min(size)
    }
}

/// Some pixels of an image.
#[derive(Clone)]
pub(crate) struct Area {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
}

struct Window<'a, 'o> {
    step: &'a WindowAttentionStep,
    input: RingReader<'a>,
    /// All pixels of the window: the keys.
    area: Area,
    /// Those to compute.
    queries: Area,
    out: &'a mut RingWriter<'o>,
}

impl Elementwise for Window<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let step = self.step;
        let (d, channels) = (step.head, step.head * step.heads);
        let side = 2 * step.windows.size - 1;
        let scale = step.from_scale * step.from_scale / libm::sqrtf(d as f32);
        let (width, out_cols) = (self.area.cols.len(), self.out.cols());
        // Keys transposed, so that the scores of a query vectorize over the keys.
        let mut keys = [[0.0_f32; KEYS]; MAX_HEAD];
        let mut values = [[0.0_f32; MAX_HEAD]; KEYS];
        for head in 0..step.heads {
            let mut vector = [0.0_f32; MAX_HEAD];
            for (i, y) in self.area.rows.clone().enumerate() {
                let row = self.input.pixels(y, self.area.cols.clone());
                for x in 0..width {
                    let at = x * 3 * channels + head * d;
                    let n = i * width + x;
                    step.from.load(row, at + channels, &mut vector[..d]);
                    for (key, &v) in keys.iter_mut().zip(&vector[..d]) {
                        key[n] = v;
                    }
                    step.from.load(row, at + 2 * channels, &mut values[n][..d]);
                }
            }
            let count = self.area.rows.len() * width;
            let bias = &step.bias[head * side * side..(head + 1) * side * side];
            for y in self.queries.rows.clone() {
                let row = self.input.pixels(y, self.queries.cols.clone());
                let out = self.out.row_mut(y);
                for x in self.queries.cols.clone() {
                    let at = (x - self.queries.cols.start) * 3 * channels + head * d;
                    step.from.load(row, at, &mut vector[..d]);
                    let mut scores = [0.0_f32; KEYS];
                    for (key, &q) in keys.iter().zip(&vector[..d]) {
                        for (score, k) in scores.iter_mut().zip(key) {
                            *score += q * *k;
                        }
                    }
                    for (i, key_y) in self.area.rows.clone().enumerate() {
                        let dy = y + step.windows.size - 1 - key_y;
                        // Columns count down as the key's column grows.
                        let first = x + step.windows.size - 1 - self.area.cols.start;
                        for (j, score) in scores[i * width..(i + 1) * width].iter_mut().enumerate() {
                            *score = *score * scale + bias[dy * side + first - j];
                        }
                    }
                    scores[count..].fill(f32::MIN);
                    let total = softmax(&mut scores);
                    let factor = step.from_scale / (total * step.to_scale);
                    let mut sums = [0.0_f32; MAX_HEAD];
                    for (value, &p) in values[..count].iter().zip(&scores) {
                        for (sum, v) in sums.iter_mut().zip(value) {
                            *sum += p * *v;
                        }
                    }
                    sums.iter_mut().for_each(|s| *s *= factor);
                    let to = (x - out_cols.start) * channels + head * d;
                    step.to.store(&sums[..d], out, to);
                }
            }
        }
    }
}

/// Replaces scores by `exp(score − maximum)` and returns their sum.
#[inline(always)]
fn softmax(scores: &mut [f32; KEYS]) -> f32 {
    const PARTS: usize = 16;
    let mut largest = [f32::MIN; PARTS];
    for chunk in scores.chunks_exact(PARTS) {
        for (l, &s) in largest.iter_mut().zip(chunk) {
            *l = if s > *l { s } else { *l };
        }
    }
    let largest = largest.iter().fold(f32::MIN, |a, &b| if a > b { a } else { b });
    let mut sums = [0.0_f32; PARTS];
    for chunk in scores.chunks_exact_mut(PARTS) {
        for (sum, s) in sums.iter_mut().zip(chunk) {
            *s = exp(*s - largest);
            *sum += *s;
        }
    }
    sums.iter().sum()
}
