//! Winograd's F(2, 3) on aarch64 with the dot product; see [`winograd_2x1`](crate::cpu::conv::winograd_2x1).
//!
//! The four input rows are transformed once for all output channels. Then tiles of six pixels and eight output channels,
//! in two phases. The first has the sums of the two places that both rows share in 24 registers. Half of their sum and half
//! of their difference are what the second adds the products of the other two places to.

use crate::cpu::aarch64::store::store_sums;
use crate::cpu::aarch64::tile_6x4::{Finish, Kind};
use crate::cpu::conv::tile::Destination;
use crate::cpu::conv::winograd_2x1::{CHANNELS, Kernel, SCRATCH_BYTES, TAPS, TILE, Winograd2x1Args};
use crate::memory::line::Line;
use core::arch::{aarch64::*, asm};
use core::mem::MaybeUninit;

pub(crate) const KERNEL: Kernel = Kernel { pass, block: BLOCK };

/// Output channels of a block of weights.
const BLOCK: usize = 8;
/// Vectors of sums in a block of output channels.
const NV: usize = BLOCK / 4;
/// Bytes of weights for the vectors of a block, all places and three times [`CHANNELS`] values of the depth.
const STEP_BYTES: usize = 3 * TAPS * CHANNELS * BLOCK;

/// Bytes from a vector of the transformed rows to the next of the same place.
const UNIT_BYTES: usize = TAPS * CHANNELS;
/// What is read past the weights of a block: those of the next, which are loaded ahead.
const AHEAD_BYTES: usize = 32;

const _: () = assert!(AHEAD_BYTES <= size_of::<Line>());

/// Transformed rows: `[pixel][channels / CHANNELS][place][CHANNELS]`.
#[repr(align(64))]
struct Rows(MaybeUninit<[i8; SCRATCH_BYTES]>);

/// Sums that start at zero: those of the second place, of signed activations. (At a fixed address, which takes no register.)
static ZERO: [i32; BLOCK] = [0; BLOCK];

/// # Safety
/// As [`Pass`](crate::cpu::conv::winograd_2x1::Pass).
pub(crate) unsafe fn pass(args: &mut Winograd2x1Args<'_, '_>) -> bool {
    let (weights, requant) = (args.weights, args.requant);
    let (channels, out_channels) = (weights.in_channels, weights.out_channels);
    // Written by `transform` before anything reads it.
    let mut rows = Rows(MaybeUninit::uninit());
    let rows: *mut i8 = rows.0.as_mut_ptr().cast();
    let px_out = out_channels * args.store.size_bytes();
    let steps = channels / CHANNELS;
    let px = channels / CHANNELS * UNIT_BYTES;
    let Some(offset) = requant.offset.as_deref() else {
        unreachable!("`winograd_2x1` checked that there are some")
    };
    // SAFETY: `winograd_2x1` checked that the taps hold `pixels + 2` pixels of whole vectors, that four such rows fit the
    // scratch, that weights (and a line behind them), sums, multipliers and offsets are there for all output channels,
    // which are whole blocks, and that output rows hold `pixels` pixels, at least a tile's.
    unsafe {
        if !transform(args.taps.map(<[u8]>::as_ptr), rows, (args.pixels + 2) * channels) {
            return false;
        }
        for first in (0..out_channels).step_by(BLOCK) {
            let w = weights.weights.as_ptr().cast::<i8>().add(first / BLOCK * steps * STEP_BYTES);
            let bias = weights.bias[0].as_ptr().add(first);
            let to = Destination {
                mult: requant.mult.as_ptr().add(first),
                offset: offset.as_ptr().add(first),
                products: requant.products,
                store: &args.store,
                out: args.out[0].as_mut_ptr().add(first * args.store.size_bytes()),
                px_bytes: px_out,
                lanes: BLOCK,
            };
            let below = args.out[1].as_mut_ptr().add(first * args.store.size_bytes());
            let depth = Depth { at: rows, px, steps, w, bias };
            if let Some(finish) = Finish::new(&to, BLOCK) {
                full_tiles(depth, &to, below, args.pixels, &finish);
                continue;
            }
            for x in (0..args.pixels).step_by(TILE) {
                let x = x.min(args.pixels - TILE);
                let both = sums(Depth { at: rows.add(x * px), ..depth });
                for (sums, out) in both.iter().zip([to.out, below]) {
                    store_sums(sums, &Destination { out: out.add(x * px_out), ..to });
                }
            }
        }
    }
    true
}

/// The four transformed rows of the four rows `taps`, `len` bytes each, at `to`; whether no sum left the range of 8 bits.
///
/// # Safety
/// Reads `len` bytes of each tap and writes four times as many; `len` is a multiple of 16 and not 0.
#[inline(always)]
unsafe fn transform(taps: [*const u8; TAPS], to: *mut i8, len: usize) -> bool {
    let saturated: u64;
    // SAFETY: as promised by the caller. Only the cumulative flag of saturation is changed, which nothing else reads.
    unsafe {
        asm!(
            "msr fpsr, xzr",
            "2:",
            "ldr q0, [{a}], #16",
            "ldr q1, [{b}], #16",
            "ldr q2, [{c}], #16",
            "ldr q3, [{d}], #16",
            "subs {n}, {n}, #16",
            "sqsub v4.16b, v0.16b, v2.16b",
            "sqadd v5.16b, v1.16b, v2.16b",
            "sqsub v6.16b, v2.16b, v1.16b",
            "sqsub v7.16b, v3.16b, v1.16b",
            "st1 {{v4.16b, v5.16b, v6.16b, v7.16b}}, [{to}], #64",
            "b.ne 2b",
            "mrs {saturated}, fpsr",
            a = inout(reg) taps[0] => _,
            b = inout(reg) taps[1] => _,
            c = inout(reg) taps[2] => _,
            d = inout(reg) taps[3] => _,
            n = inout(reg) len => _,
            to = inout(reg) to => _,
            saturated = lateout(reg) saturated,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack)
        );
    }
    // QC.
    saturated >> 27 & 1 == 0
}

/// One place of the transformed domain: 16 values of six pixels times two vectors of weights, into twelve sums. The
/// weights, from byte `$at` of this step on, were loaded ahead, and so are the next.
#[rustfmt::skip]
macro_rules! place {
    ($row:literal, $at:literal, $($sum:literal),+) => {
        concat!(
            "ldr q25, [", $row, ", {px}]\n",
            "ldr q26, [", $row, ", {px2}]\n",
            "ldr q27, [", $row, ", {px3}]\n",
            "ldr q28, [", $row, ", {px4}]\n",
            "ldr q29, [", $row, ", {px5}]\n",
            "ldr q24, [", $row, "], #64\n",
            place!(group "0", $at, "32", "48", $($sum),+),
            place!(group "1", $at, "64", "80", $($sum),+),
            place!(group "2", $at, "96", "112", $($sum),+),
            place!(group "3", $at, "128", "144", $($sum),+),
        )
    };
    (group $g:literal, $at:literal, $next0:literal, $next1:literal,
     $a:literal, $b:literal, $c:literal, $d:literal, $e:literal, $f:literal,
     $h:literal, $i:literal, $j:literal, $k:literal, $l:literal, $m:literal) => {
        concat!(
            "sdot v", $a, ".4s, v30.16b, v24.4b[", $g, "]\n",
            "sdot v", $c, ".4s, v30.16b, v25.4b[", $g, "]\n",
            "sdot v", $e, ".4s, v30.16b, v26.4b[", $g, "]\n",
            "sdot v", $h, ".4s, v30.16b, v27.4b[", $g, "]\n",
            "sdot v", $j, ".4s, v30.16b, v28.4b[", $g, "]\n",
            "sdot v", $l, ".4s, v30.16b, v29.4b[", $g, "]\n",
            "ldr q30, [{w}, #", $at, " + ", $next0, "]\n",
            "sdot v", $b, ".4s, v31.16b, v24.4b[", $g, "]\n",
            "sdot v", $d, ".4s, v31.16b, v25.4b[", $g, "]\n",
            "sdot v", $f, ".4s, v31.16b, v26.4b[", $g, "]\n",
            "sdot v", $i, ".4s, v31.16b, v27.4b[", $g, "]\n",
            "sdot v", $k, ".4s, v31.16b, v28.4b[", $g, "]\n",
            "sdot v", $m, ".4s, v31.16b, v29.4b[", $g, "]\n",
            "ldr q31, [{w}, #", $at, " + ", $next1, "]\n",
        )
    };
}

/// Two places, the weights of which begin at these bytes.
#[rustfmt::skip]
macro_rules! two_places {
    ($first:literal, $second:literal) => {
        concat!(
            place!("{a}", $first, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"),
            place!("{b}", $second, "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "22", "23"),
        )
    };
}

/// Half of the sum and half of the difference of registers `$a` and `$b`, in their place.
#[rustfmt::skip]
macro_rules! butterfly {
    ($($a:literal $b:literal),+) => {
        concat!($(
            "shadd v", $a, ".4s, v", $a, ".4s, v", $b, ".4s\n",
            "sub v", $b, ".4s, v", $a, ".4s, v", $b, ".4s\n",
        )+)
    };
}

/// What a tile computes with.
#[derive(Clone, Copy)]
struct Depth {
    /// The first pixel in the transformed rows.
    at: *const i8,
    /// Bytes to the next pixel.
    px: usize,
    /// Three times [`CHANNELS`] values of the depth each.
    steps: usize,
    w: *const i8,
    bias: *const i32,
}

/// The depth of a tile, then `$then`: sums of row `r`, pixel `x` and vector `n` are in register `12 r + 2 x + n`. Their
/// sign bits are the wrong way round: they start at twice the bits of `MAGIC`, which is halved as a negative number.
macro_rules! depth {
    ($depth:ident, [$($then:expr),*], $($operands:tt)*) => {
        asm!(
            ".arch_extension dotprod",
            "ldp q30, q31, [{w}]",
            "ldp q0, q1, [{bias}]", "ldp q2, q3, [{bias}]", "ldp q4, q5, [{bias}]",
            "ldp q6, q7, [{bias}]", "ldp q8, q9, [{bias}]", "ldp q10, q11, [{bias}]",
            "ldp q12, q13, [{zero}]", "ldp q14, q15, [{zero}]", "ldp q16, q17, [{zero}]",
            "ldp q18, q19, [{zero}]", "ldp q20, q21, [{zero}]", "ldp q22, q23, [{zero}]",
            "add {a}, {at}, #16",
            "add {b}, {at}, #32",
            "mov {n}, {steps}",
            // The places that both rows share.
            "2:",
            two_places!("0", "128"),
            two_places!("256", "384"),
            two_places!("512", "640"),
            "add {w}, {w}, #768",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            butterfly!("0" "12", "1" "13", "2" "14", "3" "15", "4" "16", "5" "17"),
            butterfly!("6" "18", "7" "19", "8" "20", "9" "21", "10" "22", "11" "23"),
            "mov {a}, {at}",
            "add {b}, {at}, #48",
            "mov {n}, {steps}",
            // That of the row above and that of the row below.
            "3:",
            two_places!("0", "128"),
            two_places!("256", "384"),
            two_places!("512", "640"),
            "add {w}, {w}, #768",
            "subs {n}, {n}, #1",
            "b.ne 3b",
            $($then,)*
            at = in(reg) $depth.at,
            a = out(reg) _,
            b = out(reg) _,
            px = in(reg) $depth.px,
            px2 = in(reg) 2 * $depth.px,
            px3 = in(reg) 3 * $depth.px,
            px4 = in(reg) 4 * $depth.px,
            px5 = in(reg) 5 * $depth.px,
            w = inout(reg) $depth.w => _,
            n = out(reg) _,
            steps = in(reg) $depth.steps,
            bias = in(reg) $depth.bias,
            zero = in(reg) ZERO.as_ptr(),
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            $($operands)*
            options(nostack)
        )
    };
}

/// The sums of a tile: `[row][pixel][vector]`.
///
/// # Safety
/// The processor has the dot product. At least one step; reads `3 · CHANNELS · steps` values of all places of each of six
/// pixels, `STEP_BYTES` of weights for every step and [`AHEAD_BYTES`] more, and BLOCK initial sums.
#[inline(always)]
unsafe fn sums(depth: Depth) -> [[[int32x4_t; NV]; TILE]; 2] {
    // SAFETY: reads what is promised above and changes only the registers named.
    unsafe {
        let mut s: [[[int32x4_t; NV]; TILE]; 2] = core::mem::zeroed();
        depth!(
            depth, [],
            out("v0") s[0][0][0], out("v1") s[0][0][1], out("v2") s[0][1][0], out("v3") s[0][1][1],
            out("v4") s[0][2][0], out("v5") s[0][2][1], out("v6") s[0][3][0], out("v7") s[0][3][1],
            out("v8") s[0][4][0], out("v9") s[0][4][1], out("v10") s[0][5][0], out("v11") s[0][5][1],
            out("v12") s[1][0][0], out("v13") s[1][0][1], out("v14") s[1][1][0], out("v15") s[1][1][1],
            out("v16") s[1][2][0], out("v17") s[1][2][1], out("v18") s[1][3][0], out("v19") s[1][3][1],
            out("v20") s[1][4][0], out("v21") s[1][4][1], out("v22") s[1][5][0], out("v23") s[1][5][1],
        );
        let sign = vdupq_n_s32(i32::MIN);
        s.map(|row| row.map(|pixel| pixel.map(|sums| veorq_s32(sums, sign))))
    }
}

/// The two vectors of a pixel, in registers `$a` and `$b`, times their multipliers and rounded, in `$s` and `$t`; stored
/// at `$out`, which goes on to the next pixel.
#[rustfmt::skip]
macro_rules! pixel {
    ($kind:ident, $out:literal, $a:literal, $b:literal, $s:literal, $t:literal) => {
        concat!(
            "ldp q", $s, ", q", $t, ", [{offset}]\n",
            "fmls v", $s, ".4s, v", $a, ".4s, v24.4s\n",
            "fmls v", $t, ".4s, v", $b, ".4s, v25.4s\n",
            "fadd v", $s, ".4s, v", $s, ".4s, v31.4s\n",
            "fadd v", $t, ".4s, v", $t, ".4s, v31.4s\n",
            pixel!($kind, $s, $t),
            pixel!(store $kind, $s), ", [", $out, "], {px_out}\n",
        )
    };
    (Clamped, $s:literal, $t:literal) => {
        concat!(
            "sub v", $s, ".4s, v", $s, ".4s, v31.4s\n",
            "sub v", $t, ".4s, v", $t, ".4s, v31.4s\n",
            "sqxtn v", $s, ".4h, v", $s, ".4s\n",
            "sqxtn2 v", $s, ".8h, v", $t, ".4s\n",
            "smax v", $s, ".8h, v", $s, ".8h, v28.8h\n",
        )
    };
    (Halves, $s:literal, $t:literal) => {
        concat!("uzp1 v", $s, ".8h, v", $s, ".8h, v", $t, ".8h\n")
    };
    (Positive, $s:literal, $t:literal) => {
        concat!(pixel!(Halves, $s, $t), "smax v", $s, ".8h, v", $s, ".8h, v28.8h\n")
    };
    (Bytes, $s:literal, $t:literal) => {
        concat!(pixel!(Halves, $s, $t), "sqxtn v", $s, ".8b, v", $s, ".8h\n")
    };
    (BytesAbove, $s:literal, $t:literal) => {
        concat!(pixel!(Bytes, $s, $t), "smax v", $s, ".8b, v", $s, ".8b, v29.8b\n")
    };
    (BytesWithin, $s:literal, $t:literal) => {
        concat!(
            pixel!(Halves, $s, $t),
            "sqadd v", $s, ".8h, v", $s, ".8h, v28.8h\n",
            "sqxtn v", $s, ".8b, v", $s, ".8h\n",
            "smax v", $s, ".8b, v", $s, ".8b, v29.8b\n",
            "smin v", $s, ".8b, v", $s, ".8b, v30.8b\n",
        )
    };
    (store Bytes, $s:literal) => { concat!("st1 {{v", $s, ".8b}}") };
    (store BytesAbove, $s:literal) => { concat!("st1 {{v", $s, ".8b}}") };
    (store BytesWithin, $s:literal) => { concat!("st1 {{v", $s, ".8b}}") };
    (store $halves:ident, $s:literal) => { concat!("st1 {{v", $s, ".8h}}") };
}

/// The tiles of a block of output channels, from their inputs to stored values. `depth` and `to` are those of the first
/// tile, whose second row is at `below`.
///
/// # Safety
/// As [`sums`], for all pixels; eight multipliers and offsets, and room for two rows of `pixels` pixels.
#[inline(always)]
unsafe fn full_tiles(depth: Depth, to: &Destination<'_>, below: *mut u8, pixels: usize, finish: &Finish) {
    macro_rules! tiles {
        ($kind:ident) => {
            for x in (0..pixels).step_by(TILE) {
                // The last tile ends with the row; what it has in common with the one before is computed twice.
                let x = x.min(pixels - TILE);
                let tile = Depth { at: depth.at.add(x * depth.px), ..depth };
                depth!(
                    tile,
                    [
                        "ldp q24, q25, [{mult}]",
                        "ldp q31, q28, [{finish}]",
                        "ldp q29, q30, [{finish}, #32]",
                        pixel!($kind, "{above}", "0", "1", "26", "27"),
                        pixel!($kind, "{above}", "2", "3", "0", "1"),
                        pixel!($kind, "{above}", "4", "5", "2", "3"),
                        pixel!($kind, "{above}", "6", "7", "4", "5"),
                        pixel!($kind, "{above}", "8", "9", "6", "7"),
                        pixel!($kind, "{above}", "10", "11", "8", "9"),
                        pixel!($kind, "{below}", "12", "13", "10", "11"),
                        pixel!($kind, "{below}", "14", "15", "12", "13"),
                        pixel!($kind, "{below}", "16", "17", "14", "15"),
                        pixel!($kind, "{below}", "18", "19", "16", "17"),
                        pixel!($kind, "{below}", "20", "21", "18", "19"),
                        pixel!($kind, "{below}", "22", "23", "20", "21")
                    ],
                    mult = in(reg) to.mult,
                    offset = in(reg) to.offset,
                    finish = in(reg) finish,
                    above = inout(reg) to.out.add(x * to.px_bytes) => _,
                    below = inout(reg) below.add(x * to.px_bytes) => _,
                    px_out = in(reg) to.px_bytes,
                    out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                    out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _,
                    out("v13") _, out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _,
                    out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                );
            }
        };
    }
    // SAFETY: reads and writes what is promised above and changes only the registers named.
    unsafe {
        match finish.kind {
            Kind::Bytes => tiles!(Bytes),
            Kind::BytesAbove => tiles!(BytesAbove),
            Kind::BytesWithin => tiles!(BytesWithin),
            Kind::Halves => tiles!(Halves),
            Kind::Positive => tiles!(Positive),
            Kind::Clamped => tiles!(Clamped),
        }
    }
}
