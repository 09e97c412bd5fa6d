//! Streamed histograms of real values in constant memory: [`Histogram`].
//!
//! The range is a power of two that doubles when a larger value arrives; neighbouring bins then merge. As
//! bins of one range nest in those of the next, the counts do not depend on the order of the values, nor on
//! how they were spread over threads.

/// Bins on each side of zero. The largest value lies in the outer half, so that a clip range of 256 levels
/// has at least 16 bins a level.
const HALF: usize = 8192;
/// The range begins at `2^MIN_EXPONENT`; smaller values need no finer bins.
const MIN_EXPONENT: i32 = -24;
/// Values from here on count as infinite: no network that works has them.
const LIMIT: f32 = 1e30;

/// Counts of values in bins of equal width around zero, with the exact extremes.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Values lie in `−2^exponent .. 2^exponent`.
    exponent: i32,
    bins: Vec<u64>,
    min: f32,
    max: f32,
    not_finite: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { exponent: MIN_EXPONENT, bins: vec![0; 2 * HALF], min: 0.0, max: 0.0, not_finite: 0 }
    }
}

impl Histogram {
    /// Counts the values.
    pub fn add(&mut self, values: &[f32]) {
        let (mut min, mut max) = (self.min, self.max);
        for &x in values {
            min = if x < min { x } else { min };
            max = if x > max { x } else { max };
        }
        if min <= -LIMIT || max >= LIMIT || values.iter().any(|x| x.is_nan()) {
            let finite: Vec<f32> = values.iter().copied().filter(|x| x.abs() < LIMIT).collect();
            self.not_finite += (values.len() - finite.len()) as u64;
            return self.add(&finite);
        }
        (self.min, self.max) = (min, max);
        self.grow(exponent_for(max.max(-min)));
        let per_unit = 1.0 / self.bin_width();
        for &x in values {
            // Exact: `per_unit` is a power of two. Rounds down without a call to `floor`.
            let y = x * per_unit;
            let whole = y as i32;
            let bin = whole - i32::from(y < whole as f32) + HALF as i32;
            self.bins[bin as usize] += 1;
        }
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.grow(other.exponent);
        let mut other = other.clone();
        other.grow(self.exponent);
        for (sum, n) in self.bins.iter_mut().zip(&other.bins) {
            *sum += n;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.not_finite += other.not_finite;
    }

    /// Smallest value, at most 0.
    pub fn min(&self) -> f32 {
        self.min
    }

    /// Largest value, at least 0.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// Largest magnitude.
    pub fn max_abs(&self) -> f32 {
        self.max.max(-self.min)
    }

    /// Values that were infinite (or beyond 1e30) or undefined; they are in no bin.
    pub fn not_finite(&self) -> u64 {
        self.not_finite
    }

    /// Centre and count of all bins that are not empty, in rising order.
    pub fn counts(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let width = f64::from(self.bin_width());
        let centre = move |i: usize| (i as f64 - HALF as f64 + 0.5) * width;
        self.bins.iter().enumerate().filter(|(_, n)| **n > 0).map(move |(i, &n)| (centre(i), n))
    }

    fn bin_width(&self) -> f32 {
        2.0_f32.powi(self.exponent) / HALF as f32
    }

    fn grow(&mut self, exponent: i32) {
        while self.exponent < exponent {
            let mut merged = vec![0; 2 * HALF];
            for (i, pair) in self.bins.chunks_exact(2).enumerate() {
                merged[HALF / 2 + i] = pair[0] + pair[1];
            }
            self.bins = merged;
            self.exponent += 1;
        }
    }
}

/// Smallest exponent with `magnitude < 2^exponent`.
fn exponent_for(magnitude: f32) -> i32 {
    let mut exponent = MIN_EXPONENT;
    while magnitude >= 2.0_f32.powi(exponent) {
        exponent += 1;
    }
    exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(seed: u32, n: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..n).map(|_| next() * 10.0_f32.powf(6.0 * next())).collect()
    }

    #[test]
    fn order_and_grouping_do_not_matter() {
        let values = values(1, 5000);
        let mut whole = Histogram::default();
        whole.add(&values);
        let mut by_one = Histogram::default();
        values.iter().rev().for_each(|&x| by_one.add(&[x]));
        assert!(by_one == whole);
        let mut parts = [Histogram::default(), Histogram::default(), Histogram::default()];
        for (i, part) in values.chunks(7).enumerate() {
            parts[i % 3].add(part);
        }
        let mut merged = Histogram::default();
        parts.iter().for_each(|part| merged.merge(part));
        assert!(merged == whole);
    }

    #[test]
    fn bins_hold_their_values() {
        let values = values(2, 3000);
        let mut histogram = Histogram::default();
        histogram.add(&values);
        let width = f64::from(histogram.bin_width());
        assert_eq!(histogram.counts().map(|(_, n)| n).sum::<u64>(), 3000);
        for (centre, n) in histogram.counts() {
            let inside = |x: &&f32| {
                let x = f64::from(**x);
                x >= centre - width / 2.0 && x < centre + width / 2.0
            };
            assert_eq!(values.iter().filter(inside).count() as u64, n);
        }
        assert_eq!(histogram.max(), values.iter().copied().fold(0.0, f32::max));
        assert_eq!(histogram.min(), values.iter().copied().fold(0.0, f32::min));
        assert!(
            f64::from(histogram.max_abs()) > width * HALF as f64 / 2.0 - width,
            "half of the range is used"
        );
    }

    #[test]
    fn values_at_a_power_of_two_and_extremes_fit() {
        let mut histogram = Histogram::default();
        histogram.add(&[1.0, -1.0, 2.0, -2.0, 0.0, -0.0, 1e-30, 9e29, -9e29]);
        assert_eq!(histogram.counts().map(|(_, n)| n).sum::<u64>(), 9);
        histogram.add(&[f32::NAN, f32::INFINITY, 1.0, f32::NEG_INFINITY, -1e30]);
        assert_eq!((histogram.not_finite(), histogram.max()), (4, 9e29));
        assert_eq!(histogram.counts().map(|(_, n)| n).sum::<u64>(), 10);
    }
}
