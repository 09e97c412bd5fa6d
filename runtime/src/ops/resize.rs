//! Interpolating upsampling by an integer factor, separable: down the columns first, then along the rows.

use super::rows::Codec;
use super::{Io, dtypes, scale_of};
use crate::error::PlanError;
use crate::kernel::{Elementwise, Isa};
use crate::model::{Filter, Model, NodeId};

/// Floats of the working rows on the stack.
const SCRATCH: usize = 1024;
/// Most channels that fit them.
const MAX_CHANNELS: usize = 16;
/// Most taps a dimension.
pub(super) const MAX_TAPS: usize = 4;
const MAX_UPSCALE: usize = 8;

/// Rows (or columns) at either side of the pixel under an output pixel that may be read.
pub(crate) const fn reach(filter: Filter) -> usize {
    match filter {
        Filter::Nearest => 0,
        Filter::Bilinear => 1,
        Filter::Bicubic => 2,
    }
}

/// Taps of one phase: first tap relative to the low-resolution pixel, and the weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Phase {
    pub first: isize,
    pub weights: [f32; MAX_TAPS],
}

/// The phases of a filter and what its weights sum up to. The weights of `Bilinear` are integers, so that
/// sums of pixels are exact.
pub(super) fn phases(filter: Filter, r: usize) -> ([Phase; MAX_UPSCALE], f32, usize) {
    let mut phases = [Phase::default(); MAX_UPSCALE];
    let (total, taps) = match filter {
        Filter::Nearest => (1.0, 1),
        Filter::Bilinear => ((2 * r) as f32, 2),
        Filter::Bicubic => (1.0, 4),
    };
    for (j, phase) in phases.iter_mut().enumerate().take(r) {
        // The output pixel's centre lies `centre / 2r` pixels from the low-resolution pixel's.
        let centre = 2 * j as isize + 1 - r as isize;
        let before = centre < 0;
        match filter {
            Filter::Nearest => phase.weights[0] = 1.0,
            Filter::Bilinear => {
                phase.first = if before { -1 } else { 0 };
                let right = centre.rem_euclid(2 * r as isize) as f32;
                phase.weights[..2].copy_from_slice(&[total - right, right]);
            }
            Filter::Bicubic => {
                phase.first = if before { -2 } else { -1 };
                let t = centre.rem_euclid(2 * r as isize) as f32 / (2 * r) as f32;
                phase.weights = [cubic(1.0 + t), cubic(t), cubic(1.0 - t), cubic(2.0 - t)];
            }
        }
    }
    (phases, total, taps)
}

/// Keys' kernel with a = −0.5.
fn cubic(x: f32) -> f32 {
    if x <= 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

/// An upsampling.
pub(crate) struct ResizeStep {
    upscale: usize,
    channels: usize,
    from: Codec,
    to: Codec,
    factor: f32,
    phases: [Phase; MAX_UPSCALE],
    taps: usize,
}

impl ResizeStep {
    pub fn new(model: &Model, id: NodeId, upscale: u8, filter: Filter, isa: Isa) -> Result<Self, PlanError> {
        let channels = usize::from(model.shape(id).channels);
        let upscale = usize::from(upscale);
        if channels > MAX_CHANNELS || upscale > MAX_UPSCALE {
            return Err(PlanError::Unsupported { node: id });
        }
        let ([from, _], to) = dtypes(model, id);
        let (phases, total, taps) = phases(filter, upscale);
        let xor = isa.table().xor;
        let factor = scale_of(from) / (scale_of(to) * (total * total));
        let (from, to) = (Codec::new(from, xor), Codec::new(to, xor));
        Ok(Self { upscale, channels, from, to, factor, phases, taps })
    }

    pub fn run(&self, io: &mut Io<'_>) {
        let (r, input) = (self.upscale, io.inputs[0]);
        let cols = io.out.cols();
        debug_assert!(
            cols.start.is_multiple_of(r) && cols.end.is_multiple_of(r),
            "columns are whole input pixels"
        );
        let width = input.width();
        for y in io.rows.clone() {
            let phase = self.phases[y % r];
            let clamp = |t: usize| {
                ((y / r) as isize + phase.first + t as isize).clamp(0, input.height() as isize - 1)
            };
            let rows: [&[u8]; MAX_TAPS] = core::array::from_fn(|t| match t < self.taps {
                true => input.pixels(clamp(t) as usize, 0..width),
                false => &[],
            });
            let cols = cols.start / r..cols.end / r;
            io.isa.run(Row { step: self, phase, rows, cols, width, out: io.out.row_mut(y) });
        }
    }
}

struct Row<'a> {
    step: &'a ResizeStep,
    phase: Phase,
    rows: [&'a [u8]; MAX_TAPS],
    /// Low-resolution columns.
    cols: core::ops::Range<usize>,
    width: usize,
    out: &'a mut [u8],
}

impl Elementwise for Row<'_> {
    #[inline(always)]
    fn run(self) {
        let step = self.step;
        let (r, c) = (step.upscale, step.channels);
        let margin = MAX_TAPS / 2;
        let (mut column, mut row) = ([0.0_f32; SCRATCH], [0.0_f32; SCRATCH]);
        let mut wide = [0.0_f32; SCRATCH];
        // Pixels at a time: working rows hold the margins, and the output row all phases.
        let block = (SCRATCH / c - 2 * margin).min(SCRATCH / (c * r));
        let mut x = self.cols.start;
        while x < self.cols.end {
            let n = block.min(self.cols.end - x);
            // Down the columns: pixels x − margin .. x + n + margin, as far as they exist.
            let (from, to) = (x.saturating_sub(margin), (x + n + margin).min(self.width));
            let at = (from + margin - x) * c;
            let len = (to - from) * c;
            column[at..at + len].fill(0.0);
            for (bytes, &w) in self.rows[..step.taps].iter().zip(&self.phase.weights) {
                step.from.load(bytes, from * c, &mut row[..len]);
                for (sum, v) in column[at..at + len].iter_mut().zip(&row[..len]) {
                    *sum += w * *v;
                }
            }
            // The edge pixels are repeated.
            for k in (0..at).rev() {
                column[k] = column[k + c];
            }
            for k in at + len..(n + 2 * margin) * c {
                column[k] = column[k - c];
            }
            for (j, phase) in step.phases[..r].iter().enumerate() {
                let first = (margin as isize + phase.first) as usize * c;
                let row = &mut row[..n * c];
                row.fill(0.0);
                for (t, &w) in phase.weights[..step.taps].iter().enumerate() {
                    for (sum, v) in row.iter_mut().zip(&column[first + t * c..]) {
                        *sum += w * *v;
                    }
                }
                for (to, from) in wide[j * c..].chunks_mut(r * c).zip(row.chunks_exact(c)) {
                    to[..c].copy_from_slice(from);
                }
            }
            let wide = &mut wide[..n * c * r];
            wide.iter_mut().for_each(|v| *v *= step.factor);
            step.to.store(wide, self.out, (x - self.cols.start) * c * r);
            x += n;
        }
    }
}
