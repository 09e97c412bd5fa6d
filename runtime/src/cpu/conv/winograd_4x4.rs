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
use crate::cpu::conv::requant::Requant;
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
/// Output channels of a block of weights.
pub(crate) const BLOCK: usize = 8;
/// Input channels: in units of one vector of 16-bit values, few enough for the working memory on the stack.
pub(crate) const CHANNELS: usize = 8;
pub(crate) const MAX_CHANNELS: usize = 64;

/// Where the rows of the transformed domain lie. Kernels sum them up in pairs, 1 and 2, 3 and 4, 0 and 5: with the first two
/// pairs the transformation back can begin.
pub(crate) const ORDER: [usize; PATCH] = [4, 0, 1, 2, 3, 5];

/// `SCALE · G`, but its last row divided by 4, for which `Aᵀ` has a 4 instead of a 1.
const G: [[i32; KERNEL]; PATCH] = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 6]];

/// Transformed weights of a convolution.
pub(crate) struct Winograd4x4 {
    pub in_channels: usize,
    pub out_channels: usize,
    /// Of 16 bits, zero-padded, `[output channels / BLOCK][column][pair of rows][input channel][row of the pair][BLOCK]`,
    /// the rows of the transformed domain in [`ORDER`]. One more line, which a kernel may load ahead.
    pub weights: Vec<Line>,
}

impl Winograd4x4 {
    /// Transforms `weights`, `[out, 3, 3, in]`, in this order of output channels; `None` if the shape is not one
    /// of this algorithm's, or if results might not fit 32 bits.
    pub fn new(
        weights: &[i8],
        order: &[usize],
        in_channels: usize,
        out_channels: usize,
        requant: &Requant,
    ) -> Option<Self> {
        let depth = KERNEL * KERNEL * in_channels;
        let fits = in_channels.is_multiple_of(CHANNELS)
            && in_channels <= MAX_CHANNELS
            && out_channels.is_multiple_of(TILE)
            && weights.len() == out_channels * depth
            && requant.offset.is_some();
        // Without the bias, which is added after the division.
        let bounded = weights.chunks_exact(depth).all(|row| {
            let reach: i64 = row.iter().map(|&w| 128 * i64::from(w.unsigned_abs())).sum();
            reach * SCALE * SCALE <= i64::from(i32::MAX)
        });
        if !(fits && bounded) {
            return None;
        }
        let blocks = out_channels.div_ceil(BLOCK);
        let mut lines = aligned(2 * blocks * BLOCK * PLACES * in_channels + size_of::<Line>());
        let packed: &mut [i16] = bytemuck::cast_slice_mut(&mut lines);
        for (n, &source) in order.iter().enumerate() {
            let kernel = &weights[source * depth..][..depth];
            for c in 0..in_channels {
                let g = |ky: usize, kx: usize| i32::from(kernel[(ky * KERNEL + kx) * in_channels + c]);
                for place in 0..PLACES {
                    let (down, across) = (&G[place / PATCH], &G[place % PATCH]);
                    let sum: i32 = (0..KERNEL * KERNEL)
                        .map(|t| down[t / KERNEL] * across[t % KERNEL] * g(t / KERNEL, t % KERNEL))
                        .sum();
                    // At most 12 · 12 · 127.
                    let (y, x) = (ORDER[place / PATCH], place % PATCH);
                    let pair = (n / BLOCK * PATCH + x) * (PATCH / 2) + y / 2;
                    let row = (pair * in_channels + c) * 2 + y % 2;
                    packed[row * BLOCK + n % BLOCK] = sum as i16;
                }
            }
        }
        Some(Self { in_channels, out_channels, weights: lines })
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice())
    }
}

/// Everything that four rows of a convolution need.
pub(crate) struct StripArgs<'a, 'b> {
    /// Six input rows, starting at the leftmost value under the first pixel's kernel.
    pub taps: [&'a [u8]; PATCH],
    /// Pixels to compute, at least four.
    pub pixels: usize,
    pub weights: &'a Winograd4x4,
    pub requant: &'a Requant,
    pub store: Store,
    /// Up to four output rows of `pixels · out_channels` values.
    pub out: &'a mut [&'b mut [u8]],
}

/// Entry of an instruction set: four rows of a convolution.
///
/// # Safety
/// The processor has the instruction set. The arguments were checked by [`strip`].
pub(crate) type Strip = unsafe fn(&mut StripArgs<'_, '_>);

/// Checks the lengths of all slices and runs `entry`, which must belong to the processor's instruction set.
pub(crate) fn strip(entry: Strip, mut args: StripArgs<'_, '_>) {
    let Winograd4x4 { in_channels, out_channels, ref weights } = *args.weights;
    assert!(args.pixels >= TILE, "a tile fits the row");
    let row = (args.pixels + KERNEL - 1) * in_channels;
    assert!(args.taps.iter().all(|tap| tap.len() >= row), "rows reach over the last pixel's kernel");
    assert!(in_channels.is_multiple_of(CHANNELS) && in_channels <= MAX_CHANNELS, "channels are vectors");
    let padded = out_channels.next_multiple_of(BLOCK);
    let all = 2 * padded * PLACES * in_channels + size_of::<Line>();
    assert!(size_of_val(weights.as_slice()) >= all, "all weights are there");
    let lanes = out_channels.next_multiple_of(TILE);
    assert!(
        args.requant.bias.len() >= 4 * lanes && args.requant.mult.len() >= lanes,
        "a value for every lane"
    );
    assert!(args.requant.offset.as_ref().is_some_and(|o| o.len() >= lanes), "an offset for every lane");
    assert!((1..=TILE).contains(&args.out.len()), "one to four output rows");
    let out = args.pixels * out_channels * args.store.size_bytes();
    assert!(args.out.iter().all(|row| row.len() == out), "the output rows fit");
    // SAFETY: lengths checked above; the instruction set was established by `Isa::table`, which hands out an
    // entry only on a processor that has it.
    unsafe { entry(&mut args) }
}
