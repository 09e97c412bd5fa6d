//! Interpolation to a whole fraction of the size, separable: down the columns first, then along the rows.

use crate::cpu::codec::Codec;
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::program::{MAX_TAPS, Phase, Reduce, reduction};
use core::ops::Range;

/// Floats of the working rows on the stack.
const SCRATCH: usize = 1024;
/// Most channels that fit them, with the taps of a pixel.
const MAX_CHANNELS: usize = 64;

/// A reduction.
pub(crate) struct ReduceStep {
    by: usize,
    channels: usize,
    from: Codec,
    to: Codec,
    factor: f32,
    taps: usize,
    phase: Phase,
}

impl ReduceStep {
    /// `None` for more channels than there is room for.
    pub fn new(reduce: Reduce, channels: usize, dtypes: Dtypes) -> Option<Self> {
        let (phase, taps) = reduction(reduce.filter, reduce.by);
        let (from, to) = dtypes.codecs();
        let by = usize::from(reduce.by);
        (channels <= MAX_CHANNELS).then_some(Self {
            by,
            channels,
            from,
            to,
            factor: reduce.factor,
            taps,
            phase,
        })
    }
}

impl Step for ReduceStep {
    fn run(&self, io: &mut Io<'_>) {
        let (input, cols) = (io.inputs[0], io.out.cols());
        let width = input.width();
        for y in io.rows.clone() {
            let first = (y * self.by) as isize + self.phase.first;
            let rows: [&[u8]; MAX_TAPS] = core::array::from_fn(|t| match t < self.taps {
                true => {
                    let y = (first + t as isize).clamp(0, input.height() as isize - 1);
                    input.pixels(y as usize, 0..width)
                }
                false => &[],
            });
            io.cpu.run(Row { step: self, rows, cols: cols.clone(), width, out: io.out.row_mut(y) });
        }
    }
}

struct Row<'a> {
    step: &'a ReduceStep,
    rows: [&'a [u8]; MAX_TAPS],
    /// Of the output.
    cols: Range<usize>,
    /// Of the input.
    width: usize,
    out: &'a mut [u8],
}

impl Elementwise for Row<'_> {
    #[inline(always)]
    fn run(self) {
        let ReduceStep { by, channels: c, from, to, factor, taps, phase } = *self.step;
        let (mut column, mut row) = ([0.0_f32; SCRATCH], [0.0_f32; SCRATCH]);
        // Output pixels at a time, with what lies between the first tap of the first and the last of the last.
        let block = (SCRATCH / c - taps) / by + 1;
        let mut x = self.cols.start;
        while x < self.cols.end {
            let n = block.min(self.cols.end - x);
            let first = (x * by) as isize + phase.first;
            let len = (n - 1) * by + taps;
            // Down the columns, as far as they exist.
            let begin = first.max(0) as usize;
            let end = ((first + len as isize) as usize).min(self.width);
            let (at, there) = ((begin as isize - first) as usize * c, (end - begin) * c);
            column[at..at + there].fill(0.0);
            for (bytes, &w) in self.rows[..taps].iter().zip(&phase.weights) {
                from.load(bytes, begin * c, &mut row[..there]);
                for (sum, v) in column[at..at + there].iter_mut().zip(&row[..there]) {
                    *sum += w * *v;
                }
            }
            // The edge pixels are repeated.
            for k in (0..at).rev() {
                column[k] = column[k + c];
            }
            for k in at + there..len * c {
                column[k] = column[k - c];
            }
            let sums = &mut row[..n * c];
            sums.fill(0.0);
            for (t, &w) in phase.weights[..taps].iter().enumerate() {
                let pixels = column[t * c..].chunks(by * c);
                for (sums, pixel) in sums.chunks_exact_mut(c).zip(pixels) {
                    for (sum, v) in sums.iter_mut().zip(pixel) {
                        *sum += w * *v;
                    }
                }
            }
            sums.iter_mut().for_each(|v| *v *= factor);
            to.store(sums, self.out, (x - self.cols.start) * c);
            x += n;
        }
    }
}
