//! Warming up: caches, clock and thread pools settle in the first frames.

use super::report::Latency;
use mcir_upscale::error::Result;
use std::time::{Duration, Instant};

/// Frames of each half that are compared, and by how much their medians may differ.
const HALF: usize = 5;
const TOLERANCE: f64 = 0.03;

/// How a warm-up ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarmUp {
    /// Frames that were run.
    pub frames: usize,
    /// Whether their times were steady at its end.
    pub steady: bool,
}

/// Runs frames, which return their time in milliseconds, until the times are steady, but at least for `least` and not
/// longer than `limit`. Small networks need the least: ten of their frames are over before a governor has raised the clock.
pub fn warm_up(least: Duration, limit: Duration, frame: &mut dyn FnMut() -> Result<f64>) -> Result<WarmUp> {
    let (start, mut times) = (Instant::now(), Vec::new());
    let mut steady = false;
    while times.is_empty() || start.elapsed() < if steady { least } else { limit } {
        times.push(frame()?);
        steady = is_steady(&times);
    }
    Ok(WarmUp { frames: times.len(), steady })
}

/// Whether the last frames took as long as those before them.
fn is_steady(times: &[f64]) -> bool {
    let Some(last) = times.len().checked_sub(2 * HALF).map(|from| &times[from..]) else { return false };
    let [early, late] = [&last[..HALF], &last[HALF..]].map(|part| Latency::of(part).p50_ms);
    (early / late - 1.0).abs() < TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_times_are_steady() {
        // The clock rises for twelve frames, and one frame in between is disturbed.
        let mut n = 0;
        let mut frame = || {
            n += 1;
            Ok(if n == 18 { 90.0 } else { 10.0 + 30.0 / f64::from(n.min(12)) })
        };
        let warm_up = warm_up(Duration::ZERO, Duration::from_secs(3600), &mut frame).unwrap();
        assert!(warm_up.steady);
        assert!((17..=22).contains(&warm_up.frames), "{warm_up:?}");
    }

    #[test]
    fn it_goes_on_for_a_governor_that_is_slow() {
        let start = Instant::now();
        let least = Duration::from_millis(20);
        let warm_up = warm_up(least, Duration::from_secs(3600), &mut || Ok(1.0)).unwrap();
        assert!(start.elapsed() >= least && warm_up.frames >= 10 && warm_up.steady);
    }

    #[test]
    fn it_ends_unsteady_when_the_time_is_over() {
        let mut frame = || Ok(1.0);
        let none = warm_up(Duration::ZERO, Duration::ZERO, &mut frame).unwrap();
        assert_eq!(none, WarmUp { frames: 1, steady: false });
        assert!(!is_steady(&[1.0; 9]) && is_steady(&[1.0; 10]));
        assert!(!is_steady(&[1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0]));
    }
}
