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

use super::Table;
use super::pack::Packed;
use super::scalar::MAGIC;
use super::tile::Store;
use alloc::vec::Vec;

/// Sums stay below this in magnitude, so that the float's last bit is worth one.
pub(crate) const MAX_SUM: i64 = 1 << 22;
/// Products stay below this: with a zero point they fit 16 bits.
const MAX_PRODUCT: f32 = 32500.0;
/// Products that are clamped to 16 bits stay below this: rounded, they still stand in the low bits of a float.
const MAX_WIDE: f32 = 4e6;
/// Multipliers stay below this, where sums are always zero: `MAGIC` times it is a float.
const MAX_MULT: f32 = 1e6;

/// The multiplier with 22 significant bits instead of 24 that is nearest to `mult`, so that three times (and
/// `MAGIC` times) it is a float as well.
pub(crate) fn short(mult: f32) -> f32 {
    f32::from_bits((mult.to_bits() + 2) & !3)
}

/// Initial sums and multipliers in the order of the packed channels.
pub(crate) struct Requant {
    /// 32-bit integers, as bytes.
    pub bias: Vec<u8>,
    pub mult: Vec<f32>,
    /// `−MAGIC · mult`, where the sums start at `MAGIC`.
    pub offset: Option<Vec<f32>>,
    /// Whether there are offsets but products may be beyond 16 bits.
    pub wide: bool,
}

impl Requant {
    /// For the 8-bit convolution `packed`, whose weights were `weights` in `order`. `bias` are the sums' initial
    /// values, `mult` the multipliers, both by the weights' channel.
    ///
    /// Products beyond 16 bits are clamped where 16 bits are stored. Trained networks need it: what the sums could
    /// reach is far from what they do reach, and the scale is chosen for that.
    pub fn new(
        packed: &Packed,
        order: &[usize],
        weights: &[i8],
        bias: &[i32],
        mult: &[f32],
        table: &Table,
        store: Store,
    ) -> Self {
        let mult: Vec<f32> = mult.iter().map(|&m| short(m)).collect();
        let depth = weights.len() / packed.shape.out_channels;
        let mut widest = 0.0_f32;
        let bounded = weights.chunks_exact(depth).zip(bias).zip(&mult).all(|((row, &bias), &mult)| {
            // Activations are -128..=127; every product at its largest or its smallest.
            let (mut low, mut high) = (i64::from(bias), i64::from(bias));
            for w in row.iter().map(|&w| i64::from(w)) {
                low += (-128 * w).min(127 * w);
                high += (-128 * w).max(127 * w);
            }
            let largest = high.max(-low);
            widest = widest.max(largest as f32 * mult.abs());
            largest < MAX_SUM && mult.abs() < MAX_MULT
        });
        let limit = if matches!(store, Store::I16 { .. }) { MAX_WIDE } else { MAX_PRODUCT };
        let bounded = bounded && widest < limit;
        let mult = packed.pad(&mult, order);
        let mut bias = packed.pad(bias, order);
        let offset = (table.takes_floats && bounded).then(|| {
            bias.iter_mut().for_each(|b| *b += MAGIC.to_bits().cast_signed());
            mult.iter().map(|m| -MAGIC * m).collect()
        });
        let wide = offset.is_some() && widest >= MAX_PRODUCT;
        Self { bias: bytemuck::cast_slice(&bias).to_vec(), mult, offset, wide }
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.bias.len() + 4 * self.mult.len() + 4 * self.offset.as_ref().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
