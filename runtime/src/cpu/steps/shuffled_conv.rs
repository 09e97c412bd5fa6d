//! A convolution and the pixel shuffle that alone reads it, in one: what the shuffle would move is written in its place.
//! An output row is a row of a convolution with a part of the channels.

use crate::cpu::conv::WinogradKernel;
use crate::cpu::steps::conv2d::Conv2dStep;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::cpu::table::Cpu;
use crate::program::{Convolution, Epilogue, Shuffled};
use alloc::vec::Vec;

/// The convolutions of the rows `dy = 0..r`.
pub(crate) struct ShuffledConvStep {
    rows: Vec<Conv2dStep>,
}

/// Whether the channels of this convolution are worth computing row by row of the shuffled output: whole panels, and no way to
/// compute them that is better shuffled afterwards.
pub(crate) fn takes(conv: &Convolution, cpu: Cpu) -> bool {
    let Some(Shuffled { upscale, .. }) = conv.epilogue.shuffle else { return true };
    let geometry = cpu.i8.geometry;
    let winograd = conv.kernel == 3 && cpu.winograd.is_some_and(WinogradKernel::shuffles_afterwards);
    !winograd && (conv.out_channels / upscale).is_multiple_of(geometry.lanes * geometry.max_nv)
}

impl ShuffledConvStep {
    pub fn new(conv: &Convolution, dtypes: Dtypes, cpu: Cpu) -> Self {
        let upscale = conv.epilogue.shuffle.map_or(1, |shuffled| shuffled.upscale);
        let channels = conv.out_channels / upscale;
        let part = |dy: usize| {
            let part = conv.channels(dy * channels..(dy + 1) * channels);
            let epilogue = Epilogue { shuffle: None, ..part.epilogue };
            Conv2dStep::new(&Convolution { epilogue, ..part }, dtypes.from[0], cpu)
        };
        Self { rows: (0..upscale).map(part).collect() }
    }
}

impl Step for ShuffledConvStep {
    fn run(&self, io: &mut Io<'_>) {
        let upscale = self.rows.len();
        for first in io.rows.clone().take(upscale) {
            let mut y = first;
            while y < io.rows.end {
                y += upscale * self.rows[y % upscale].shuffled_rows(io, y, upscale);
            }
        }
    }

    fn scratch_bytes(&self) -> usize {
        self.rows.iter().map(Conv2dStep::scratch_bytes).max().unwrap_or(0)
    }

    fn weight_bytes(&self) -> usize {
        self.rows.iter().map(Conv2dStep::weight_bytes).sum()
    }
}
