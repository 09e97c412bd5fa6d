//! `mcir-board profile`: measures this machine and writes its profile.

use super::calibrate::{network, networks};
use super::fit::{Frame, fit};
use crate::args::{EngineArgs, OutputArgs, all_threads};
use crate::bench::processor_time;
use crate::deploy::DeployError;
use crate::error::{Error, Result};
use crate::files::Pending;
use crate::machine::Machine;
use crate::profiles::{Cores, Efficiency, Profile, Throttle, Work};
use indicatif::ProgressBar;
use mcir_runtime::model::{Graph, Model};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Size of the frames: as wide as they are in use, and of as few rows as show the speed.
const SIZE: (usize, usize) = (320, 60);
/// Frames of each network, at least, and until this time is over.
const FRAMES: usize = 5;
const TIME: Duration = Duration::from_millis(800);
/// Clock that is assumed where the system tells none; estimates do not depend on it.
const NO_CLOCK_MHZ: f64 = 1000.0;

/// Measure this machine and write its profile, so that `estimate` knows how fast it is
///
/// Runs networks of several shapes, in int8 and f32, for about a minute. Processor time is measured, so that other
/// programs disturb it little.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Profile to write, a TOML file for --board
    #[arg(short = 'o', long, value_name = "FILE")]
    output: PathBuf,

    /// Name of the board [default: that of the known board, or the file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// When the file cannot be written, or the measured times make no sense.
pub fn run(cmd: &Cmd) -> Result<()> {
    let machine = Machine::here();
    let mut profile = describe(cmd, &machine);
    let clock_mhz = profile.cores[0].clock_mhz;
    let networks = networks();
    let bar = cmd.print.progress(2 * networks.len() as u64 + 1);
    let one = cmd.engine.plan_options(1)?;
    let isa = one.isa.unwrap_or_else(mcir_runtime::Isa::best).name();
    profile.isa = isa.into();
    let all = PlanOptions { threads: all_threads(), ..one };
    let source = format!("measured by mcir-board {} profile on this machine", env!("CARGO_PKG_VERSION"));
    for float in [false, true] {
        let mut frames = Vec::new();
        for (name, graph) in &networks {
            let model = network(name, graph, float)?;
            bar.set_message(format!("{} {name}", if float { "f32" } else { "int8" }));
            let seconds = median(measure(name, &model, &one, processor_time)?);
            let work = Work::of(&model, SIZE.0 * SIZE.1);
            frames.push(Frame { work, cycles: seconds * clock_mhz * 1e6 });
            bar.inc(1);
        }
        let fitted = fit(&frames).ok_or_else(|| DeployError::Tool {
            tool: "the measurement".into(),
            reason: format!("times make no sense: {frames:?}"),
        })?;
        let parallel_efficiency = if float || all.threads == 1 {
            profile.efficiency.first().map_or(1.0, |e: &Efficiency| e.parallel_efficiency)
        } else {
            parallel(&networks[2], &one, &all, &bar)?
        };
        profile.efficiency.push(Efficiency {
            core: profile.cores[0].kind.clone(),
            isa: isa.into(),
            precision: if float { "f32" } else { "int8" }.into(),
            macs_per_cycle: fitted.macs_per_cycle,
            cycles_per_value: fitted.cycles_per_value,
            cycles_per_attended: fitted.cycles_per_attended,
            parallel_efficiency,
            source: source.clone(),
            fit_error: Some(fitted.error),
        });
    }
    bar.finish_and_clear();
    let failed = || DeployError::io("write", &cmd.output);
    let mut file = Pending::create(&cmd.output)?;
    file.write_all(profile.to_toml().as_bytes()).map_err(failed())?;
    file.finish()?;
    if cmd.print.json {
        let object = serde_json::json!({ "schema": 1, "command": "profile", "output": cmd.output, "profile": profile });
        return cmd.print.result(serde_json::to_string_pretty(&object).expect("a profile is plain data"));
    }
    for e in &profile.efficiency {
        let (error, share) = (e.fit_error.unwrap_or(0.0) * 100.0, e.parallel_efficiency * 100.0);
        cmd.print.result(format_args!(
            "{} {}: {:.1} multiply-accumulates a cycle at {clock_mhz:.0} MHz, {:.2} cycles a value, {:.1} a value of \
             window attention, met within {error:.0} %; {} cores keep {share:.0} % each",
            e.isa,
            e.precision,
            e.macs_per_cycle,
            e.cycles_per_value,
            e.cycles_per_attended.unwrap_or(0.0),
            all.threads
        ))?;
    }
    cmd.print.result(format_args!("{}  use it: --board {0}", cmd.output.display()))
}

/// The profile without speeds: the known board's, or what the machine tells.
fn describe(cmd: &Cmd, machine: &Machine) -> Profile {
    let stem = cmd.output.file_stem().map_or_else(|| "mine".into(), |s| s.to_string_lossy().into_owned());
    let known = machine.board.as_deref().and_then(|name| Profile::open(name).ok());
    let clock = machine.max_frequency_mhz.or(machine.frequency_mhz);
    if let Some(mut profile) = known {
        profile.name = cmd.name.clone().unwrap_or(profile.name);
        // What the core can do here, which may be less than the profile's.
        profile.cores[0].clock_mhz = clock.unwrap_or(profile.cores[0].clock_mhz);
        profile.efficiency.clear();
        return profile;
    }
    let kind = machine.processor.clone().unwrap_or_else(|| "unknown".into());
    Profile {
        name: cmd.name.clone().unwrap_or(stem),
        title: machine.model.clone().unwrap_or_else(|| kind.clone()),
        soc: kind.clone(),
        device_tree: machine.model.iter().cloned().collect(),
        architecture: machine.architecture.clone().unwrap_or_else(|| std::env::consts::ARCH.into()),
        isa: String::new(),
        memory_mb: machine.memory_bytes.map(|b| (b >> 20) as u32).into_iter().collect(),
        thermal_zones: Vec::new(),
        throttle: Throttle::None,
        power_modes: false,
        camera: vec!["v4l2".into()],
        notes: Vec::new(),
        cores: vec![Cores {
            kind,
            part: None,
            count: machine.processors.max(1) as u32,
            clock_mhz: clock.unwrap_or(NO_CLOCK_MHZ),
            l1d_kb: 0,
            l2_kb: 0,
            l2_shared: false,
            l3_kb: 0,
        }],
        gpio: None,
        efficiency: Vec::new(),
    }
}

/// Times of frames in seconds, by a clock: that of this program's processor time, or of the world.
fn measure(name: &str, model: &Model, options: &PlanOptions, clock: fn() -> Duration) -> Result<Vec<f64>> {
    let (width, height) = SIZE;
    let plan =
        Plan::new(model, width, options).map_err(|source| Error::Plan { name: name.into(), source })?;
    let mut workspace = plan.workspace();
    let pixels: Vec<u8> = (0..plan.in_row_bytes() * height).map(|i| ((i * 37) >> 3) as u8).collect();
    let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
    let mut run = || {
        let start = clock();
        plan.run_image(&mut workspace, &pixels, height, &mut out)
            .map(|()| (clock() - start).as_secs_f64())
            .map_err(|source| Error::Run { name: name.into(), source })
    };
    // Once to warm up.
    run()?;
    let (begin, mut seconds) = (clock(), Vec::new());
    while seconds.len() < FRAMES || clock() - begin < TIME {
        seconds.push(run()?);
    }
    Ok(seconds)
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Share of its speed that each core keeps when all work. By the fastest frames: whatever else runs on the machine takes
/// more from all cores than from one.
fn parallel(
    (name, graph): &(&str, Graph),
    one: &PlanOptions,
    all: &PlanOptions,
    bar: &ProgressBar,
) -> Result<f64> {
    bar.set_message("all cores");
    let model = network(name, graph, false)?;
    let fastest = |options| -> Result<f64> {
        Ok(measure(name, &model, options, elapsed)?.into_iter().fold(f64::INFINITY, f64::min))
    };
    let (alone, together) = (fastest(one)?, fastest(all)?);
    bar.inc(1);
    Ok((alone / together / all.threads as f64).clamp(0.01, 1.0))
}

/// Time by a clock that other programs' work counts on, too.
fn elapsed() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}
