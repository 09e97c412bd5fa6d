//! What is measured of each run, and what follows for pairs of them.

use super::runs::{Change, Group, Run, describe_change, describe_setting, group};
use super::stats::Stat;
use crate::bench::BUSY;
use crate::data::TestSet;
use crate::measure::{Method, Timing, quality};
use crate::report::Quality;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Mean quality of one run's models on each test set, in the sets' order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// What was measured: everything that tables and plots are made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Names of the test sets.
    pub sets: Vec<String>,
    /// The runs.
    pub runs: Vec<Run>,
    /// Quality of each.
    pub scores: Vec<Scores>,
    /// Whether runs of other learning rates are compared.
    pub rates: bool,
    /// Cost of the network of each group of runs.
    pub costs: Vec<Cost>,
}

impl Measured {
    /// Measures the costs, once for a group: all its runs have the same network.
    ///
    /// # Errors
    /// The first model of a group cannot be run.
    pub fn new(
        runs: Vec<Run>,
        scores: Vec<Scores>,
        sets: &[TestSet],
        rates: bool,
        options: PlanOptions,
    ) -> Result<Self> {
        let first = |g: &Group| g.plain.iter().chain(g.changed.iter().flat_map(|(_, m)| m)).next().copied();
        let cost = |g: &Group| cost(&runs[first(g).expect("a group has a run")], options);
        let costs = group(&runs, rates).iter().map(cost).collect::<Result<_>>()?;
        let sets = sets.iter().map(|set| set.description.clone()).collect();
        Ok(Self { sets, runs, scores, rates, costs })
    }

    /// Whether every list is as long as another one says; a file may be anything.
    pub fn is_whole(&self) -> bool {
        let sets = |quality: &Vec<Quality>| quality.len() == self.sets.len();
        self.scores.len() == self.runs.len()
            && self.costs.len() == group(&self.runs, self.rates).len()
            && self.scores.iter().all(|s| sets(&s.f32) && s.int8.as_ref().is_none_or(sets))
    }
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Width and height of the input in pixels.
    pub size: (usize, usize),
    /// Threads.
    pub threads: usize,
    /// Instruction set.
    pub isa: String,
    /// Median latency and working memory of the float model.
    pub f32: (f64, usize),
    /// The same of the quantized model.
    pub int8: Option<(f64, usize)>,
    /// Part of the time of these measurements in which threads waited for a processor that other programs had, the larger one.
    #[serde(default)]
    pub waited: Option<f64>,
}

impl Cost {
    /// Why the latency does not stand for the machine, if so.
    pub fn doubt(&self) -> Option<String> {
        let waited = self.waited.filter(|&waited| waited > BUSY)?;
        let percent = waited * 100.0;
        Some(format!(
            "other programs used the processors for {percent:.0} % of the time in which latency was measured"
        ))
    }
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

/// A change against none, seed by seed.
#[derive(Debug, Clone, Serialize)]
pub struct Variant {
    /// The change in words.
    pub change: String,
    /// λ; zero without SPN.
    pub lambda: f64,
    /// One for each seed that was run with and without it.
    pub pairs: Vec<Pair>,
    /// What the pairs say on each set.
    pub gains: Vec<Gain>,
}

/// Gains on a set over all pairs.
#[derive(Debug, Clone, Serialize)]
pub struct Gain {
    /// In f32.
    pub f32: Option<Stat>,
    /// In int8.
    pub int8: Option<Stat>,
    /// In int8 less that in f32, pair by pair: what quantization adds or takes away.
    pub carried: Option<Stat>,
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

impl Variant {
    /// What pairs say on so many sets.
    pub fn new(change: String, lambda: f64, pairs: Vec<Pair>, sets: usize) -> Self {
        let gain = |set: usize| {
            let float: Vec<f64> = pairs.iter().map(|p| p.f32_db[set]).collect();
            let both: Option<Vec<(f64, f64)>> =
                pairs.iter().map(|p| Some((p.f32_db[set], p.int8_db.as_ref()?[set]))).collect();
            let of = |f: fn(&(f64, f64)) -> f64| {
                both.as_ref().and_then(|both| Stat::of(&both.iter().map(f).collect::<Vec<_>>()))
            };
            Gain { f32: Stat::of(&float), int8: of(|p| p.1), carried: of(|p| p.1 - p.0) }
        };
        Self { gains: (0..sets).map(gain).collect(), change, lambda, pairs }
    }
}

impl Evidence {
    /// Puts what was measured into pairs.
    pub fn new(measured: &Measured) -> Self {
        let groups = group(&measured.runs, measured.rates);
        let report = |(g, cost): (&Group, &Cost)| report(g, measured, cost.clone());
        Self {
            schema: 2,
            command: "results",
            version: env!("CARGO_PKG_VERSION"),
            sets: measured.sets.clone(),
            groups: groups.iter().zip(&measured.costs).map(report).collect(),
        }
    }
}

fn report(group: &Group, measured: &Measured, cost: Cost) -> GroupReport {
    let Measured { runs, scores, sets, .. } = measured;
    let line = |&i: &usize| RunReport {
        name: runs[i].name.clone(),
        seed: runs[i].seed,
        lambda: runs[i].change.lambda(),
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
    let rate = group.plain.first().map(|&i| runs[i].change.rate);
    let variant = |(change, members): &(Change, Vec<usize>)| {
        let pairs = group.pairs(runs, members).map(pair).collect();
        Variant::new(describe_change(change, rate), change.lambda(), pairs, sets.len())
    };
    GroupReport {
        setting: describe_setting(&group.setting, rate),
        cost,
        runs: group.plain.iter().chain(group.changed.iter().flat_map(|(_, m)| m)).map(line).collect(),
        variants: group.changed.iter().map(variant).collect(),
    }
}

/// How their latency is measured.
const TIMING: Timing = Timing { size: (320, 180), time: std::time::Duration::from_millis(1500) };

/// Latency and memory of a run's models.
fn cost(run: &Run, options: PlanOptions) -> Result<Cost> {
    let mut waited = None;
    let mut of = |path: &Path| -> Result<(f64, usize)> {
        let model = NamedModel::from_file(path)?;
        let upscale = model.upscale();
        let mut method = Method::Model(Box::new(Upscaler::new(model, options)));
        let timed = method.latency(upscale, &TIMING, options.threads, None)?;
        waited = waited.into_iter().chain(timed.waited).max_by(f64::total_cmp);
        let row = method.row(Vec::new(), timed);
        Ok((row.latency_ms, row.memory_bytes.unwrap_or(0)))
    };
    let (f32, int8) = (of(&run.float)?, run.int8.as_deref().map(of).transpose()?);
    Ok(Cost {
        size: TIMING.size,
        threads: options.threads,
        isa: options.isa.unwrap_or_else(mcir_runtime::Isa::best).name().into(),
        f32,
        int8,
        waited,
    })
}
