//! Stores a tile of 16-bit values together with the residual sum and the 8-bit copy that follow: the values are in
//! registers, where a second pass over the row would have to read them again from a cache that a row of 16-bit values, its
//! residual and its copy do not fit in.

use crate::cpu::conv::form::Store;

use crate::cpu::conv::row::PostOpsAt;

use crate::cpu::conv::tile::Destination;
use crate::cpu::x86::avx512::store::mask;
use crate::cpu::x86::avx512::store::{I16_MAX, capped, converted, converts, fours, pack_shorts, place, put};
use core::arch::x86_64::*;

/// Factors stay below this, so that what is rounded fits 32 bits.
const MAX_FACTOR: f32 = 30_000.0;
/// A factor for values that stand in the upper halves of what is converted: they are 2^16 times as large, which is exact.
const IN_UPPER_HALF: f32 = 1.0 / 65536.0;

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
            values =
                [plus(values[0], post_ops.residual.add(at)), plus(values[1], post_ops.residual.add(then))];
        }
        if SUM == SCALED {
            values = [
                scaled_sum(values[0], post_ops.residual.add(at), post_ops.factors),
                scaled_sum(values[1], post_ops.residual.add(then), post_ops.factors),
            ];
        }
        _mm512_storeu_si512(place::<NV>(to, K).cast(), values[0]);
        _mm512_storeu_si512(place::<NV>(to, K + 2).cast(), values[1]);
        if NARROW {
            put::<MR, NV>(narrow(values, post_ops), to, [at, then].map(|at| post_ops.narrow.add(at)));
        }
    }
}

/// The sum of values and 32 of a residual.
///
/// # Safety
/// `residual` points to them; the processor has AVX-512 BW.
#[inline(always)]
unsafe fn plus(values: __m512i, residual: *const i16) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        let sums = _mm512_adds_epi16(values, _mm512_loadu_si512(residual.cast()));
        _mm512_max_epi16(sums, _mm512_set1_epi16(-(I16_MAX as i16)))
    }
}

/// `round(values · factors[0] + residual · factors[1])` for 32 values.
///
/// # Safety
/// As [`plus`].
#[inline(always)]
unsafe fn scaled_sum(values: __m512i, residual: *const i16, factors: [f32; 2]) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        let (zero, residual) = (_mm512_setzero_si512(), _mm512_loadu_si512(residual.cast()));
        let [mine, theirs] = factors.map(|factor| factor * IN_UPPER_HALF);
        let factors = [_mm512_set1_ps(mine), _mm512_set1_ps(theirs)];
        // Unpacking keeps to the parts of a vector, and so does packing.
        let low = [_mm512_unpacklo_epi16(zero, values), _mm512_unpacklo_epi16(zero, residual)];
        let high = [_mm512_unpackhi_epi16(zero, values), _mm512_unpackhi_epi16(zero, residual)];
        let sums = _mm512_packs_epi32(rounded_sum(low, factors), rounded_sum(high, factors));
        _mm512_max_epi16(sums, _mm512_set1_epi16(-(I16_MAX as i16)))
    }
}

/// `round(a · factors[0] + b · factors[1])`, half to even.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn rounded_sum([a, b]: [__m512i; 2], factors: [__m512; 2]) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        let a = _mm512_mul_ps(_mm512_cvtepi32_ps(a), factors[0]);
        let b = _mm512_mul_ps(_mm512_cvtepi32_ps(b), factors[1]);
        _mm512_cvtps_epi32(_mm512_add_ps(a, b))
    }
}

/// `round(values · factor)` as bytes.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
unsafe fn narrow(values: [__m512i; 2], post_ops: &PostOpsAt) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        // Unpacking keeps to the quarters of a vector, and so does packing.
        let zero = _mm512_setzero_si512();
        let factor = _mm512_set1_ps(post_ops.factor * IN_UPPER_HALF);
        let q0 = scaled(_mm512_unpacklo_epi16(zero, values[0]), factor);
        let q1 = scaled(_mm512_unpackhi_epi16(zero, values[0]), factor);
        let q2 = scaled(_mm512_unpacklo_epi16(zero, values[1]), factor);
        let q3 = scaled(_mm512_unpackhi_epi16(zero, values[1]), factor);
        let offset = _mm512_set1_epi16((post_ops.to.zero_point + 128) as i16);
        // Sums saturate, or are negative or beyond a byte and do so in the last pack.
        let low = _mm512_adds_epi16(_mm512_packs_epi32(q0, q1), offset);
        let high = _mm512_adds_epi16(_mm512_packs_epi32(q2, q3), offset);
        let in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        _mm512_permutexvar_epi64(in_order, _mm512_packus_epi16(low, high))
    }
}

/// `round(values · factor)`, half to even.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn scaled(values: __m512i, factor: __m512) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe { _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(values), factor)) }
}

/// One vector at a time, of any number of lanes.
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
        let lowest = _mm512_set1_epi32(-(I16_MAX as i32));
        let highest = _mm512_set1_epi32(I16_MAX as i32);
        let hi = _mm512_set1_ps(hi);
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let at = m * (to.px_bytes / 2) + 16 * n;
                let lanes = mask((to.lanes - 16 * n).min(16));
                let x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(to.mult.add(16 * n)));
                let q = capped(x, hi);
                let mut values = _mm512_max_epi32(q, _mm512_set1_epi32(lo as i32));
                if !post_ops.residual.is_null() {
                    let residual = _mm256_maskz_loadu_epi16(lanes, post_ops.residual.add(at));
                    let residual = _mm512_cvtepi16_epi32(residual);
                    values = if post_ops.factors == [1.0; 2] {
                        _mm512_add_epi32(values, residual)
                    } else {
                        let [mine, theirs] = post_ops.factors;
                        let values = _mm512_mul_ps(_mm512_cvtepi32_ps(values), _mm512_set1_ps(mine));
                        let residual = _mm512_mul_ps(_mm512_cvtepi32_ps(residual), _mm512_set1_ps(theirs));
                        capped(_mm512_add_ps(values, residual), _mm512_set1_ps(I16_MAX))
                    };
                    values = _mm512_max_epi32(_mm512_min_epi32(values, highest), lowest);
                }
                let shorts = to.out.cast::<i16>().add(at);
                _mm256_mask_storeu_epi16(shorts, lanes, _mm512_cvtepi32_epi16(values));
                if !post_ops.narrow.is_null() {
                    let zero_point = post_ops.to.zero_point;
                    let hi = _mm512_set1_ps((127 - zero_point) as f32);
                    let x = _mm512_mul_ps(_mm512_cvtepi32_ps(values), _mm512_set1_ps(post_ops.factor));
                    let q = capped(x, hi);
                    let q = _mm512_max_epi32(q, _mm512_set1_epi32(-128 - zero_point));
                    let q = _mm512_cvtepi32_epi8(_mm512_add_epi32(q, _mm512_set1_epi32(zero_point)));
                    let q = _mm_xor_si128(q, _mm_set1_epi8(post_ops.to.xor.cast_signed()));
                    _mm_mask_storeu_epi8(post_ops.narrow.add(at).cast(), lanes, q);
                }
            }
        }
    }
}
