//! A few numbers from many measured frames.

use crate::profiles::{Efficiency, Operators, Work};

/// What was measured of a frame: all of it, or the nodes of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// What it consisted of.
    pub work: Work,
    /// Cycles that it took.
    pub cycles: f64,
}

/// A frame, and how its cycles are divided among kinds of nodes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Convolutions and all that only passes values on.
    pub plain: Vec<Sample>,
    /// Layer norms.
    pub norms: Vec<Sample>,
    /// Window attention.
    pub attention: Vec<Sample>,
    /// Tables and GELUs, with the convolutions that have one at their end.
    pub activations: Vec<Sample>,
}

impl Frame {
    /// All of a frame's kinds.
    fn kinds(&self) -> [&[Sample]; 4] {
        [&self.plain, &self.norms, &self.attention, &self.activations]
    }

    /// Cycles of the whole frame.
    fn cycles(&self) -> f64 {
        self.kinds().into_iter().flatten().map(|sample| sample.cycles).sum()
    }

    fn work(&self) -> Work {
        self.kinds().into_iter().flatten().fold(Work::default(), |mut all, sample| {
            all.add(&sample.work);
            all
        })
    }
}

/// Numbers for [`Efficiency`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Multiply-accumulates a cycle.
    pub macs_per_cycle: f64,
    /// Cycles for each element.
    pub cycles_per_value: f64,
    /// Costs of other operators; `None` without frames that have them.
    pub operators: Option<Operators>,
    /// Largest relative error on whole frames.
    pub error: f64,
}

/// The numbers with the smallest sum of squared *relative* errors, each kind of node for itself: a small frame counts as
/// much as a large one. `None` where there is too little of a kind, or measurements that are no times.
pub fn fit(frames: &[Frame]) -> Option<Fit> {
    let all = |kind: fn(&Frame) -> &Vec<Sample>| frames.iter().flat_map(kind);
    let sound = |s: &Sample| s.cycles.is_finite() && s.cycles >= 0.0;
    if !frames.iter().all(|f| f.kinds().into_iter().flatten().all(sound) && f.cycles() > 0.0) {
        return None;
    }
    let plain = two(all(|f| &f.plain).map(|s| (s.work.plain_macs, s.work.plain_values, s.cycles)))?;
    if plain.0 <= 0.0 {
        return None;
    }
    let base = |w: &Work| plain.0 * w.plain_macs + plain.1 * w.plain_values;
    let operators = match (all(|f| &f.norms).next(), all(|f| &f.attention).next()) {
        (None, None) => None,
        _ => {
            let norm = two(all(|f| &f.norms).map(|s| (s.work.norm_pixels, s.work.norm_values, s.cycles)))?;
            let attention =
                two(all(|f| &f.attention).map(|s| (s.work.scores, s.work.attention_macs, s.cycles)))?;
            // What is left when the convolution before it is taken away.
            let left = all(|f| &f.activations)
                .map(|s| (s.work.activated, 0.0, (s.cycles - base(&s.work)).max(0.0)))
                .filter(|(_, _, cycles)| *cycles > 0.0);
            let activation = two(left).map_or(0.0, |(each, _)| each);
            Some(Operators {
                norm_pixel: norm.0,
                norm_value: norm.1,
                attention_score: attention.0,
                attention_mac: attention.1,
                activation,
            })
        }
    };
    let predicted = |w: &Work| base(w) + operators.map_or(0.0, |operators| operators.cycles(w));
    let error = frames.iter().map(|f| (predicted(&f.work()) / f.cycles() - 1.0).abs()).fold(0.0, f64::max);
    Some(Fit { macs_per_cycle: 1.0 / plain.0, cycles_per_value: plain.1, operators, error })
}

/// A frame on one core and on several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Together {
    /// Cycles on one core.
    pub alone: f64,
    /// Cycles on all.
    pub together: f64,
    /// The busiest core's part of it.
    pub share: f64,
    /// How often the cores meet.
    pub joins: usize,
}

/// Parallel efficiency and cycles of a join ([`Efficiency::cycles_together`]) from frames of several networks. `None` for
/// nothing to fit to.
pub fn fit_together(frames: &[Together]) -> Option<(f64, f64)> {
    let (slower, join) = two(frames.iter().map(|f| (f.alone * f.share, f.joins as f64, f.together)))?;
    // More than a whole core each is noise.
    Some(((1.0 / slower).clamp(0.01, 1.0), join))
}

/// `a` and `b`, neither negative, with which `a * x + b * y` comes closest to the cycles, relative to these. `None` for
/// nothing to fit to.
fn two(samples: impl Iterator<Item = (f64, f64, f64)>) -> Option<(f64, f64)> {
    let (mut xx, mut yy, mut xy, mut x, mut y, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0, 0);
    for (p, q, cycles) in samples.filter(|(_, _, cycles)| *cycles > 0.0) {
        let (p, q) = (p / cycles, q / cycles);
        (xx, yy, xy, x, y, n) = (xx + p * p, yy + q * q, xy + p * q, x + p, y + q, n + 1);
    }
    if n == 0 {
        return None;
    }
    let determinant = xx * yy - xy * xy;
    // The normal equations; where one number would be negative it is zero, and the other alone fits.
    let (a, b) = ((x * yy - y * xy) / determinant, (y * xx - x * xy) / determinant);
    let alone = |sum: f64, squares: f64| if squares > 0.0 { sum / squares } else { 0.0 };
    let fitted = match (a >= 0.0 && b >= 0.0, a < 0.0) {
        // Only where the two can be told apart; rounding makes anything of the rest.
        (true, _) if n > 1 && determinant > 1e-9 * xx * yy => (a, b),
        (_, true) if n > 1 => (0.0, alone(y, yy)),
        _ if xx > 0.0 => (alone(x, xx), 0.0),
        _ => (0.0, alone(y, yy)),
    };
    (fitted.0.is_finite() && fitted.1.is_finite()).then_some(fitted)
}

impl Fit {
    /// With the names that a profile has for it.
    pub fn named(&self, core: &str, isa: &str, precision: &str) -> Efficiency {
        Efficiency {
            core: core.into(),
            isa: isa.into(),
            precision: precision.into(),
            macs_per_cycle: self.macs_per_cycle,
            cycles_per_value: self.cycles_per_value,
            parallel_efficiency: 1.0,
            join_cycles: 0.0,
            source: String::new(),
            fit_error: Some(self.error),
            operators: self.operators,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(macs: f64, values: f64, cycles: f64) -> Frame {
        let work = Work { macs, values, plain_macs: macs, plain_values: values, ..Work::default() };
        Frame { plain: vec![Sample { work, cycles }], ..Frame::default() }
    }

    #[test]
    fn exact_frames_are_fitted_exactly() {
        let cost = |macs: f64, values: f64| plain(macs, values, macs / 25.0 + values * 3.5);
        let fit = fit(&[cost(1e9, 2e7), cost(8e9, 9e7), cost(2e10, 4e7)]).unwrap();
        assert!(
            (fit.macs_per_cycle - 25.0).abs() < 1e-6 && (fit.cycles_per_value - 3.5).abs() < 1e-6,
            "{fit:?}"
        );
        assert!(fit.error < 1e-9);
        assert_eq!(fit.operators, None);
    }

    #[test]
    fn cores_that_meet_are_fitted_exactly() {
        let mut efficiency = fit(&[plain(1e9, 1.0, 1e8)]).unwrap().named("", "", "");
        (efficiency.parallel_efficiency, efficiency.join_cycles) = (0.8, 5000.0);
        let frame = |alone, share, joins| Together {
            alone,
            together: efficiency.cycles_together(alone, share, joins),
            share,
            joins,
        };
        let frames = [frame(1e7, 0.25, 300), frame(8e7, 0.25, 700), frame(9e8, 0.3, 1500)];
        let (kept, join) = fit_together(&frames).unwrap();
        assert!((kept - 0.8).abs() < 1e-9 && (join - 5000.0).abs() < 1e-3, "{kept} {join}");
        assert_eq!(efficiency.cycles_together(1e7, 1.0, 300), 1e7);
        // A quarter of the work cannot take less than a quarter of the time.
        let fast = Together { alone: 1e9, together: 2e8, share: 0.25, joins: 0 };
        assert_eq!(fit_together(&[fast]), Some((1.0, 0.0)));
        assert_eq!(fit_together(&[]), None);
    }

    /// A network with layer norms, attention and GELUs of this width and with heads this large.
    fn transformer(channels: f64, head: f64) -> Frame {
        let pixels = 1e4;
        let scores = pixels * 64.0 * channels / head;
        let macs = pixels * 8.0 * channels * channels;
        let sample = |work: Work, cycles: f64| vec![Sample { work, cycles }];
        let norm = Work { norm_pixels: pixels, norm_values: pixels * channels, ..Work::default() };
        let attention = Work { scores, attention_macs: 2.0 * head * scores, ..Work::default() };
        let wide = pixels * channels * 2.0;
        let gelu = Work { plain_macs: macs, plain_values: wide, activated: wide, ..Work::default() };
        Frame {
            plain: plain(macs, pixels * channels, macs / 25.0 + pixels * channels * 3.5).plain,
            norms: sample(norm, pixels * (90.0 + channels * 1.5)),
            attention: sample(attention, scores * (0.7 + 2.0 * head * 0.03)),
            activations: sample(gelu, macs / 25.0 + wide * (3.5 + 6.0)),
        }
    }

    #[test]
    fn operators_have_costs_of_their_own() {
        let frames = [
            plain(1e9, 2e7, 1.1e8),
            transformer(32.0, 8.0),
            transformer(60.0, 10.0),
            transformer(64.0, 16.0),
        ];
        let fit = fit(&frames).unwrap();
        let found = fit.operators.unwrap();
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-6;
        assert!(near(found.norm_pixel, 90.0) && near(found.norm_value, 1.5), "{found:?}");
        assert!(near(found.attention_score, 0.7) && near(found.attention_mac, 0.03), "{found:?}");
        assert!(near(found.activation, 6.0) && fit.error < 1e-6, "{fit:?}");
        // The same numbers, used the other way round.
        let efficiency = fit.named("", "", "");
        for f in &frames {
            assert!(near(efficiency.cycles(&f.work()), f.cycles()));
        }
    }

    #[test]
    fn no_number_is_negative() {
        // More values, less time: nothing but noise.
        let fit = fit(&[plain(1e9, 1e6, 1e8), plain(1e9, 9e6, 0.9e8)]).unwrap();
        assert_eq!(fit.cycles_per_value, 0.0);
        assert!(fit.macs_per_cycle > 9.0 && fit.error < 0.2, "{fit:?}");
        assert_eq!(two([(1.0, 0.0, 2.0)].into_iter()), Some((2.0, 0.0)));
        assert_eq!(two([(0.0, 2.0, 2.0)].into_iter()), Some((0.0, 1.0)));
        assert_eq!(two([(1.0, 2.0, 2.0), (2.0, 4.0, 4.0)].into_iter()), Some((2.0, 0.0)));
        // The first would be negative.
        assert_eq!(two([(1.0, 1.0, 1.0), (2.0, 1.0, 0.5)].into_iter()).unwrap().0, 0.0);
    }

    #[test]
    fn nothing_is_fitted_to_nothing() {
        assert_eq!(fit(&[]), None);
        assert_eq!(fit(&[plain(1.0, 1.0, 0.0), plain(1.0, 1.0, 1.0)]), None);
        assert_eq!(fit(&[plain(1.0, 1.0, f64::NAN), plain(1.0, 1.0, 1.0)]), None);
        assert_eq!(fit(&[transformer(32.0, 8.0)]).map(|f| f.operators.is_some()), Some(true));
    }
}
