//! Winograd's F(4x4, 3x3) on aarch64 without the dot product; see [`winograd_4x4`](crate::cpu::conv::winograd_4x4).
//!
//! Four tiles side by side at a time: their inputs are transformed, then for every block of eight output channels and
//! two of the tiles the 36 small matrix products, column by column with the transformation back down the column
//! ([`columns`]), and at last along the rows to stored values ([`to_stored`]), or into the epilogue that all convolutions share.

mod columns;
mod rows;

use crate::cpu::aarch64::neon::winograd_4x4::columns::{AHEAD_BYTES, Columns, PAIR, columns};
use crate::cpu::aarch64::neon::winograd_4x4::rows::to_stored;
use crate::cpu::aarch64::store::store_sums;
use crate::cpu::aarch64::tile_6x4::Finish;
use crate::cpu::conv::tile::Destination;
use crate::cpu::conv::winograd_4x4::{
    BLOCK, CHANNELS, Form, Kernel, MAX_CHANNELS, NINTH, ORDER, PATCH, PLACES, StripArgs, TILE,
};
use crate::memory::line::Line;
use core::arch::aarch64::*;
use core::mem::MaybeUninit;

/// Tiles in a group.
const TILES: usize = 4;
/// Vectors of 32-bit sums in a block of output channels.
const NV: usize = BLOCK / 4;
/// Values of a tile's column of [`CHANNELS`] channels.
const COLUMN: usize = PATCH * CHANNELS;

/// Transformed inputs: `[column][channels / CHANNELS][tile][row, in ORDER][channel]`.
#[repr(align(64))]
struct Inputs(MaybeUninit<[i16; PLACES * TILES * MAX_CHANNELS]>);

// The line behind the weights is what may be loaded ahead.
const _: () = assert!(AHEAD_BYTES <= size_of::<Line>());

pub(crate) const KERNEL: Kernel = Kernel { strip, form: Form::Blocks };

/// # Safety
/// As [`Strip`](crate::cpu::conv::winograd_4x4::Strip).
unsafe fn strip(args: &mut StripArgs<'_, '_>) {
    let (channels, out_channels) = (args.weights.in_channels, args.weights.out_channels);
    assert!(args.post_ops.is_empty(), "no post-ops on this instruction set");
    // Written by `transform` before anything reads it.
    let mut inputs = Inputs(MaybeUninit::uninit());
    let inputs: *mut i16 = inputs.0.as_mut_ptr().cast();
    let mut sums = Columns::new();
    let px_out = out_channels * args.store.size_bytes();
    let requant = args.requant;
    let offset = requant.offset.as_ref().map_or(core::ptr::null(), |o| o.as_ptr());
    let mut rows = [core::ptr::null_mut(); TILE];
    for (row, out) in rows.iter_mut().zip(args.out.iter_mut()) {
        *row = out.as_mut_ptr();
    }
    let rows = &rows[..args.out.len()];
    // The last tile ends with the row; what it has in common with the one before is computed twice.
    let last = args.pixels - TILE;
    let mut x = 0;
    while x < args.pixels {
        let starts: [usize; TILES] = core::array::from_fn(|t| (x + TILE * t).min(last));
        // SAFETY: `winograd::strip` checked that the taps hold `pixels + 2` pixels, of which a tile that starts
        // at `last` reads the last six; that channels are whole vectors and few enough; that weights, sums,
        // multipliers and offsets are there for all channels; and that output rows hold `pixels` pixels.
        unsafe {
            let groups = channels / CHANNELS;
            for group in 0..groups {
                for (t, start) in starts.iter().enumerate() {
                    let taps = args.taps.map(|tap| tap.as_ptr().add(start * channels + CHANNELS * group));
                    let to = inputs.add((group * TILES + t) * COLUMN);
                    transform(taps, channels, to, groups * TILES * COLUMN);
                }
            }
            for first in (0..out_channels).step_by(BLOCK) {
                let weights = args.weights.blocks.as_ptr().cast::<i16>().add(first * PLACES * channels);
                let lanes = (out_channels - first).min(BLOCK);
                let to = Destination {
                    mult: requant.mult.as_ptr().add(first),
                    offset: offset.add(first),
                    products: requant.products,
                    store: &args.store,
                    out: core::ptr::null_mut(),
                    px_bytes: px_out,
                    lanes,
                };
                let bias = requant.bias.as_ptr().cast::<i32>().add(first);
                let finish = Finish::new(&to, BLOCK);
                for pair in (0..TILES).step_by(PAIR) {
                    // The last tiles of a row may be the same.
                    if pair > 0 && starts[pair] == starts[pair - 1] {
                        break;
                    }
                    columns(inputs.add(pair * COLUMN), weights, groups, &mut sums);
                    for (t, start) in starts[pair..pair + PAIR].iter().enumerate() {
                        let at = start * px_out + first * args.store.size_bytes();
                        if let Some(finish) = &finish {
                            to_stored(sums.tile(t), bias, &to, (rows, at), finish);
                            continue;
                        }
                        for (y, row) in rows.iter().enumerate() {
                            let line = sums.tile(t).add(y * PATCH * BLOCK);
                            to_sums(line, bias, &Destination { out: row.add(at), ..to });
                        }
                    }
                }
            }
        }
        x += TILE * TILES;
    }
}

/// `Bᵀ d B` for eight channels of a tile: 6x6 pixels to 36 places, columns `stride` values apart.
///
/// # Safety
/// Reads 8 bytes of each of six pixels, `px` bytes apart, of each tap; writes 8 values for each place.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "columns become rows")]
unsafe fn transform(taps: [*const u8; PATCH], px: usize, to: *mut i16, stride: usize) {
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
                vst1q_s16(to.add(ORDER[y] * CHANNELS + x * stride), value);
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

/// `m A` for one row of a tile, divided by the scale, with the initial sums, to four pixels.
///
/// # Safety
/// `line` points to six times BLOCK values, `bias` to as many as `to` has lanes; as
/// [`store_tile`](crate::cpu::conv::tile::Tile::store_tile) for the rest.
#[inline(always)]
unsafe fn to_sums(line: *const i32, bias: *const i32, to: &Destination<'_>) {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); NV]; TILE];
        // Both vectors together, for cores that work in order, also where the second is padding.
        let mut values = [[vdupq_n_s32(0); TILE]; NV];
        for (n, values) in values.iter_mut().enumerate() {
            *values = back(core::array::from_fn(|x| vld1q_s32(line.add(x * BLOCK + 4 * n))));
        }
        for n in 0..NV {
            let bias = vld1q_s32(bias.add(if 4 * n < to.lanes { 4 * n } else { 0 }));
            for x in 0..TILE {
                sums[x][n] = vmlaq_n_s32(bias, vshrq_n_s32::<6>(values[n][x]), NINTH);
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
