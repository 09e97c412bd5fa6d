//! Watching a model work on images: what values its edges take.
//!
//! Everything is streamed: memory is one image and one histogram an edge for each thread, whatever the number of images.

use crate::engine::Runner;
use crate::error::QuantizeError;
use crate::histogram::Histogram;
use crate::parallel::{self, Progress};
use crate::samples::{Entry, Samples};
use mcir_runtime::model::{Model, NodeId};

/// Mean and variance of each channel of an edge.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moments {
    /// Mean, `[channels]`.
    pub mean: Vec<f64>,
    /// Variance, `[channels]`.
    pub variance: Vec<f64>,
    /// Largest magnitude in an image, mean over the images, `[channels]`.
    pub peak: Vec<f64>,
}

/// What was seen on the edges of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Values of each edge; empty histograms when they were not asked for.
    pub histograms: Vec<Histogram>,
    /// Channels of each edge.
    pub moments: Vec<Moments>,
}

/// How much to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Histograms and moments.
    All,
    /// Moments only.
    Moments,
}

/// Sums over the pixels of one image, for one edge.
#[derive(Default, Clone)]
struct Sums {
    pixels: u64,
    sum: Vec<f64>,
    squares: Vec<f64>,
    /// Largest magnitudes; of several images their sum.
    peaks: Vec<f64>,
    images: f64,
}

/// What a thread gathers: only what does not depend on the order of the images.
struct State<'m> {
    runner: Runner<'m>,
    histograms: Vec<Histogram>,
    row: Vec<f32>,
}

/// Runs the model on all samples and gathers what its edges carry. The result does not depend on the number
/// of threads.
///
/// # Errors
/// [`QuantizeError::NotFinite`] when an edge overflows, and what the engine refuses.
pub fn observe(
    model: &Model,
    samples: &Samples,
    detail: Detail,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Observation, QuantizeError> {
    observe_some(model, samples, samples.entries(), detail, threads, progress)
}

/// As [`observe`], on some of the samples.
///
/// # Errors
/// The same.
pub fn observe_some(
    model: &Model,
    samples: &Samples,
    entries: &[Entry],
    detail: Detail,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Observation, QuantizeError> {
    let edges = model.graph().nodes.len();
    let channels: Vec<usize> = (0..edges).map(|i| usize::from(model.shape(i as NodeId).channels)).collect();
    let init = || State {
        runner: Runner::observing(model),
        histograms: if detail == Detail::All { vec![Histogram::default(); edges] } else { Vec::new() },
        row: Vec::new(),
    };
    let mut total: Vec<Sums> = vec![Sums::default(); edges];
    let add = |image: Vec<Sums>| total.iter_mut().zip(&image).for_each(|(total, sums)| total.merge(sums));
    let work = |state: &mut State<'_>, entry: &_| {
        let sample = samples.read(entry)?;
        let mut sums: Vec<Sums> = vec![Sums::default(); edges];
        let State { runner, histograms, row } = state;
        runner.observe(&sample.lr, &mut |id, _, values| {
            row.resize(values.len(), 0.0);
            values.read(row);
            let edge = usize::from(id);
            if let Some(histogram) = histograms.get_mut(edge) {
                histogram.add(row);
            }
            sums[edge].add(row, channels[edge]);
        })?;
        progress.step();
        // The sums show it even when histograms are not wanted.
        let overflow = sums.iter().position(|s| s.squares.iter().any(|x| !x.is_finite()));
        let overflow = overflow.or_else(|| histograms.iter().position(|h| h.not_finite() > 0));
        match overflow {
            None => Ok(sums),
            Some(edge) => Err(QuantizeError::NotFinite {
                node: model.graph().nodes[edge].name.clone(),
                image: sample.name,
            }),
        }
    };
    let states = parallel::in_order(entries, threads, init, work, add)?;
    let mut histograms = vec![Histogram::default(); edges];
    for state in &states {
        for (total, part) in histograms.iter_mut().zip(&state.histograms) {
            total.merge(part);
        }
    }
    Ok(Observation { histograms, moments: total.iter().map(Sums::moments).collect() })
}

impl Sums {
    fn add(&mut self, row: &[f32], channels: usize) {
        self.sum.resize(channels, 0.0);
        self.squares.resize(channels, 0.0);
        self.peaks.resize(channels, 0.0);
        self.images = 1.0;
        self.pixels += (row.len() / channels) as u64;
        for pixel in row.chunks_exact(channels) {
            for ((sum, squares), &x) in self.sum.iter_mut().zip(&mut self.squares).zip(pixel) {
                let x = f64::from(x);
                *sum += x;
                *squares += x * x;
            }
            for (peak, &x) in self.peaks.iter_mut().zip(pixel) {
                *peak = peak.max(f64::from(x.abs()));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        self.sum.resize(other.sum.len(), 0.0);
        self.squares.resize(other.squares.len(), 0.0);
        self.peaks.resize(other.peaks.len(), 0.0);
        self.pixels += other.pixels;
        self.images += other.images;
        self.peaks.iter_mut().zip(&other.peaks).for_each(|(a, b)| *a += b);
        self.sum.iter_mut().zip(&other.sum).for_each(|(a, b)| *a += b);
        self.squares.iter_mut().zip(&other.squares).for_each(|(a, b)| *a += b);
    }

    fn moments(&self) -> Moments {
        let n = self.pixels.max(1) as f64;
        let mean: Vec<f64> = self.sum.iter().map(|s| s / n).collect();
        let variance = self.squares.iter().zip(&mean).map(|(s, m)| (s / n - m * m).max(0.0)).collect();
        let peak = self.peaks.iter().map(|p| p / self.images.max(1.0)).collect();
        Moments { mean, variance, peak }
    }
}
