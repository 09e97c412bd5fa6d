//! Interpolation from any size to any: that of another edge, or with aligned corners that of an enlargement.

use crate::cpu::codec::{CHUNK, Codec};
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::memory::ring::RingReader;
use crate::model::Filter;
use crate::program::{Interpolate, Resize};
use core::ops::Range;

/// An interpolation to the size of the second input, or to a multiple of the first one's.
pub(crate) struct InterpolateStep {
    numbers: Interpolate,
    upscale: Option<usize>,
    channels: usize,
    from: Codec,
    to: Codec,
}

impl InterpolateStep {
    pub fn new(numbers: Interpolate, channels: usize, dtypes: Dtypes) -> Self {
        let (from, to) = dtypes.codecs();
        Self { numbers, upscale: None, channels, from, to }
    }

    /// An enlargement with aligned corners.
    pub fn aligned(resize: Resize, channels: usize, dtypes: Dtypes) -> Self {
        let Resize { upscale, filter, factor } = resize;
        let step = Self::new(Interpolate { filter, factor }, channels, dtypes);
        Self { upscale: Some(upscale), ..step }
    }

    /// Height and width of the output.
    fn size(&self, [input, like]: &[RingReader<'_>; 2]) -> [usize; 2] {
        match self.upscale {
            Some(upscale) => [input.height(), input.width()].map(|side| side * upscale),
            None => [like.height(), like.width()],
        }
    }

    /// The two pixels that one at `at` of `to` lies between, of `from`, and the weight of the second.
    #[inline(always)]
    fn between(&self, at: usize, from: usize, to: usize) -> ([usize; 2], f32) {
        match self.numbers.filter {
            Filter::Nearest => ([at * from / to; 2], 0.0),
            // The last pixel lies on the last one; there is no more than one to read where there is one to make.
            Filter::AlignedBilinear => {
                let (position, steps) = (at as u64 * (from as u64 - 1), (to as u64 - 1).max(1));
                let first = (position / steps) as usize;
                let part = (position % steps) as f32 / steps as f32;
                ([first, (first + 1).min(from - 1)], part)
            }
            // In halves of an output pixel: integers, so that it is exact.
            Filter::Bilinear | Filter::Bicubic | Filter::SharpBicubic => {
                let position = ((2 * at + 1) * from).saturating_sub(to);
                let first = (position / (2 * to)).min(from - 1);
                let part = (position - first * 2 * to) as f32 / (2 * to) as f32;
                ([first, (first + 1).min(from - 1)], part)
            }
        }
    }
}

impl Step for InterpolateStep {
    fn run(&self, io: &mut Io<'_>) {
        let ([height, wide], input, cols) = (self.size(&io.inputs), io.inputs[0], io.out.cols());
        for y in io.rows.clone() {
            let (rows, weight) = self.between(y, input.height(), height);
            let rows = rows.map(|y| input.pixels(y, 0..input.width()));
            let (cols, widths) = (cols.clone(), [input.width(), wide]);
            io.cpu.run(Row { step: self, rows, weight, cols, widths, out: io.out.row_mut(y) });
        }
    }
}

struct Row<'a> {
    step: &'a InterpolateStep,
    rows: [&'a [u8]; 2],
    /// Of the second row.
    weight: f32,
    cols: Range<usize>,
    /// Of the input and of the output.
    widths: [usize; 2],
    out: &'a mut [u8],
}

impl Elementwise for Row<'_> {
    #[inline(always)]
    fn run(self) {
        let InterpolateStep { numbers, channels, from, to, .. } = *self.step;
        let mut corners = [[[0.0_f32; CHUNK]; 2]; 2];
        let mut made = [0.0_f32; CHUNK];
        // Of a point, as a mean of the image is one, every pixel is the same.
        let point = self.widths[0] == 1 && numbers.filter == Filter::Nearest;
        let count = if point { self.cols.len().min(1) } else { self.cols.len() };
        for x in self.cols.clone().take(count) {
            let (columns, right) = self.step.between(x, self.widths[0], self.widths[1]);
            let (left, upper, lower) = (1.0 - right, 1.0 - self.weight, self.weight);
            for first in (0..channels).step_by(CHUNK) {
                let n = CHUNK.min(channels - first);
                for (row, corners) in self.rows.iter().zip(&mut corners) {
                    for (column, corner) in columns.iter().zip(corners) {
                        from.load(row, column * channels + first, &mut corner[..n]);
                    }
                }
                let [[a, b], [c, d]] = &corners;
                for i in 0..n {
                    let sums = [a[i] * left + b[i] * right, c[i] * left + d[i] * right];
                    made[i] = (sums[0] * upper + sums[1] * lower) * numbers.factor;
                }
                to.store(&made[..n], self.out, (x - self.cols.start) * channels + first);
            }
        }
        if point {
            repeat(self.out, channels * to.size_bytes(), self.cols.len());
        }
    }
}

/// Copies the first pixel, of so many bytes, to all of so many.
#[inline(always)]
fn repeat(out: &mut [u8], pixel: usize, count: usize) {
    let (mut done, all) = (pixel, pixel * count);
    while done < all {
        let more = done.min(all - done);
        out.copy_within(..more, done);
        done += more;
    }
}
