//! Float arithmetic that gives the same bits on every processor: rounding, and functions made of plain operations
//! without branches, which vectorize.

use core::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// 1.5 · 2²³: adding it to a float below 2²² in magnitude rounds that to an integer, half to even, which then
/// stands in the low bits of the sum.
pub(crate) const MAGIC: f32 = 12_582_912.0;

/// `max(x, 0)`, with +0 for both zeros as the vector instructions have it.
#[inline(always)]
pub(crate) fn relu_f32(x: f32) -> f32 {
    if x > 0.0 { x } else { 0.0 }
}

/// `round_half_even(clamp(x, lo, hi))` with `|lo|, |hi| < 2²²`.
#[inline(always)]
pub(crate) fn round_clamp(x: f32, lo: f32, hi: f32) -> i32 {
    // Written so that NaN becomes `lo`, as `maxps` and `fmaxnm` have it.
    let x = if x > lo { x } else { lo };
    let x = if x < hi { x } else { hi };
    (x + MAGIC).to_bits().cast_signed().wrapping_sub(MAGIC.to_bits().cast_signed())
}

/// A value relative to its zero point as the byte that is stored: the definition that all instruction sets follow.
#[inline(always)]
pub(crate) fn stored_byte(x: f32, (lo, hi): (f32, f32), zero_point: i32, xor: u8) -> u8 {
    (round_clamp(x, lo, hi) + zero_point) as u8 ^ xor
}

/// The same in 16 bits, without a zero point.
#[inline(always)]
pub(crate) fn stored_short(x: f32, (lo, hi): (f32, f32)) -> i16 {
    round_clamp(x, lo, hi) as i16
}

/// Fused multiply-add, rounded once, on every processor.
#[inline(always)]
pub(crate) fn fma(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(feature = "std")]
    {
        a.mul_add(b, c)
    }
    #[cfg(not(feature = "std"))]
    {
        libm::fmaf(a, b, c)
    }
}

/// Square root, rounded as IEEE 754 has it on every processor.
#[inline(always)]
pub(crate) fn sqrt(x: f32) -> f32 {
    #[cfg(feature = "std")]
    {
        x.sqrt()
    }
    #[cfg(not(feature = "std"))]
    {
        libm::sqrtf(x)
    }
}

/// ln 2 in two parts, the first with few enough bits for an exact product.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

/// `eˣ` for x ≤ 88, with a relative error below 3·10⁻⁷; 0 or nearly so below −87.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = (x - n * LN2_HI) - n * LN2_LO;
    // Taylor's series to the sixth power; |r| ≤ ln 2 / 2.
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23;
    p * f32::from_bits(exponent)
}

/// The error function, with an absolute error below 5·10⁻⁷.
///
/// # Source
/// Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_72;
    let p = p * t + 0.254_829_6;
    (1.0 - p * t * exp(-a * a)).copysign(x)
}

/// The Gaussian error linear unit in its exact form.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// Below, the exponential would leave the range of normal floats.
const LEAST: f32 = -87.0;

/// `1 / (1 + e⁻ˣ)`, with a relative error below 5·10⁻⁷ above −87; nearly 0 below.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let x = if x > LEAST { x } else { LEAST };
    1.0 / (1.0 + exp(-x))
}

/// `x · sigmoid(x)`, with a relative error below 5·10⁻⁷ above −87; nearly 0 below.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    let x = if x > LEAST { x } else { LEAST };
    x / (1.0 + exp(-x))
}

/// The hyperbolic tangent, with a relative error below 10⁻⁶.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    // Taylor's series to the eleventh power near zero, where the difference below has few digits left.
    let z = x * x;
    let p = -1382.0 / 155_925.0;
    let p = p * z + 62.0 / 2835.0;
    let p = p * z - 17.0 / 315.0;
    let p = p * z + 2.0 / 15.0;
    let p = p * z - 1.0 / 3.0;
    let near = x + x * z * p;
    let far = (1.0 - 2.0 / (exp(2.0 * a) + 1.0)).copysign(x);
    if a < 0.3 { near } else { far }
}

/// `clamp(alpha · x + beta, 0, 1)`.
#[inline(always)]
pub(crate) fn hard_sigmoid(x: f32, alpha: f32, beta: f32) -> f32 {
    let y = relu_f32(alpha * x + beta);
    if y < 1.0 { y } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_silu_and_tanh_agree_with_a_library() {
        let relative = |found: f32, expected: f64| (f64::from(found) - expected).abs() / expected.abs();
        for i in (-87_000..=87_000).filter(|&i| i != 0) {
            let x = i as f32 / 1000.0;
            let wide = f64::from(x);
            let expected = 1.0 / (1.0 + libm::exp(-wide));
            assert!(relative(sigmoid(x), expected) < 5e-7, "sigmoid({x}): {}, {expected}", sigmoid(x));
            assert!(relative(silu(x), wide * expected) < 5e-7, "silu({x}): {}", silu(x));
            assert!(relative(tanh(x), libm::tanh(wide)) < 1e-6, "tanh({x}): {}", tanh(x));
            let tiny = x * 1e-6;
            assert!(relative(tanh(tiny), libm::tanh(f64::from(tiny))) < 1e-6, "tanh({tiny})");
        }
        assert_eq!([sigmoid(0.0), silu(0.0), tanh(0.0)], [0.5, 0.0, 0.0]);
        for x in [-1e30, -1e4, -88.0] {
            assert!((0.0..1e-36).contains(&sigmoid(x)) && (-1e-35..=0.0).contains(&silu(x)), "{x}");
            assert_eq!(tanh(x), -1.0);
            assert_eq!([sigmoid(-x), silu(-x), tanh(-x)], [1.0, -x, 1.0]);
        }
    }

    #[test]
    fn a_hard_sigmoid_is_a_line_between_two_ends() {
        for (x, expected) in [(-3.5, 0.0), (-3.0, 0.0), (0.0, 0.5), (1.5, 0.75), (3.0, 1.0), (1e9, 1.0)] {
            assert!((hard_sigmoid(x, 1.0 / 6.0, 0.5) - expected).abs() < 1e-7, "{x}");
        }
        assert_eq!(hard_sigmoid(-1.0, -0.25, 0.0), 0.25);
    }

    #[test]
    fn exp_agrees_with_a_library() {
        for i in -8700..=8800 {
            let x = i as f32 / 100.0;
            let expected = libm::exp(f64::from(x));
            let relative = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(relative < 3e-7, "exp({x}): {} against {expected}", exp(x));
        }
        assert!(exp(-1e30) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn erf_and_gelu_agree_with_a_library() {
        for i in -6000..=6000 {
            let x = i as f32 / 1000.0;
            let expected = libm::erf(f64::from(x));
            assert!((f64::from(erf(x)) - expected).abs() < 5e-7, "erf({x}): {} against {expected}", erf(x));
            let expected =
                0.5 * f64::from(x) * (1.0 + libm::erf(f64::from(x) * core::f64::consts::FRAC_1_SQRT_2));
            assert!((f64::from(gelu(x)) - expected).abs() < 2e-6, "gelu({x})");
        }
    }
}
