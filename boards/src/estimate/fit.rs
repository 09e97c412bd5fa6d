//! Two numbers from many measured frames.

/// A measured frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Multiply-accumulates.
    pub macs: f64,
    /// Elements that steps write.
    pub values: f64,
    /// Cycles that it took.
    pub cycles: f64,
}

/// `cycles ≈ macs / macs_per_cycle + values * cycles_per_value`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Multiply-accumulates a cycle.
    pub macs_per_cycle: f64,
    /// Cycles for each element.
    pub cycles_per_value: f64,
    /// Largest relative error on the frames.
    pub error: f64,
}

/// The fit with the smallest sum of squared *relative* errors: a small frame counts as much as a large one. Neither
/// number is negative. `None` for fewer than two frames, or measurements that are no times.
pub fn fit(frames: &[Frame]) -> Option<Fit> {
    if frames.len() < 2 || frames.iter().any(|f| !(f.cycles > 0.0 && f.macs > 0.0 && f.values > 0.0)) {
        return None;
    }
    let sum = |term: &dyn Fn(&Frame) -> f64| frames.iter().map(term).sum::<f64>();
    let (mm, vv) = (sum(&|f| (f.macs / f.cycles).powi(2)), sum(&|f| (f.values / f.cycles).powi(2)));
    let (mv, m, v) = (
        sum(&|f| f.macs * f.values / f.cycles.powi(2)),
        sum(&|f| f.macs / f.cycles),
        sum(&|f| f.values / f.cycles),
    );
    let determinant = mm * vv - mv * mv;
    // The normal equations; where one number would be negative, it is zero and the other alone fits.
    let (mut a, mut b) = ((m * vv - v * mv) / determinant, (v * mm - m * mv) / determinant);
    if !(a > 0.0 && b >= 0.0) {
        (a, b) = (m / mm, 0.0);
    }
    let relative = |f: &Frame| ((a * f.macs + b * f.values) / f.cycles - 1.0).abs();
    let error = frames.iter().map(relative).fold(0.0, f64::max);
    (a.is_finite() && b.is_finite() && a > 0.0).then_some(Fit {
        macs_per_cycle: 1.0 / a,
        cycles_per_value: b,
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(macs: f64, values: f64, cycles: f64) -> Frame {
        Frame { macs, values, cycles }
    }

    #[test]
    fn exact_frames_are_fitted_exactly() {
        let cost = |macs: f64, values: f64| frame(macs, values, macs / 25.0 + values * 3.5);
        let fit = fit(&[cost(1e9, 2e7), cost(8e9, 9e7), cost(2e10, 4e7)]).unwrap();
        assert!(
            (fit.macs_per_cycle - 25.0).abs() < 1e-6 && (fit.cycles_per_value - 3.5).abs() < 1e-6,
            "{fit:?}"
        );
        assert!(fit.error < 1e-9);
    }

    #[test]
    fn no_number_is_negative() {
        // More values, less time: nothing but noise.
        let fit = fit(&[frame(1e9, 1e6, 1e8), frame(1e9, 9e6, 0.9e8)]).unwrap();
        assert_eq!(fit.cycles_per_value, 0.0);
        assert!(fit.macs_per_cycle > 9.0 && fit.error < 0.2, "{fit:?}");
    }

    #[test]
    fn nothing_is_fitted_to_nothing() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[frame(1.0, 1.0, 1.0)]), None);
        assert_eq!(fit(&[frame(1.0, 1.0, 0.0), frame(1.0, 1.0, 1.0)]), None);
        assert_eq!(fit(&[frame(1.0, 1.0, f64::NAN), frame(1.0, 1.0, 1.0)]), None);
    }
}
