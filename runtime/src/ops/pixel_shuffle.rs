//! Depth to space: `[H, W, C·r²] → [H·r, W·r, C]`.

use super::Io;

/// Order of the `C·r²` channels on the input edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// PyTorch's `(c, dy, dx)`.
    Torch,
    /// `(dy, dx, c)`: every output row of a pixel is contiguous. A convolution that only feeds this operator
    /// computes its channels in this order.
    Rows,
}

impl Order {
    /// `order[n]` is the PyTorch channel that stands at place `n`.
    pub fn channels(self, upscale: usize, channels: usize) -> alloc::vec::Vec<usize> {
        let r = upscale;
        (0..channels * r * r)
            .map(|n| match self {
                Self::Torch => n,
                Self::Rows => (n % channels) * r * r + n / channels,
            })
            .collect()
    }
}

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

    pub fn run(&self, io: &mut Io<'_>) {
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
            let out = io.out.row_mut(y).chunks_exact_mut(r * px_out);
            for (from, to) in input.chunks_exact(px_in).zip(out) {
                match order {
                    Order::Rows => to.copy_from_slice(&from[dy * r * px_out..][..r * px_out]),
                    Order::Torch => {
                        for (i, to) in to.chunks_exact_mut(size).enumerate() {
                            let (dx, c) = (i / channels, i % channels);
                            to.copy_from_slice(&from[(c * r * r + dy * r + dx) * size..][..size]);
                        }
                    }
                }
            }
        }
    }
}
