//! Depth to space: `[H, W, C·r²] → [H·r, W·r, C]`.

use crate::cpu::steps::step::{Io, Step};
use crate::program::Order;

/// A pixel shuffle.
pub(crate) struct PixelShuffleStep {
    upscale: usize,
    channels: usize,
    size: usize,
    order: Order,
}

impl PixelShuffleStep {
    /// `channels` are the output's; `size` is the size of an element in bytes.
    pub fn new(upscale: usize, channels: usize, size: usize, order: Order) -> Self {
        Self { upscale, channels, size, order }
    }
}

impl Step for PixelShuffleStep {
    fn run(&self, io: &mut Io<'_>) {
        let Self { upscale: r, channels, size, order } = *self;
        let cols = io.out.cols();
        debug_assert!(
            cols.start.is_multiple_of(r) && cols.end.is_multiple_of(r),
            "columns are whole input pixels"
        );
        let (px_in, px_out) = (channels * r * r * size, channels * size);
        for y in io.rows.clone() {
            let input = io.inputs[0].pixels(y / r, cols.start / r..cols.end / r);
            let dy = y % r;
            if order == Order::Rows {
                spread(&input[dy * r * px_out..], px_in, io.out.row_mut(y), r * px_out);
                continue;
            }
            let out = io.out.row_mut(y).chunks_exact_mut(r * px_out);
            for (from, to) in input.chunks_exact(px_in).zip(out) {
                for (i, to) in to.chunks_exact_mut(size).enumerate() {
                    let (dx, c) = (i / channels, i % channels);
                    to.copy_from_slice(&from[(c * r * r + dy * r + dx) * size..][..size]);
                }
            }
        }
    }
}

/// Copies `run` bytes of every `stride` bytes of `from`, one after the other.
fn spread(from: &[u8], stride: usize, to: &mut [u8], run: usize) {
    match run {
        // The runs of RGB by 2, 3 and 4, in 8 and 16 bits: a few moves each instead of a call.
        6 => spread_by::<6>(from, stride, to),
        9 => spread_by::<9>(from, stride, to),
        12 => spread_by::<12>(from, stride, to),
        18 => spread_by::<18>(from, stride, to),
        24 => spread_by::<24>(from, stride, to),
        _ => {
            for (from, to) in from.chunks(stride).zip(to.chunks_exact_mut(run)) {
                to.copy_from_slice(&from[..run]);
            }
        }
    }
}

fn spread_by<const RUN: usize>(from: &[u8], stride: usize, to: &mut [u8]) {
    let (to, _) = to.as_chunks_mut::<RUN>();
    for (from, to) in from.chunks(stride).zip(to) {
        if let Some(run) = from.first_chunk::<RUN>() {
            *to = *run;
        }
    }
}
