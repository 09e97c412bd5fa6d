//! Winograd's F(4x4, 3x3) on aarch64 without the dot product; see [`winograd`](super::winograd).
//!
//! Four tiles side by side at a time: their inputs are transformed, then for every block of 16 output channels
//! the 36 small matrix products, and the transformation back, row by row into the epilogue that all
//! convolutions share.

use super::neon_store::store_sums;
use super::tile::Destination;
use super::winograd::{BLOCK, CHANNELS, MAX_CHANNELS, PATCH, PLACES, StripArgs, TILE};
use core::arch::aarch64::*;

/// Tiles in a group.
const TILES: usize = 4;
/// Vectors of 32-bit sums in a block of output channels.
const NV: usize = BLOCK / 4;

/// Multiplied with it, a multiple of 9 is divided by 9, modulo 2³².
const NINTH: i32 = 0x38e3_8e39;

/// Transformed inputs: `[place][tile][channel]`.
#[repr(align(64))]
struct Inputs([i16; PLACES * TILES * MAX_CHANNELS]);
/// Sums of products: `[tile][place][channel of the block]`.
#[repr(align(64))]
struct Products([[i32; PLACES * BLOCK]; TILES]);
/// A tile transformed back down the columns: `[row][column][channel of the block]`.
#[repr(align(64))]
struct Columns([i32; TILE * PATCH * BLOCK]);

/// # Safety
/// As [`Strip`](super::winograd::Strip).
pub(super) unsafe fn strip(args: &mut StripArgs<'_, '_>) {
    let (channels, out_channels) = (args.weights.in_channels, args.weights.out_channels);
    let mut inputs = Inputs([0; PLACES * TILES * MAX_CHANNELS]);
    let mut products = Products([[0; PLACES * BLOCK]; TILES]);
    let mut columns = Columns([0; TILE * PATCH * BLOCK]);
    let px_out = out_channels * args.store.size_bytes();
    let requant = args.requant;
    let offset = requant.offset.as_ref().map_or(core::ptr::null(), |o| o.as_ptr());
    // The last tile ends with the row; what it has in common with the one before is computed twice.
    let last = args.pixels - TILE;
    let mut x = 0;
    while x < args.pixels {
        let starts: [usize; TILES] = core::array::from_fn(|t| (x + TILE * t).min(last));
        // SAFETY: `winograd::strip` checked that the taps hold `pixels + 2` pixels, of which a tile that starts
        // at `last` reads the last six; that channels are whole vectors and few enough; that weights, sums,
        // multipliers and offsets are there for all channels; and that output rows hold `pixels` pixels.
        unsafe {
            for c in (0..channels).step_by(CHANNELS) {
                for (t, start) in starts.iter().enumerate() {
                    let taps = args.taps.map(|tap| tap.as_ptr().add(start * channels + c));
                    let to = inputs.0.as_mut_ptr().add(t * channels + c);
                    transform(taps, channels, to, TILES * channels);
                }
            }
            for first in (0..out_channels).step_by(BLOCK) {
                let weights = args.weights.weights.as_ptr().cast::<i16>().add(first * PLACES * channels);
                multiply(inputs.0.as_ptr(), weights, channels, &mut products);
                let lanes = (out_channels - first).min(BLOCK);
                let to = Destination {
                    mult: requant.mult.as_ptr().add(first),
                    offset: offset.add(first),
                    store: &args.store,
                    out: core::ptr::null_mut(),
                    px_bytes: px_out,
                    lanes,
                };
                let bias = requant.bias.as_ptr().cast::<i32>().add(first);
                for (products, start) in products.0.iter().zip(starts) {
                    back_down(products, &mut columns);
                    for (y, row) in args.out.iter_mut().enumerate() {
                        let out = row.as_mut_ptr().add(start * px_out + first * args.store.size_bytes());
                        back_along(&columns.0[y * PATCH * BLOCK..], bias, &Destination { out, ..to });
                    }
                }
            }
        }
        x += TILE * TILES;
    }
}

/// `Bᵀ d B` for eight channels of a tile: 6x6 pixels to 36 places, `step` values apart.
///
/// # Safety
/// Reads 8 bytes of each of six pixels, `px` bytes apart, of each tap; writes 8 values for each place.
#[inline(always)]
unsafe fn transform(taps: [*const u8; PATCH], px: usize, to: *mut i16, step: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let zero = vdupq_n_s16(0);
        let mut rows = [[zero; PATCH]; PATCH];
        for x in 0..PATCH {
            let column = taps.map(|tap| vmovl_s8(vld1_s8(tap.add(x * px).cast())));
            let column = line(column);
            for y in 0..PATCH {
                rows[y][x] = column[y];
            }
        }
        for (y, row) in rows.iter().enumerate() {
            for (x, &value) in line(*row).iter().enumerate() {
                vst1q_s16(to.add((y * PATCH + x) * step), value);
            }
        }
    }
}

/// `Bᵀ d` for a line of six.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
unsafe fn line(d: [int16x8_t; PATCH]) -> [int16x8_t; PATCH] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let even = vsubq_s16(d[4], vshlq_n_s16::<2>(d[2]));
        let odd = vsubq_s16(d[3], vshlq_n_s16::<2>(d[1]));
        let near = vsubq_s16(d[4], d[2]);
        let half = vsubq_s16(d[3], d[1]);
        let far = vaddq_s16(half, half);
        [
            vaddq_s16(vshlq_n_s16::<2>(vsubq_s16(d[0], d[2])), near),
            vaddq_s16(even, odd),
            vsubq_s16(even, odd),
            vaddq_s16(near, far),
            vsubq_s16(near, far),
            vsubq_s16(vsubq_s16(d[5], d[3]), vaddq_s16(far, far)),
        ]
    }
}

/// The matrix products of all places: `[tile][channel] · [channel][BLOCK]`.
///
/// # Safety
/// `inputs` holds `PLACES · TILES · channels` values, `weights` `PLACES · channels · BLOCK`.
#[inline(always)]
unsafe fn multiply(inputs: *const i16, weights: *const i16, channels: usize, products: &mut Products) {
    let (mut a, mut w) = (inputs, weights);
    for place in 0..PLACES {
        // SAFETY: as promised by the caller; a place has TILES · channels inputs and channels · BLOCK weights.
        unsafe {
            let mut sums = [[vdupq_n_s32(0); NV]; TILES];
            for c in (0..channels).step_by(CHANNELS) {
                let acts: [int16x8_t; TILES] = core::array::from_fn(|t| vld1q_s16(a.add(t * channels + c)));
                lane::<0>(&mut sums, &acts, w);
                lane::<1>(&mut sums, &acts, w.add(BLOCK));
                lane::<2>(&mut sums, &acts, w.add(2 * BLOCK));
                lane::<3>(&mut sums, &acts, w.add(3 * BLOCK));
                lane::<4>(&mut sums, &acts, w.add(4 * BLOCK));
                lane::<5>(&mut sums, &acts, w.add(5 * BLOCK));
                lane::<6>(&mut sums, &acts, w.add(6 * BLOCK));
                lane::<7>(&mut sums, &acts, w.add(7 * BLOCK));
                w = w.add(CHANNELS * BLOCK);
            }
            a = a.add(TILES * channels);
            for (products, sums) in products.0.iter_mut().zip(sums) {
                let to = products.as_mut_ptr().add(place * BLOCK);
                for (n, sum) in sums.into_iter().enumerate() {
                    vst1q_s32(to.add(4 * n), sum);
                }
            }
        }
    }
}

/// One input channel of all tiles times its weights.
///
/// # Safety
/// `w` points to BLOCK weights.
#[inline(always)]
unsafe fn lane<const L: i32>(sums: &mut [[int32x4_t; NV]; TILES], acts: &[int16x8_t; TILES], w: *const i16) {
    // SAFETY: as promised by the caller.
    unsafe {
        let (low, high) = (vld1q_s16(w), vld1q_s16(w.add(8)));
        for (sums, &a) in sums.iter_mut().zip(acts) {
            sums[0] = vmlal_laneq_s16::<L>(sums[0], vget_low_s16(low), a);
            sums[1] = vmlal_high_laneq_s16::<L>(sums[1], low, a);
            sums[2] = vmlal_laneq_s16::<L>(sums[2], vget_low_s16(high), a);
            sums[3] = vmlal_high_laneq_s16::<L>(sums[3], high, a);
        }
    }
}

/// `Aᵀ m` for a tile's columns.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
unsafe fn back_down(products: &[i32; PLACES * BLOCK], columns: &mut Columns) {
    for x in 0..PATCH {
        for n in (0..BLOCK).step_by(4) {
            // SAFETY: places and channels of the arrays.
            unsafe {
                let m =
                    core::array::from_fn(|y| vld1q_s32(products.as_ptr().add((y * PATCH + x) * BLOCK + n)));
                for (y, value) in back(m).into_iter().enumerate() {
                    vst1q_s32(columns.0.as_mut_ptr().add((y * PATCH + x) * BLOCK + n), value);
                }
            }
        }
    }
}

/// `m A` for one row of a tile, divided by the scale, with the initial sums, to four pixels.
///
/// # Safety
/// `line` holds six times BLOCK values, `bias` as many as `to` has lanes; as
/// [`store_tile`](super::tile::Tile::store_tile) for the rest.
#[inline(always)]
unsafe fn back_along(line: &[i32], bias: *const i32, to: &Destination<'_>) {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); NV]; TILE];
        let vectors = to.lanes / 4;
        for n in 0..NV.min(vectors) {
            let m = core::array::from_fn(|x| vld1q_s32(line.as_ptr().add(x * BLOCK + 4 * n)));
            let bias = vld1q_s32(bias.add(4 * n));
            for (x, value) in back(m).into_iter().enumerate() {
                let value = vmulq_n_s32(vshrq_n_s32::<6>(value), NINTH);
                sums[x][n] = vaddq_s32(value, bias);
            }
        }
        store_sums(&sums, to);
    }
}

/// `Aᵀ m` for a line of six, for the scaled transformation of the weights.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
unsafe fn back(m: [int32x4_t; PATCH]) -> [int32x4_t; TILE] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let (p, q) = (vaddq_s32(m[1], m[2]), vsubq_s32(m[1], m[2]));
        let (r, s) = (vaddq_s32(m[3], m[4]), vsubq_s32(m[3], m[4]));
        let twice = vaddq_s32(s, s);
        [
            vaddq_s32(vaddq_s32(m[0], p), r),
            vaddq_s32(q, twice),
            vaddq_s32(p, vshlq_n_s32::<2>(r)),
            vaddq_s32(q, vshlq_n_s32::<2>(vaddq_s32(twice, m[5]))),
        ]
    }
}
