//! Tiles whose vectors are whole: four vectors of sums become 64 bytes, or two become 32 values of 16 bits, by
//! saturating packs, which also are most of the clamping. The 64 bytes are those of two pixels where a tile has only two
//! vectors of each.

use crate::cpu::conv::form::{Products, Store};

use crate::cpu::conv::tile::Destination;
use core::arch::x86_64::*;

pub(crate) const I16_MAX: f32 = 32767.0;

/// Stores one or two tiles of the same kind if all their vectors are whole and their kind of values is one of those below;
/// whether it did. (Two at once, because what follows a tile may be a call, for which the compiler would write the other's
/// sums to memory.)
///
/// # Safety
/// As `Tile::store_tile`; the tiles differ only in where they go.
#[inline(always)]
pub(crate) unsafe fn full_tiles<const R: usize, const MR: usize, const NV: usize>(
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

/// `round(sum · mult)`, with `CLAMP` not above `hi`. What is below any bound, or no number, then becomes the smallest
/// integer, which the packs that follow turn into the lower bound.
///
/// # Safety
/// As [`converted`], but with `CLAMP` any products.
#[inline(always)]
unsafe fn rounded<const CLAMP: bool>(sum: __m512i, mult: *const f32, hi: __m512) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        if !CLAMP {
            return converted(sum, mult);
        }
        capped(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(mult)), hi)
    }
}

/// `round(sum · mult)` of products that [convert](converts).
///
/// # Safety
/// 16 multipliers; the processor has AVX-512.
#[inline(always)]
pub(crate) unsafe fn converted(sum: __m512i, mult: *const f32) -> __m512i {
    // SAFETY: as promised by the caller. The conversion rounds half to even: the default of MXCSR, which Rust does not
    // change.
    unsafe { _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(mult))) }
}

/// `round(x)`, half to even (the default of MXCSR, which Rust does not change), not above `hi`.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
pub(crate) unsafe fn capped(x: __m512, hi: __m512) -> __m512i {
    // SAFETY: as promised by the caller. `vminps` returns its second operand when one is no number.
    unsafe { _mm512_cvtps_epi32(_mm512_min_ps(hi, x)) }
}

/// Two vectors as 16 bits, not below `lo`.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(crate) unsafe fn pack_shorts(q: [__m512i; 2], lo: __m512i) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe {
        // Packs work inside quarters of a vector; this puts the quarters in order.
        let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
        let packed = _mm512_max_epi16(_mm512_packs_epi32(q[0], q[1]), lo);
        _mm512_permutexvar_epi64(order, packed)
    }
}

/// Four vectors as bytes `clamp(q, lo, 127 − zero point) + zero point`, with the sign bit flipped.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    lo: __m512i,
    offset: __m512i,
    order: __m512i,
}

impl Bytes {
    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    pub unsafe fn new(lo: f32, zero_point: i32) -> Self {
        // SAFETY: as promised by the caller.
        unsafe {
            Self {
                lo: _mm512_set1_epi16(lo as i16),
                offset: _mm512_set1_epi16((zero_point + 128) as i16),
                order: _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
            }
        }
    }

    /// Without `CLAMP` the lower bound is that of the bytes, without `OFFSET` there is nothing to add.
    ///
    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    pub unsafe fn pack<const CLAMP: bool, const OFFSET: bool>(self, q: [__m512i; 4]) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            let (low, high) =
                (self.half::<CLAMP, OFFSET>(q[0], q[1]), self.half::<CLAMP, OFFSET>(q[2], q[3]));
            _mm512_permutexvar_epi32(self.order, _mm512_packus_epi16(low, high))
        }
    }

    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    unsafe fn half<const CLAMP: bool, const OFFSET: bool>(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            let q = _mm512_packs_epi32(a, b);
            let q = if CLAMP { _mm512_max_epi16(q, self.lo) } else { q };
            if OFFSET { _mm512_adds_epi16(q, self.offset) } else { q }
        }
    }
}

/// The first `lanes` of 16.
#[inline(always)]
pub(crate) fn mask(lanes: usize) -> u16 {
    (0xffff_u32 >> (16 - lanes)) as u16
}
