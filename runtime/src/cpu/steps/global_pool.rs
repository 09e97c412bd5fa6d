//! Mean and standard deviation of all values of a channel, in float.
//!
//! Sums are made in `f64`, row by row and from left to right: those of integers are exact, and those of floats come out
//! alike on every processor. One thread makes all of them, since there is one pixel to write.

use crate::arithmetic::sqrt;
use crate::cpu::codec::{CHUNK, Codec};
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Io, Step};
use crate::memory::ring::RingReader;
use crate::model::Statistic;
use crate::program::GlobalPool;

/// A statistic of the whole image.
pub(crate) struct GlobalPoolStep {
    pool: GlobalPool,
    channels: usize,
    from: Codec,
}

impl GlobalPoolStep {
    pub fn new(pool: GlobalPool, channels: usize, from: Codec) -> Self {
        Self { pool, channels, from }
    }
}

impl Step for GlobalPoolStep {
    fn run(&self, io: &mut Io<'_>) {
        let input = io.inputs[0];
        let out: &mut [f32] = bytemuck::cast_slice_mut(io.out.row_mut(0));
        for (i, out) in out.chunks_mut(CHUNK).enumerate() {
            io.cpu.run(Channels { step: self, input, first: i * CHUNK, out });
        }
    }
}

/// A few channels, from `first` on.
struct Channels<'a> {
    step: &'a GlobalPoolStep,
    input: RingReader<'a>,
    first: usize,
    out: &'a mut [f32],
}

impl Elementwise for Channels<'_> {
    #[inline(always)]
    fn run(self) {
        let GlobalPoolStep { pool: GlobalPool { statistic, factor }, channels, from } = *self.step;
        let n = self.out.len();
        let (height, width) = (self.input.height(), self.input.width());
        let (mut sums, mut squares) = ([0.0_f64; CHUNK], [0.0_f64; CHUNK]);
        let mut x = [0.0_f32; CHUNK];
        for y in 0..height {
            let row = self.input.pixels(y, 0..width);
            for pixel in 0..width {
                from.load(row, pixel * channels + self.first, &mut x[..n]);
                match statistic {
                    Statistic::Mean => {
                        for (sum, x) in sums[..n].iter_mut().zip(&x[..n]) {
                            *sum += f64::from(*x);
                        }
                    }
                    Statistic::Deviation => {
                        for ((sum, square), x) in sums[..n].iter_mut().zip(&mut squares[..n]).zip(&x[..n]) {
                            let x = f64::from(*x);
                            *sum += x;
                            *square += x * x;
                        }
                    }
                }
            }
        }
        let pixels = (height * width) as f64;
        for ((out, sum), square) in self.out.iter_mut().zip(sums).zip(squares) {
            let mean = sum / pixels;
            *out = factor
                * match statistic {
                    Statistic::Mean => mean as f32,
                    // Rounding may make it a little less than nothing.
                    Statistic::Deviation => sqrt((square / pixels - mean * mean).max(0.0) as f32),
                };
        }
    }
}
