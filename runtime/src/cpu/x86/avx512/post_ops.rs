//! Stores a tile of 16-bit values together with the residual sum and the 8-bit copy that follow: the values are in
//! registers, where a second pass over the row would have to read them again from a cache that a row of 16-bit values, its
//! residual and its copy do not fit in.

use crate::cpu::conv::form::Store;

use crate::cpu::conv::row::PostOpsAt;

use crate::cpu::conv::tile::Destination;
use crate::cpu::x86::avx512::epilogue::{
    I16_MAX, MAX_FACTOR, converted, mask, narrow, pack_shorts, plus, rounded, scaled_sum,
};
use crate::cpu::x86::avx512::store::{converts, fours, place, put};
use core::arch::x86_64::*;

/// No residual.
const NONE: u8 = 0;
/// A residual of the same scale: sums of integers have nothing to round.
const INTEGERS: u8 = 1;
/// A residual of another scale.
const SCALED: u8 = 2;

/// Stores the sums of one or two tiles of the same kind, with their post-ops.
///
/// # Safety
/// As `Tile::store_post_ops`; the processor has AVX-512 BW. The tiles differ only in where they go.
#[inline(always)]
pub(crate) unsafe fn store<const R: usize, const MR: usize, const NV: usize>(
    sums: [&[[__m512i; NV]; MR]; R],
    to: [&Destination<'_>; R],
    post_ops: [&PostOpsAt; R],
) {
    let (kind, first) = (to[0], post_ops[0]);
    let Store::I16 { lo, hi } = *kind.store else { unreachable!("16 bits are worked on") };
    // A copy has its sign bits flipped, as this instruction set wants it.
    let usual = first.factors.iter().all(|factor| factor.abs() < MAX_FACTOR)
        && (first.narrow.is_null() || (first.to.xor == 0x80 && first.factor.abs() < MAX_FACTOR))
        && (converts(kind) && hi == I16_MAX);
    // SAFETY: passed on. The pointers of the post-ops are null or those of this tile's rows, which have a value wherever
    // the output has one.
    unsafe {
        let summand = match first.factors {
            _ if first.residual.is_null() => NONE,
            [1.0, 1.0] => INTEGERS,
            _ => SCALED,
        };
        match (summand, first.narrow.is_null()) {
            _ if !usual || !fours::<MR, NV>(kind) => {
                // Copies, so that the others' sums need no place in memory.
                let sums = sums.map(|sums| *sums);
                for ((sums, to), post_ops) in sums.iter().zip(to).zip(post_ops) {
                    each(sums, to, post_ops, (lo, hi));
                }
            }
            (NONE, false) => full_tiles::<R, MR, NV, { NONE }, true>(sums, to, post_ops, lo),
            (NONE, true) => full_tiles::<R, MR, NV, { NONE }, false>(sums, to, post_ops, lo),
            (INTEGERS, false) => full_tiles::<R, MR, NV, { INTEGERS }, true>(sums, to, post_ops, lo),
            (INTEGERS, true) => full_tiles::<R, MR, NV, { INTEGERS }, false>(sums, to, post_ops, lo),
            (_, false) => full_tiles::<R, MR, NV, { SCALED }, true>(sums, to, post_ops, lo),
            (_, true) => full_tiles::<R, MR, NV, { SCALED }, false>(sums, to, post_ops, lo),
        }
    }
}

/// One tile, or two.
///
/// # Safety
/// As [`store`]; there is a residual unless `SUM` is [`NONE`], and a copy if it is to `NARROW`.
#[inline(always)]
unsafe fn full_tiles<const R: usize, const MR: usize, const NV: usize, const SUM: u8, const NARROW: bool>(
    sums: [&[[__m512i; NV]; MR]; R],
    to: [&Destination<'_>; R],
    post_ops: [&PostOpsAt; R],
    lo: f32,
) {
    // SAFETY: passed on.
    unsafe {
        tile::<MR, NV, SUM, NARROW>(sums[0], to[0], post_ops[0], lo);
        if R == 2 {
            tile::<MR, NV, SUM, NARROW>(sums[R - 1], to[R - 1], post_ops[R - 1], lo);
        }
    }
}

/// Four vectors at a time: 64 values, which lie one behind the other in each row, or are 32 of two pixels.
///
/// # Safety
/// As [`full_tiles`].
#[inline(always)]
unsafe fn tile<const MR: usize, const NV: usize, const SUM: u8, const NARROW: bool>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    post_ops: &PostOpsAt,
    lo: f32,
) {
    // SAFETY: passed on.
    unsafe {
        four::<0, MR, NV, SUM, NARROW>(sums, to, post_ops, lo);
        four::<4, MR, NV, SUM, NARROW>(sums, to, post_ops, lo);
        four::<8, MR, NV, SUM, NARROW>(sums, to, post_ops, lo);
        four::<12, MR, NV, SUM, NARROW>(sums, to, post_ops, lo);
        four::<16, MR, NV, SUM, NARROW>(sums, to, post_ops, lo);
        four::<20, MR, NV, SUM, NARROW>(sums, to, post_ops, lo);
    }
}

/// Vectors `K..K + 4`, if the tile has them. (Not a loop: the compiler would write the sums to memory to count through
/// them.)
///
/// # Safety
/// As [`full_tiles`].
#[inline(always)]
unsafe fn four<const K: usize, const MR: usize, const NV: usize, const SUM: u8, const NARROW: bool>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    post_ops: &PostOpsAt,
    lo: f32,
) {
    if K >= MR * NV {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let lowest = _mm512_set1_epi16(lo as i16);
        // Where each 32 of the values are, counted from the first.
        let [at, then] = [K, K + 2].map(|k| k / NV * (to.px_bytes / 2) + k % NV * 16);
        let q0 = converted(sums[K / NV][K % NV], to.mult.add(16 * (K % NV)));
        let q1 = converted(sums[(K + 1) / NV][(K + 1) % NV], to.mult.add(16 * ((K + 1) % NV)));
        let q2 = converted(sums[(K + 2) / NV][(K + 2) % NV], to.mult.add(16 * ((K + 2) % NV)));
        let q3 = converted(sums[(K + 3) / NV][(K + 3) % NV], to.mult.add(16 * ((K + 3) % NV)));
        let mut values = [pack_shorts([q0, q1], lowest), pack_shorts([q2, q3], lowest)];
        if SUM == INTEGERS {
            values = [
                plus(values[0], _mm512_loadu_si512(post_ops.residual.add(at).cast())),
                plus(values[1], _mm512_loadu_si512(post_ops.residual.add(then).cast())),
            ];
        }
        if SUM == SCALED {
            values = [
                scaled_sum::<false>(
                    values[0],
                    _mm512_loadu_si512(post_ops.residual.add(at).cast()),
                    post_ops.factors,
                ),
                scaled_sum::<false>(
                    values[1],
                    _mm512_loadu_si512(post_ops.residual.add(then).cast()),
                    post_ops.factors,
                ),
            ];
        }
        _mm512_storeu_si512(place::<NV>(to, K).cast(), values[0]);
        _mm512_storeu_si512(place::<NV>(to, K + 2).cast(), values[1]);
        if NARROW {
            let bytes = narrow::<false>(values, post_ops.factor, post_ops.to.zero_point);
            put::<MR, NV>(bytes, to, [at, then].map(|at| post_ops.narrow.add(at)));
        }
    }
}

/// One vector at a time, of any number of lanes: the lower halves and quarters of what the others work on.
///
/// # Safety
/// As [`store`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn each<const MR: usize, const NV: usize>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    post_ops: &PostOpsAt,
    (lo, hi): (f32, f32),
) {
    // SAFETY: as promised by the caller; masked loads and stores touch no more lanes than the tile has.
    unsafe {
        let (zero, lowest, hi) = (_mm512_setzero_si512(), _mm512_set1_epi16(lo as i16), _mm512_set1_ps(hi));
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let at = m * (to.px_bytes / 2) + 16 * n;
                let lanes = mask((to.lanes - 16 * n).min(16));
                let q = rounded::<true>(sum, to.mult.add(16 * n), hi);
                let mut values = pack_shorts([q, zero], lowest);
                if !post_ops.residual.is_null() {
                    let residual = _mm256_maskz_loadu_epi16(lanes, post_ops.residual.add(at));
                    let residual = _mm512_zextsi256_si512(residual);
                    values = if post_ops.factors == [1.0; 2] {
                        plus(values, residual)
                    } else {
                        scaled_sum::<true>(values, residual, post_ops.factors)
                    };
                }
                let shorts = to.out.cast::<i16>().add(at);
                _mm256_mask_storeu_epi16(shorts, lanes, _mm512_castsi512_si256(values));
                if !post_ops.narrow.is_null() {
                    let bytes = narrow::<true>([values, zero], post_ops.factor, post_ops.to.zero_point);
                    let flip = _mm_set1_epi8((post_ops.to.xor ^ 0x80).cast_signed());
                    let bytes = _mm_xor_si128(_mm512_castsi512_si128(bytes), flip);
                    _mm_mask_storeu_epi8(post_ops.narrow.add(at).cast(), lanes, bytes);
                }
            }
        }
    }
}
