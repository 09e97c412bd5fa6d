//! The end of a real-time network in one pass: a bilinearly interpolated image, the network's correction added to
//! it, and the pixels spread to the high resolution.
//!
//! An output row mixes two rows of the image, an output pixel two columns of them: four taps whose weights are whole
//! numbers. The `upscale · channels` values that one low-resolution pixel becomes in an output row are the lanes of a
//! few vectors; a table look-up puts the four taps of every lane next to each other, for the instructions that the
//! convolutions use. The sums are exact, so they are the interpolated image's 16-bit values themselves.

use crate::cpu::conv::form::{Layout, Narrowing};
use alloc::vec::Vec;

/// Lanes of a vector of sums.
const LANES: usize = 4;
/// Taps of an output value.
const TAPS: usize = 4;
/// Bytes of an image row from which one vector's taps are taken.
const REACH: usize = 8;
/// Most vectors of a low-resolution pixel.
pub(crate) const MAX_VECTORS: usize = 5;
/// Most output rows that a call writes: those between the same two rows of the image.
pub(crate) const MAX_ROWS: usize = 3;
/// Rounded values stay below this: with a zero point they fit 16 bits.
const MAX_ROUNDED: f32 = 32500.0;

/// A phase of the interpolation: its left (upper) tap is the pixel before (−1) or that under the output pixel (0).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Phase {
    pub first: isize,
    pub weights: [i8; 2],
}

/// Tables of an interpolation by a whole factor.
pub(crate) struct Spread {
    /// Values of an output row for a low-resolution pixel.
    pub lanes: usize,
    channels: usize,
    /// Where each vector's bytes begin, relative to the pixel before.
    pub offsets: Vec<usize>,
    /// For each vector the places of its taps in eight bytes of the upper and eight of the lower row.
    pub index: Vec<[u8; 16]>,
    /// For each phase down the rows and each vector the weights, in the order of `index`.
    pub weights: Vec<[i8; 16]>,
}

impl Spread {
    /// For pixels of so many channels; `None` where they do not fit the vectors.
    pub fn new(phases: &[Phase], channels: usize, layout: Layout) -> Option<Self> {
        let lanes = phases.len() * channels;
        let vectors = lanes.div_ceil(LANES);
        if lanes < LANES || vectors > MAX_VECTORS {
            return None;
        }
        let (mut offsets, mut index) = (Vec::new(), Vec::new());
        let mut weights = alloc::vec![[0_i8; 16]; phases.len() * vectors];
        let place = |lane: usize, tap: usize| match layout {
            Layout::Dot => lane * TAPS + tap,
            Layout::Pairs => tap / 2 * (2 * LANES) + 2 * lane + tap % 2,
        };
        for v in 0..vectors {
            let here = LANES * v..lanes.min(LANES * (v + 1));
            // The left tap of a lane; the right one is a pixel further.
            let left = |n: usize| (1 + phases[n / channels].first) as usize * channels + n % channels;
            let offset = here.clone().map(left).min()?;
            let end = here.clone().map(left).max()? + channels;
            if end - offset >= REACH {
                return None;
            }
            let mut taps = [0_u8; 16];
            for (lane, n) in here.enumerate() {
                let at = (left(n) - offset) as u8;
                let right = at + channels as u8;
                for (tap, at) in [at, right, at + REACH as u8, right + REACH as u8].into_iter().enumerate() {
                    taps[place(lane, tap)] = at;
                    for (dy, phase) in phases.iter().enumerate() {
                        weights[dy * vectors + v][place(lane, tap)] =
                            phase.weights[tap / 2] * phases[n / channels].weights[tap % 2];
                    }
                }
            }
            offsets.push(offset);
            index.push(taps);
        }
        Some(Self { lanes, channels, offsets, index, weights })
    }

    /// Channels of the image.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Weights of output rows `dy..`.
    fn weights_from(&self, dy: usize) -> &[[i8; 16]] {
        &self.weights[dy * self.offsets.len()..]
    }

    /// Bytes of the tables.
    pub fn bytes(&self) -> usize {
        32 * self.index.len() + 16 * self.weights.len()
    }
}

/// Whether sums with these factors fit the arithmetic: `round(correction · factors[0] + image · factors[1])`. On aarch64 the zero
/// point is added first: rounding to even does not change when it is even.
pub(crate) fn fits(factors: [f32; 2], to: Narrowing) -> bool {
    let in_range = (factors[0].abs() + factors[1].abs()) * f32::from(i16::MAX) < MAX_ROUNDED;
    in_range && (cfg!(target_arch = "x86_64") || (to.zero_point % 2 == 0 && to.xor == 0))
}

/// Everything that the output rows between two rows of the image need.
pub(crate) struct ImageArgs<'a, 'b> {
    /// The two rows, each from the pixel left of the first on.
    pub image: [&'a [u8]; 2],
    /// 16-bit corrections from the first output row of the first pixel on.
    pub corrections: &'a [i16],
    /// Corrections of a low-resolution pixel.
    pub px_corrections: usize,
    /// Low-resolution pixels.
    pub pixels: usize,
    pub spread: &'a Spread,
    /// Phase of the first output row.
    pub dy: usize,
    /// The zero point of the image, of its bytes as unsigned ones on x86-64, times the sum of a value's weights.
    #[cfg_attr(
        not(any(target_arch = "aarch64", target_arch = "x86_64")),
        expect(dead_code, reason = "only aarch64 and x86-64 have a kernel")
    )]
    pub zero: i32,
    /// Of the correction and of the image.
    pub factors: [f32; 2],
    pub to: Narrowing,
    /// Up to [`MAX_ROWS`] output rows.
    pub out: &'a mut [&'b mut [u8]],
}

impl ImageArgs<'_, '_> {
    /// Weights of the first output row.
    #[cfg_attr(
        not(any(target_arch = "aarch64", target_arch = "x86_64")),
        expect(dead_code, reason = "only aarch64 and x86-64 have a kernel")
    )]
    pub fn weights(&self) -> *const i8 {
        self.spread.weights_from(self.dy).as_ptr().cast()
    }
}

/// Entry of an instruction set.
///
/// # Safety
/// The processor has the instruction set. The arguments were checked by [`image_rows`].
pub(crate) type ImageRows = unsafe fn(&mut ImageArgs<'_, '_>);

/// Checks the lengths of all slices and runs `entry`, which must belong to the processor's instruction set.
pub(crate) fn image_rows(entry: ImageRows, mut args: ImageArgs<'_, '_>) {
    let Spread { lanes, channels, ref offsets, ref index, .. } = *args.spread;
    let (pixels, rows) = (args.pixels, args.out.len());
    assert!(pixels > 0 && (1..=MAX_ROWS).contains(&rows), "there is something to do");
    assert!((1..=MAX_VECTORS).contains(&offsets.len()) && index.len() == offsets.len(), "known widths");
    assert!(lanes >= LANES && lanes.div_ceil(LANES) == offsets.len(), "vectors for all lanes");
    let reach = (pixels - 1) * channels + offsets.iter().max().map_or(0, |o| o + REACH);
    assert!(args.image.iter().all(|row| row.len() >= reach), "image rows reach over the last pixel");
    let padded = LANES * offsets.len();
    let last = (pixels - 1) * args.px_corrections + (rows - 1) * lanes + padded;
    assert!(args.corrections.len() >= last, "corrections for all pixels");
    assert!(args.spread.weights_from(args.dy).len() >= rows * offsets.len(), "weights for all rows");
    assert!(args.out.iter().all(|row| row.len() == pixels * lanes), "the output rows fit");
    assert!(fits(args.factors, args.to), "sums fit the arithmetic");
    // SAFETY: lengths checked above; the instruction set was established by `Isa::table`, which hands out an entry
    // only on a processor that has it.
    unsafe { entry(&mut args) }
}
