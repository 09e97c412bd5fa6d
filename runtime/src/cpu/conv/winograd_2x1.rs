//! 3x3 convolution of two rows at a time by Winograd's F(2, 3) down the columns, in 8 bits and without any error.
//!
//! Two outputs below each other come from four products instead of six. Of four values `d` of a column of the input and
//! three weights `g`,
//!
//! ```text
//! m = [(d0 − d2) · g0,  (d1 + d2) · (g0 + g1 + g2),  (d2 − d1) · (g0 − g1 + g2),  (d3 − d1) · g2]
//! out = [m0 + (m1 + m2) / 2,  m3 + (m1 − m2) / 2]
//! ```
//!
//! where what is halved is even, so nothing is lost, also not if it is halved only when all of the depth is summed up:
//! they are the direct convolution's sums. So the planner may choose this wherever the weights' sums are 8-bit
//! integers. Whether sums and differences of the activations are is known only when they are there: additions
//! saturate, the processor says whether one did, and the direct convolution does those pixels instead. It is rare for
//! a network that was quantized for it (`mcir-quantize run --winograd`): with activations around the middle half of
//! their range and weights whose sums fit.
//!
//! Where it stands: on aarch64 with the dot product, and with AVX-512 VNNI for blocks of 32 output channels. Passes are of up to
//! [`MAX_PIXELS`] pixels, so that little has to be done again where a sum did not fit. Rows are transformed tile by tile, so that
//! they are read while the processor still multiplies.
//!
//! An instruction set whose products are of unsigned activations gets 128 added to all that is transformed; what that adds
//! to the sums is taken off their initial values.

use crate::cpu::conv::form::{Store, Sums8};

use crate::cpu::conv::requant::Requant;
use crate::cpu::conv::row::PostOps;
use crate::memory::line::{Line, aligned};
use alloc::vec::Vec;
use core::iter::zip;

#[cfg(test)]
mod tests;

/// Rows of the input under two rows of the output.
pub(crate) const TAPS: usize = 4;
/// Kernel side.
const KERNEL: usize = 3;
/// Input channels: in units of a vector of activations.
pub(crate) const CHANNELS: usize = 16;
/// Values of the depth that one multiplication sums up.
const KT: usize = 4;
/// Pixels of a tile; a pass has at least as many.
pub(crate) const TILE: usize = 6;
/// Bytes of the working memory for transformed rows.
pub(crate) const SCRATCH_BYTES: usize = 16384;
/// Most pixels of a pass: fewer are fewer to do directly if one is out of range.
const MAX_PIXELS: usize = 48;
/// Largest magnitude of a weight.
const MAX_WEIGHT: i32 = 127;
/// What is added to activations to make them unsigned.
const UNSIGNED: i64 = 128;

/// The places of the transformed domain in the order in which they are summed up: first those that both rows share.
const ORDER: [usize; TAPS] = [1, 2, 0, 3];
/// Places that are summed up together.
const HALF: usize = 2;

/// What an instruction set has.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    pub pass: Pass,
    /// Output channels that are summed up together.
    pub block: usize,
}

/// Transformed weights of a convolution.
pub(crate) struct Winograd2x1 {
    kernel: Kernel,
    pub in_channels: usize,
    pub out_channels: usize,
    /// `[output channels / block][half of ORDER][kernel column · input channels / CHANNELS][place of the half]`, and in
    /// these `[CHANNELS / KT][block][KT]`. One more line, which a kernel may load ahead.
    pub weights: Vec<Line>,
    /// Initial sums of the two places that both rows share: twice those of the direct convolution (the bits of `MAGIC` are
    /// part of them, where sums are floats in disguise), and zero; or less, for unsigned activations.
    pub bias: [Vec<i32>; HALF],
}

impl Winograd2x1 {
    /// Transforms `weights`, `[out, 3, 3, in]`; `None` if the shape is not one of this algorithm's, or if weights or sums
    /// are too large for it.
    pub fn new(
        kernel: Kernel,
        weights: &[i8],
        in_channels: usize,
        out_channels: usize,
        requant: &Requant,
        form: Sums8,
    ) -> Option<Self> {
        let depth = KERNEL * KERNEL * in_channels;
        let block = kernel.block;
        let fits = in_channels.is_multiple_of(CHANNELS)
            && max_pixels(in_channels) >= TILE
            && out_channels.is_multiple_of(block)
            && weights.len() == out_channels * depth;
        if !fits || (form.takes_floats && requant.offset.is_none()) {
            return None;
        }
        let row = KERNEL * in_channels;
        let mut lines = aligned(TAPS * row * out_channels + size_of::<Line>());
        let packed: &mut [i8] = bytemuck::cast_slice_mut(&mut lines);
        let mut bias = [const { Vec::new() }; HALF];
        let direct = requant.bias.as_chunks::<4>().0.iter().map(|&b| i32::from_ne_bytes(b));
        for (n, (kernel, direct)) in zip(weights.chunks_exact(depth), direct).enumerate() {
            // Of each place, and the magnitudes of all.
            let (mut sums, mut reach) = ([0; TAPS], 0);
            for k in 0..row {
                let g: [i32; KERNEL] = core::array::from_fn(|y| i32::from(kernel[y * row + k]));
                let transformed = transform(g)?;
                for (at, place) in ORDER.into_iter().enumerate() {
                    let (half, at) = (at / HALF, at % HALF);
                    let step = (n / block * (TAPS / HALF) + half) * (row / CHANNELS) + k / CHANNELS;
                    let group = (step * HALF + at) * (CHANNELS / KT) + k % CHANNELS / KT;
                    packed[(group * block + n % block) * KT + k % KT] = transformed[place];
                    sums[place] += i64::from(transformed[place]);
                    reach += i64::from(transformed[place].unsigned_abs());
                }
            }
            let direct = i64::from(direct);
            if form.xor == 0 {
                bias[0].push((direct as i32).wrapping_mul(2));
                bias[1].push(0);
                continue;
            }
            // Activations of the direct convolution have 128 added too.
            let signed = direct + UNSIGNED * sums[1];
            let initial = [
                2 * signed - UNSIGNED * (sums[0] + sums[1] + sums[3]),
                -UNSIGNED * (sums[0] + sums[2] - sums[3]),
            ];
            // What is halved must not have wrapped around.
            let largest = initial[0].abs() + initial[1].abs() + 2 * UNSIGNED * reach;
            if largest > i64::from(i32::MAX) {
                return None;
            }
            zip(&mut bias, initial).for_each(|(bias, initial)| bias.push(initial as i32));
        }
        Some(Self { kernel, in_channels, out_channels, weights: lines, bias })
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
            + self.bias.iter().map(|b| size_of_val(b.as_slice())).sum::<usize>()
    }

    /// Pixels of each pass over a row of `pixels`, but the last: about equal parts, in whole tiles.
    pub fn pass(&self, pixels: usize) -> usize {
        let most = max_pixels(self.in_channels);
        let passes = pixels.div_ceil(most).max(1);
        pixels.div_ceil(passes).next_multiple_of(TILE).min(most)
    }
}

/// Transformed weights of a column of the kernel, if they fit 8 bits.
fn transform([a, b, c]: [i32; KERNEL]) -> Option<[i8; TAPS]> {
    let all = [a, a + b + c, a - b + c, c];
    all.iter().all(|w| w.abs() <= MAX_WEIGHT).then(|| all.map(|w| w as i8))
}

/// Most pixels whose rows, and the two behind them, fit the working memory: whole tiles.
fn max_pixels(in_channels: usize) -> usize {
    let columns = SCRATCH_BYTES / TAPS / in_channels.max(1);
    columns.saturating_sub(KERNEL - 1).min(MAX_PIXELS) / TILE * TILE
}

/// Everything that a pass over two rows needs.
pub(crate) struct Winograd2x1Args<'a, 'b> {
    /// Input rows, starting at the leftmost value under the first pixel's kernel.
    pub taps: [&'a [u8]; TAPS],
    /// Pixels to compute, at least [`TILE`] and at most [`Winograd2x1::pass`].
    pub pixels: usize,
    pub weights: &'a Winograd2x1,
    /// Of the direct convolution.
    pub requant: &'a Requant,
    pub store: Store,
    /// What else is done with the rows; only on instruction sets whose table says that they have them.
    pub post_ops: Option<[PostOps<'b>; 2]>,
    /// Two output rows of `pixels · out_channels` values.
    pub out: [&'b mut [u8]; 2],
}

/// Entry of an instruction set: two rows of a convolution. Whether it computed them: not if a sum of activations is
/// beyond 8 bits; what it wrote by then has to be computed again.
///
/// # Safety
/// The processor has the instruction set. The arguments were checked by [`winograd_2x1`].
pub(crate) type Pass = unsafe fn(&mut Winograd2x1Args<'_, '_>) -> bool;

/// Checks the lengths of all slices and runs the kernel that the weights were made for, which must belong to the
/// processor's instruction set.
pub(crate) fn winograd_2x1(mut args: Winograd2x1Args<'_, '_>) -> bool {
    let Winograd2x1 { kernel, in_channels, out_channels, ref weights, ref bias } = *args.weights;
    assert!((TILE..=max_pixels(in_channels)).contains(&args.pixels), "tiles fit the row, rows the memory");
    let row = (args.pixels + KERNEL - 1) * in_channels;
    assert!(args.taps.iter().all(|tap| tap.len() >= row), "rows reach over the last pixel's kernel");
    assert!(in_channels.is_multiple_of(CHANNELS), "input channels are vectors");
    assert!(out_channels.is_multiple_of(kernel.block), "output channels are blocks");
    let all = TAPS * KERNEL * in_channels * out_channels + size_of::<Line>();
    assert!(size_of_val(weights.as_slice()) >= all, "all weights are there");
    let offsets = args.requant.offset.as_ref().map_or(out_channels, Vec::len);
    let lanes = [bias[0].len(), bias[1].len(), args.requant.mult.len(), offsets];
    assert!(lanes.iter().all(|&n| n >= out_channels), "a value for every lane");
    let values = args.pixels * out_channels;
    let out = values * args.store.size_bytes();
    assert!(args.out.iter().all(|row| row.len() == out), "the output rows fit");
    for post_ops in args.post_ops.iter().flatten() {
        post_ops.check(args.store, values);
    }
    // SAFETY: lengths checked above; the instruction set was established by `Isa::table`, which hands out a
    // kernel only on a processor that has it.
    unsafe { (kernel.pass)(&mut args) }
}
