//! Tiles of six pixels and four vectors in assembly: the sums over the whole depth, and the way from the sums to
//! stored bytes. All 32 registers are in use, which the compiler does not manage without keeping sums in memory.
//!
//! `v0` to `v23` are the sums. After the depth, `v24` to `v27` hold the multipliers, `v31` the number that rounds
//! (see [`requant`](crate::cpu::conv::requant)), `v28` to `v30` what is on its way out.

use crate::arithmetic::MAGIC;
use crate::cpu::conv::form::{Products, Store};
use crate::cpu::conv::tile::Destination;

/// Pixels and vectors of a tile.
pub(crate) const TILE: (usize, usize) = (6, 4);

/// What a tile computes with; the contract is that of `Tile::sums`.
#[derive(Clone, Copy)]
pub(crate) struct Depth<'a> {
    /// Initial sums: the bits of `MAGIC`, if the tile is stored by [`Finish`].
    pub bias: *const u8,
    /// Rows under the kernel.
    pub taps: &'a [*const u8],
    /// Byte at which the tile's first pixel begins in each of them.
    pub at: usize,
    /// Groups of values in a kernel row.
    pub groups: usize,
    /// Bytes to the next pixel.
    pub px: usize,
    /// Weights.
    pub w: *const u8,
}

/// How a whole tile is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 8 bits, the whole range, with an even zero point.
    Bytes,
    /// 8 bits from a bound on, with an even zero point.
    BytesAbove,
    /// 8 bits between bounds.
    BytesWithin,
    /// 16 bits.
    Halves,
    /// 16 bits, not below zero.
    Positive,
    /// 16 bits, of products that may be beyond them.
    Clamped,
}

/// Constants of the way from sums to stored values, as the assembly reads them: 16 bytes each.
#[repr(C, align(16))]
pub(crate) struct Finish {
    magic: [f32; 4],
    /// What is odd of the zero point, or the lower bound of 16 bits.
    odd: [i16; 8],
    lo: [i8; 16],
    hi: [i8; 16],
    pub kind: Kind,
}

impl Finish {
    /// For a tile of `lanes` channels. `None` where it is not stored as a whole: sums that are no floats in disguise, channels that are padding,
    /// or plain sums.
    #[inline(always)]
    pub fn new(to: &Destination<'_>, lanes: usize) -> Option<Self> {
        if to.offset.is_null() || to.lanes != lanes {
            return None;
        }
        let same = |kind| Self { magic: [MAGIC; 4], odd: [0; 8], lo: [0; 16], hi: [0; 16], kind };
        match *to.store {
            Store::I8 { lo, hi, zero_point, xor: 0 } => {
                // Rounding to even does not change when an even number is added first.
                let odd = zero_point & 1;
                let (lo, hi) = (lo as i32 + zero_point, hi as i32 + zero_point);
                let kind = match (odd, lo, hi) {
                    (0, -128, 127) => Kind::Bytes,
                    (0, _, 127) => Kind::BytesAbove,
                    _ => Kind::BytesWithin,
                };
                Some(Self {
                    magic: [MAGIC + (zero_point - odd) as f32; 4],
                    odd: [odd as i16; 8],
                    lo: [lo as i8; 16],
                    hi: [hi as i8; 16],
                    kind,
                })
            }
            Store::I16 { lo, .. } if to.products > Products::Short => {
                Some(Self { odd: [lo as i16; 8], ..same(Kind::Clamped) })
            }
            // Products are within 16 bits, so only a bound inside of them is one.
            Store::I16 { lo, .. } => Some(same(if lo == 0.0 { Kind::Positive } else { Kind::Halves })),
            Store::I8 { .. } | Store::F32 { .. } => None,
        }
    }
}

/// Loads what all pixels of a tile are stored with.
macro_rules! finish {
    () => {
        "ldp q24, q25, [{mult}]\nldp q26, q27, [{mult}, #32]\nldr q31, [{finish}]\n"
    };
}

/// The four sums of a pixel, in registers `$a` to `$d`, times their multipliers and rounded, in `$t`, `$a`, `$b` and `$c`;
/// `$t` is free before.
#[rustfmt::skip]
macro_rules! scaled {
    ($t:literal, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "ldr q", $t, ", [{offset}]\n",
            "fmla v", $t, ".4s, v", $a, ".4s, v24.4s\n",
            "ldr q", $a, ", [{offset}, #16]\n",
            "fmla v", $a, ".4s, v", $b, ".4s, v25.4s\n",
            "ldr q", $b, ", [{offset}, #32]\n",
            "fmla v", $b, ".4s, v", $c, ".4s, v26.4s\n",
            "ldr q", $c, ", [{offset}, #48]\n",
            "fmla v", $c, ".4s, v", $d, ".4s, v27.4s\n",
            "fadd v", $t, ".4s, v", $t, ".4s, v31.4s\n",
            "fadd v", $a, ".4s, v", $a, ".4s, v31.4s\n",
            "fadd v", $b, ".4s, v", $b, ".4s, v31.4s\n",
            "fadd v", $c, ".4s, v", $c, ".4s, v31.4s\n",
        )
    };
}

/// The low halves of four vectors, in `v29` and `v30`.
#[rustfmt::skip]
macro_rules! halves {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "uzp1 v29.8h, v", $a, ".8h, v", $b, ".8h\n",
            "uzp1 v30.8h, v", $c, ".8h, v", $d, ".8h\n",
        )
    };
}

/// Stores a pixel's rounded values, which are in these four registers, and goes to the next.
#[rustfmt::skip]
macro_rules! put {
    (Halves, $($v:literal),+) => {
        concat!(halves!($($v),+), "st1 {{v29.8h, v30.8h}}, [{out}], {px_out}\n")
    };
    (Positive, $($v:literal),+) => {
        concat!(
            halves!($($v),+),
            "movi v28.2d, #0\n",
            "smax v29.8h, v29.8h, v28.8h\n",
            "smax v30.8h, v30.8h, v28.8h\n",
            "st1 {{v29.8h, v30.8h}}, [{out}], {px_out}\n",
        )
    };
    (Clamped, $a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "sub v", $a, ".4s, v", $a, ".4s, v31.4s\n",
            "sub v", $b, ".4s, v", $b, ".4s, v31.4s\n",
            "sub v", $c, ".4s, v", $c, ".4s, v31.4s\n",
            "sub v", $d, ".4s, v", $d, ".4s, v31.4s\n",
            "sqxtn v29.4h, v", $a, ".4s\n",
            "sqxtn v30.4h, v", $c, ".4s\n",
            "sqxtn2 v29.8h, v", $b, ".4s\n",
            "sqxtn2 v30.8h, v", $d, ".4s\n",
            "ldr q28, [{finish}, #16]\n",
            "smax v29.8h, v29.8h, v28.8h\n",
            "smax v30.8h, v30.8h, v28.8h\n",
            "st1 {{v29.8h, v30.8h}}, [{out}], {px_out}\n",
        )
    };
    (Bytes, $($v:literal),+) => {
        concat!(
            halves!($($v),+),
            "sqxtn v29.8b, v29.8h\n",
            "sqxtn2 v29.16b, v30.8h\n",
            "st1 {{v29.16b}}, [{out}], {px_out}\n",
        )
    };
    (BytesAbove, $($v:literal),+) => {
        concat!(
            halves!($($v),+),
            "sqxtn v29.8b, v29.8h\n",
            "sqxtn2 v29.16b, v30.8h\n",
            "ldr q28, [{finish}, #32]\n",
            "smax v29.16b, v29.16b, v28.16b\n",
            "st1 {{v29.16b}}, [{out}], {px_out}\n",
        )
    };
    (BytesWithin, $($v:literal),+) => {
        concat!(
            halves!($($v),+),
            "ldr q28, [{finish}, #16]\n",
            "sqadd v29.8h, v29.8h, v28.8h\n",
            "sqadd v30.8h, v30.8h, v28.8h\n",
            "sqxtn v29.8b, v29.8h\n",
            "sqxtn2 v29.16b, v30.8h\n",
            "ldp q28, q30, [{finish}, #32]\n",
            "smax v29.16b, v29.16b, v28.16b\n",
            "smin v29.16b, v29.16b, v30.16b\n",
            "st1 {{v29.16b}}, [{out}], {px_out}\n",
        )
    };
}
