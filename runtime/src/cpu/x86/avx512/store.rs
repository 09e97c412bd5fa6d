//! Tiles whose vectors are whole: four vectors of sums become 64 bytes, or two become 32 values of 16 bits, by
//! saturating packs, which also are most of the clamping. The 64 bytes are those of two pixels where a tile has only two
//! vectors of each.

use crate::cpu::conv::form::{Products, Store};
use crate::cpu::conv::tile::Destination;
use crate::cpu::x86::avx512::epilogue::{Bytes, I16_MAX, converted, pack_shorts, rounded, store};
use core::arch::x86_64::*;

/// Stores the sums of one or two tiles.
///
/// # Safety
/// As `Tile::store_tile`; the tiles differ only in where they go.
#[inline(always)]
pub(crate) unsafe fn store_tiles<const R: usize, const MR: usize, const NV: usize>(
    sums: [&[[__m512i; NV]; MR]; R],
    to: [&Destination<'_>; R],
) {
    // SAFETY: passed on.
    unsafe {
        if !full_tiles(sums, to) {
            // Copies, so that the sums of whole tiles need no place in memory.
            let sums = sums.map(|sums| *sums);
            for (sums, to) in sums.iter().zip(to) {
                store_each(sums, to);
            }
        }
    }
}

/// Stores the sums of a tile one by one.
///
/// # Safety
/// As `Tile::store_tile`.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn store_each<const MR: usize, const NV: usize>(sums: &[[__m512i; NV]; MR], to: &Destination<'_>) {
    for (m, sums) in sums.iter().enumerate() {
        for (n, &sum) in sums.iter().enumerate() {
            let lanes = (to.lanes - 16 * n).min(16);
            // SAFETY: passed on.
            unsafe {
                let out = to.out.add(m * to.px_bytes + 16 * n * to.store.size_bytes());
                store(sum, to.mult.add(16 * n), to.store, out, lanes);
            }
        }
    }
}

/// Stores one or two tiles of the same kind if all their vectors are whole and their kind of values is one of those below;
/// whether it did. (Two at once, because what follows a tile may be a call, for which the compiler would write the other's
/// sums to memory.)
///
/// # Safety
/// As `Tile::store_tile`; the tiles differ only in where they go.
#[inline(always)]
unsafe fn full_tiles<const R: usize, const MR: usize, const NV: usize>(
    sums: [&[[__m512i; NV]; MR]; R],
    to: [&Destination<'_>; R],
) -> bool {
    if !fours::<MR, NV>(to[0]) {
        return false;
    }
    // SAFETY: `MR` pixels of whole vectors, each `px_bytes` from the last, by contract; multipliers for all.
    unsafe {
        match *to[0].store {
            Store::I8 { lo, hi, zero_point, xor: 0x80 } => {
                let free =
                    converts(to[0]) && (lo, hi) == ((-128 - zero_point) as f32, (127 - zero_point) as f32);
                match (free, zero_point) {
                    (true, -128) => bytes::<R, MR, NV, false, false>(sums, to, (lo, hi, zero_point)),
                    (true, _) => bytes::<R, MR, NV, false, true>(sums, to, (lo, hi, zero_point)),
                    (false, _) => bytes::<R, MR, NV, true, true>(sums, to, (lo, hi, zero_point)),
                }
            }
            Store::I16 { lo, hi } if converts(to[0]) && hi == I16_MAX => {
                shorts(sums[0], to[0], lo);
                if R == 2 {
                    shorts(sums[R - 1], to[R - 1], lo);
                }
            }
            Store::I8 { .. } | Store::I16 { .. } | Store::F32 { .. } => return false,
        }
    }
    true
}

/// Whether all vectors are whole, and fours of them lie one behind the other, or twos do in each of two pixels.
#[inline(always)]
pub(crate) fn fours<const MR: usize, const NV: usize>(to: &Destination<'_>) -> bool {
    to.lanes == NV * 16 && (dense::<MR, NV>(to) || NV == 4 || (NV == 2 && MR.is_multiple_of(2)))
}

/// Whether all vectors of the tile lie one behind the other, and are fours.
#[inline(always)]
pub(crate) fn dense<const MR: usize, const NV: usize>(to: &Destination<'_>) -> bool {
    to.px_bytes == NV * 16 * to.store.size_bytes() && (MR * NV).is_multiple_of(4)
}

/// Whether all products are integers of 32 bits when they are rounded, which the packs then clamp.
#[inline(always)]
pub(crate) fn converts(to: &Destination<'_>) -> bool {
    to.products <= Products::Integer
}

/// Place of vector `k` of the tile.
///
/// # Safety
/// As [`full_tiles`].
#[inline(always)]
pub(crate) unsafe fn place<const NV: usize>(to: &Destination<'_>, k: usize) -> *mut u8 {
    // SAFETY: a vector of the tile.
    unsafe { to.out.add(k / NV * to.px_bytes + k % NV * 16 * to.store.size_bytes()) }
}

/// Whether there are bounds within those of the bytes, or products that do not convert, and whether there is something to
/// add (which there is not for values from 0 on) is known beforehand: these instructions compete with the multiplications.
///
/// # Safety
/// As [`full_tiles`]; without `CLAMP` the bounds are those of the bytes and products [convert](converts), without `OFFSET` the
/// zero point is −128 too.
#[inline(always)]
unsafe fn bytes<const R: usize, const MR: usize, const NV: usize, const CLAMP: bool, const OFFSET: bool>(
    sums: [&[[__m512i; NV]; MR]; R],
    to: [&Destination<'_>; R],
    (lo, hi, zero_point): (f32, f32, i32),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let hi = _mm512_set1_ps(hi);
        let finish = Bytes::new(lo, zero_point);
        tile_bytes::<MR, NV, CLAMP, OFFSET>(sums[0], to[0], hi, finish);
        if R == 2 {
            tile_bytes::<MR, NV, CLAMP, OFFSET>(sums[R - 1], to[R - 1], hi, finish);
        }
    }
}

/// # Safety
/// As [`bytes`].
#[inline(always)]
unsafe fn tile_bytes<const MR: usize, const NV: usize, const CLAMP: bool, const OFFSET: bool>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    hi: __m512,
    finish: Bytes,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        four_bytes::<0, MR, NV, CLAMP, OFFSET>(sums, to, hi, finish);
        four_bytes::<4, MR, NV, CLAMP, OFFSET>(sums, to, hi, finish);
        four_bytes::<8, MR, NV, CLAMP, OFFSET>(sums, to, hi, finish);
        four_bytes::<12, MR, NV, CLAMP, OFFSET>(sums, to, hi, finish);
        four_bytes::<16, MR, NV, CLAMP, OFFSET>(sums, to, hi, finish);
        four_bytes::<20, MR, NV, CLAMP, OFFSET>(sums, to, hi, finish);
    }
}

/// Vectors `K..K + 4` as bytes, if the tile has them. (Not a loop: the compiler would write the sums to memory to count
/// through them.)
///
/// # Safety
/// As [`bytes`].
#[inline(always)]
unsafe fn four_bytes<
    const K: usize,
    const MR: usize,
    const NV: usize,
    const CLAMP: bool,
    const OFFSET: bool,
>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    hi: __m512,
    finish: Bytes,
) {
    if K >= MR * NV {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let q0 = rounded::<CLAMP>(sums[K / NV][K % NV], to.mult.add(16 * (K % NV)), hi);
        let q1 = rounded::<CLAMP>(sums[(K + 1) / NV][(K + 1) % NV], to.mult.add(16 * ((K + 1) % NV)), hi);
        let q2 = rounded::<CLAMP>(sums[(K + 2) / NV][(K + 2) % NV], to.mult.add(16 * ((K + 2) % NV)), hi);
        let q3 = rounded::<CLAMP>(sums[(K + 3) / NV][(K + 3) % NV], to.mult.add(16 * ((K + 3) % NV)), hi);
        let bytes = finish.pack::<CLAMP, OFFSET>([q0, q1, q2, q3]);
        put::<MR, NV>(bytes, to, [place::<NV>(to, K), place::<NV>(to, K + 2)]);
    }
}

/// Stores 64 bytes, the second half of which belongs to the second place.
///
/// # Safety
/// They are one behind the other, or as far apart as two pixels of two vectors; there is room for 32 bytes at each.
#[inline(always)]
pub(crate) unsafe fn put<const MR: usize, const NV: usize>(
    bytes: __m512i,
    to: &Destination<'_>,
    places: [*mut u8; 2],
) {
    // SAFETY: as promised by the caller.
    unsafe {
        if NV == 2 && !dense::<MR, NV>(to) {
            _mm256_storeu_si256(places[0].cast(), _mm512_castsi512_si256(bytes));
            _mm256_storeu_si256(places[1].cast(), _mm512_extracti64x4_epi64::<1>(bytes));
        } else {
            _mm512_storeu_si512(places[0].cast(), bytes);
        }
    }
}

/// # Safety
/// As [`full_tiles`].
#[inline(always)]
unsafe fn shorts<const MR: usize, const NV: usize>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    lo: f32,
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let lo = _mm512_set1_epi16(lo as i16);
        two_shorts::<0, MR, NV>(sums, to, lo);
        two_shorts::<2, MR, NV>(sums, to, lo);
        two_shorts::<4, MR, NV>(sums, to, lo);
        two_shorts::<6, MR, NV>(sums, to, lo);
        two_shorts::<8, MR, NV>(sums, to, lo);
        two_shorts::<10, MR, NV>(sums, to, lo);
        two_shorts::<12, MR, NV>(sums, to, lo);
        two_shorts::<14, MR, NV>(sums, to, lo);
        two_shorts::<16, MR, NV>(sums, to, lo);
        two_shorts::<18, MR, NV>(sums, to, lo);
        two_shorts::<20, MR, NV>(sums, to, lo);
        two_shorts::<22, MR, NV>(sums, to, lo);
    }
}

/// Vectors `K` and `K + 1` as 16 bits, if the tile has them.
///
/// # Safety
/// As [`full_tiles`].
#[inline(always)]
unsafe fn two_shorts<const K: usize, const MR: usize, const NV: usize>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    lo: __m512i,
) {
    if K >= MR * NV {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let q0 = converted(sums[K / NV][K % NV], to.mult.add(16 * (K % NV)));
        let q1 = converted(sums[(K + 1) / NV][(K + 1) % NV], to.mult.add(16 * ((K + 1) % NV)));
        _mm512_storeu_si512(place::<NV>(to, K).cast(), pack_shorts([q0, q1], lo));
    }
}
