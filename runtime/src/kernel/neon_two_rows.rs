//! Winograd's F(2, 3) on aarch64 with the dot product; see [`two_rows`](super::two_rows).
//!
//! The four input rows are transformed once for all output channels. Then tiles of three pixels and eight output
//! channels: the 24 vectors of sums of the four places are in registers over the whole depth.

use super::neon_store::store_sums;
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
                out: core::ptr::null_mut(),
                px_bytes: px_out,
                lanes: BLOCK,
            };
            for x in (0..args.pixels).step_by(TILE) {
                // The last tile ends with the row; what it has in common with the one before is computed twice.
                let x = x.min(args.pixels - TILE);
                let sums = sums(rows.add(x * channels), row, channels, steps, w, bias);
                let out = args
                    .out
                    .each_mut()
                    .map(|row| row.as_mut_ptr().add(x * px_out + first * args.store.size_bytes()));
                let [above, below] = back(&sums);
                store_sums(&above, &Destination { out: out[0], ..to });
                store_sums(&below, &Destination { out: out[1], ..to });
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

/// The sums of a tile: `[place][pixel][vector]`.
///
/// # Safety
/// The processor has the dot product. At least one step; reads `CHANNELS · steps` values of each of three pixels, which
/// are `px` bytes apart, of the four rows, which are `row` bytes apart; `STEP_BYTES` of weights for every step; BLOCK
/// initial sums.
#[inline(always)]
unsafe fn sums(
    at: *const i8,
    row: usize,
    px: usize,
    steps: usize,
    w: *const i8,
    bias: *const i32,
) -> [[[int32x4_t; NV]; TILE]; TAPS] {
    // SAFETY: reads what is promised above and changes only the registers named.
    unsafe {
        let mut s: [[[int32x4_t; NV]; TILE]; TAPS] = core::mem::zeroed();
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
            a = inout(reg) at => _,
            b = inout(reg) at.add(row) => _,
            c = inout(reg) at.add(2 * row) => _,
            d = inout(reg) at.add(3 * row) => _,
            px = in(reg) px,
            twice = in(reg) 2 * px,
            w = inout(reg) w => _,
            n = inout(reg) steps => _,
            bias = in(reg) bias,
            zero = in(reg) ZERO.as_ptr(),
            out("v0") s[0][0][0], out("v1") s[0][0][1], out("v2") s[0][1][0], out("v3") s[0][1][1],
            out("v4") s[0][2][0], out("v5") s[0][2][1], out("v6") s[1][0][0], out("v7") s[1][0][1],
            out("v8") s[1][1][0], out("v9") s[1][1][1], out("v10") s[1][2][0], out("v11") s[1][2][1],
            out("v12") s[2][0][0], out("v13") s[2][0][1], out("v14") s[2][1][0], out("v15") s[2][1][1],
            out("v16") s[2][2][0], out("v17") s[2][2][1], out("v18") s[3][0][0], out("v19") s[3][0][1],
            out("v20") s[3][1][0], out("v21") s[3][1][1], out("v22") s[3][2][0], out("v23") s[3][2][1],
            out("v24") _, out("v25") _, out("v26") _, out("v27") _, out("v28") _, out("v29") _, out("v30") _,
            options(nostack, readonly)
        );
        s
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
