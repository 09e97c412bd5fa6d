//! What is measured of each run, and what follows for pairs of them.

use super::runs::{Group, Run, describe_setting, describe_spn, group, lambda};
use crate::data::TestSet;
use crate::measure::{Method, Timing, quality};
use crate::report::Quality;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use serde::Serialize;
use std::path::Path;

/// Mean quality of one run's models on each test set, in the sets' order.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// The float model.
    pub f32: Vec<Quality>,
    /// The quantized model.
    pub int8: Option<Vec<Quality>>,
}

impl Scores {
    /// Runs the models of a run over all images of all sets.
    ///
    /// # Errors
    /// What keeps a model or an image from being read or run.
    pub fn measure(run: &Run, sets: &[TestSet], options: PlanOptions) -> Result<Self> {
        let all = |path: &Path| sets.iter().map(|set| mean(path, set, options)).collect::<Result<Vec<_>>>();
        Ok(Self { f32: all(&run.float)?, int8: run.int8.as_deref().map(all).transpose()? })
    }
}

/// Mean quality of a model on a set.
fn mean(path: &Path, set: &TestSet, options: PlanOptions) -> Result<Quality> {
    let mut model = Upscaler::new(NamedModel::from_file(path)?, options);
    let upscale = model.model().upscale();
    let (mut psnr, mut ssim) = (0.0, 0.0);
    for image in &set.images {
        let pair = set.pair(image, upscale)?;
        let sr = model.run(&pair.lr, &mut |_| {})?;
        let quality = quality(&image.name, &sr, &pair.hr, upscale)?;
        psnr += quality.psnr_y_db;
        ssim += quality.ssim_y;
    }
    let n = set.images.len() as f64;
    Ok(Quality { psnr_y_db: psnr / n, ssim_y: ssim / n })
}

/// Everything that the tables and plots show.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// Version of the JSON output.
    pub schema: u32,
    /// Always `results`.
    pub command: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// Names of the test sets.
    pub sets: Vec<String>,
    /// Runs that differ in seed and loss alone.
    pub groups: Vec<GroupReport>,
}

/// One setting with all its runs.
#[derive(Debug, Clone, Serialize)]
pub struct GroupReport {
    /// The setting in words.
    pub setting: String,
    /// Cost of the network, measured once: all runs have the same.
    pub cost: Cost,
    /// All runs, those without SPN first.
    pub runs: Vec<RunReport>,
    /// Each SPN loss.
    pub variants: Vec<Variant>,
}

/// Latency and memory of a network for one image of the size of `compare`.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Width and height of the input in pixels.
    pub size: (usize, usize),
    /// Threads.
    pub threads: usize,
    /// Instruction set.
    pub isa: &'static str,
    /// Median latency and working memory of the float model.
    pub f32: (f64, usize),
    /// The same of the quantized model.
    pub int8: Option<(f64, usize)>,
}

/// A run with its scores.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    /// Folder name.
    pub name: String,
    /// Seed.
    pub seed: i64,
    /// λ; zero without SPN.
    pub lambda: f64,
    /// Training time in seconds.
    pub seconds: Option<f64>,
    /// Quality.
    pub scores: Scores,
}

/// An SPN loss against none, seed by seed.
#[derive(Debug, Clone, Serialize)]
pub struct Variant {
    /// The loss in words.
    pub spn: String,
    /// λ.
    pub lambda: f64,
    /// One for each seed that was run with and without it.
    pub pairs: Vec<Pair>,
}

/// Gains of SPN at one seed, in dB of PSNR-Y, in the order of the sets.
#[derive(Debug, Clone, Serialize)]
pub struct Pair {
    /// Seed.
    pub seed: i64,
    /// f32 with SPN above f32 without.
    pub f32_db: Vec<f64>,
    /// int8 with SPN above int8 without.
    pub int8_db: Option<Vec<f64>>,
}

/// Mean, smallest and largest of a number of gains.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// How many.
    pub count: usize,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let count = values.clone().count();
        (count > 0).then(|| Self {
            mean: values.clone().sum::<f64>() / count as f64,
            min: values.clone().fold(f64::INFINITY, f64::min),
            max: values.fold(f64::NEG_INFINITY, f64::max),
            count,
        })
    }
}

impl Variant {
    /// Spread of the gain on a set, in f32 or int8.
    pub fn spread(&self, set: usize, int8: bool) -> Option<Spread> {
        let gain = move |p: &Pair| {
            if int8 { p.int8_db.as_ref().map(|db| db[set]) } else { Some(p.f32_db[set]) }
        };
        Spread::of(self.pairs.iter().filter_map(gain))
    }
}

impl Evidence {
    /// Groups the runs and measures the cost of each group's network.
    ///
    /// # Errors
    /// The first model of a group cannot be run.
    pub fn new(runs: &[Run], scores: &[Scores], sets: &[TestSet], options: PlanOptions) -> Result<Self> {
        let report = |g: &Group| {
            let first = g.plain.first().or_else(|| g.spn.first().and_then(|(_, m)| m.first()));
            let first = &runs[*first.expect("a group has a run")];
            Ok(report(g, runs, scores, cost(first, options)?))
        };
        Ok(Self {
            schema: 1,
            command: "results",
            version: env!("CARGO_PKG_VERSION"),
            sets: sets.iter().map(|set| set.description.clone()).collect(),
            groups: group(runs).iter().map(report).collect::<Result<_>>()?,
        })
    }
}

fn report(group: &Group, runs: &[Run], scores: &[Scores], cost: Cost) -> GroupReport {
    let line = |&i: &usize| RunReport {
        name: runs[i].name.clone(),
        seed: runs[i].seed,
        lambda: runs[i].spn.as_ref().map_or(0.0, lambda),
        seconds: runs[i].seconds,
        scores: scores[i].clone(),
    };
    let gains = |a: &[Quality], b: &[Quality]| {
        b.iter().zip(a).map(|(with, without)| with.psnr_y_db - without.psnr_y_db).collect::<Vec<_>>()
    };
    let pair = |(p, w): (usize, usize)| Pair {
        seed: runs[w].seed,
        f32_db: gains(&scores[p].f32, &scores[w].f32),
        int8_db: scores[p].int8.as_ref().zip(scores[w].int8.as_ref()).map(|(a, b)| gains(a, b)),
    };
    let variant = |(table, members): &(toml::Table, Vec<usize>)| Variant {
        spn: describe_spn(table),
        lambda: lambda(table),
        pairs: group.pairs(runs, members).map(pair).collect(),
    };
    GroupReport {
        setting: describe_setting(&group.setting),
        cost,
        runs: group.plain.iter().chain(group.spn.iter().flat_map(|(_, m)| m)).map(line).collect(),
        variants: group.spn.iter().map(variant).collect(),
    }
}

/// How their latency is measured.
const TIMING: Timing = Timing { size: (320, 180), time: std::time::Duration::from_millis(1500) };

/// Latency and memory of a run's models.
fn cost(run: &Run, options: PlanOptions) -> Result<Cost> {
    let of = |path: &Path| -> Result<(f64, usize)> {
        let model = NamedModel::from_file(path)?;
        let upscale = model.upscale();
        let mut method = Method::Model(Box::new(Upscaler::new(model, options)));
        let (samples, _) = method.latency(upscale, &TIMING, None)?;
        let row = method.row(Vec::new(), samples);
        Ok((row.latency_ms, row.memory_bytes.unwrap_or(0)))
    };
    Ok(Cost {
        size: TIMING.size,
        threads: options.threads,
        isa: options.isa.unwrap_or_else(mcir_runtime::Isa::best).name(),
        f32: of(&run.float)?,
        int8: run.int8.as_deref().map(of).transpose()?,
    })
}
