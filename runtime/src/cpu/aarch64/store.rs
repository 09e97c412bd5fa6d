//! Sums of tiles to stored values on aarch64.

use crate::arithmetic::MAGIC;
use crate::cpu::aarch64::epilogue::{halves, narrow, saturated, store_bytes, store_halves, store_i32};
use crate::cpu::conv::form::{Products, Store};
use crate::cpu::conv::tile::Destination;
use core::arch::aarch64::*;

/// Stores the sums of a tile.
///
/// # Safety
/// As [`Tile::store_tile`](crate::cpu::conv::tile::Tile::store_tile).
#[inline(always)]
pub(crate) unsafe fn store_sums<const MR: usize, const NV: usize>(
    sums: &[[int32x4_t; NV]; MR],
    to: &Destination<'_>,
) {
    // SAFETY: as promised by the caller; whole vectors are stored only where all lanes are channels.
    unsafe {
        // A copy, made only here: the sums themselves stay in registers.
        let one_by_one = |base| one_by_one(&{ *sums }, to, base);
        if to.offset.is_null() {
            return one_by_one(0);
        }
        if to.lanes != 4 * NV {
            return one_by_one(MAGIC.to_bits().cast_signed());
        }
        match *to.store {
            Store::I8 { lo, hi, zero_point, xor: 0 } => {
                // Rounding to even does not change when an even number is added first.
                let odd = zero_point & 1;
                let magic = MAGIC + (zero_point - odd) as f32;
                let (lo, hi) = (lo as i32 + zero_point, hi as i32 + zero_point);
                if (odd, lo, hi) == (0, -128, 127) {
                    let bytes = |values| narrow(halves(values));
                    each(sums, to, magic, bytes, |bytes, out| store_bytes::<NV>(bytes, out));
                } else {
                    let odd = vdupq_n_s16(odd as i16);
                    let (lo, hi) = (vdupq_n_s8(lo as i8), vdupq_n_s8(hi as i8));
                    let bytes = |values| {
                        let [low, high] = halves(values);
                        let bytes = narrow([vqaddq_s16(low, odd), vqaddq_s16(high, odd)]);
                        vminq_s8(vmaxq_s8(bytes, lo), hi)
                    };
                    each(sums, to, magic, bytes, |bytes, out| store_bytes::<NV>(bytes, out));
                }
            }
            Store::I16 { lo, .. } if to.products > Products::Short => {
                let lo = vdupq_n_s16(lo as i16);
                let shorts = |values| {
                    let [low, high] = saturated(values);
                    [vmaxq_s16(low, lo), vmaxq_s16(high, lo)]
                };
                each(sums, to, MAGIC, shorts, |shorts, out| store_halves::<NV>(shorts, out));
            }
            // Products are within 16 bits, so only a bound inside of them is one.
            Store::I16 { lo: 0.0, .. } => {
                let zero = vdupq_n_s16(0);
                let shorts = |values| {
                    let [low, high] = halves(values);
                    [vmaxq_s16(low, zero), vmaxq_s16(high, zero)]
                };
                each(sums, to, MAGIC, shorts, |shorts, out| store_halves::<NV>(shorts, out));
            }
            Store::I16 { .. } => {
                each(sums, to, MAGIC, |v| halves(v), |shorts, out| store_halves::<NV>(shorts, out));
            }
            Store::I8 { .. } | Store::F32 { .. } => one_by_one(MAGIC.to_bits().cast_signed()),
        }
    }
}

/// All pixels of a tile: sums times multipliers, rounded with `magic` (the integer stands in the low 16 bits, more by what
/// `magic` is more than `MAGIC`), made what is stored, and stored. A few pixels go from one kind of instruction to the next
/// together, for cores that work in order.
///
/// # Safety
/// 4 · NV multipliers and offsets; `put` may store a pixel at its place.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "iterators over parts of arrays are not always unrolled")]
unsafe fn each<const MR: usize, const NV: usize, T: Copy>(
    sums: &[[int32x4_t; NV]; MR],
    to: &Destination<'_>,
    magic: f32,
    make: impl Fn([int16x8_t; NV]) -> T,
    put: impl Fn(T, *mut u8),
) {
    let together = if NV > 2 { 2 } else { 4 };
    // SAFETY: as promised by the caller.
    unsafe {
        let magic = vdupq_n_f32(magic);
        let (mut mult, mut offset) = ([magic; NV], [magic; NV]);
        for n in 0..NV {
            (mult[n], offset[n]) = (vld1q_f32(to.mult.add(4 * n)), vld1q_f32(to.offset.add(4 * n)));
        }
        let mut first = 0;
        while first < MR {
            let end = if first + together < MR { first + together } else { MR };
            let mut products = [[magic; NV]; MR];
            let mut values = [[vdupq_n_s16(0); NV]; MR];
            for m in first..end {
                for n in 0..NV {
                    products[m][n] = vfmaq_f32(offset[n], vreinterpretq_f32_s32(sums[m][n]), mult[n]);
                }
            }
            for m in first..end {
                for n in 0..NV {
                    values[m][n] = vreinterpretq_s16_f32(vaddq_f32(products[m][n], magic));
                }
            }
            let mut made = [make(values[first]); MR];
            for m in first + 1..end {
                made[m] = make(values[m]);
            }
            for m in first..end {
                put(made[m], to.out.add(m * to.px_bytes));
            }
            first = end;
        }
    }
}

/// Any store of any number of lanes; the sums are `base` too large.
///
/// # Safety
/// As [`store_sums`].
#[inline(never)]
unsafe fn one_by_one<const MR: usize, const NV: usize>(
    sums: &[[int32x4_t; NV]; MR],
    to: &Destination<'_>,
    base: i32,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        for (m, sums) in sums.iter().enumerate() {
            // A block of Winograd's may have whole vectors of padding.
            for (n, &sum) in sums.iter().enumerate().take(to.lanes.div_ceil(4)) {
                let lanes = (to.lanes - 4 * n).min(4);
                let out = to.out.add(m * to.px_bytes + 4 * n * to.store.size_bytes());
                store_i32(vsubq_s32(sum, vdupq_n_s32(base)), to.mult.add(4 * n), to.store, out, lanes);
            }
        }
    }
}
