//! The end of a real-time network on aarch64; see [`image`](crate::cpu::image_add).

use crate::arithmetic::MAGIC;
use crate::cpu::aarch64::epilogue::{Factor, halves, narrow, store_bytes};
use crate::cpu::image_add::ImageArgs;
use core::arch::{aarch64::*, asm};

/// Four products to each of four sums.
trait Taps {
    /// # Safety
    /// The processor has the instructions.
    unsafe fn dot(sums: int32x4_t, taps: int8x16_t, weights: int8x16_t) -> int32x4_t;
}

struct Dot;
struct Pairs;

impl Taps for Dot {
    #[inline(always)]
    unsafe fn dot(mut sums: int32x4_t, taps: int8x16_t, weights: int8x16_t) -> int32x4_t {
        // SAFETY: the processor has the dot product by contract; the instruction only touches its registers.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {a:v}.16b, {w:v}.16b",
                sums = inout(vreg) sums,
                a = in(vreg) taps,
                w = in(vreg) weights,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sums
    }
}

impl Taps for Pairs {
    #[inline(always)]
    unsafe fn dot(sums: int32x4_t, taps: int8x16_t, weights: int8x16_t) -> int32x4_t {
        // SAFETY: NEON is part of the target. Weights of a value add up to at most 144, so two products fit 16 bits.
        unsafe {
            let first = vmull_s8(vget_low_s8(taps), vget_low_s8(weights));
            vpadalq_s16(sums, vmlal_high_s8(first, taps, weights))
        }
    }
}

/// Without the dot product.
///
/// # Safety
/// As [`ImageRows`](crate::cpu::image_add::ImageRows).
pub(crate) unsafe fn pairs(args: &mut ImageArgs<'_, '_>) {
    // SAFETY: passed on.
    unsafe { any::<Pairs>(args) }
}

/// With the dot product.
///
/// # Safety
/// As [`ImageRows`](crate::cpu::image_add::ImageRows).
#[target_feature(enable = "dotprod")]
pub(crate) unsafe fn dot(args: &mut ImageArgs<'_, '_>) {
    // SAFETY: passed on.
    unsafe { any::<Dot>(args) }
}

/// # Safety
/// As [`ImageRows`](crate::cpu::image_add::ImageRows).
#[inline(always)]
unsafe fn any<T: Taps>(args: &mut ImageArgs<'_, '_>) {
    // SAFETY: passed on, with the number of vectors and rows.
    unsafe {
        match args.spread.offsets.len() {
            1 => by_rows::<T, 1>(args),
            2 => by_rows::<T, 2>(args),
            3 => by_rows::<T, 3>(args),
            4 => by_rows::<T, 4>(args),
            _ => by_rows::<T, 5>(args),
        }
    }
}

/// # Safety
/// As [`ImageRows`](crate::cpu::image_add::ImageRows); the spread has NV vectors.
#[inline(always)]
unsafe fn by_rows<T: Taps, const NV: usize>(args: &mut ImageArgs<'_, '_>) {
    // SAFETY: passed on.
    unsafe {
        match args.out.len() {
            1 => rows::<T, NV, 1>(args),
            2 => rows::<T, NV, 2>(args),
            _ => rows::<T, NV, 3>(args),
        }
    }
}

/// Factors and constants of a sum.
struct Constants {
    /// Of the correction and of the image.
    factors: [Factor; 2],
    /// First sum of an interpolated value: the bits of `MAGIC`, less what the zero point adds.
    first: int32x4_t,
    /// Rounds and adds the zero point, which is even.
    magic: f32,
}

/// # Safety
/// As [`ImageRows`](crate::cpu::image_add::ImageRows); the spread has NV vectors, and there are ROWS output rows.
#[inline(always)]
unsafe fn rows<T: Taps, const NV: usize, const ROWS: usize>(args: &mut ImageArgs<'_, '_>) {
    let (spread, pixels) = (args.spread, args.pixels);
    // SAFETY: `image_rows` checked that the image rows reach over the last pixel's vectors of eight bytes, that there
    // are weights and corrections for NV vectors of every row and pixel, and that output rows hold all pixels: of
    // those a pixel writes whole vectors, which reach into the next pixel at most, but the last one, which goes through
    // a buffer.
    unsafe {
        let constants = Constants {
            factors: args.factors.map(Factor::new),
            first: vdupq_n_s32(MAGIC.to_bits().cast_signed() - args.zero),
            magic: MAGIC + args.to.zero_point as f32,
        };
        let mut out = [core::ptr::null_mut(); ROWS];
        for (to, row) in out.iter_mut().zip(args.out.iter_mut()) {
            *to = row.as_mut_ptr();
        }
        let channels = spread.channels();
        let mut index = [vdupq_n_u8(0); NV];
        let mut offsets = [0; NV];
        for n in 0..NV {
            index[n] = vld1q_u8(spread.index[n].as_ptr());
            offsets[n] = spread.offsets[n];
        }
        let (weights, lanes) = (args.weights(), spread.lanes);
        let (mut image, mut corrections) =
            ([args.image[0].as_ptr(), args.image[1].as_ptr()], args.corrections.as_ptr());
        // Where vectors reach beyond a pixel, the last one goes through a buffer.
        let direct = if lanes == 4 * NV { pixels } else { pixels - 1 };
        let mut last = [[0_u8; 4 * MAX_NV]; ROWS];
        let mut x = 0;
        for end in [direct, pixels] {
            let (place, buffered) = (out, end > direct);
            if buffered {
                for (out, last) in out.iter_mut().zip(&mut last) {
                    *out = last.as_mut_ptr();
                }
            }
            while x < end {
                let mut taps = [vdupq_n_s8(0); NV];
                for n in 0..NV {
                    let bytes = vcombine_s8(
                        vld1_s8(image[0].add(offsets[n]).cast()),
                        vld1_s8(image[1].add(offsets[n]).cast()),
                    );
                    taps[n] = vqtbl1q_s8(bytes, index[n]);
                }
                let values = sums::<T, NV, ROWS>(&taps, weights, (corrections, lanes), &constants);
                for k in 0..ROWS {
                    store::<NV>(&values[k], out[k]);
                    out[k] = out[k].add(lanes);
                }
                image = [image[0].add(channels), image[1].add(channels)];
                corrections = corrections.add(args.px_corrections);
                x += 1;
            }
            if buffered {
                for (last, place) in last.iter().zip(place) {
                    place.copy_from_nonoverlapping(last.as_ptr(), lanes);
                }
            }
        }
    }
}

/// Vectors that the buffer of the last pixel holds.
const MAX_NV: usize = crate::cpu::image_add::MAX_VECTORS;

/// `round(correction · factors[0] + image · factors[1])` plus the zero point, in the low halves, for all vectors of a
/// pixel. Corrections of a row are so many values after those of the row above.
///
/// All vectors go from one kind of instruction to the next together, for cores that work in order. What an instruction
/// overwrites is loaded anew every time: that costs less than a copy.
///
/// # Safety
/// The processor has the instructions; there are weights and corrections for NV vectors of ROWS rows.
#[inline(always)]
unsafe fn sums<T: Taps, const NV: usize, const ROWS: usize>(
    taps: &[int8x16_t; NV],
    weights: *const i8,
    (corrections, lanes): (*const i16, usize),
    by: &Constants,
) -> [[int16x8_t; NV]; ROWS] {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut image = [[vdupq_n_s32(0); NV]; ROWS];
        let mut correction = image;
        for k in 0..ROWS {
            for n in 0..NV {
                let weights = vld1q_s8(weights.add(16 * (k * NV + n)));
                image[k][n] = T::dot(core::ptr::from_ref(&by.first).read_volatile(), taps[n], weights);
                let values = vld1_s16(corrections.add(k * lanes + 4 * n));
                correction[k][n] = vaddw_s16(vreinterpretq_s32_f32(vdupq_n_f32(MAGIC)), values);
            }
        }
        // No closures: one over nested arrays is not always inlined, and the vectors would go through memory.
        let mut values = [[vdupq_n_s16(0); NV]; ROWS];
        let (mut of_image, mut of_correction) =
            ([[vdupq_n_f32(0.0); NV]; ROWS], [[vdupq_n_f32(0.0); NV]; ROWS]);
        for k in 0..ROWS {
            for n in 0..NV {
                let offset = core::ptr::from_ref(&by.factors[0].offset).read_volatile();
                let correction = vreinterpretq_f32_s32(correction[k][n]);
                of_correction[k][n] = vfmaq_f32(offset, correction, vdupq_n_f32(by.factors[0].factor));
                let offset = core::ptr::from_ref(&by.factors[1].offset).read_volatile();
                let image = vreinterpretq_f32_s32(image[k][n]);
                of_image[k][n] = vfmaq_f32(offset, image, vdupq_n_f32(by.factors[1].factor));
            }
        }
        for k in 0..ROWS {
            for n in 0..NV {
                let sum = vaddq_f32(of_correction[k][n], of_image[k][n]);
                values[k][n] = vreinterpretq_s16_f32(vaddq_f32(sum, vdupq_n_f32(by.magic)));
            }
        }
        values
    }
}

/// Stores 4 · NV bytes.
///
/// # Safety
/// `out` takes them.
#[inline(always)]
unsafe fn store<const NV: usize>(values: &[int16x8_t; NV], out: *mut u8) {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut n = 0;
        while n < NV {
            // Up to four vectors: sixteen bytes.
            let left = NV - n;
            let at = |k: usize| values[n + if k < left { k } else { left - 1 }];
            let bytes = narrow(halves([at(0), at(1), at(2), at(3)]));
            let to = out.add(4 * n);
            match left {
                1 => store_bytes::<1>(bytes, to),
                2 => store_bytes::<2>(bytes, to),
                3 => store_bytes::<3>(bytes, to),
                _ => store_bytes::<4>(bytes, to),
            }
            n += 4;
        }
    }
}
