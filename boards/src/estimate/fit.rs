//! A few numbers from many measured frames.

use crate::profiles::Work;

/// A measured frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// What it consisted of.
    pub work: Work,
    /// Cycles that it took.
    pub cycles: f64,
}

/// `cycles ≈ macs / macs_per_cycle + values * cycles_per_value + attended * cycles_per_attended`, where the first leaves
/// out what is multiplied in window attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Multiply-accumulates a cycle.
    pub macs_per_cycle: f64,
    /// Cycles for each element.
    pub cycles_per_value: f64,
    /// Cycles for each element that window attention writes; `None` without frames that have it.
    pub cycles_per_attended: Option<f64>,
    /// Largest relative error on the frames.
    pub error: f64,
}

/// The fit with the smallest sum of squared *relative* errors: a small frame counts as much as a large one. No number
/// is negative. Frames without window attention give the first two numbers, what is left of the others the third.
/// `None` for fewer than two frames without window attention, or measurements that are no times.
pub fn fit(frames: &[Frame]) -> Option<Fit> {
    let sound = |f: &Frame| f.cycles > 0.0 && f.work.macs > 0.0 && f.work.values > 0.0;
    let (with, without): (Vec<Frame>, Vec<Frame>) = frames.iter().partition(|f| f.work.attended > 0.0);
    if without.len() < 2 || !frames.iter().all(sound) {
        return None;
    }
    // Terms relative to the time that the frame took.
    let sum = |term: &dyn Fn(f64, f64) -> f64| {
        without.iter().map(|f| term(f.work.macs / f.cycles, f.work.values / f.cycles)).sum::<f64>()
    };
    let (mm, vv, mv) = (sum(&|m, _| m * m), sum(&|_, v| v * v), sum(&|m, v| m * v));
    let (m, v) = (sum(&|m, _| m), sum(&|_, v| v));
    let determinant = mm * vv - mv * mv;
    // The normal equations; where one number would be negative, it is zero and the other alone fits.
    let (mut a, mut b) = ((m * vv - v * mv) / determinant, (v * mm - m * mv) / determinant);
    if !(a > 0.0 && b >= 0.0) {
        (a, b) = (m / mm, 0.0);
    }
    let base = |w: &Work| a * (w.macs - w.attention_macs) + b * w.values;
    let attended = |f: &Frame| f.work.attended / f.cycles;
    let squares: f64 = with.iter().map(|f| attended(f).powi(2)).sum();
    let rest: f64 = with.iter().map(|f| attended(f) * (1.0 - base(&f.work) / f.cycles)).sum();
    let per_attended = (!with.is_empty()).then(|| (rest / squares).max(0.0));
    let time = |w: &Work| base(w) + per_attended.unwrap_or(0.0) * w.attended;
    let error = frames.iter().map(|f| (time(&f.work) / f.cycles - 1.0).abs()).fold(0.0, f64::max);
    (a.is_finite() && b.is_finite() && a > 0.0).then_some(Fit {
        macs_per_cycle: 1.0 / a,
        cycles_per_value: b,
        cycles_per_attended: per_attended,
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(macs: f64, values: f64, cycles: f64) -> Frame {
        Frame { work: Work { macs, attention_macs: 0.0, values, attended: 0.0 }, cycles }
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
        assert_eq!(fit.cycles_per_attended, None);
    }

    #[test]
    fn attention_costs_what_the_rest_leaves() {
        let plain = |macs: f64, values: f64| frame(macs, values, macs / 25.0 + values * 3.5);
        let attentive = |macs: f64, values: f64, attended: f64| Frame {
            work: Work { macs: macs + 128.0 * attended, attention_macs: 128.0 * attended, values, attended },
            cycles: macs / 25.0 + values * 3.5 + attended * 40.0,
        };
        let frames = [plain(1e9, 2e7), plain(8e9, 9e7), attentive(2e9, 5e7, 4e6), attentive(1e9, 5e7, 9e6)];
        let fit = fit(&frames).unwrap();
        assert!((fit.cycles_per_attended.unwrap() - 40.0).abs() < 1e-6 && fit.error < 1e-9, "{fit:?}");
        // The same numbers, used the other way round.
        let efficiency = crate::profiles::Efficiency {
            core: String::new(),
            isa: String::new(),
            precision: String::new(),
            macs_per_cycle: fit.macs_per_cycle,
            cycles_per_value: fit.cycles_per_value,
            cycles_per_attended: fit.cycles_per_attended,
            parallel_efficiency: 1.0,
            source: String::new(),
            fit_error: None,
        };
        for f in &frames {
            assert!((efficiency.cycles(&f.work) / f.cycles - 1.0).abs() < 1e-9);
        }
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
