//! Interpolating upsampling by an integer factor, separable: down the columns first, then along the rows.

use crate::cpu::codec::Codec;
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::program::{MAX_TAPS, MAX_UPSCALE, Phase, Phases, Resize, phases};

/// Floats of the working rows on the stack.
const SCRATCH: usize = 1024;
/// Pixels beside those of a block that its working row holds, on either side.
const AROUND: usize = MAX_TAPS / 2;

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
    /// `None` for more channels or a larger factor than there is room for.
    pub fn new(resize: Resize, channels: usize, dtypes: Dtypes) -> Option<Self> {
        let Resize { upscale, filter, factor } = resize;
        if upscale > MAX_UPSCALE || block(channels, upscale) == 0 {
            return None;
        }
        let Phases { all: phases, taps, .. } = phases(filter, upscale);
        let (from, to) = dtypes.codecs();
        Some(Self { upscale, channels, from, to, factor, phases, taps })
    }
}

/// Pixels at a time: a working row holds them with those around them, and another one all phases.
fn block(channels: usize, upscale: usize) -> usize {
    (SCRATCH / channels).saturating_sub(2 * AROUND).min(SCRATCH / (channels * upscale))
}

impl Step for ResizeStep {
    fn run(&self, io: &mut Io<'_>) {
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
            io.cpu.run(Row { step: self, phase, rows, cols, width, out: io.out.row_mut(y) });
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
        let margin = AROUND;
        let (mut column, mut row) = ([0.0_f32; SCRATCH], [0.0_f32; SCRATCH]);
        // What the phases make, one behind the other, as it is stored.
        let mut stored = [0.0_f32; SCRATCH];
        let px_bytes = c * step.to.size_bytes();
        let block = block(c, r);
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
            let stored: &mut [u8] = bytemuck::cast_slice_mut(&mut stored);
            for (j, phase) in step.phases[..r].iter().enumerate() {
                let first = (margin as isize + phase.first) as usize * c;
                let row = &mut row[..n * c];
                row.fill(0.0);
                for (t, &w) in phase.weights[..step.taps].iter().enumerate() {
                    for (sum, v) in row.iter_mut().zip(&column[first + t * c..]) {
                        *sum += w * *v;
                    }
                }
                row.iter_mut().for_each(|v| *v *= step.factor);
                step.to.store(row, stored, j * n * c);
            }
            let stored = &stored[..r * n * px_bytes];
            let out = &mut self.out[(x - self.cols.start) * r * px_bytes..][..stored.len()];
            match (r, px_bytes) {
                (2, 1) => interleave::<2, 1>(stored, out),
                (3, 1) => interleave::<3, 1>(stored, out),
                (4, 1) => interleave::<4, 1>(stored, out),
                (2, 3) => interleave::<2, 3>(stored, out),
                (3, 3) => interleave::<3, 3>(stored, out),
                (4, 3) => interleave::<4, 3>(stored, out),
                (2, 6) => interleave::<2, 6>(stored, out),
                (3, 6) => interleave::<3, 6>(stored, out),
                (4, 6) => interleave::<4, 6>(stored, out),
                _ => {
                    for (j, phase) in stored.chunks_exact(n * px_bytes).enumerate() {
                        let pixels = out[j * px_bytes..].chunks_mut(r * px_bytes);
                        for (to, from) in pixels.zip(phase.chunks_exact(px_bytes)) {
                            to[..px_bytes].copy_from_slice(from);
                        }
                    }
                }
            }
            x += n;
        }
    }
}

/// Pixels of `BYTES` bytes of `PHASES` phases in turn, from phases one behind the other: with sizes that the compiler knows,
/// it shuffles vectors.
#[inline(always)]
fn interleave<const PHASES: usize, const BYTES: usize>(phases: &[u8], out: &mut [u8]) {
    let (phases, _) = phases.as_chunks::<BYTES>();
    let (out, _) = out.as_chunks_mut::<BYTES>();
    let (out, _) = out.as_chunks_mut::<PHASES>();
    let n = out.len();
    let phases: [_; PHASES] = core::array::from_fn(|j| &phases[j * n..(j + 1) * n]);
    for (x, out) in out.iter_mut().enumerate() {
        for (to, phase) in out.iter_mut().zip(phases) {
            *to = phase[x];
        }
    }
}
