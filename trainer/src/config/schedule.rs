//! [`Schedule`]: the course of the learning rate.

use super::{ConfigError, Train, range};
use serde::{Deserialize, Serialize};

/// Course of the learning rate after the warm-up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Half a cosine from `lr` at the first step to `end` at the last.
    Cosine {
        /// Learning rate at the end.
        end: f64,
    },
    /// Multiplied by `gamma` at each milestone.
    MultiStep {
        /// Steps at which it falls.
        milestones: Vec<u64>,
        /// Factor.
        gamma: f64,
    },
    /// `lr` for most of the run, which is where averaged weights get better, then half a cosine down to `end` (warmup,
    /// stable, decay). A run that is resumed with more steps falls later and repeats nothing.
    Stable {
        /// Share of the steps over which it falls, the last ones.
        decay: f64,
        /// Learning rate at the end.
        end: f64,
    },
}

impl Schedule {
    pub(super) fn check(&self, lr: f64) -> Result<(), ConfigError> {
        let ends = |end: &f64| range((0.0..=lr).contains(end), "train.schedule.end", end, "0 to train.lr");
        match self {
            Self::Cosine { end } => ends(end),
            Self::MultiStep { gamma, .. } => {
                range(*gamma > 0.0 && *gamma <= 1.0, "train.schedule.gamma", gamma, "above 0 and at most 1")
            }
            Self::Stable { decay, end } => {
                range((0.0..=1.0).contains(decay), "train.schedule.decay", decay, "0 to 1")?;
                ends(end)
            }
        }
    }
}

impl Train {
    /// Learning rate of step `step`, counted from zero.
    pub fn lr_at(&self, step: u64) -> f64 {
        let steps = self.steps.max(1) as f64;
        let fall = |done: f64, end: f64| {
            let done = done.clamp(0.0, 1.0);
            end + (self.lr - end) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
        };
        let lr = match &self.schedule {
            Schedule::Cosine { end } => fall(step as f64 / steps, *end),
            Schedule::MultiStep { milestones, gamma } => {
                let passed = milestones.iter().filter(|&&m| step >= m).count();
                self.lr * gamma.powi(passed as i32)
            }
            Schedule::Stable { decay, end } => {
                let length = decay * steps;
                if length > 0.0 { fall((step as f64 - (steps - length)) / length, *end) } else { self.lr }
            }
        };
        if step < self.warmup { lr * (step + 1) as f64 / self.warmup as f64 } else { lr }
    }
}
