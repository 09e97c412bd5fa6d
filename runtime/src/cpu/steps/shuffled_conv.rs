//! A convolution and the pixel shuffle that alone reads it, in one: what the shuffle would move is written in its place.
//!
//! With the channels in the order `(dy, dx, c)`, an input pixel's channels for one `dy` are `r` output pixels. So an
//! output row is a row of a convolution with a part of the channels, dense and without any moving.

use crate::cpu::steps::Io;
use crate::cpu::steps::conv2d::Conv2dStep;
use crate::cpu::table::Cpu;
use crate::model::{Model, NodeId, Op};
use crate::program::order::Order;
use alloc::vec::Vec;

/// The convolutions of the rows `dy = 0..r`.
pub(crate) struct ShuffledConvStep {
    rows: Vec<Conv2dStep>,
}

impl ShuffledConvStep {
    /// For the pixel shuffle `shuffle` by `upscale`, and the convolution that it reads.
    pub fn new(model: &Model, shuffle: NodeId, upscale: usize, cpu: Cpu) -> Self {
        let conv = model.graph().node(shuffle).inputs[0];
        debug_assert!(matches!(model.graph().node(conv).op, Op::Conv2d(_)), "lowered from one");
        let channels = usize::from(model.shape(shuffle).channels);
        let order = Order::Rows.channels(upscale, channels);
        let rows = order.chunks_exact(upscale * channels);
        Self { rows: rows.map(|row| Conv2dStep::of_channels(model, conv, row, cpu)).collect() }
    }

    pub fn run(&self, io: &mut Io<'_>) {
        let upscale = self.rows.len();
        for first in io.rows.clone().take(upscale) {
            let mut y = first;
            while y < io.rows.end {
                y += upscale * self.rows[y % upscale].shuffled_rows(io, y, upscale);
            }
        }
    }

    pub fn weight_bytes(&self) -> usize {
        self.rows.iter().map(Conv2dStep::weight_bytes).sum()
    }
}
