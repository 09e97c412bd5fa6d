//! Stores a tile of 16-bit values together with the residual sum and the 8-bit copy that follow, while the values are in
//! registers.

use crate::cpu::conv::form::Store;

use crate::cpu::conv::row::PostOpsAt;

use crate::cpu::conv::tile::Destination;
use crate::cpu::x86::avx2::epilogue::{MAX_FACTOR, halves, narrow, pack_shorts, plus, rounded, scaled_sum};
use crate::cpu::x86::avx2::store::pairs;
use core::arch::x86_64::*;

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
    let usual = post_ops.factors.iter().all(|factor| factor.abs() < MAX_FACTOR);
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
                plus(values[0], _mm256_loadu_si256(post_ops.residual.add(at[0]).cast())),
                plus(values[1], _mm256_loadu_si256(post_ops.residual.add(at[1]).cast())),
            ];
        }
        if SUM == SCALED {
            values = [
                scaled_sum::<false>(
                    values[0],
                    _mm256_loadu_si256(post_ops.residual.add(at[0]).cast()),
                    post_ops.factors,
                ),
                scaled_sum::<false>(
                    values[1],
                    _mm256_loadu_si256(post_ops.residual.add(at[1]).cast()),
                    post_ops.factors,
                ),
            ];
        }
        let out = to.out.cast::<i16>();
        _mm256_storeu_si256(out.add(at[0]).cast(), values[0]);
        _mm256_storeu_si256(out.add(at[1]).cast(), values[1]);
        if NARROW {
            let flip = _mm256_set1_epi8((post_ops.to.xor ^ 0x80).cast_signed());
            let bytes = _mm256_xor_si256(narrow(values, post_ops.factor, post_ops.to.zero_point), flip);
            halves(bytes, post_ops.narrow.add(at[0]), post_ops.narrow.add(at[1]));
        }
    }
}

/// One vector at a time, of any number of lanes: the lower halves and quarters of what the others work on.
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
        let (zero, lowest, hi) = (_mm256_setzero_si256(), _mm256_set1_epi16(lo as i16), _mm256_set1_ps(hi));
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let at = m * (to.px_bytes / 2) + 8 * n;
                let lanes = (to.lanes - 8 * n).min(8);
                let q = rounded(sum, to.mult.add(8 * n), hi);
                let mut values = pack_shorts([q, zero], lowest);
                let mut shorts = [0_i16; 8];
                if !post_ops.residual.is_null() {
                    shorts.as_mut_ptr().copy_from_nonoverlapping(post_ops.residual.add(at), lanes);
                    let residual = _mm256_zextsi128_si256(_mm_loadu_si128(shorts.as_ptr().cast()));
                    values = if post_ops.factors == [1.0; 2] {
                        plus(values, residual)
                    } else {
                        scaled_sum::<true>(values, residual, post_ops.factors)
                    };
                }
                _mm_storeu_si128(shorts.as_mut_ptr().cast(), _mm256_castsi256_si128(values));
                to.out.cast::<i16>().add(at).copy_from_nonoverlapping(shorts.as_ptr(), lanes);
                if !post_ops.narrow.is_null() {
                    let q = narrow([values, zero], post_ops.factor, post_ops.to.zero_point);
                    let flip = _mm_set1_epi8((post_ops.to.xor ^ 0x80).cast_signed());
                    let mut bytes = [0_u8; 8];
                    _mm_storel_epi64(
                        bytes.as_mut_ptr().cast(),
                        _mm_xor_si128(_mm256_castsi256_si128(q), flip),
                    );
                    post_ops.narrow.add(at).copy_from_nonoverlapping(bytes.as_ptr(), lanes);
                }
            }
        }
    }
}
