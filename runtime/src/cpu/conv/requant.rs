//! Initial sums and multipliers of a quantized convolution.
//!
//! A sum becomes a stored value by one multiplication in float. Converting integers to floats and back is slow
//! on Arm cores, and both can be had for nothing: an `i32` sum that starts at the bits of [`MAGIC`]
//! (1.5 · 2²³) *is* the float `MAGIC + sum` as long as the sum stays within ±2²². One fused multiply-add takes
//! `MAGIC · mult` off again; rounded once, it gives exactly the rounded product `sum · mult`, because
//! `MAGIC · mult` is a float too: multipliers have only 22 significant bits ([`short`]), three times that fits
//! 24. Adding `MAGIC` rounds half to even and leaves the integer in the low bits, ready to be narrowed.
//!
//! Whether the sums of a convolution stay within bounds follows from its weights; the others are converted.

use crate::arithmetic::{MAGIC, fma, round_clamp};
use crate::cpu::conv::form::{Products, Store, Sums8};
use crate::cpu::conv::pack::Packed;
use crate::program::short;
use alloc::vec::Vec;

/// Sums stay below this in magnitude, so that the float's last bit is worth one.
pub(crate) const MAX_SUM: i64 = 1 << 22;
/// Products stay below this: with a zero point they fit 16 bits.
const MAX_PRODUCT: f32 = 32500.0;
/// Products that are clamped to 16 bits stay below this: rounded, they still stand in the low bits of a float.
const MAX_MANTISSA: f32 = 4e6;
/// Products that are converted to 32 bits stay below this.
const MAX_INTEGER: f32 = 2e9;
/// Multipliers stay below this, where sums are always zero: `MAGIC` times it is a float.
const MAX_MULT: f32 = 1e6;

/// The numbers of an 8-bit convolution, by the weights' channel; as in [`Numbers`](crate::program::Numbers).
pub(crate) struct Sums<'a> {
    pub weights: &'a [i8],
    pub bias: &'a [i32],
    pub multipliers: &'a [f32],
    pub largest: &'a [i64],
}

/// Initial sums and multipliers in the order of the packed channels.
pub(crate) struct Requant {
    /// 32-bit integers, as bytes.
    pub bias: Vec<u8>,
    pub mult: Vec<f32>,
    /// `−MAGIC · mult`, where the sums start at `MAGIC`.
    pub offset: Option<Vec<f32>>,
    pub products: Products,
}

impl Products {
    fn of(widest: f32) -> Self {
        match widest {
            w if w < MAX_PRODUCT => Self::Short,
            w if w < MAX_MANTISSA => Self::Mantissa,
            w if w < MAX_INTEGER => Self::Integer,
            _ => Self::Any,
        }
    }
}

impl Requant {
    /// For the 8-bit convolution `packed`, whose weights were packed in `order`.
    ///
    /// Products beyond 16 bits are clamped where 16 bits are stored. Trained networks need it: what the sums could
    /// reach is far from what they do reach, and the scale is chosen for that.
    pub fn new(packed: &Packed, order: &[usize], sums: &Sums<'_>, form: Sums8, store: Store) -> Self {
        let (mut products, mut bounded) = (Products::Short, true);
        for (&largest, &mult) in sums.largest.iter().zip(sums.multipliers) {
            products = products.max(Products::of(largest as f32 * mult.abs()));
            bounded &= largest < MAX_SUM && mult.abs() < MAX_MULT;
        }
        // An activation stored with its sign bit flipped is 128 larger.
        let depth = sums.weights.len() / packed.shape.out_channels;
        let offset = if form.xor == 0 { 0_i32 } else { 128 };
        let bias: Vec<i32> = sums
            .bias
            .iter()
            .zip(sums.weights.chunks_exact(depth))
            .map(|(bias, row)| {
                let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
                bias.wrapping_sub(offset.wrapping_mul(sum))
            })
            .collect();
        let widest = if matches!(store, Store::I16 { .. }) { Products::Mantissa } else { Products::Short };
        let bounded = bounded && products <= widest;
        let mult = packed.pad(sums.multipliers, order);
        let mut bias = packed.pad(&bias, order);
        let offset = (form.takes_floats && bounded).then(|| {
            bias.iter_mut().for_each(|b| *b += MAGIC.to_bits().cast_signed());
            mult.iter().map(|m| -MAGIC * m).collect()
        });
        Self { bias: bytemuck::cast_slice(&bias).to_vec(), mult, offset, products }
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.bias.len() + 4 * self.mult.len() + 4 * self.offset.as_ref().map_or(0, Vec::len)
    }
}

/// A conversion of 16-bit values to 8 bits by one multiplication and one rounding, where that gives the same bytes as the
/// rounded product that is rounded again.
///
/// A value `v` in the low bits of the float `base` is the float `base + v`. With `offset` that is `MAGIC + zero point −
/// base · factor`, one fused multiply-add makes `MAGIC + zero point + v · factor` of it, rounded to an integer. The
/// offset is a float nearly always only nearly; of many bases the one is taken with which it is nearest to one. Then no
/// sum of the 65535 is on the wrong side of a half, which is checked at the 255 places where the byte changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SingleRounding {
    pub factor: f32,
    pub offset: f32,
    /// Bits of the base.
    pub base: u32,
}

/// Bases to choose from, and how many of the best are tried.
const BASES: u32 = 1 << 16;
const TRIES: usize = 4;
const I16_MAX: i32 = 32767;

impl SingleRounding {
    /// Of a [`short`] factor; `None` if there is no such way.
    pub fn new(factor: f32, zero_point: i32) -> Option<Self> {
        let factor = short(factor);
        if !(factor > 0.0 && factor * (I16_MAX as f32) < MAX_PRODUCT) {
            return None;
        }
        let mut best = [(f64::INFINITY, 0.0, 0); TRIES];
        for k in 0..BASES {
            let base = MAGIC.to_bits() + k;
            let exact = f64::from(MAGIC) + f64::from(zero_point)
                - f64::from(f32::from_bits(base)) * f64::from(factor);
            let offset = exact as f32;
            let away = (f64::from(offset) - exact).abs();
            if let Some(at) = best.iter().position(|&(other, ..)| away < other) {
                best[at..].rotate_right(1);
                best[at] = (away, offset, base);
            }
        }
        let all = best.into_iter().map(|(_, offset, base)| Self { factor, offset, base });
        all.into_iter().find(|single| single.agrees(zero_point))
    }

    /// Whether all bytes are those of the two roundings. Both grow with the value, so it is enough to look where a byte
    /// begins.
    fn agrees(&self, zero_point: i32) -> bool {
        let (lo, hi) = (-128 - zero_point, 127 - zero_point);
        let twice = |value: i32| round_clamp(value as f32 * self.factor, lo as f32, hi as f32) + zero_point;
        (lo..hi).all(|byte| {
            // The first value above it.
            let (mut below, mut above) = (-I16_MAX - 1, I16_MAX + 1);
            while above - below > 1 {
                let middle = (above + below) / 2;
                if twice(middle) > byte + zero_point { above = middle } else { below = middle }
            }
            let agrees = |value: i32| value.abs() > I16_MAX || self.byte(value) == twice(value);
            agrees(below) && agrees(above)
        })
    }

    /// What the kernels make of a value.
    fn byte(&self, value: i32) -> i32 {
        let value = f32::from_bits(self.base.wrapping_add_signed(value));
        let sum = fma(value, self.factor, self.offset);
        let integer = sum.to_bits().cast_signed() - MAGIC.to_bits().cast_signed();
        integer.clamp(-128, 127)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rounding_gives_the_same_bytes_as_two() {
        let mut rng = crate::testing::Rng(6);
        let mut found = 0;
        for n in 0..40 {
            let (factor, zero_point) = ((rng.unit().abs() + 1e-4) * 0.3, n * 6 - 128);
            let Some(single) = SingleRounding::new(factor, zero_point) else { continue };
            found += 1;
            let (lo, hi) = ((-128 - zero_point) as f32, (127 - zero_point) as f32);
            for value in -I16_MAX..=I16_MAX {
                let twice = round_clamp(value as f32 * single.factor, lo, hi) + zero_point;
                assert_eq!(single.byte(value), twice, "{value} by {factor}, zero point {zero_point}");
            }
        }
        assert!(found >= 36, "nearly every factor has a base, not {found} of 40");
        // Halves are rounded to even before an odd zero point is added.
        assert!(SingleRounding::new(0.25, 4).is_some() && SingleRounding::new(0.25, 3).is_none());
        assert!(SingleRounding::new(1.0, 0).is_none(), "32767 and a zero point are beyond 16 bits");
    }

    #[test]
    fn short_multipliers_times_magic_are_floats() {
        let mut rng = crate::testing::Rng(5);
        for _ in 0..10_000 {
            let mult = short(rng.unit() * 0.01);
            assert_eq!(f64::from(MAGIC * mult), f64::from(MAGIC) * f64::from(mult));
        }
        assert_eq!(short(1.0), 1.0);
        assert!((short(0.1) - 0.1).abs() < 0.1 / f32::from(1_i16 << 11) / 1024.0);
    }
}
