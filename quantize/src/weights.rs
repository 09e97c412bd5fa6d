//! Weights in 8 bits: symmetric, one scale for each output channel, in −127..=127.

/// Quantized weights of a convolution.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedWeights {
    /// `[out, kernel, kernel, in]`.
    pub values: Vec<i8>,
    /// Real value of one step, `[out]`.
    pub scales: Vec<f32>,
}

/// Largest 8-bit weight; −128 is left out so that two products fit 16 bits.
pub const I8_MAX: f32 = 127.0;
/// Clip ranges tried for each channel: this many steps from the whole range down to [`LEAST_CLIP`] of it.
const SEARCH_STEPS: usize = 40;
const LEAST_CLIP: f32 = 0.6;
/// Largest bias in steps of the accumulator; half of its range is left to the products.
const BIAS_LIMIT: f64 = (1_u64 << 30) as f64;

impl QuantizedWeights {
    /// Real value of weight `i` of output channel `channel`, whose rows have `depth` weights.
    pub fn real(&self, channel: usize, depth: usize, i: usize) -> f64 {
        f64::from(self.values[channel * depth + i]) * f64::from(self.scales[channel])
    }

    /// Whether the sums of 16-bit activations, with steps of `input_scale`, fit 32 bits. Half of what the
    /// products leave is for the bias, which may still be corrected.
    pub fn fit_16_bits(&self, bias: &[f32], input_scale: f32) -> bool {
        let depth = self.values.len() / self.scales.len();
        let rows = self.values.chunks_exact(depth).zip(&self.scales).zip(bias);
        rows.into_iter().all(|((row, &scale), &bias)| {
            let products: i64 = 32767 * row.iter().map(|&w| i64::from(w.unsigned_abs())).sum::<i64>();
            let bias = i64::from(quantize_bias(f64::from(bias), input_scale, scale)).abs();
            products + 2 * bias < i64::from(i32::MAX)
        })
    }
}

/// Quantizes the weights `[out, depth]` of a convolution: the scale of each output channel is the one with the
/// least expected squared error of the output.
///
/// `importance[i]` is how much an error of weight `i` of a row counts: the variance of the input channel
/// that it is multiplied with. `bias` is in real units and `input_scale` the step of the input edge: a scale
/// is never so small that the bias would overflow the accumulator.
///
/// # Panics
/// If the lengths do not fit together.
pub fn quantize(weights: &[f32], importance: &[f32], bias: &[f32], input_scale: f32) -> QuantizedWeights {
    quantize_from(weights, importance, bias, input_scale, |_| 0.0)
}

/// As [`quantize`], with scales that are at least what `least` says of the channel's weights.
///
/// # Panics
/// If the lengths do not fit together.
pub fn quantize_from(
    weights: &[f32],
    importance: &[f32],
    bias: &[f32],
    input_scale: f32,
    least: impl Fn(&[f32]) -> f32,
) -> QuantizedWeights {
    let depth = importance.len();
    assert_eq!(weights.len(), depth * bias.len(), "as many rows as biases");
    let mut values = Vec::with_capacity(weights.len());
    let mut scales = Vec::with_capacity(bias.len());
    for (row, bias) in weights.chunks_exact(depth).zip(bias) {
        let scale = search(row, importance).max(least_scale(*bias, input_scale)).max(least(row));
        values.extend(row.iter().map(|&w| round(w, scale)));
        scales.push(scale);
    }
    QuantizedWeights { values, scales }
}

/// Quantizes weights `[out, depth]` that were tuned for it: the largest of each row becomes 127.
///
/// # Panics
/// If the lengths do not fit together.
pub fn quantize_plainly(weights: &[f32], bias: &[f32], input_scale: f32) -> QuantizedWeights {
    assert!(weights.len().is_multiple_of(bias.len()), "as many rows as biases");
    let rows = weights.chunks_exact(weights.len() / bias.len()).zip(bias);
    let (mut values, mut scales) = (Vec::with_capacity(weights.len()), Vec::with_capacity(bias.len()));
    for (row, bias) in rows {
        let largest = row.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
        let scale = (largest / I8_MAX).max(least_scale(*bias, input_scale));
        values.extend(row.iter().map(|&w| round(w, scale)));
        scales.push(scale);
    }
    QuantizedWeights { values, scales }
}

/// A bias in steps of the accumulator, `input_scale · weight_scale`.
pub fn quantize_bias(bias: f64, input_scale: f32, weight_scale: f32) -> i32 {
    let steps = bias / (f64::from(input_scale) * f64::from(weight_scale));
    // Saturates, and becomes 0 for NaN; the range check of the model comes after.
    steps.round_ties_even() as i32
}

fn least_scale(bias: f32, input_scale: f32) -> f32 {
    let least = f64::from(bias).abs() / (f64::from(input_scale) * BIAS_LIMIT);
    (least as f32).max(1e-11)
}

fn search(row: &[f32], importance: &[f32]) -> f32 {
    let largest = row.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
    let error = |scale: f32| -> f64 {
        let pairs = row.iter().zip(importance);
        pairs
            .map(|(&w, &v)| {
                let d = f64::from(w) - f64::from(round(w, scale)) * f64::from(scale);
                d * d * f64::from(v)
            })
            .sum()
    };
    let mut best = largest / I8_MAX;
    if best <= 0.0 {
        return 0.0;
    }
    let mut least = error(best);
    for i in 1..=SEARCH_STEPS {
        let clip = 1.0 - (1.0 - LEAST_CLIP) * i as f32 / SEARCH_STEPS as f32;
        let scale = largest * clip / I8_MAX;
        let found = error(scale);
        if found < least {
            (best, least) = (scale, found);
        }
    }
    best
}

fn round(weight: f32, scale: f32) -> i8 {
    (weight / scale).round_ties_even().clamp(-I8_MAX, I8_MAX) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32, n: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next() * next() * next()).collect()
    }

    #[test]
    fn error_is_bounded_by_the_step() {
        let (out, depth) = (5, 288);
        let weights = noise(1, out * depth);
        let found = quantize(&weights, &vec![1.0; depth], &vec![0.0; out], 0.01);
        for (channel, row) in weights.chunks_exact(depth).enumerate() {
            let largest = row.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
            let scale = found.scales[channel];
            assert!(scale <= largest / 127.0 && scale >= 0.6 * largest / 127.0);
            let clip = f64::from(scale) * 127.0;
            let mut plain = 0.0;
            let mut total = 0.0;
            for (i, &w) in row.iter().enumerate() {
                let error = (found.real(channel, depth, i) - f64::from(w)).abs();
                let bound = (f64::from(scale) / 2.0).max(f64::from(w.abs()) - clip);
                assert!(error <= bound * 1.0001, "channel {channel} weight {i}: {error} > {bound}");
                let by_range = f64::from(largest / 127.0);
                plain += (f64::from(w) - (f64::from(w) / by_range).round() * by_range).powi(2);
                total += error * error;
            }
            assert!(total <= plain * 1.0001, "the search is never worse than the whole range");
        }
        assert!(found.values.iter().all(|&q| q != i8::MIN));
    }

    #[test]
    fn an_important_weight_is_hit_closely() {
        let row = [1.0, 0.3, -0.007, 0.55];
        let even = quantize(&row, &[1.0; 4], &[0.0], 1.0);
        let uneven = quantize(&row, &[1e-6, 1.0, 1e-6, 1e-6], &[0.0], 1.0);
        let error = |q: &QuantizedWeights| (q.real(0, 4, 1) - 0.3_f32 as f64).abs();
        assert!(error(&uneven) < 0.5 * error(&even), "{} {}", error(&uneven), error(&even));
    }

    #[test]
    fn large_sums_do_not_fit_16_bit_activations() {
        let fit = |value: i8, depth: usize, bias: f32| {
            let weights = QuantizedWeights { values: vec![value; depth], scales: vec![0.01] };
            weights.fit_16_bits(&[bias], 1e-3)
        };
        // 2^31 / 32767 / 127 is 516.
        assert!(fit(127, 515, 0.0) && !fit(127, 517, 0.0) && fit(-60, 1000, 0.0));
        assert!(!fit(127, 500, 1e4) && fit(127, 100, 1e3));
    }

    #[test]
    fn a_large_bias_widens_the_scale() {
        let found = quantize(&[0.0, 0.0, 1e-9, -1e-9], &[1.0; 2], &[1000.0, -3e7], 1e-3);
        for (bias, scale) in [1000.0, -3e7].into_iter().zip(&found.scales) {
            let steps = quantize_bias(bias, 1e-3, *scale);
            assert!(f64::from(steps.unsigned_abs()) <= BIAS_LIMIT * 1.001, "{steps}");
            let back = f64::from(steps) * 1e-3_f32 as f64 * f64::from(*scale);
            assert!((back / bias - 1.0).abs() < 1e-6, "{back}");
        }
        assert_eq!(quantize_bias(1e30, 1e-3, 1e-3), i32::MAX);
    }
}
