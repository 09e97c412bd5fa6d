//! Bilinear upsampling of 8-bit pixels that stays at the low resolution: `[H, W, C] → [H, W, r²·C]`, channels
//! in the order `(dy, dx, c)`, ready to be added to what a pixel shuffle is about to spread.
//!
//! The weights of the bilinear filter are multiples of `1/(2r)`, those of both dimensions together whole
//! numbers up to `(2r − 1)²`: this is a 3x3 convolution with int8 weights, exact, and runs on its kernels. Edge
//! pixels are repeated outside the image; rows by reading the first or last one again, columns by computing
//! the first and last pixel from a copy.

use crate::cpu::conv::form::Store;
use crate::cpu::conv::pack::{ConvShape, Packed, pack};
use crate::cpu::conv::requant::{Requant, Sums};
use crate::cpu::conv::row::{RowArgs, conv_row};
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::cpu::table::Cpu;
use crate::memory::ring::SLACK_BYTES;
use crate::model::{DType, Filter};
use crate::program::{MAX_TAPS, Order, Phases, Resize, largest_sum, phases, short};
use alloc::{vec, vec::Vec};

const KERNEL: usize = 3;
/// Most channels; three pixels are copied at the ends of a row.
const MAX_CHANNELS: usize = 16;

/// A bilinear upsampling in front of a pixel shuffle.
pub(crate) struct ShuffledResizeStep {
    packed: Packed,
    requant: Requant,
    store: Store,
    cpu: Cpu,
}

impl ShuffledResizeStep {
    /// For `channels` output channels; `None` for more than there is room for.
    pub fn new(resize: Resize, channels: usize, dtypes: Dtypes, cpu: Cpu) -> Option<Self> {
        let r = resize.upscale;
        let c = channels / (r * r);
        let DType::I8 { zero_point, .. } = dtypes.from[0] else { return None };
        if c > MAX_CHANNELS {
            return None;
        }
        let Phases { all, total, taps } = phases(Filter::Bilinear, r);
        let line = |j: usize| {
            let mut line = [0.0_f32; KERNEL];
            let first = (all[j].first + 1) as usize;
            line[first..first + taps].copy_from_slice(&all[j].weights[..taps.min(MAX_TAPS)]);
            line
        };
        let shape = ConvShape { in_channels: c, out_channels: c * r * r, kernel: KERNEL, columns: KERNEL };
        let mut weights = vec![0_i8; shape.out_channels * KERNEL * KERNEL * c];
        for (n, kernel) in weights.chunks_exact_mut(KERNEL * KERNEL * c).enumerate() {
            let (channel, dy, dx) = (n / (r * r), n / r % r, n % r);
            for (tap, pixel) in kernel.chunks_exact_mut(c).enumerate() {
                pixel[channel] = (line(dy)[tap / KERNEL] * line(dx)[tap % KERNEL]) as i8;
            }
        }
        let order = Order::Rows.channels(r, c);
        let packed = pack(shape, &cpu.i8.geometry, &weights, &order);
        let bias = vec![-i32::from(zero_point) * (total * total) as i32; shape.out_channels];
        let depth = KERNEL * KERNEL * c;
        let sums = Sums {
            weights: &weights,
            bias: &bias,
            multipliers: &vec![short(resize.factor); shape.out_channels],
            largest: &bias
                .iter()
                .zip(weights.chunks_exact(depth))
                .map(|(&bias, row)| largest_sum(bias, row))
                .collect::<Vec<i64>>(),
        };
        let store = dtypes.codec(dtypes.to).stored(false);
        Some(Self { requant: Requant::new(&packed, &order, &sums, cpu.sums(), store), store, packed, cpu })
    }

    fn pixels(&self, taps: [&[u8]; KERNEL], pixels: usize, out: &mut [u8]) {
        let cpu = self.cpu;
        let args = RowArgs {
            taps: &taps,
            px_bytes: self.packed.shape.in_channels,
            pixels,
            packed: &self.packed,
            bias: &self.requant.bias,
            mult: &self.requant.mult,
            offset: self.requant.offset.as_deref(),
            products: self.requant.products,
            store: self.store,
            post_ops: None,
            out,
        };
        conv_row(&cpu.i8, args);
    }
}

impl Step for ShuffledResizeStep {
    fn run(&self, io: &mut Io<'_>) {
        let c = self.packed.shape.in_channels;
        let (input, cols) = (io.inputs[0], io.out.cols());
        let (width, height) = (input.width(), input.height());
        let px_out = self.packed.shape.out_channels * self.store.size_bytes();
        for y in io.rows.clone() {
            let rows = [y.saturating_sub(1), y, (y + 1).min(height - 1)];
            let out = io.out.row_mut(y);
            let start = (input.pad() + cols.start - 1) * c;
            self.pixels(rows.map(|y| &input.padded_row(y as isize)[start..]), cols.len(), out);
            for x in [0, width - 1].into_iter().filter(|x| cols.contains(x)) {
                let copies = rows.map(|y| {
                    let row = input.pixels(y, 0..width);
                    let mut copy = [0_u8; KERNEL * MAX_CHANNELS + SLACK_BYTES];
                    for (pixel, x) in
                        copy.chunks_exact_mut(c).zip([x.saturating_sub(1), x, (x + 1).min(width - 1)])
                    {
                        pixel.copy_from_slice(&row[x * c..(x + 1) * c]);
                    }
                    copy
                });
                let at = (x - cols.start) * px_out;
                self.pixels([&copies[0], &copies[1], &copies[2]], 1, &mut out[at..at + px_out]);
            }
        }
    }

    fn weight_bytes(&self) -> usize {
        size_of_val(self.packed.weights.as_slice()) + self.requant.bytes()
    }
}
