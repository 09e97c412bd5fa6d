//! The end of a real-time network on x86-64, with vectors of 256 bits on all instruction sets; see
//! [`image_add`](crate::cpu::image_add). The halves of a vector are the same four values of two output rows.
//!
//! Weights of a value add up to at most 128, so two products of unsigned bytes with them fit 16 bits: `vpmaddubsw` does not
//! saturate.

use crate::cpu::image_add::{ImageArgs, MAX_ROWS, MAX_VECTORS};
use core::arch::x86_64::*;

/// For activations whose sign bit is flipped, or not.
///
/// # Safety
/// As [`ImageRows`](crate::cpu::image_add::ImageRows).
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn rows(args: &mut ImageArgs<'_, '_>) {
    // SAFETY: passed on, with the number of vectors and pairs of rows.
    unsafe {
        match (args.spread.offsets.len(), args.out.len()) {
            (1, 1 | 2) => pairs::<1, 1>(args),
            (2, 1 | 2) => pairs::<2, 1>(args),
            (3, 1 | 2) => pairs::<3, 1>(args),
            (4, 1 | 2) => pairs::<4, 1>(args),
            (5, 1 | 2) => pairs::<5, 1>(args),
            (1, _) => pairs::<1, 2>(args),
            (2, _) => pairs::<2, 2>(args),
            (3, _) => pairs::<3, 2>(args),
            (4, _) => pairs::<4, 2>(args),
            _ => pairs::<5, 2>(args),
        }
    }
}

/// Factors and constants of a sum.
struct Constants {
    /// Makes activations unsigned.
    flip: __m128i,
    /// What the zero point adds to an interpolated value.
    zero: __m256i,
    /// Of the correction and of the image.
    factors: [__m256; 2],
    /// Zero point of the output, and what flips its sign bit.
    offset: __m256i,
    xor: __m256i,
}

/// Output rows in pairs; of an odd number the last is its own partner.
///
/// # Safety
/// As [`ImageRows`](crate::cpu::image_add::ImageRows); the spread has NV vectors, and there are one or two times PAIRS output rows.
#[inline(always)]
unsafe fn pairs<const NV: usize, const PAIRS: usize>(args: &mut ImageArgs<'_, '_>) {
    let (spread, pixels, count) = (args.spread, args.pixels, args.out.len());
    let (channels, lanes) = (spread.channels(), spread.lanes);
    // Two output rows of each pair.
    let rows: [[usize; 2]; PAIRS] = core::array::from_fn(|p| [2 * p, (2 * p + 1).min(count - 1)]);
    // SAFETY: `image_rows` checked that the image rows reach over the last pixel's vectors of eight bytes, that there are
    // weights and corrections for NV vectors of every row and pixel, and that output rows hold all pixels: of those a pixel
    // writes whole vectors, which reach into the next pixel at most, but the last one, which goes through a buffer.
    unsafe {
        let by = Constants {
            flip: _mm_set1_epi8((args.to.xor ^ 0x80).cast_signed()),
            zero: _mm256_set1_epi32(args.zero),
            factors: args.factors.map(|factor| _mm256_set1_ps(factor)),
            offset: _mm256_set1_epi16(args.to.zero_point as i16),
            xor: _mm256_set1_epi8(args.to.xor.cast_signed()),
        };
        let table: *const i8 = args.weights();
        let weights: [[__m256i; NV]; PAIRS] = core::array::from_fn(|p| {
            core::array::from_fn(|n| {
                let of = |row: usize| _mm_loadu_si128(table.add(16 * (row * NV + n)).cast());
                _mm256_set_m128i(of(rows[p][1]), of(rows[p][0]))
            })
        });
        let index: [__m128i; NV] = core::array::from_fn(|n| _mm_loadu_si128(spread.index[n].as_ptr().cast()));
        let offsets: [usize; NV] = core::array::from_fn(|n| spread.offsets[n]);
        let mut places = [core::ptr::null_mut(); MAX_ROWS];
        for (place, row) in places.iter_mut().zip(args.out.iter_mut()) {
            *place = row.as_mut_ptr();
        }
        let mut out: [[*mut u8; 2]; PAIRS] = rows.map(|pair| pair.map(|row| places[row]));
        let mut image = [args.image[0].as_ptr(), args.image[1].as_ptr()];
        let mut corrections = args.corrections.as_ptr();
        // Where vectors reach beyond a pixel, the last one goes through a buffer.
        let direct = if lanes == 4 * NV { pixels } else { pixels - 1 };
        let mut last = [[[0_u8; 4 * MAX_VECTORS]; 2]; PAIRS];
        for x in 0..pixels {
            let mut taps = [_mm256_setzero_si256(); NV];
            for n in 0..NV {
                let upper = _mm_loadl_epi64(image[0].add(offsets[n]).cast());
                let lower = _mm_loadl_epi64(image[1].add(offsets[n]).cast());
                let bytes = _mm_xor_si128(_mm_unpacklo_epi64(upper, lower), by.flip);
                taps[n] = _mm256_broadcastsi128_si256(_mm_shuffle_epi8(bytes, index[n]));
            }
            for p in 0..PAIRS {
                let at = rows[p].map(|row| corrections.add(row * lanes));
                let values = sums(&taps, &weights[p], at, &by);
                if x < direct {
                    store::<NV>(values, out[p]);
                    out[p] = out[p].map(|out| out.add(lanes));
                } else {
                    let [first, second] = &mut last[p];
                    store::<NV>(values, [first.as_mut_ptr(), second.as_mut_ptr()]);
                    for (place, last) in out[p].iter().zip(&last[p]) {
                        place.copy_from_nonoverlapping(last.as_ptr(), lanes);
                    }
                }
            }
            image = image.map(|row| row.add(channels));
            corrections = corrections.add(args.px_corrections);
        }
    }
}

/// `round(correction · factors[0] + image · factors[1])` plus the zero point as bytes, of NV vectors of two rows: up to sixteen of
/// the first row, then of the second; and what follows them.
///
/// # Safety
/// `corrections` point to values for NV vectors; the processor has AVX2.
#[inline(always)]
unsafe fn sums<const NV: usize>(
    taps: &[__m256i; NV],
    weights: &[__m256i; NV],
    corrections: [*const i16; 2],
    by: &Constants,
) -> [__m256i; 2] {
    // SAFETY: as promised by the caller. The conversion rounds half to even, the default of MXCSR.
    unsafe {
        let mut rounded = [_mm256_setzero_si256(); 8];
        for n in 0..NV {
            let products = _mm256_maddubs_epi16(taps[n], weights[n]);
            let image = _mm256_sub_epi32(_mm256_madd_epi16(products, _mm256_set1_epi16(1)), by.zero);
            let of = |row: usize| _mm_loadl_epi64(corrections[row].add(4 * n).cast());
            let correction = _mm256_cvtepi16_epi32(_mm_unpacklo_epi64(of(0), of(1)));
            let correction = _mm256_mul_ps(_mm256_cvtepi32_ps(correction), by.factors[0]);
            let image = _mm256_mul_ps(_mm256_cvtepi32_ps(image), by.factors[1]);
            rounded[n] = _mm256_cvtps_epi32(_mm256_add_ps(correction, image));
        }
        // Packs work inside halves, which are the rows.
        let halves = |a: usize| _mm256_adds_epi16(_mm256_packs_epi32(rounded[a], rounded[a + 1]), by.offset);
        let bytes = |a: usize, b: usize| _mm256_xor_si256(_mm256_packs_epi16(halves(a), halves(b)), by.xor);
        [bytes(0, 2), if NV > 4 { bytes(4, 6) } else { rounded[7] }]
    }
}

/// Stores 4 · NV bytes of both rows.
///
/// # Safety
/// Both places take them; the processor has AVX2.
#[inline(always)]
unsafe fn store<const NV: usize>(values: [__m256i; 2], out: [*mut u8; 2]) {
    // SAFETY: as promised by the caller.
    unsafe {
        let first = [_mm256_castsi256_si128(values[0]), _mm256_extracti128_si256::<1>(values[0])];
        let second = [_mm256_castsi256_si128(values[1]), _mm256_extracti128_si256::<1>(values[1])];
        for row in 0..2 {
            let (to, bytes) = (out[row], first[row]);
            match NV {
                1 => to.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes)),
                2 => _mm_storel_epi64(to.cast(), bytes),
                3 => {
                    _mm_storel_epi64(to.cast(), bytes);
                    to.add(8).cast::<i32>().write_unaligned(_mm_extract_epi32::<2>(bytes));
                }
                _ => _mm_storeu_si128(to.cast(), bytes),
            }
            if NV == 5 {
                to.add(16).cast::<i32>().write_unaligned(_mm_cvtsi128_si32(second[row]));
            }
        }
    }
}
