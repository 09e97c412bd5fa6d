//! Detection of a run that collapses.
//!
//! The SPN loss has no lower bound: with too large a λ the output runs away from its history and the
//! reconstruction gets worse and worse, while every value stays finite for a long time.

/// Watches the mean reconstruction loss over windows of steps.
///
/// After a resume it starts afresh, so its first window is a new reference.
#[derive(Debug, Clone)]
pub struct Detector {
    window: u64,
    factor: f64,
    sum: f64,
    count: u64,
    first: Option<f64>,
    last: f64,
    best: f64,
}

/// A single step whose loss is so many times the best seen is no bad batch: images lie in 0..1.
const EXPLOSION: f64 = 1000.0;

impl Detector {
    /// A run has diverged when the mean over `window` steps is more than `factor` times the best so far, or when a
    /// single loss is a thousand times the first or that mean.
    pub fn new(window: u64, factor: f64) -> Self {
        Self { window, factor, sum: 0.0, count: 0, first: None, last: f64::INFINITY, best: f64::INFINITY }
    }

    /// Takes the loss of a step. `Some((mean, best))` when the run has diverged.
    pub fn push(&mut self, loss: f64) -> Option<(f64, f64)> {
        (self.sum, self.count) = (self.sum + loss, self.count + 1);
        let reference = self.best.min(*self.first.get_or_insert(loss));
        if reference > 0.0 && loss > EXPLOSION * reference {
            self.last = loss;
            return Some((loss, reference));
        }
        if self.count < self.window {
            return None;
        }
        self.last = self.sum / self.count as f64;
        (self.sum, self.count) = (0.0, 0);
        let diverged = self.last > self.factor * self.best;
        self.best = self.best.min(self.last);
        diverged.then_some((self.last, self.best))
    }

    /// Whether the state may replace the last checkpoint: neither the last window nor the one in progress is
    /// half-way to divergence.
    pub fn is_healthy(&self) -> bool {
        let limit = self.factor.sqrt() * self.best;
        let current = if self.count * 4 >= self.window { self.sum / self.count as f64 } else { 0.0 };
        self.best.is_infinite() || (self.last <= limit && current <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(detector: &mut Detector, losses: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
        losses.into_iter().find_map(|loss| detector.push(loss))
    }

    #[test]
    fn a_falling_and_noisy_loss_is_healthy() {
        let mut d = Detector::new(50, 2.0);
        let noisy =
            (0..2000).map(|i| 0.04 / (1.0 + f64::from(i) / 500.0) * (1.0 + 0.9 * f64::from(i % 7 - 3) / 3.0));
        assert_eq!(feed(&mut d, noisy), None);
        assert!(d.is_healthy());
        assert_eq!(feed(&mut d, [1.0]), None, "one bad batch is not a collapse");
    }

    #[test]
    fn an_explosion_is_seen_at_once() {
        let mut d = Detector::new(500, 2.0);
        assert_eq!(feed(&mut d, [0.08, 0.05, 40.0]), None, "a bad batch");
        let (loss, reference) = d.push(81.0).expect("exploded");
        assert_eq!((loss, reference), (81.0, 0.08));
    }

    #[test]
    fn a_rising_loss_is_first_suspicious_then_diverged() {
        let mut d = Detector::new(10, 2.0);
        assert_eq!(feed(&mut d, [1.0; 10]), None);
        assert_eq!(feed(&mut d, [1.6; 10]), None);
        assert!(!d.is_healthy());
        assert_eq!(feed(&mut d, [1.0; 10]), None);
        assert!(d.is_healthy());
        assert_eq!(feed(&mut d, [5.0; 4]), None);
        assert!(!d.is_healthy(), "seen within the window");
        let (mean, best) = feed(&mut d, [5.0; 6]).expect("diverged");
        assert!(mean > 4.9 && best == 1.0);
    }
}
