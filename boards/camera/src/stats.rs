//! Counting frames and latencies.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Stages between the camera and the viewer, in their order. The last one is from beginning to end; it is less
/// than their sum because encoding overlaps with inference.
pub const STAGES: [&str; 6] = ["capture", "queue", "convert", "infer", "encode", "total"];

/// Times of one frame, as [`STAGES`].
pub type Times = [Duration; 6];

/// Latencies in buckets that grow by 2 %, so that memory does not grow with their number.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: Duration,
}

/// Growth from bucket to bucket.
const GROWTH: f64 = 1.02;
/// Enough for ten minutes, in µs.
const BUCKETS: usize = 1024;

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, sum: Duration::ZERO }
    }
}

impl Histogram {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        let micros = (latency.as_secs_f64() * 1e6).max(1.0);
        let bucket = (micros.ln() / GROWTH.ln()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
        self.total += 1;
        self.sum = self.sum.saturating_add(latency);
    }

    /// The latency in ms that a share of all, 0..=1, do not exceed; within 1 %. `None` without any.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut sum = 0;
        let bucket = self.counts.iter().position(|n| {
            sum += n;
            sum >= rank
        })?;
        // The middle of the bucket.
        Some(GROWTH.powf(bucket as f64 + 0.5) / 1e3)
    }
}

/// Latency of a stage over many frames.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    /// Name of the stage.
    pub stage: &'static str,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Sum of all in seconds.
    #[serde(skip)]
    pub sum_s: f64,
    /// How many.
    #[serde(skip)]
    pub frames: u64,
}

/// Frames counted. Every frame that came in is in exactly one of the others in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Frames that the source delivered.
    pub captured: u64,
    /// Frames that were super-resolved and written.
    pub output: u64,
    /// Frames that had to make room for newer ones.
    pub dropped: u64,
    /// Frames that were damaged.
    pub broken: u64,
    /// Frames that were under way when the program was stopped.
    pub unfinished: u64,
}

/// What all stages report to.
#[derive(Debug)]
pub struct Stats {
    captured: AtomicU64,
    output: AtomicU64,
    dropped: AtomicU64,
    broken: AtomicU64,
    reconnects: AtomicU64,
    histograms: Mutex<Histograms>,
}

#[derive(Debug)]
struct Histograms {
    all: [Histogram; 6],
    recent: [Histogram; 6],
    first: Option<Instant>,
    last: Option<Instant>,
    recent_since: Instant,
    recent_frames: u64,
}

impl Default for Stats {
    fn default() -> Self {
        let counter = AtomicU64::default;
        Self {
            captured: counter(),
            output: counter(),
            dropped: counter(),
            broken: counter(),
            reconnects: counter(),
            histograms: Mutex::new(Histograms {
                all: Default::default(),
                recent: Default::default(),
                first: None,
                last: None,
                recent_since: Instant::now(),
                recent_frames: 0,
            }),
        }
    }
}

impl Stats {
    /// A frame came.
    pub fn captured(&self) {
        self.captured.fetch_add(1, Relaxed);
    }

    /// A frame made room.
    pub fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// A frame was damaged.
    pub fn broken(&self) {
        self.broken.fetch_add(1, Relaxed);
    }

    /// The camera came back.
    pub fn reconnected(&self) {
        self.reconnects.fetch_add(1, Relaxed);
    }

    /// A frame is done.
    pub fn output(&self, times: &Times) {
        let mut histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        histograms.first.get_or_insert(now);
        histograms.last = Some(now);
        histograms.recent_frames += 1;
        for (stage, &time) in times.iter().enumerate() {
            histograms.all[stage].add(time);
            histograms.recent[stage].add(time);
        }
        drop(histograms);
        self.output.fetch_add(1, Relaxed);
    }

    /// How often the camera came back.
    pub fn reconnects(&self) -> u64 {
        self.reconnects.load(Relaxed)
    }

    /// All counts; frames that are still under way are unfinished.
    pub fn counts(&self) -> Counts {
        // Read in the order opposite to that of counting, so that no frame is out before it is in.
        let [output, broken, dropped] = [&self.output, &self.broken, &self.dropped].map(|n| n.load(Relaxed));
        let captured = self.captured.load(Relaxed);
        let unfinished = captured.saturating_sub(output + broken + dropped);
        Counts { captured, output, dropped, broken, unfinished }
    }

    /// Latencies of all frames.
    pub fn latencies(&self) -> Vec<Latency> {
        latencies(&self.histograms.lock().unwrap_or_else(PoisonError::into_inner).all)
    }

    /// Frames per second between the first frame that left and the last.
    pub fn rate(&self) -> Option<f64> {
        let histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        let span = histograms.last?.duration_since(histograms.first?).as_secs_f64();
        let frames = self.output.load(Relaxed);
        (frames > 1 && span > 0.0).then(|| (frames - 1) as f64 / span)
    }

    /// Latencies and frames per second since the last call.
    pub fn recent(&self) -> (Vec<Latency>, f64) {
        let mut histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = std::mem::take(&mut histograms.recent);
        let seconds = histograms.recent_since.elapsed().as_secs_f64().max(1e-3);
        let rate = std::mem::take(&mut histograms.recent_frames) as f64 / seconds;
        histograms.recent_since = Instant::now();
        (latencies(&recent), rate)
    }
}

fn latencies(histograms: &[Histogram; 6]) -> Vec<Latency> {
    let latency = |(stage, h): (&'static str, &Histogram)| {
        let (sum_s, frames) = (h.sum.as_secs_f64(), h.total);
        Some(Latency { stage, p50_ms: h.quantile_ms(0.5)?, p99_ms: h.quantile_ms(0.99)?, sum_s, frames })
    };
    STAGES.into_iter().zip(histograms).filter_map(latency).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_hundredth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_ms(0.5), None);
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms)));
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0), (0.0, 1.0)] {
            let found = histogram.quantile_ms(share).unwrap();
            assert!((found / ms - 1.0).abs() < 0.011, "{share}: {found} instead of {ms}");
        }
        let mut extremes = Histogram::default();
        extremes.add(Duration::ZERO);
        extremes.add(Duration::from_secs(1 << 30));
        assert!(extremes.quantile_ms(0.0).unwrap() < 0.002);
        assert!(extremes.quantile_ms(1.0).unwrap() > 600_000.0);
    }

    #[test]
    fn every_frame_is_accounted_for() {
        let stats = Stats::default();
        (0..10).for_each(|_| stats.captured());
        (0..3).for_each(|_| stats.dropped());
        stats.broken();
        (0..5).for_each(|_| stats.output(&Times::default()));
        let counts = stats.counts();
        assert_eq!(counts, Counts { captured: 10, output: 5, dropped: 3, broken: 1, unfinished: 1 });
        assert_eq!(stats.latencies().len(), STAGES.len());
        assert_eq!(stats.recent().0.len(), STAGES.len());
        assert!(stats.recent().0.is_empty());
    }
}
