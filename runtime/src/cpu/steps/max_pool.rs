//! The largest value of each window; with a window of one pixel, every so many rows and columns.

use crate::cpu::codec::{CHUNK, Codec};
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Io, Step};
use crate::model::Pool;
use core::ops::Range;

/// A pooling. Both edges have the same dtype, so that what is chosen is stored as it was.
pub(crate) struct MaxPoolStep {
    pool: Pool,
    channels: usize,
    codec: Codec,
}

impl MaxPoolStep {
    pub fn new(pool: Pool, channels: usize, codec: Codec) -> Self {
        Self { pool, channels, codec }
    }

    /// Pixels of the image that the window at `at` has, of `size`.
    fn window(&self, at: usize, size: usize) -> Range<usize> {
        let start = (at * usize::from(self.pool.stride)) as isize - isize::from(self.pool.before);
        let end = start + isize::from(i16::from(self.pool.window));
        start.max(0) as usize..(end.max(0) as usize).min(size)
    }
}

impl Step for MaxPoolStep {
    fn run(&self, io: &mut Io<'_>) {
        let (input, cols) = (io.inputs[0], io.out.cols());
        let (width, px_bytes) = (input.width(), self.channels * self.codec.size_bytes());
        for y in io.rows.clone() {
            let rows = self.window(y, input.height());
            let out = io.out.row_mut(y);
            for (x, out) in cols.clone().zip(out.chunks_exact_mut(px_bytes)) {
                let columns = self.window(x, width);
                if rows.len() * columns.len() == 1 {
                    out.copy_from_slice(input.pixels(rows.start, columns));
                    continue;
                }
                let rows = rows.clone().map(|y| input.pixels(y, columns.clone()));
                io.cpu.run(Pixel { step: self, rows, out });
            }
        }
    }
}

/// A pixel of the output, and the rows of its window.
struct Pixel<'a, R> {
    step: &'a MaxPoolStep,
    rows: R,
    out: &'a mut [u8],
}

impl<'a, R: Iterator<Item = &'a [u8]> + Clone> Elementwise for Pixel<'a, R> {
    #[inline(always)]
    fn run(self) {
        let MaxPoolStep { channels, codec, .. } = *self.step;
        let (mut largest, mut x) = ([0.0_f32; CHUNK], [0.0_f32; CHUNK]);
        let mut first = 0;
        while first < channels {
            let n = CHUNK.min(channels - first);
            largest[..n].fill(f32::NEG_INFINITY);
            for row in self.rows.clone() {
                let mut at = first;
                while at < row.len() / codec.size_bytes() {
                    codec.load(row, at, &mut x[..n]);
                    for (largest, x) in largest[..n].iter_mut().zip(&x[..n]) {
                        *largest = if *x > *largest { *x } else { *largest };
                    }
                    at += channels;
                }
            }
            codec.store(&largest[..n], self.out, first);
            first += n;
        }
    }
}
