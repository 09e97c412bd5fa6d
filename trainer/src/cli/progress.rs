//! Progress on stderr: one live line on a terminal, plain lines otherwise.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcir_trainer::eval::SetScores;
use mcir_trainer::train::{Losses, Progress};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between plain lines.
const INTERVAL: Duration = Duration::from_secs(30);

/// Prints loss, PSNR, speed and time left.
pub struct Line {
    bar: ProgressBar,
    plain: bool,
    first: u64,
    total: u64,
    started: Instant,
    printed: Instant,
    /// Exponential averages, so that the line can be read.
    loss: Option<f64>,
    negative: Option<f64>,
    psnr: String,
}

impl Line {
    /// A line for steps `first..total`; silent when `hidden`.
    pub fn new(first: u64, total: u64, hidden: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal && !hidden { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{bar:20} {pos}/{len} {msg} · {per_sec} · {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
        bar.set_position(first);
        bar.reset_eta();
        let now = Instant::now();
        Self {
            bar,
            plain: !terminal && !hidden,
            first,
            total,
            started: now,
            printed: now,
            loss: None,
            negative: None,
            psnr: String::new(),
        }
    }

    fn message(&self) -> String {
        let loss = self.loss.map(|l| format!("loss {l:.5}"));
        let negative = self.negative.map(|n| format!("contrastive {n:.5}"));
        let psnr = (!self.psnr.is_empty()).then(|| format!("PSNR {} dB", self.psnr));
        [loss, negative, psnr].into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }

    fn print(&mut self, step: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = (step - self.first) as f64 / seconds.max(1e-9);
        let left = (self.total - step) as f64 / rate.max(1e-9);
        let left = Duration::from_secs(left.min(1e9) as u64);
        tell!("step {step}/{} {} · {rate:.2} steps/s · {left:?} left", self.total, self.message());
        self.printed = Instant::now();
    }
}

impl Progress for Line {
    fn step(&mut self, step: u64, losses: &Losses) {
        let average = |old: Option<f64>, new: f32| {
            Some(old.map_or(new.into(), |old| 0.98 * old + 0.02 * f64::from(new)))
        };
        self.loss = average(self.loss, losses.reconstruction);
        if let Some(negative) = losses.negative {
            self.negative = average(self.negative, negative);
        }
        self.bar.set_message(self.message());
        self.bar.set_position(step);
        if self.plain && self.printed.elapsed() > INTERVAL {
            self.print(step);
        }
    }

    fn validated(&mut self, step: u64, scores: &[SetScores]) {
        let number = |s: &SetScores| format!("{:.2}", s.scores.psnr_y_db);
        self.psnr = match scores {
            [one] => number(one),
            several => {
                several.iter().map(|s| format!("{} {}", s.set, number(s))).collect::<Vec<_>>().join(", ")
            }
        };
        if self.plain {
            self.print(step);
        }
    }

    fn saved(&mut self, _step: u64) {}
}
