//! Tiles of two whole vectors a pixel: the sums of two pixels become 32 bytes, or those of one 16 values of 16 bits, by
//! saturating packs, which also are most of the clamping.

use crate::cpu::conv::form::Store;
use crate::cpu::conv::tile::Destination;
use crate::cpu::x86::avx2::epilogue::{Bytes, halves, pack_shorts, rounded, store};
use core::arch::x86_64::*;

/// Whether pixels have two whole vectors and come in pairs.
#[inline(always)]
pub(crate) fn pairs<const MR: usize, const NV: usize>(to: &Destination<'_>) -> bool {
    NV == 2 && MR.is_multiple_of(2) && to.lanes == 16
}

/// Stores the sums of a tile.
///
/// # Safety
/// As `Tile::store_tile`.
#[inline(always)]
pub(crate) unsafe fn store_tile<const MR: usize, const NV: usize>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
) {
    // SAFETY: passed on.
    unsafe {
        if !full_tiles(sums, to) {
            // A copy, so that the sums of whole tiles need no place in memory.
            let sums = *sums;
            store_each(&sums, to);
        }
    }
}

/// Stores the sums of a tile one by one.
///
/// # Safety
/// As `Tile::store_tile`.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
unsafe fn store_each<const MR: usize, const NV: usize>(sums: &[[__m256i; NV]; MR], to: &Destination<'_>) {
    for (m, sums) in sums.iter().enumerate() {
        for (n, &sum) in sums.iter().enumerate() {
            let lanes = (to.lanes - 8 * n).min(8);
            // SAFETY: passed on.
            unsafe {
                let out = to.out.add(m * to.px_bytes + 8 * n * to.store.size_bytes());
                store(sum, to.mult.add(8 * n), to.store, out, lanes);
            }
        }
    }
}

/// Stores a tile if its pixels are [`pairs`] and its kind of values is one of those below; whether it did.
///
/// # Safety
/// As `Tile::store_tile`.
#[inline(always)]
unsafe fn full_tiles<const MR: usize, const NV: usize>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
) -> bool {
    if !pairs::<MR, NV>(to) {
        return false;
    }
    // SAFETY: `MR` pixels of two whole vectors, each `px_bytes` from the last, by contract; multipliers for all. (Not
    // loops: the compiler would write the sums to memory to count through them.)
    unsafe {
        match *to.store {
            Store::I8 { lo, hi, zero_point, xor } => {
                let (hi, finish) = (_mm256_set1_ps(hi), Bytes::new(lo, zero_point));
                let flip = _mm256_set1_epi8((xor ^ 0x80).cast_signed());
                two_bytes::<0, MR, NV>(sums, to, hi, (finish, flip));
                two_bytes::<2, MR, NV>(sums, to, hi, (finish, flip));
                two_bytes::<4, MR, NV>(sums, to, hi, (finish, flip));
            }
            Store::I16 { lo, hi } => {
                let (lo, hi) = (_mm256_set1_epi16(lo as i16), _mm256_set1_ps(hi));
                one_short::<0, MR, NV>(sums, to, lo, hi);
                one_short::<1, MR, NV>(sums, to, lo, hi);
                one_short::<2, MR, NV>(sums, to, lo, hi);
                one_short::<3, MR, NV>(sums, to, lo, hi);
                one_short::<4, MR, NV>(sums, to, lo, hi);
                one_short::<5, MR, NV>(sums, to, lo, hi);
            }
            Store::F32 { .. } => return false,
        }
    }
    true
}

/// Pixels `M` and `M + 1` as bytes, if the tile has them.
///
/// # Safety
/// As [`full_tiles`].
#[inline(always)]
unsafe fn two_bytes<const M: usize, const MR: usize, const NV: usize>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
    hi: __m256,
    (finish, flip): (Bytes, __m256i),
) {
    const { assert!(MR <= 6 || NV != 2, "there are calls for all pixels") };
    if M + 1 >= MR {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let q0 = rounded(sums[M][0], to.mult, hi);
        let q1 = rounded(sums[M][1], to.mult.add(8), hi);
        let q2 = rounded(sums[M + 1][0], to.mult, hi);
        let q3 = rounded(sums[M + 1][1], to.mult.add(8), hi);
        let out = to.out.add(M * to.px_bytes);
        halves(_mm256_xor_si256(finish.pack([q0, q1, q2, q3]), flip), out, out.add(to.px_bytes));
    }
}

/// Pixel `M` as 16 bits, if the tile has it.
///
/// # Safety
/// As [`full_tiles`].
#[inline(always)]
unsafe fn one_short<const M: usize, const MR: usize, const NV: usize>(
    sums: &[[__m256i; NV]; MR],
    to: &Destination<'_>,
    lo: __m256i,
    hi: __m256,
) {
    if M >= MR {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let q0 = rounded(sums[M][0], to.mult, hi);
        let q1 = rounded(sums[M][1], to.mult.add(8), hi);
        _mm256_storeu_si256(to.out.add(M * to.px_bytes).cast(), pack_shorts([q0, q1], lo));
    }
}
