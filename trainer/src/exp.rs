//! The exponential function, written so that the compiler makes vectors of it where it is inlined.

/// Exponent whose power does not count beside 1. Without the limit, products with such powers are denormal numbers,
/// which cost a hundred times as much.
const NOTHING: f32 = -60.0;

/// `eˣ` for x up to 0, within two units of the last place; zero below [`NOTHING`].
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Adding it rounds to an integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with so few bits that products with small integers are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2[0] - n * LN_2[1];
    // Taylor's series to the seventh power; |r| is at most ln 2 / 2.
    let mut p = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p * r + factor;
    }
    let power = p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    // Not the other way round, which would hide what is not a number.
    if x < NOTHING { 0.0 } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_exact_to_the_last_places() {
        for i in 0..=60_000 {
            let x = -i as f32 / 1000.0;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 2.5e-7, "exp {x}: {found} for {expected}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!((exp(-60.01), exp(-1e9)), (0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }
}
