//! The end of a real-time network as one step: the bilinearly interpolated image, the correction added to it, and the
//! pixel shuffle, where an instruction set has a kernel for all of it.
//!
//! It takes the same values as the three operators: the interpolation's 16-bit edge must hold it without rounding, as
//! the quantizer has it.

use crate::cpu::conv::form::Narrowing;
use crate::cpu::image_add::{ImageArgs, ImageRows, Phase, Spread, fits, image_rows};
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::cpu::table::Cpu;
use crate::memory::ring::SLACK_BYTES;
use crate::model::{DType, Filter};
use crate::program::{BilinearSkip, I16_MAX, Phases, phases, short};
use alloc::vec::Vec;

/// Largest factor whose weights fit 8 bits.
const MAX_UPSCALE: usize = 5;
/// Most channels; three pixels are copied at the ends of a row.
const MAX_CHANNELS: usize = 4;

/// The sum of an interpolated image and a correction that stands in front of its pixel shuffle.
pub(crate) struct ImageAddStep {
    entry: ImageRows,
    spread: Spread,
    /// Phases down the rows; as many as the factor.
    phases: Vec<Phase>,
    /// See [`ImageArgs::zero`].
    zero: i32,
    /// Of the correction and of the image.
    factors: [f32; 2],
    to: Narrowing,
}

impl ImageAddStep {
    /// `None` where the instruction set has no kernel, or the types do not fit it.
    pub fn new(skip: &BilinearSkip, channels: usize, dtypes: Dtypes, cpu: Cpu) -> Option<Self> {
        let entry = cpu.image_add?;
        let BilinearSkip { resize, interpolated, factors, .. } = *skip;
        let r = resize.upscale;
        if r > MAX_UPSCALE || channels > MAX_CHANNELS {
            return None;
        }
        let [correction, image] = dtypes.from;
        let DType::I8 { zero_point, .. } = image else { return None };
        let is_i16 = |dtype| matches!(dtype, DType::I16 { .. });
        let Phases { all, total, .. } = phases(Filter::Bilinear, r);
        // The sums themselves, and never clamped.
        let exact = short(resize.factor) == 1.0 && 255.0 * total * total <= I16_MAX;
        let to = dtypes.codec(dtypes.to).narrowing()?;
        if !(is_i16(correction) && is_i16(interpolated) && exact && fits(factors, to)) {
            return None;
        }
        let phases: Vec<Phase> = all[..r]
            .iter()
            .map(|p| Phase { first: p.first, weights: [p.weights[0] as i8, p.weights[1] as i8] })
            .collect();
        let spread = Spread::new(&phases, channels, cpu.i8.geometry.layout)?;
        // Kernels of x86-64 take bytes as unsigned, 128 larger.
        let offset = if cfg!(target_arch = "x86_64") { 128 } else { 0 };
        let zero = (i32::from(zero_point) + offset) * (total * total) as i32;
        Some(Self { entry, spread, phases, zero, factors, to })
    }

    /// Output rows `y..y + N`.
    fn rows<const N: usize>(&self, io: &mut Io<'_>, y: usize) {
        let (r, channels) = (self.phases.len(), self.spread.channels());
        let [corrections, image] = io.inputs;
        let (width, last) = (image.width(), image.height() - 1);
        let cols = io.out.cols();
        let cols = cols.start / r..cols.end / r;
        let (y_in, dy) = (y / r, y % r);
        let upper = y_in as isize + self.phases[dy].first;
        let taps = [upper.max(0) as usize, ((upper + 1) as usize).min(last)];
        let px_corrections = self.spread.lanes * r;
        let row: &[i16] = bytemuck::cast_slice(corrections.padded_row(y_in as isize));
        let row = &row[(corrections.pad() + cols.start) * px_corrections + dy * self.spread.lanes..];
        let mut out = io.out.rows_mut::<N>(y);
        let start = (image.pad() + cols.start - 1) * channels;
        let rows = taps.map(|y| &image.padded_row(y as isize)[start..]);
        self.pixels(rows, row, dy, &mut out);
        // The first and the last pixel once more, with the edge pixel repeated outside of the image.
        for x in [0, width - 1].into_iter().filter(|x| cols.contains(x)) {
            let copies = taps.map(|y| {
                let row = image.pixels(y, 0..width);
                let mut copy = [0_u8; 3 * MAX_CHANNELS + SLACK_BYTES];
                let beside = [x.saturating_sub(1), x, (x + 1).min(width - 1)];
                for (pixel, x) in copy.chunks_exact_mut(channels).zip(beside) {
                    pixel.copy_from_slice(&row[x * channels..(x + 1) * channels]);
                }
                copy
            });
            let at = (x - cols.start) * self.spread.lanes;
            let mut out = out.each_mut().map(|row| &mut row[at..at + self.spread.lanes]);
            let row = &row[(x - cols.start) * px_corrections..];
            self.pixels([&copies[0], &copies[1]], row, dy, &mut out);
        }
    }

    fn pixels(&self, image: [&[u8]; 2], corrections: &[i16], dy: usize, out: &mut [&mut [u8]]) {
        let lanes = self.spread.lanes;
        let args = ImageArgs {
            image,
            corrections,
            px_corrections: lanes * self.phases.len(),
            pixels: out[0].len() / lanes,
            spread: &self.spread,
            dy,
            zero: self.zero,
            factors: self.factors,
            to: self.to,
            out,
        };
        image_rows(self.entry, args);
    }
}

impl Step for ImageAddStep {
    fn run(&self, io: &mut Io<'_>) {
        let r = self.phases.len();
        let mut y = io.rows.start;
        while y < io.rows.end {
            // Rows between the same two of the image.
            let first = self.phases[y % r].first;
            let alike = self.phases[y % r..].iter().take_while(|p| p.first == first).count();
            let rows = alike.min(io.rows.end - y);
            match rows {
                1 => self.rows::<1>(io, y),
                2 => self.rows::<2>(io, y),
                _ => self.rows::<3>(io, y),
            }
            y += rows.min(3);
        }
    }

    fn weight_bytes(&self) -> usize {
        self.spread.bytes()
    }
}
