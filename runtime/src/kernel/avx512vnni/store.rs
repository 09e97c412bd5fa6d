//! Tiles whose vectors are whole: four vectors of sums become 64 bytes, or two become 32 values of 16 bits, by
//! saturating packs, which also are most of the clamping.

use super::super::tile::{Destination, Store};
use core::arch::x86_64::*;

/// Stores a tile if all its vectors are whole and its kind of values is one of those below; whether it did.
///
/// # Safety
/// As `Tile::store_tile`.
#[inline(always)]
pub(super) unsafe fn whole<const MR: usize, const NV: usize>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
) -> bool {
    let px = NV * 16 * to.store.size_bytes();
    // Vectors lie one behind the other, or those of a pixel at least do.
    let dense = to.px_bytes == px && (MR * NV).is_multiple_of(4);
    if to.lanes != NV * 16 || !(dense || NV == 4) {
        return false;
    }
    // SAFETY: `MR` pixels of whole vectors, each `px_bytes` from the last, by contract; multipliers for all.
    unsafe {
        match *to.store {
            Store::I8 { lo, hi, zero_point, xor: 0x80 } => bytes(sums, to, (lo, hi, zero_point)),
            Store::I16 { lo, hi } => shorts(sums, to, (lo, hi)),
            Store::I8 { .. } | Store::F32 { .. } => return false,
        }
    }
    true
}

/// Place of vector `k` of the tile.
///
/// # Safety
/// As [`whole`].
#[inline(always)]
pub(super) unsafe fn place<const NV: usize>(to: &Destination<'_>, k: usize) -> *mut u8 {
    // SAFETY: a vector of the tile.
    unsafe { to.out.add(k / NV * to.px_bytes + k % NV * 16 * to.store.size_bytes()) }
}

/// # Safety
/// As [`whole`].
#[inline(always)]
unsafe fn bytes<const MR: usize, const NV: usize>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    (lo, hi, zero_point): (f32, f32, i32),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let hi = _mm512_set1_ps(hi);
        let finish = Bytes::new(lo, zero_point);
        four_bytes::<0, MR, NV>(sums, to, hi, finish);
        four_bytes::<4, MR, NV>(sums, to, hi, finish);
        four_bytes::<8, MR, NV>(sums, to, hi, finish);
        four_bytes::<12, MR, NV>(sums, to, hi, finish);
        four_bytes::<16, MR, NV>(sums, to, hi, finish);
        four_bytes::<20, MR, NV>(sums, to, hi, finish);
    }
}

/// Vectors `K..K + 4` as bytes, if the tile has them. (Not a loop: the compiler would write the sums to memory to count
/// through them.)
///
/// # Safety
/// As [`whole`].
#[inline(always)]
unsafe fn four_bytes<const K: usize, const MR: usize, const NV: usize>(
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
        let q0 = rounded(sums[K / NV][K % NV], to.mult.add(16 * (K % NV)), hi);
        let q1 = rounded(sums[(K + 1) / NV][(K + 1) % NV], to.mult.add(16 * ((K + 1) % NV)), hi);
        let q2 = rounded(sums[(K + 2) / NV][(K + 2) % NV], to.mult.add(16 * ((K + 2) % NV)), hi);
        let q3 = rounded(sums[(K + 3) / NV][(K + 3) % NV], to.mult.add(16 * ((K + 3) % NV)), hi);
        _mm512_storeu_si512(place::<NV>(to, K).cast(), finish.pack([q0, q1, q2, q3]));
    }
}

/// # Safety
/// As [`whole`].
#[inline(always)]
unsafe fn shorts<const MR: usize, const NV: usize>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    (lo, hi): (f32, f32),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        let (lo, hi) = (_mm512_set1_epi16(lo as i16), _mm512_set1_ps(hi));
        two_shorts::<0, MR, NV>(sums, to, lo, hi);
        two_shorts::<2, MR, NV>(sums, to, lo, hi);
        two_shorts::<4, MR, NV>(sums, to, lo, hi);
        two_shorts::<6, MR, NV>(sums, to, lo, hi);
        two_shorts::<8, MR, NV>(sums, to, lo, hi);
        two_shorts::<10, MR, NV>(sums, to, lo, hi);
        two_shorts::<12, MR, NV>(sums, to, lo, hi);
        two_shorts::<14, MR, NV>(sums, to, lo, hi);
        two_shorts::<16, MR, NV>(sums, to, lo, hi);
        two_shorts::<18, MR, NV>(sums, to, lo, hi);
        two_shorts::<20, MR, NV>(sums, to, lo, hi);
        two_shorts::<22, MR, NV>(sums, to, lo, hi);
    }
}

/// Vectors `K` and `K + 1` as 16 bits, if the tile has them.
///
/// # Safety
/// As [`whole`].
#[inline(always)]
unsafe fn two_shorts<const K: usize, const MR: usize, const NV: usize>(
    sums: &[[__m512i; NV]; MR],
    to: &Destination<'_>,
    lo: __m512i,
    hi: __m512,
) {
    if K >= MR * NV {
        return;
    }
    // SAFETY: as promised by the caller.
    unsafe {
        let q0 = rounded(sums[K / NV][K % NV], to.mult.add(16 * (K % NV)), hi);
        let q1 = rounded(sums[(K + 1) / NV][(K + 1) % NV], to.mult.add(16 * ((K + 1) % NV)), hi);
        _mm512_storeu_si512(place::<NV>(to, K).cast(), pack_shorts([q0, q1], lo));
    }
}

/// `round(sum · mult)`, not above `hi`. What is below any bound, or no number, becomes the smallest integer, which
/// the packs that follow turn into the lower bound.
///
/// # Safety
/// 16 multipliers; the processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn rounded(sum: __m512i, mult: *const f32, hi: __m512) -> __m512i {
    // SAFETY: as promised by the caller.
    unsafe { capped(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(mult)), hi) }
}

/// `round(x)`, half to even (the default of MXCSR, which Rust does not change), not above `hi`.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
pub(super) unsafe fn capped(x: __m512, hi: __m512) -> __m512i {
    // SAFETY: as promised by the caller. `vminps` returns its second operand when one is no number.
    unsafe { _mm512_cvtps_epi32(_mm512_min_ps(hi, x)) }
}

/// Two vectors as 16 bits, not below `lo`.
///
/// # Safety
/// The processor has AVX-512 BW.
#[inline(always)]
pub(super) unsafe fn pack_shorts(q: [__m512i; 2], lo: __m512i) -> __m512i {
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
pub(super) struct Bytes {
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

    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    pub unsafe fn pack(self, q: [__m512i; 4]) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe {
            let packed = _mm512_packus_epi16(self.half(q[0], q[1]), self.half(q[2], q[3]));
            _mm512_permutexvar_epi32(self.order, packed)
        }
    }

    /// # Safety
    /// The processor has AVX-512 BW.
    #[inline(always)]
    unsafe fn half(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as promised by the caller.
        unsafe { _mm512_adds_epi16(_mm512_max_epi16(_mm512_packs_epi32(a, b), self.lo), self.offset) }
    }
}
