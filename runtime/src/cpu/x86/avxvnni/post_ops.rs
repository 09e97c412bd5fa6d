//! Stores a tile of 16-bit values together with the residual sum and the 8-bit copy that follow, while the values are in
//! registers.

use crate::cpu::conv::form::Store;

use crate::cpu::conv::row::PostOpsAt;

use crate::cpu::conv::tile::Destination;
use crate::cpu::x86::avxvnni::store::{capped, halves, pack_shorts, pairs, rounded};
use core::arch::x86_64::*;

const I16_MAX: f32 = 32767.0;
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

/// Stores the sums of a tile, with their post-ops.
///
/// # Safety
/// As `Tile::store_post_ops`; the processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn store<const MR: usize, const NV: usize>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
    post_ops: &PostOpsAt,
) {
    let Store::I16 { lo, hi } = *to.store else { unreachable!("16 bits are worked on") };
    // A copy has its sign bits flipped, as this instruction set wants it.
    let usual = post_ops.factors.iter().all(|factor| factor.abs() < MAX_FACTOR)
        && (post_ops.narrow.is_null() || post_ops.to.xor == 0x80);
    // SAFETY: passed on. The pointers of the post-ops are null or those of this tile's rows, which have a value wherever
    // the output has one.
    unsafe {
        let summand = match post_ops.factors {
            _ if post_ops.residual.is_null() => NONE,
            [1.0, 1.0] => INTEGERS,
            _ => SCALED,
        };
        match (summand, post_ops.narrow.is_null()) {
            _ if !usual || !pairs::<MR, NV>(to) => {
                // A copy, so that the others' sums need no place in memory.
                let sums = *sums;
                each(&sums, to, post_ops, (lo, hi));
            }
            (NONE, false) => full_tiles::<MR, NV, { NONE }, true>(sums, to, post_ops, (lo, hi)),
            (NONE, true) => full_tiles::<MR, NV, { NONE }, false>(sums, to, post_ops, (lo, hi)),
            (INTEGERS, false) => full_tiles::<MR, NV, { INTEGERS }, true>(sums, to, post_ops, (lo, hi)),
            (INTEGERS, true) => full_tiles::<MR, NV, { INTEGERS }, false>(sums, to, post_ops, (lo, hi)),
            (_, false) => full_tiles::<MR, NV, { SCALED }, true>(sums, to, post_ops, (lo, hi)),
            (_, true) => full_tiles::<MR, NV, { SCALED }, false>(sums, to, post_ops, (lo, hi)),
        }
    }
}

/// Two pixels at a time.
///
/// # Safety
/// As [`store`]; there is a residual unless `SUM` is [`NONE`], and a copy if it is to `NARROW`.
#[inline(always)]
unsafe fn full_tiles<const MR: usize, const NV: usize, const SUM: u8, const NARROW: bool>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
    post_ops: &PostOpsAt,
    limits: (f32, f32),
) {
    // SAFETY: passed on.
    unsafe {
        two::<0, MR, NV, SUM, NARROW>(sums, to, post_ops, limits);
        two::<2, MR, NV, SUM, NARROW>(sums, to, post_ops, limits);
        two::<4, MR, NV, SUM, NARROW>(sums, to, post_ops, limits);
    }
}

/// Pixels `M` and `M + 1`, if the tile has them. (Not a loop: the compiler would write the sums to memory to count through
/// them.)
///
/// # Safety
/// As [`full_tiles`].
#[inline(always)]
unsafe fn two<const M: usize, const MR: usize, const NV: usize, const SUM: u8, const NARROW: bool>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
    post_ops: &PostOpsAt,
    (lo, hi): (f32, f32),
) {
    const { assert!(MR <= 6 || NV != 2, "there are calls for all pixels") };
    if M + 1 >= MR {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let (lowest, hi) = (_mm256_set1_epi16(lo as i16), _mm256_set1_ps(hi));
        // Where the pixels are, in values from the first.
        let at = [M * (to.px_bytes / 2), (M + 1) * (to.px_bytes / 2)];
        let q0 = rounded(sums[M][0], to.mult, hi);
        let q1 = rounded(sums[M][1], to.mult.add(8), hi);
        let q2 = rounded(sums[M + 1][0], to.mult, hi);
        let q3 = rounded(sums[M + 1][1], to.mult.add(8), hi);
        let mut values = [pack_shorts([q0, q1], lowest), pack_shorts([q2, q3], lowest)];
        if SUM == INTEGERS {
            values = [
                plus(values[0], post_ops.residual.add(at[0])),
                plus(values[1], post_ops.residual.add(at[1])),
            ];
        }
        if SUM == SCALED {
            values = [
                scaled_sum(values[0], post_ops.residual.add(at[0]), post_ops.factors),
                scaled_sum(values[1], post_ops.residual.add(at[1]), post_ops.factors),
            ];
        }
        let out = to.out.cast::<i16>();
        _mm256_storeu_si256(out.add(at[0]).cast(), values[0]);
        _mm256_storeu_si256(out.add(at[1]).cast(), values[1]);
        if NARROW {
            halves(narrow(values, post_ops), post_ops.narrow.add(at[0]), post_ops.narrow.add(at[1]));
        }
    }
}

/// The sum of values and 16 of a residual.
///
/// # Safety
/// `residual` points to them; the processor has AVX2.
#[inline(always)]
unsafe fn plus(values: __m256i, residual: *const i16) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        let sums = _mm256_adds_epi16(values, _mm256_loadu_si256(residual.cast()));
        _mm256_max_epi16(sums, _mm256_set1_epi16(-(I16_MAX as i16)))
    }
}

/// `round(values · factors[0] + residual · factors[1])` for 16 values.
///
/// # Safety
/// As [`plus`].
#[inline(always)]
unsafe fn scaled_sum(values: __m256i, residual: *const i16, factors: [f32; 2]) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        let (zero, residual) = (_mm256_setzero_si256(), _mm256_loadu_si256(residual.cast()));
        let [mine, theirs] = factors.map(|factor| factor * IN_UPPER_HALF);
        let factors = [_mm256_set1_ps(mine), _mm256_set1_ps(theirs)];
        // Unpacking keeps to the parts of a vector, and so does packing.
        let low = [_mm256_unpacklo_epi16(zero, values), _mm256_unpacklo_epi16(zero, residual)];
        let high = [_mm256_unpackhi_epi16(zero, values), _mm256_unpackhi_epi16(zero, residual)];
        let sums = _mm256_packs_epi32(rounded_sum(low, factors), rounded_sum(high, factors));
        _mm256_max_epi16(sums, _mm256_set1_epi16(-(I16_MAX as i16)))
    }
}

/// `round(a · factors[0] + b · factors[1])`, half to even.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn rounded_sum([a, b]: [__m256i; 2], factors: [__m256; 2]) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        let a = _mm256_mul_ps(_mm256_cvtepi32_ps(a), factors[0]);
        let b = _mm256_mul_ps(_mm256_cvtepi32_ps(b), factors[1]);
        _mm256_cvtps_epi32(_mm256_add_ps(a, b))
    }
}

/// `round(values · factor)` as bytes.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn narrow(values: [__m256i; 2], post_ops: &PostOpsAt) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        // Unpacking keeps to the halves of a vector, and so does packing.
        let zero = _mm256_setzero_si256();
        let factor = _mm256_set1_ps(post_ops.factor * IN_UPPER_HALF);
        let hi = _mm256_set1_ps((127 - post_ops.to.zero_point) as f32);
        let q0 = scaled(_mm256_unpacklo_epi16(zero, values[0]), factor, hi);
        let q1 = scaled(_mm256_unpackhi_epi16(zero, values[0]), factor, hi);
        let q2 = scaled(_mm256_unpacklo_epi16(zero, values[1]), factor, hi);
        let q3 = scaled(_mm256_unpackhi_epi16(zero, values[1]), factor, hi);
        let offset = _mm256_set1_epi16((post_ops.to.zero_point + 128) as i16);
        // Below the lower bound the sums are negative, or saturate there, and become 0.
        let first = _mm256_adds_epi16(_mm256_packs_epi32(q0, q1), offset);
        let second = _mm256_adds_epi16(_mm256_packs_epi32(q2, q3), offset);
        _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi16(first, second))
    }
}

/// `round(values · factor)`, not above `hi`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn scaled(values: __m256i, factor: __m256, hi: __m256) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe { capped(_mm256_mul_ps(_mm256_cvtepi32_ps(values), factor), hi) }
}

/// One vector at a time, of any number of lanes.
///
/// # Safety
/// As [`store`].
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn each<const MR: usize, const NV: usize>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
    post_ops: &PostOpsAt,
    (lo, hi): (f32, f32),
) {
    // SAFETY: as promised by the caller; of the rows, no more than the tile's lanes are read or written: the vectors lie
    // in buffers of 8 values.
    unsafe {
        let lowest = _mm256_set1_epi32(-(I16_MAX as i32));
        let highest = _mm256_set1_epi32(I16_MAX as i32);
        let hi = _mm256_set1_ps(hi);
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let at = m * (to.px_bytes / 2) + 8 * n;
                let lanes = (to.lanes - 8 * n).min(8);
                let q = rounded(sum, to.mult.add(8 * n), hi);
                let mut values = _mm256_max_epi32(q, _mm256_set1_epi32(lo as i32));
                let mut shorts = [0_i16; 8];
                if !post_ops.residual.is_null() {
                    shorts.as_mut_ptr().copy_from_nonoverlapping(post_ops.residual.add(at), lanes);
                    let residual = _mm256_cvtepi16_epi32(_mm_loadu_si128(shorts.as_ptr().cast()));
                    values = if post_ops.factors == [1.0; 2] {
                        _mm256_add_epi32(values, residual)
                    } else {
                        let [mine, theirs] = post_ops.factors;
                        let values = _mm256_mul_ps(_mm256_cvtepi32_ps(values), _mm256_set1_ps(mine));
                        let residual = _mm256_mul_ps(_mm256_cvtepi32_ps(residual), _mm256_set1_ps(theirs));
                        capped(_mm256_add_ps(values, residual), _mm256_set1_ps(I16_MAX))
                    };
                    values = _mm256_max_epi32(_mm256_min_epi32(values, highest), lowest);
                }
                _mm_storeu_si128(shorts.as_mut_ptr().cast(), packed(values));
                to.out.cast::<i16>().add(at).copy_from_nonoverlapping(shorts.as_ptr(), lanes);
                if !post_ops.narrow.is_null() {
                    let zero_point = post_ops.to.zero_point;
                    let hi = _mm256_set1_ps((127 - zero_point) as f32);
                    let q = scaled(values, _mm256_set1_ps(post_ops.factor), hi);
                    let q = _mm256_max_epi32(q, _mm256_set1_epi32(-128 - zero_point));
                    let q = packed(_mm256_add_epi32(q, _mm256_set1_epi32(zero_point)));
                    let q =
                        _mm_xor_si128(_mm_packs_epi16(q, q), _mm_set1_epi8(post_ops.to.xor.cast_signed()));
                    let mut bytes = [0_u8; 8];
                    _mm_storel_epi64(bytes.as_mut_ptr().cast(), q);
                    post_ops.narrow.add(at).copy_from_nonoverlapping(bytes.as_ptr(), lanes);
                }
            }
        }
    }
}

/// Eight numbers in 16 bits, which they fit.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn packed(values: __m256i) -> __m128i {
    // SAFETY: as promised by the caller.
    unsafe { _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values)) }
}
