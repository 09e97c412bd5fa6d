//! What differences of paired runs say: mean, interval, sign test.

use serde::Serialize;

/// Differences of pairs, in dB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Stat {
    /// Pairs.
    pub pairs: usize,
    /// Mean.
    pub mean: f64,
    /// Smallest and largest.
    pub range: (f64, f64),
    /// 95 % interval of the mean by Student's t; needs two pairs.
    pub interval: Option<(f64, f64)>,
    /// Pairs with a difference above and below zero.
    pub signs: (usize, usize),
    /// Probability of signs as uneven as these or more, if both were equally likely (two-sided).
    pub sign_p: f64,
}

impl Stat {
    /// Of at least one difference.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let square = |v: &f64| (v - mean).powi(2);
        let interval = (n > 1).then(|| {
            let deviation = (values.iter().map(square).sum::<f64>() / (n - 1) as f64).sqrt();
            let half = t_quantile(n - 1) * deviation / (n as f64).sqrt();
            (mean - half, mean + half)
        });
        let signs =
            (values.iter().filter(|v| **v > 0.0).count(), values.iter().filter(|v| **v < 0.0).count());
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        let range = values.iter().fold(ends, |(low, high), v| (low.min(*v), high.max(*v)));
        (n > 0).then(|| Self { pairs: n, mean, range, interval, signs, sign_p: sign_test(signs) })
    }
}

/// Two-sided sign test; pairs without a difference say nothing.
fn sign_test((above, below): (usize, usize)) -> f64 {
    let n = above + below;
    let mut choose = 1.0;
    let mut tail = 0.0;
    for k in 0..=above.min(below) {
        tail += choose;
        choose *= (n - k) as f64 / (k + 1) as f64;
    }
    (2.0 * tail / 2f64.powi(i32::try_from(n).unwrap_or(i32::MAX))).min(1.0)
}

/// The 97.5 % point of Student's t distribution with so many degrees of freedom, by bisection.
fn t_quantile(freedom: usize) -> f64 {
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if within(middle, freedom) < 0.95 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Probability of a value of Student's t between `-t` and `t`.
///
/// # Source
/// Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
fn within(t: f64, freedom: usize) -> f64 {
    let angle = (t / (freedom as f64).sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let first = if freedom % 2 == 1 { cos } else { 1.0 };
    let (mut term, mut sum) = (first, 0.0);
    for k in (2 + freedom % 2..=freedom).step_by(2) {
        sum += term;
        term *= cos * cos * (k - 1) as f64 / k as f64;
    }
    if freedom % 2 == 1 { std::f64::consts::FRAC_2_PI * (angle + sin * sum) } else { sin * sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As printed in tables.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, expected) in [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (7, 2.365),
            (9, 2.262),
            (30, 2.042),
            (120, 1.980),
        ] {
            let found = t_quantile(freedom);
            assert!((found - expected).abs() < 6e-4, "{freedom}: {found} for {expected}");
        }
    }

    #[test]
    fn intervals_and_signs_are_those_worked_out_by_hand() {
        // Mean 2, deviation 1: 4.303 / sqrt(3) to each side.
        let stat = Stat::of(&[1.0, 2.0, 3.0]).expect("three");
        let (low, high) = stat.interval.expect("of three");
        assert!((low - (2.0 - 2.4843)).abs() < 1e-3 && (high - 4.4843).abs() < 1e-3, "{low} {high}");
        assert_eq!((stat.mean, stat.range, stat.signs), (2.0, (1.0, 3.0), (3, 0)));
        assert!((stat.sign_p - 0.25).abs() < 1e-12);
        assert_eq!(Stat::of(&[]), None);
        assert_eq!(Stat::of(&[0.5]).expect("one").interval, None);
        assert!((sign_test((7, 1)) - 2.0 * 9.0 / 256.0).abs() < 1e-12);
        assert_eq!(sign_test((2, 2)), 1.0);
        assert_eq!(sign_test((0, 0)), 1.0);
    }
}
