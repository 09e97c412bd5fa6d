//! `mcir-board estimate`: how fast a model will be on a board, and how much memory it needs, before it is there; and
//! `mcir-board profile`, which measures a machine so that it can be estimated for.
//!
//! Memory is exact: it is the engine's own plan. Time is `macs / macs_per_cycle + values · cycles_per_value` cycles
//! of a core, and more for layer norms, window attention and activations ([`Efficiency`]); all cores together take their
//! share of that and the cycles in which they meet at the end of every step. The numbers come from measured or modelled
//! frames, in the board's profile or in `boards/profiles/efficiency.toml`.

mod calibrate;
mod fit;
mod gpu;
pub mod profile;
#[cfg(test)]
mod tests;

use crate::profiles::{Efficiency, Profile, ProfileError, Work, efficiency_of};
pub use gpu::GpuEstimate;
use mcir_files::MAX_PIXELS;
use mcir_runtime::plan::{Plan, PlanOptions};
use mcir_upscale::args::OutputArgs;
use mcir_upscale::device::Device;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use serde::Serialize;

/// Version of the JSON output.
const SCHEMA: u32 = 1;

/// Predict latency and memory of a model on a board
///
/// From multiply-accumulates, the engine's measured speed on the board's cores, and the board's profile.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Model file or folder, or name of an embedded model
    #[arg(short = 'm', long, value_name = "MODEL")]
    model: String,

    /// Board, or TOML file with its profile
    #[arg(long, value_name = "BOARD")]
    board: String,

    /// Size of the input image in pixels
    #[arg(long, value_name = "WxH", default_value = "320x180", value_parser = size)]
    size: (usize, usize),

    /// What runs the model: cpu, gpu, or auto for both where the board has both
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: Device,

    #[command(flatten)]
    print: OutputArgs,
}

/// `320x180` as width and height.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let sound = |&(w, h): &(usize, usize)| {
        (1..=32768).contains(&w) && (1..=32768).contains(&h) && (w * h) as u64 <= MAX_PIXELS
    };
    parsed.filter(sound).ok_or_else(|| {
        format!(
            "it must be WIDTHxHEIGHT, each 1 to 32768, together {MAX_PIXELS} pixels at most, as in 320x180"
        )
    })
}

/// A prediction, with what it was made from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Name of the model.
    pub model: String,
    /// `int8` or `f32`.
    pub precision: &'static str,
    /// Name of the board.
    pub board: String,
    /// Kind of core.
    pub core: String,
    /// Clock that was assumed, in MHz.
    pub clock_mhz: f64,
    /// Instruction set.
    pub isa: String,
    /// Size of the input in pixels.
    pub width: usize,
    /// Size of the input in pixels.
    pub height: usize,
    /// Factor.
    pub upscale: usize,
    /// Time of a frame on one core, in milliseconds.
    pub latency_ms: f64,
    /// Cores of the fastest kind.
    pub cores: u32,
    /// Time of a frame on all of them, in milliseconds.
    pub latency_all_cores_ms: f64,
    /// What a frame consists of.
    #[serde(flatten)]
    pub work: Work,
    /// The engine's measured speed.
    pub efficiency: Efficiency,
    /// Part of every step that the busiest of them computes.
    pub largest_share: f64,
    /// How often they wait for each other in a frame.
    pub joins: usize,
    /// Working memory in bytes on one core: the three below.
    pub memory_bytes: usize,
    /// Ring buffers.
    pub arena_bytes: usize,
    /// Weights as packed for this machine's instruction set; another's differ by padding.
    pub weight_bytes: usize,
    /// The output row that is handed out.
    pub row_bytes: usize,
    /// Working memory in bytes on all cores, which work on more rows at a time.
    pub memory_all_cores_bytes: usize,
    /// Memory of the smallest version of the board, in bytes.
    pub board_memory_bytes: Option<u64>,
    /// The same on the board's GPU, where it has one that multiplies bytes and kernels for all of the model.
    pub gpu: Option<GpuEstimate>,
}

/// Does it.
///
/// # Errors
/// When the board or the model is not known, or the speed on its cores was never measured.
pub fn run(cmd: &Cmd) -> Result<()> {
    let profile = Profile::open(&cmd.board)?;
    let model = NamedModel::open(&cmd.model)?;
    let mut estimate = estimate(&model, &profile, cmd.size)?;
    match cmd.device {
        Device::Cpu => estimate.gpu = None,
        Device::Gpu(_) if estimate.gpu.is_none() => {
            let reason = match &profile.gpu {
                Some(_) => format!("the GPU has no kernels for all of {} {}", model.name, model.precision()),
                None => format!("{} has none that is faster than its processor", profile.title),
            };
            return Err(Error::Gpu { reason });
        }
        Device::Auto | Device::Gpu(_) => {}
    }
    if cmd.print.json {
        #[derive(Serialize)]
        struct Outcome {
            schema: u32,
            command: &'static str,
            #[serde(flatten)]
            estimate: Estimate,
        }
        let outcome = Outcome { schema: SCHEMA, command: "estimate", estimate };
        return cmd.print.result(serde_json::to_string_pretty(&outcome).expect("an estimate is plain data"));
    }
    cmd.print.result(text(&estimate))
}

/// Predicts for an input of `size` pixels, width and height.
///
/// # Errors
/// [`ProfileError::NoEfficiency`], [`Error::Plan`].
pub fn estimate(model: &NamedModel, profile: &Profile, size: (usize, usize)) -> Result<Estimate> {
    let (width, height) = size;
    let core = profile.fast_cores();
    let precision = model.precision();
    let efficiency = efficiency_of(profile, &core.kind, &profile.isa, precision).ok_or_else(|| {
        ProfileError::NoEfficiency {
            core: core.kind.clone(),
            isa: profile.isa.clone(),
            precision: precision.into(),
        }
    })?;
    let unplanned = |source| Error::Plan { name: model.name.clone(), source };
    let plan = Plan::new(&model.model, width, &PlanOptions::default()).map_err(unplanned)?;
    let work = Work::of(&model.model, size);
    let alone = efficiency.cycles(&work);
    // The band, and with it how often the cores meet, is another one for several threads.
    let threads = PlanOptions::default().threads(core.count as usize);
    let shared = Plan::new(&model.model, width, &threads).map_err(unplanned)?;
    // Nobody has to use more threads than help.
    let (largest_share, joins) = (shared.largest_share(), shared.joins(height));
    let together = efficiency.cycles_together(alone, largest_share, joins).min(alone);
    let ms = |cycles: f64| cycles / (core.clock_mhz * 1e3);
    Ok(Estimate {
        model: model.name.clone(),
        precision,
        board: profile.name.clone(),
        core: core.kind.clone(),
        clock_mhz: core.clock_mhz,
        isa: profile.isa.clone(),
        width,
        height,
        upscale: model.upscale(),
        latency_ms: ms(alone),
        cores: core.count,
        latency_all_cores_ms: ms(together),
        largest_share,
        joins,
        work,
        efficiency,
        memory_bytes: plan.memory_bytes(height).map_err(unplanned)?,
        arena_bytes: plan.arena_bytes(height).map_err(unplanned)?,
        weight_bytes: plan.weight_bytes(),
        row_bytes: plan.out_row_bytes(),
        memory_all_cores_bytes: shared.memory_bytes(height).map_err(unplanned)?,
        board_memory_bytes: profile.memory_mb.iter().min().map(|&mb| u64::from(mb) << 20),
        gpu: profile.gpu.as_ref().and_then(|gpu| gpu::estimate(&model.model, size, gpu)),
    })
}

fn text(e: &Estimate) -> String {
    let (mega, work) = (1e-6, &e.work);
    let (macs, values) = match e.efficiency.operators {
        Some(_) => (work.plain_macs, work.plain_values),
        None => (work.macs, work.values),
    };
    let (multiplying, writing) = (macs / e.efficiency.macs_per_cycle, values * e.efficiency.cycles_per_value);
    let line = |amount: f64, unit: &str, cycles: f64| match amount > 0.0 {
        true => format!("\n         and {:.1} M {unit} take {:.0} Mcycles", amount * mega, cycles * mega),
        false => String::new(),
    };
    let others = e.efficiency.operators.map_or(String::new(), |o| {
        line(
            work.norm_values,
            "values of layer norms",
            o.norm_pixel * work.norm_pixels + o.norm_value * work.norm_values,
        ) + &line(
            work.scores,
            "scores of window attention",
            o.attention_score * work.scores + o.attention_mac * work.attention_macs,
        ) + &line(work.activated, "values of activations", o.activation * work.activated)
    });
    let (on_all, together) = match e.cores {
        1 => (String::new(), String::new()),
        n => {
            let efficiency = &e.efficiency;
            let meetings = match efficiency.join_cycles > 0.0 {
                true => format!(", and {} meetings at {:.0} cycles", e.joins, efficiency.join_cycles),
                false => String::new(),
            };
            let together = format!(
                "\n         on {n} cores the busiest does {:.1} % of it at {:.0} % of its speed{meetings}",
                100.0 * e.largest_share,
                100.0 * efficiency.parallel_efficiency
            );
            (format!("; {:.2} MB on {n} cores", e.memory_all_cores_bytes as f64 * mega), together)
        }
    };
    let share = e
        .board_memory_bytes
        .map_or(String::new(), |all| format!("; the board has {} or more", crate::profiles::gib(all >> 20)));
    let fitted = e.efficiency.fit_error.map_or(String::new(), |error| {
        format!("; the frames behind it were met within {:.0} %", error * 100.0)
    });
    let all = match e.cores {
        1 => String::new(),
        n => format!(
            ", {:.1} ms on {n} ({:.1} frames/s)",
            e.latency_all_cores_ms,
            1e3 / e.latency_all_cores_ms
        ),
    };
    let gpu = e.gpu.as_ref().map_or(String::new(), |gpu| {
        format!(
            "\ngpu      {:.1} ms ({:.1} frames/s) on {}, modelled, never measured: {:.0} M products of four bytes in {:.1} ms, {:.0} MB in {:.1} ms, {} steps",
            gpu.latency_ms,
            1e3 / gpu.latency_ms,
            gpu.gpu,
            gpu.dots * mega,
            gpu.dots_ms,
            gpu.bytes * mega,
            gpu.bytes_ms,
            gpu.steps
        )
    });
    format!(
        "{} {} on {}: {}x{} to {}x{}, {} at {:.0} MHz, {}\n\
         latency  {:.1} ms on one core ({:.1} frames/s){all}\n\
         memory   {:.2} MB: {:.2} of ring buffers, {:.2} of packed weights, {:.3} for a row{on_all}{share}\n\
         because  {:.0} M multiply-accumulates at {:.1} a cycle are {:.0} Mcycles,\n\
         \x20        and {:.1} M values at {:.2} cycles each are {:.0} Mcycles{others}{together}\n\
         source   {}{fitted}{gpu}",
        e.model,
        e.precision,
        e.board,
        e.width,
        e.height,
        e.width * e.upscale,
        e.height * e.upscale,
        e.core,
        e.clock_mhz,
        e.isa,
        e.latency_ms,
        1e3 / e.latency_ms,
        e.memory_bytes as f64 * mega,
        e.arena_bytes as f64 * mega,
        e.weight_bytes as f64 * mega,
        e.row_bytes as f64 * mega,
        macs * mega,
        e.efficiency.macs_per_cycle,
        multiplying * mega,
        values * mega,
        e.efficiency.cycles_per_value,
        writing * mega,
        e.efficiency.source,
    )
}
