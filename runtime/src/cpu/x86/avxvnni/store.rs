//! Tiles of two whole vectors a pixel: the sums of two pixels become 32 bytes, or those of one 16 values of 16 bits, by
//! saturating packs, which also are most of the clamping.

use crate::cpu::conv::form::Store;

use crate::cpu::conv::tile::Destination;
use core::arch::x86_64::*;

/// Whether pixels have two whole vectors and come in pairs.
#[inline(always)]
pub(crate) fn pairs<const MR: usize, const NV: usize>(to: &Destination<'_>) -> bool {
    NV == 2 && MR.is_multiple_of(2) && to.lanes == 16
}

/// Stores a tile if its pixels are [`pairs`] and its kind of values is one of those below; whether it did.
///
/// # Safety
/// As `Tile::store_tile`.
#[inline(always)]
pub(crate) unsafe fn full_tiles<const MR: usize, const NV: usize>(
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
            Store::I8 { lo, hi, zero_point, xor: 0x80 } => {
                let (hi, finish) = (_mm256_set1_ps(hi), Bytes::new(lo, zero_point));
                two_bytes::<0, MR, NV>(sums, to, hi, finish);
                two_bytes::<2, MR, NV>(sums, to, hi, finish);
                two_bytes::<4, MR, NV>(sums, to, hi, finish);
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
            Store::I8 { .. } | Store::F32 { .. } => return false,
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
    finish: Bytes,
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
        halves(finish.pack([q0, q1, q2, q3]), out, out.add(to.px_bytes));
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

/// Writes the halves of a vector to two places.
///
/// # Safety
/// 16 bytes each; the processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn halves(v: __m256i, low: *mut u8, high: *mut u8) {
    // SAFETY: as promised by the caller.
    unsafe {
        _mm_storeu_si128(low.cast(), _mm256_castsi256_si128(v));
        _mm_storeu_si128(high.cast(), _mm256_extracti128_si256::<1>(v));
    }
}

/// `round(sum · mult)`, not above `hi`. What is below any bound, or no number, becomes the smallest integer, which
/// the packs that follow turn into the lower bound.
///
/// # Safety
/// 8 multipliers; the processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn rounded(sum: __m256i, mult: *const f32, hi: __m256) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe { capped(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_loadu_ps(mult)), hi) }
}

/// `round(x)`, half to even (the default of MXCSR, which Rust does not change), not above `hi`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn capped(x: __m256, hi: __m256) -> __m256i {
    // SAFETY: as promised by the caller. `vminps` returns its second operand when one is no number.
    unsafe { _mm256_cvtps_epi32(_mm256_min_ps(hi, x)) }
}

/// Two vectors as 16 bits, not below `lo`.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
pub(crate) unsafe fn pack_shorts(q: [__m256i; 2], lo: __m256i) -> __m256i {
    // SAFETY: as promised by the caller. Packs work inside halves of a vector; the quarters are put in order.
    unsafe {
        let packed = _mm256_max_epi16(_mm256_packs_epi32(q[0], q[1]), lo);
        _mm256_permute4x64_epi64::<0b11_01_10_00>(packed)
    }
}

/// Four vectors as bytes `clamp(q, lo, 127 − zero point) + zero point`, with the sign bit flipped.
#[derive(Clone, Copy)]
pub(crate) struct Bytes {
    lo: __m256i,
    offset: __m256i,
    order: __m256i,
}

impl Bytes {
    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    pub unsafe fn new(lo: f32, zero_point: i32) -> Self {
        // SAFETY: as promised by the caller.
        unsafe {
            Self {
                lo: _mm256_set1_epi16(lo as i16),
                offset: _mm256_set1_epi16((zero_point + 128) as i16),
                order: _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7),
            }
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    pub unsafe fn pack(self, q: [__m256i; 4]) -> __m256i {
        // SAFETY: as promised by the caller.
        unsafe {
            let packed = _mm256_packus_epi16(self.half(q[0], q[1]), self.half(q[2], q[3]));
            _mm256_permutevar8x32_epi32(packed, self.order)
        }
    }

    /// # Safety
    /// The processor has AVX2.
    #[inline(always)]
    unsafe fn half(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: as promised by the caller.
        unsafe { _mm256_adds_epi16(_mm256_max_epi16(_mm256_packs_epi32(a, b), self.lo), self.offset) }
    }
}
