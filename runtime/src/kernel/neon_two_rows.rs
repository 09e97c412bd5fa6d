//! Winograd's F(2, 3) on aarch64 with the dot product; see [`two_rows`](super::two_rows).
//!
//! The four input rows are transformed once for all output channels. Then tiles of three pixels and eight output
//! channels: the 24 vectors of sums of the four places are in registers over the whole depth.

use super::neon_store::store_sums;
use super::neon_tile::{Finish, Kind};
use super::tile::Destination;
use super::two_rows::{BLOCK, CHANNELS, SCRATCH_BYTES, TAPS, TILE, TwoRowsArgs};
use core::arch::{aarch64::*, asm};
use core::mem::MaybeUninit;

/// Vectors of sums in a block of output channels.
const NV: usize = BLOCK / 4;
/// Bytes of weights for the vectors of a block, all places and [`CHANNELS`] values of the depth.
const STEP_BYTES: usize = TAPS * CHANNELS * BLOCK;

/// Transformed rows, one behind the other: `[row][pixel][channel]`.
#[repr(align(64))]
struct Rows(MaybeUninit<[i8; SCRATCH_BYTES]>);

/// Sums of the places that start at zero.
static ZERO: [i32; BLOCK] = [0; BLOCK];

/// # Safety
/// As [`Pass`](super::two_rows::Pass).
pub(super) unsafe fn pass(args: &mut TwoRowsArgs<'_, '_>) -> bool {
    let weights = args.weights;
    let (channels, out_channels) = (weights.in_channels, weights.out_channels);
    let row = (args.pixels + 2) * channels;
    // Written by `transform` before anything reads it.
    let mut rows = Rows(MaybeUninit::uninit());
    let rows: *mut i8 = rows.0.as_mut_ptr().cast();
    let px_out = out_channels * args.store.size_bytes();
    let steps = 3 * channels / CHANNELS;
    // SAFETY: `two_rows` checked that the taps hold `pixels + 2` pixels of whole vectors, that four such rows fit the
    // scratch, that weights, sums, multipliers and offsets are there for all output channels, which are whole blocks, and
    // that output rows hold `pixels` pixels, at least a tile's.
    unsafe {
        if !transform(args.taps.map(<[u8]>::as_ptr), rows, row) {
            return false;
        }
        for first in (0..out_channels).step_by(BLOCK) {
            let w = weights.weights.as_ptr().cast::<i8>().add(first / BLOCK * steps * STEP_BYTES);
            let bias = weights.bias.as_ptr().add(first);
            let to = Destination {
                mult: weights.mult.as_ptr().add(first),
                offset: weights.offset.as_ptr().add(first),
                wide: weights.wide,
                store: &args.store,
                out: args.out[0].as_mut_ptr().add(first * args.store.size_bytes()),
                px_bytes: px_out,
                lanes: BLOCK,
            };
            let below = args.out[1].as_mut_ptr().add(first * args.store.size_bytes());
            let depth = Depth { at: rows, row, px: channels, steps, w, bias };
            if let Some(finish) = Finish::new(&to, BLOCK) {
                whole(depth, &to, below, args.pixels, &finish);
                continue;
            }
            for x in (0..args.pixels).step_by(TILE) {
                let x = x.min(args.pixels - TILE);
                let both = back(&sums(Depth { at: rows.add(x * channels), ..depth }));
                for (sums, out) in both.iter().zip([to.out, below]) {
                    store_sums(sums, &Destination { out: out.add(x * px_out), ..to });
                }
            }
        }
    }
    true
}

/// The four transformed rows of the four rows `taps`, `len` bytes each, one behind the other at `to`; whether no sum left
/// the range of 8 bits.
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
            "sqsub v7.16b, v1.16b, v3.16b",
            "str q4, [{to}]",
            "str q5, [{to}, {len}]",
            "str q6, [{to}, {twice}]",
            "str q7, [{to}, {thrice}]",
            "add {to}, {to}, #16",
            "b.ne 2b",
            "mrs {saturated}, fpsr",
            a = inout(reg) taps[0] => _,
            b = inout(reg) taps[1] => _,
            c = inout(reg) taps[2] => _,
            d = inout(reg) taps[3] => _,
            n = inout(reg) len => _,
            to = inout(reg) to => _,
            len = in(reg) len,
            twice = in(reg) 2 * len,
            thrice = in(reg) 3 * len,
            saturated = lateout(reg) saturated,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _,
            out("v4") _, out("v5") _, out("v6") _, out("v7") _,
            options(nostack)
        );
    }
    // QC.
    saturated >> 27 & 1 == 0
}

/// One place of the transformed domain: 16 values of three pixels times two vectors of weights, into six sums.
#[rustfmt::skip]
macro_rules! place {
    ($row:literal, $($sum:literal),+) => {
        concat!(
            "ldr q25, [", $row, ", {px}]\n",
            "ldr q26, [", $row, ", {twice}]\n",
            "ldr q24, [", $row, "], #16\n",
            place!(group "0", "27", "28", $($sum),+),
            place!(group "1", "29", "30", $($sum),+),
            place!(group "2", "27", "28", $($sum),+),
            place!(group "3", "29", "30", $($sum),+),
        )
    };
    (group $g:literal, $v:literal, $w:literal,
     $a:literal, $b:literal, $c:literal, $d:literal, $e:literal, $f:literal) => {
        concat!(
            "ldp q", $v, ", q", $w, ", [{w}], #32\n",
            "sdot v", $a, ".4s, v", $v, ".16b, v24.4b[", $g, "]\n",
            "sdot v", $c, ".4s, v", $v, ".16b, v25.4b[", $g, "]\n",
            "sdot v", $e, ".4s, v", $v, ".16b, v26.4b[", $g, "]\n",
            "sdot v", $b, ".4s, v", $w, ".16b, v24.4b[", $g, "]\n",
            "sdot v", $d, ".4s, v", $w, ".16b, v25.4b[", $g, "]\n",
            "sdot v", $f, ".4s, v", $w, ".16b, v26.4b[", $g, "]\n",
        )
    };
}

/// What a tile computes with.
#[derive(Clone, Copy)]
struct Depth {
    /// Place of the first pixel in the first transformed row.
    at: *const i8,
    /// Bytes from a row to the next.
    row: usize,
    /// Bytes to the next pixel.
    px: usize,
    /// [`CHANNELS`] values of the depth each.
    steps: usize,
    w: *const i8,
    bias: *const i32,
}

/// The depth of a tile, then `$then`: sums of place `p`, pixel `x` and vector `n` are in register `6 p + 2 x + n`.
macro_rules! depth {
    ($depth:ident, [$($then:expr),*], $($operands:tt)*) => {
        asm!(
            ".arch_extension dotprod",
            "ldp q0, q1, [{zero}]", "ldp q2, q3, [{zero}]", "ldp q4, q5, [{zero}]",
            "ldp q6, q7, [{bias}]", "ldp q8, q9, [{bias}]", "ldp q10, q11, [{bias}]",
            "ldp q12, q13, [{zero}]", "ldp q14, q15, [{zero}]", "ldp q16, q17, [{zero}]",
            "ldp q18, q19, [{zero}]", "ldp q20, q21, [{zero}]", "ldp q22, q23, [{zero}]",
            "2:",
            place!("{a}", "0", "1", "2", "3", "4", "5"),
            place!("{b}", "6", "7", "8", "9", "10", "11"),
            place!("{c}", "12", "13", "14", "15", "16", "17"),
            place!("{d}", "18", "19", "20", "21", "22", "23"),
            "subs {n}, {n}, #1",
            "b.ne 2b",
            $($then,)*
            a = inout(reg) $depth.at => _,
            b = inout(reg) $depth.at.add($depth.row) => _,
            c = inout(reg) $depth.at.add(2 * $depth.row) => _,
            d = inout(reg) $depth.at.add(3 * $depth.row) => _,
            px = in(reg) $depth.px,
            twice = in(reg) 2 * $depth.px,
            w = inout(reg) $depth.w => _,
            n = inout(reg) $depth.steps => _,
            bias = in(reg) $depth.bias,
            zero = in(reg) ZERO.as_ptr(),
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
            $($operands)*
            options(nostack)
        )
    };
}

/// The sums of a tile: `[place][pixel][vector]`.
///
/// # Safety
/// The processor has the dot product. At least one step; reads `CHANNELS · steps` values of each of three pixels of the
/// four rows, `STEP_BYTES` of weights for every step and BLOCK initial sums.
#[inline(always)]
unsafe fn sums(depth: Depth) -> [[[int32x4_t; NV]; TILE]; TAPS] {
    // SAFETY: reads what is promised above and changes only the registers named.
    unsafe {
        let mut s: [[[int32x4_t; NV]; TILE]; TAPS] = core::mem::zeroed();
        depth!(
            depth, [],
            out("v0") s[0][0][0], out("v1") s[0][0][1], out("v2") s[0][1][0], out("v3") s[0][1][1],
            out("v4") s[0][2][0], out("v5") s[0][2][1], out("v6") s[1][0][0], out("v7") s[1][0][1],
            out("v8") s[1][1][0], out("v9") s[1][1][1], out("v10") s[1][2][0], out("v11") s[1][2][1],
            out("v12") s[2][0][0], out("v13") s[2][0][1], out("v14") s[2][1][0], out("v15") s[2][1][1],
            out("v16") s[2][2][0], out("v17") s[2][2][1], out("v18") s[3][0][0], out("v19") s[3][0][1],
            out("v20") s[3][1][0], out("v21") s[3][1][1], out("v22") s[3][2][0], out("v23") s[3][2][1],
        );
        s
    }
}

/// Twice the sums of a pixel's vector above, in place of `$a`, and below, in place of `$d`, of the four places.
#[rustfmt::skip]
macro_rules! both {
    ($a:literal, $b:literal, $c:literal, $d:literal) => {
        concat!(
            "add v24.4s, v", $b, ".4s, v", $c, ".4s\n",
            "sub v", $b, ".4s, v", $b, ".4s, v", $c, ".4s\n",
            "add v", $a, ".4s, v", $a, ".4s, v", $a, ".4s\n",
            "add v", $d, ".4s, v", $d, ".4s, v", $d, ".4s\n",
            "add v", $a, ".4s, v", $a, ".4s, v24.4s\n",
            "sub v", $d, ".4s, v", $b, ".4s, v", $d, ".4s\n",
        )
    };
}

/// The two vectors of a pixel, in registers `$a` and `$b`, times their multipliers and rounded, in `$s` and `$t`; stored
/// at `$out`, which goes on to the next pixel.
#[rustfmt::skip]
macro_rules! pixel {
    ($kind:ident, $out:literal, $a:literal, $b:literal, $s:literal, $t:literal) => {
        concat!(
            "ldp q", $s, ", q", $t, ", [{offset}]\n",
            "fmla v", $s, ".4s, v", $a, ".4s, v24.4s\n",
            "fmla v", $t, ".4s, v", $b, ".4s, v25.4s\n",
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
    (store BytesWithin, $s:literal) => { concat!("st1 {{v", $s, ".8b}}") };
    (store $halves:ident, $s:literal) => { concat!("st1 {{v", $s, ".8h}}") };
}

/// The tiles of a block of output channels, from their inputs to stored values. `depth` and `to` are those of the first
/// tile, whose second row is at `below`.
///
/// # Safety
/// As [`sums`], for all pixels; eight multipliers and offsets, and room for two rows of `pixels` pixels.
#[inline(always)]
unsafe fn whole(depth: Depth, to: &Destination<'_>, below: *mut u8, pixels: usize, finish: &Finish) {
    macro_rules! tiles {
        ($kind:ident) => {
            for x in (0..pixels).step_by(TILE) {
                // The last tile ends with the row; what it has in common with the one before is computed twice.
                let x = x.min(pixels - TILE);
                let tile = Depth { at: depth.at.add(x * depth.px), ..depth };
                depth!(
                    tile,
                    [
                        both!("0", "6", "12", "18"), both!("1", "7", "13", "19"), both!("2", "8", "14", "20"),
                        both!("3", "9", "15", "21"), both!("4", "10", "16", "22"), both!("5", "11", "17", "23"),
                        "ldp q24, q25, [{mult}]",
                        "ldp q31, q28, [{finish}]",
                        "ldp q29, q30, [{finish}, #32]",
                        pixel!($kind, "{above}", "0", "1", "6", "7"),
                        pixel!($kind, "{above}", "2", "3", "8", "9"),
                        pixel!($kind, "{above}", "4", "5", "10", "11"),
                        pixel!($kind, "{below}", "18", "19", "12", "13"),
                        pixel!($kind, "{below}", "20", "21", "14", "15"),
                        pixel!($kind, "{below}", "22", "23", "16", "17")
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
                    out("v19") _, out("v20") _, out("v21") _, out("v22") _, out("v23") _, out("v31") _,
                );
            }
        };
    }
    // SAFETY: reads and writes what is promised above and changes only the registers named.
    unsafe {
        match finish.kind {
            Kind::Bytes => tiles!(Bytes),
            Kind::BytesWithin => tiles!(BytesWithin),
            Kind::Halves => tiles!(Halves),
            Kind::Positive => tiles!(Positive),
            Kind::Clamped => tiles!(Clamped),
        }
    }
}

/// Twice the sums of the row above and of the row below.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
unsafe fn back(m: &[[[int32x4_t; NV]; TILE]; TAPS]) -> [[[int32x4_t; NV]; TILE]; 2] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let twice = |x| vaddq_s32(x, x);
        let above = |x: usize, n: usize| vaddq_s32(twice(m[0][x][n]), vaddq_s32(m[1][x][n], m[2][x][n]));
        let below = |x: usize, n: usize| vsubq_s32(vsubq_s32(m[1][x][n], m[2][x][n]), twice(m[3][x][n]));
        [
            core::array::from_fn(|x| core::array::from_fn(|n| above(x, n))),
            core::array::from_fn(|x| core::array::from_fn(|n| below(x, n))),
        ]
    }
}
