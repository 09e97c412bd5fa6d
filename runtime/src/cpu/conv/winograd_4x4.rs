//! 3x3 convolution by Winograd's minimal filtering F(4x4, 3x3), in integers and without any error.
//!
//! Tiles of 4x4 outputs come from 36 products for each pair of channels instead of 144. With the matrices of
//! Lavin and Gray ("Fast Algorithms for Convolutional Neural Networks", 2015), `out = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A`,
//! `G` has fractions; here it is multiplied with [`SCALE`], so that all of it is integers. 8-bit activations
//! become at most 100 times larger, 8-bit weights 144 times: both fit 16 bits, and products are summed in 32.
//! What comes out is `SCALE²` times the convolution. Integers of 32 bits wrap around, and addition and
//! multiplication do not mind: as long as the *result* fits 32 bits it is exact, whatever overflowed on the way.
//! It is then divided by 64 (a shift) and by 9 (a multiplication with its inverse modulo 2³²), both exactly.
//!
//! So this is the direct convolution's number, bit by bit, and nobody has to know which of them computed it. It
//! is taken where multiplications are what takes time: on cores without a dot product, which have four 16-bit
//! products an instruction, where a direct convolution has at best eight 8-bit ones.

use crate::cpu::conv::form::Store;
use crate::cpu::conv::pack::Packed;
use crate::cpu::conv::requant::Requant;
use crate::cpu::conv::row::PostOps;
use crate::memory::line::{Line, aligned};
use alloc::vec::Vec;

/// Outputs along a side of a tile.
pub(crate) const TILE: usize = 4;
/// Inputs along a side of a tile.
pub(crate) const PATCH: usize = 6;
/// Places in the transformed domain.
pub(crate) const PLACES: usize = PATCH * PATCH;
/// Kernel side.
const KERNEL: usize = 3;
/// Factor on `G`, a dimension.
const SCALE: i64 = 24;
/// Multiplied with it, a multiple of 9 is divided by 9, modulo 2³².
#[cfg_attr(
    not(any(target_arch = "aarch64", target_arch = "x86_64")),
    expect(dead_code, reason = "kernels divide, plain Rust has none")
)]
pub(crate) const NINTH: i32 = 0x38e3_8e39;
/// Output channels of a block of weights in [`Form::Blocks`].
pub(crate) const BLOCK: usize = 8;
/// Input channels: in units of one vector of 16-bit values of [`Form::Blocks`], few enough for the working memory on the stack.
pub(crate) const CHANNELS: usize = 8;
pub(crate) const MAX_CHANNELS: usize = 64;

/// Where the rows of the transformed domain lie in [`Form::Blocks`]. Kernels sum them up in pairs, 1 and 2, 3 and 4, 0 and 5:
/// with the first two pairs the transformation back can begin.
pub(crate) const ORDER: [usize; PATCH] = [4, 0, 1, 2, 3, 5];

/// `SCALE · G`, but its last row divided by 4, for which `Aᵀ` has a 4 instead of a 1.
const G: [[i32; KERNEL]; PATCH] = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 6]];

/// What an instruction set has for it.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    pub strip: Strip,
    pub form: Form,
}

/// How an instruction set wants weights, and what it asks of a convolution beyond the shape.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// `[output channels / BLOCK][column][pair of rows][input channel][row of the pair][BLOCK]`, the rows of the transformed
    /// domain in [`ORDER`], and one more line, which a kernel may load ahead. Sums are shifted before they are divided by 9, so
    /// they have to fit 32 bits with the whole scale, and they have to be floats in disguise.
    #[cfg_attr(
        not(any(test, target_arch = "aarch64")),
        expect(dead_code, reason = "only NEON wants them so")
    )]
    Blocks,
    /// As they are packed for the direct convolution: every call transforms those of a panel for a few dozen tiles, which costs a
    /// twentieth of the time and saves eight times the memory. Input channels are a multiple of `channels`; `scratch` is the
    /// working memory in bytes for so many of them. Sums are divided by 9 first.
    #[cfg_attr(
        not(any(test, target_arch = "x86_64")),
        expect(dead_code, reason = "only x86-64 takes them so")
    )]
    Direct { channels: usize, scratch: fn(usize) -> usize },
}

/// A convolution that is computed so.
pub(crate) struct Winograd4x4 {
    kernel: Kernel,
    pub in_channels: usize,
    pub out_channels: usize,
    /// Transformed weights of 16 bits, zero-padded, in [`Form::Blocks`]; otherwise nothing.
    pub blocks: Vec<Line>,
}

impl Winograd4x4 {
    /// Transforms `weights`, `[out, 3, 3, in]`, in this order of output channels; `None` if the shape is not one
    /// of this algorithm's, or if results might not fit 32 bits.
    pub fn new(
        kernel: Kernel,
        weights: &[i8],
        order: &[usize],
        in_channels: usize,
        out_channels: usize,
        requant: &Requant,
    ) -> Option<Self> {
        let depth = KERNEL * KERNEL * in_channels;
        let (unit, most, takes) = match kernel.form {
            Form::Blocks => {
                (CHANNELS, SCALE * SCALE, requant.offset.is_some() && out_channels.is_multiple_of(TILE))
            }
            // What is left after the division by 9, modulo 2³², is 64 times the sum.
            Form::Direct { channels, .. } => (channels, SCALE * SCALE / 9, requant.offset.is_none()),
        };
        let fits = in_channels.is_multiple_of(unit)
            && in_channels <= MAX_CHANNELS
            && weights.len() == out_channels * depth
            && takes;
        // Without the bias, which is added after the division. Activations whose sign bit is flipped reach 255.
        let largest = if matches!(kernel.form, Form::Blocks) { 128 } else { 255 };
        let bounded = weights.chunks_exact(depth).all(|row| {
            let reach: i64 = row.iter().map(|&w| largest * i64::from(w.unsigned_abs())).sum();
            reach * most <= i64::from(i32::MAX)
        });
        if !(fits && bounded) {
            return None;
        }
        let blocks = match kernel.form {
            Form::Blocks => blocks(weights, order, in_channels, out_channels),
            Form::Direct { .. } => Vec::new(),
        };
        Some(Self { kernel, in_channels, out_channels, blocks })
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        size_of_val(self.blocks.as_slice())
    }

    /// Bytes of working memory.
    pub fn scratch_bytes(&self) -> usize {
        match self.kernel.form {
            Form::Blocks => 0,
            Form::Direct { scratch, .. } => scratch(self.in_channels),
        }
    }
}

/// What becomes of channel `c` of a kernel, `[3, 3, in]`, at a place: at most 12 · 12 · 127.
fn transformed(kernel: &[i8], in_channels: usize, c: usize, place: usize) -> i16 {
    let g = |ky: usize, kx: usize| i32::from(kernel[(ky * KERNEL + kx) * in_channels + c]);
    let (down, across) = (&G[place / PATCH], &G[place % PATCH]);
    let sum: i32 =
        (0..KERNEL * KERNEL).map(|t| down[t / KERNEL] * across[t % KERNEL] * g(t / KERNEL, t % KERNEL)).sum();
    sum as i16
}

/// See [`Form::Blocks`].
fn blocks(weights: &[i8], order: &[usize], in_channels: usize, out_channels: usize) -> Vec<Line> {
    let depth = KERNEL * KERNEL * in_channels;
    let blocks = out_channels.div_ceil(BLOCK);
    let mut lines = aligned(2 * blocks * BLOCK * PLACES * in_channels + size_of::<Line>());
    let packed: &mut [i16] = bytemuck::cast_slice_mut(&mut lines);
    for (n, &source) in order.iter().enumerate() {
        let kernel = &weights[source * depth..][..depth];
        for c in 0..in_channels {
            for place in 0..PLACES {
                let (y, x) = (ORDER[place / PATCH], place % PATCH);
                let pair = (n / BLOCK * PATCH + x) * (PATCH / 2) + y / 2;
                let row = (pair * in_channels + c) * 2 + y % 2;
                packed[row * BLOCK + n % BLOCK] = transformed(kernel, in_channels, c, place);
            }
        }
    }
    lines
}

/// Everything that four rows of a convolution need.
pub(crate) struct StripArgs<'a, 'b> {
    /// Six input rows, starting at the leftmost value under the first pixel's kernel.
    pub taps: [&'a [u8]; PATCH],
    /// Pixels to compute, at least four.
    pub pixels: usize,
    pub weights: &'a Winograd4x4,
    /// The same convolution's weights as they are packed for the direct one.
    pub packed: &'a Packed,
    pub requant: &'a Requant,
    pub store: Store,
    /// What else is done with each row, or nothing; only on instruction sets whose table says that they have it.
    pub post_ops: &'a mut [PostOps<'b>],
    /// Working memory of [`Winograd4x4::scratch_bytes`].
    pub scratch: &'a mut [Line],
    /// Up to four output rows of `pixels · out_channels` values.
    pub out: &'a mut [&'b mut [u8]],
}

/// Entry of an instruction set: four rows of a convolution.
///
/// # Safety
/// The processor has the instruction set. The arguments were checked by [`strip`].
pub(crate) type Strip = unsafe fn(&mut StripArgs<'_, '_>);

/// Checks the lengths of all slices and runs the kernel that the weights were transformed for.
pub(crate) fn strip(mut args: StripArgs<'_, '_>) {
    let Winograd4x4 { kernel, in_channels, out_channels, ref blocks } = *args.weights;
    assert!(args.pixels >= TILE, "a tile fits the row");
    let row = (args.pixels + KERNEL - 1) * in_channels;
    assert!(args.taps.iter().all(|tap| tap.len() >= row), "rows reach over the last pixel's kernel");
    let lanes = match kernel.form {
        Form::Blocks => {
            assert!(in_channels.is_multiple_of(CHANNELS), "channels are vectors");
            let padded = out_channels.next_multiple_of(BLOCK);
            let all = 2 * padded * PLACES * in_channels + size_of::<Line>();
            assert!(size_of_val(blocks.as_slice()) >= all, "all weights are there");
            out_channels.next_multiple_of(TILE)
        }
        Form::Direct { channels, .. } => {
            assert!(in_channels.is_multiple_of(channels), "channels are vectors");
            let Packed { shape, ref weights, padded_out, .. } = *args.packed;
            let same = (shape.in_channels, shape.out_channels) == (in_channels, out_channels);
            assert!(
                same && (shape.kernel, shape.columns) == (KERNEL, KERNEL),
                "they are the same convolution's"
            );
            let all = padded_out * KERNEL * KERNEL * in_channels;
            assert!(size_of_val(weights.as_slice()) >= all, "all weights are there");
            padded_out
        }
    };
    assert!(size_of_val(args.scratch) >= args.weights.scratch_bytes(), "the working memory is there");
    assert!(in_channels <= MAX_CHANNELS, "channels fit the working memory");
    assert!(
        args.requant.bias.len() >= 4 * lanes && args.requant.mult.len() >= lanes,
        "a value for every lane"
    );
    match kernel.form {
        Form::Blocks => {
            assert!(
                args.requant.offset.as_ref().is_some_and(|o| o.len() >= lanes),
                "an offset for every lane"
            );
        }
        Form::Direct { .. } => assert!(args.requant.offset.is_none(), "sums are integers"),
    }
    assert!((1..=TILE).contains(&args.out.len()), "one to four output rows");
    let values = args.pixels * out_channels;
    let out = values * args.store.size_bytes();
    assert!(args.out.iter().all(|row| row.len() == out), "the output rows fit");
    assert!(
        args.post_ops.is_empty() || args.post_ops.len() == args.out.len(),
        "post-ops of every row, or none"
    );
    args.post_ops.iter().for_each(|post_ops| post_ops.check(args.store, values));
    // SAFETY: lengths checked above; a `Cpu` hands out kernels only on a processor that has the instruction set.
    unsafe { (kernel.strip)(&mut args) }
}
