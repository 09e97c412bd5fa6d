//! `mcir-board profile`: measures this machine and writes its profile.

use super::calibrate::{network, networks};
use super::fit::{Frame, Sample, Together, fit, fit_together};
use crate::bench::{processor_time, waited_ns};
use crate::machine::Machine;
use crate::profiles::{Cores, Efficiency, Profile, ProfileError, Throttle, Work};
use mcir_files::{Pending, terminal};
use mcir_runtime::exec::Workspace;
use mcir_runtime::model::{Graph, Model};
use mcir_runtime::plan::{Plan, PlanOptions};
use mcir_upscale::args::{EngineArgs, OutputArgs, all_threads};
use mcir_upscale::error::{Error, Result};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Size of the frames: as wide as they are in use, and of as few rows as show the speed; whole windows.
const SIZE: (usize, usize) = (320, 64);
/// Frames of each network, at least, and until this time is over.
const FRAMES: usize = 5;
const TIME: Duration = Duration::from_millis(800);
/// Time in which one core and all of them take turns with a network.
const PARALLEL_TIME: Duration = Duration::from_millis(1500);
/// Part of that time in which threads may wait for a core that another program has.
const MAX_WAITED: f64 = 0.05;
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
    // A file that cannot be written is told before a minute of measuring.
    let mut file = Pending::create(&cmd.output)?;
    let machine = Machine::here();
    let mut profile = describe(cmd, &machine);
    let clock_mhz = profile.cores[0].clock_mhz;
    let networks = networks();
    let bar = cmd.print.progress(3 * networks.len() as u64);
    let one = cmd.engine.plan_options(1)?;
    let isa = one.isa.unwrap_or_else(mcir_runtime::Isa::best).name();
    profile.isa = isa.into();
    let all = one.threads(all_threads());
    let source = format!("measured by mcir-board {} profile on this machine", env!("CARGO_PKG_VERSION"));
    for float in [false, true] {
        let mut frames = Vec::new();
        for (name, graph) in &networks {
            let model = network(name, graph, float)?;
            bar.set_message(format!("{} {name}", if float { "f32" } else { "int8" }));
            frames.push(frame(name, &model, &one, clock_mhz * 1e6)?);
            bar.inc(1);
        }
        let fitted = fit(&frames).ok_or_else(|| ProfileError::Times { times: format!("{frames:?}") })?;
        let (parallel_efficiency, join_cycles) = if float || all.threads == 1 {
            let measured = |e: &Efficiency| (e.parallel_efficiency, e.join_cycles);
            profile.efficiency.first().map_or((1.0, 0.0), measured)
        } else {
            let (mut frames, begin, waited) = (Vec::new(), elapsed(), waited_ns());
            for (name, graph) in &networks {
                bar.set_message(format!("all cores {name}"));
                frames.push(parallel(name, graph, &one, &all, clock_mhz * 1e6)?);
                bar.inc(1);
            }
            let waited = waited_ns().zip(waited).map_or(0, |(after, before)| after.saturating_sub(before));
            let waited = waited as f64 / (elapsed() - begin).as_nanos() as f64;
            if waited > MAX_WAITED {
                terminal::tell_above(
                    &bar,
                    format_args!(
                        "warning: other programs kept the cores busy, threads waited {:.0} % of the time: the \
                         estimates for all cores will be too slow; measure again when the machine is idle",
                        waited * 100.0
                    ),
                );
            }
            fit_together(&frames).unwrap_or((1.0, 0.0))
        };
        let precision = if float { "f32" } else { "int8" };
        profile.efficiency.push(Efficiency {
            parallel_efficiency,
            join_cycles,
            source: source.clone(),
            ..fitted.named(&profile.cores[0].kind, isa, precision)
        });
    }
    bar.finish_and_clear();
    file.write_all(profile.to_toml().as_bytes()).map_err(Error::io("write", &cmd.output))?;
    file.finish()?;
    if cmd.print.json {
        let object = serde_json::json!({ "schema": 1, "command": "profile", "output": cmd.output, "profile": profile });
        return cmd.print.result(serde_json::to_string_pretty(&object).expect("a profile is plain data"));
    }
    for e in &profile.efficiency {
        let (error, share) = (e.fit_error.unwrap_or(0.0) * 100.0, e.parallel_efficiency * 100.0);
        cmd.print.result(format_args!(
            "{} {}: {:.1} multiply-accumulates a cycle at {clock_mhz:.0} MHz, {:.2} cycles a value{}; met within \
             {error:.0} %; {} cores keep {share:.0} % each and take {:.0} cycles to meet",
            e.isa,
            e.precision,
            e.macs_per_cycle,
            e.cycles_per_value,
            e.operators.map_or(String::new(), |o| format!(
                "; layer norm {:.1} a pixel and {:.2} a value, attention {:.2} a score and {:.3} a multiplication, \
                 activation {:.2} a value",
                o.norm_pixel, o.norm_value, o.attention_score, o.attention_mac, o.activation
            )),
            all.threads,
            e.join_cycles
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
        gpu: None,
        efficiency: Vec::new(),
    }
}

/// A plan with all that a frame needs.
struct Bench<'a> {
    name: &'a str,
    plan: Plan,
    workspace: Workspace,
    pixels: Vec<u8>,
    out: Vec<u8>,
}

impl<'a> Bench<'a> {
    /// Runs a frame to warm up.
    fn new(name: &'a str, model: &Model, options: &PlanOptions) -> Result<Self> {
        let (width, height) = SIZE;
        let plan =
            Plan::new(model, width, options).map_err(|source| Error::Plan { name: name.into(), source })?;
        let mut bench = Self {
            name,
            workspace: plan.workspace(),
            pixels: (0..plan.in_row_bytes() * height).map(|i| ((i * 37) >> 3) as u8).collect(),
            out: vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())],
            plan,
        };
        bench.frame(elapsed)?;
        Ok(bench)
    }

    /// Time of a frame in seconds, by a clock: that of this program's processor time, or of the world.
    fn frame(&mut self, clock: fn() -> Duration) -> Result<f64> {
        let start = clock();
        self.plan
            .run_image(&mut self.workspace, &self.pixels, SIZE.1, &mut self.out)
            .map(|()| (clock() - start).as_secs_f64())
            .map_err(|source| Error::Run { name: self.name.into(), source })
    }

    /// Processor time of each node in a frame, in seconds.
    fn nodes(&mut self) -> Result<Vec<f64>> {
        let mut clock = || processor_time().as_nanos() as u64;
        let spent = self.plan.profile(&mut self.workspace, &self.pixels, SIZE.1, &mut clock);
        let spent = spent.map_err(|source| Error::Run { name: self.name.into(), source })?;
        Ok(spent.iter().map(|&ns| ns as f64 * 1e-9).collect())
    }
}

/// Times a network: whole frames, and how they are divided among its nodes. Reading the clock at every step takes time
/// itself, so only the shares are from there.
fn frame(name: &str, model: &Model, options: &PlanOptions, hertz: f64) -> Result<Frame> {
    let mut bench = Bench::new(name, model, options)?;
    let (begin, mut seconds, mut nodes) = (processor_time(), Vec::new(), Vec::<Vec<f64>>::new());
    while seconds.len() < FRAMES || processor_time() - begin < TIME {
        seconds.push(bench.frame(processor_time)?);
        nodes.push(bench.nodes()?);
    }
    let shares: Vec<f64> =
        (0..nodes[0].len()).map(|id| median(nodes.iter().map(|spent| spent[id]).collect())).collect();
    let cycles = median(seconds) * hertz / shares.iter().sum::<f64>();
    let pixels = Work::pixels(model, SIZE);
    let mut sums: [Option<Sample>; 4] = [None; 4];
    for (id, share) in (0_u16..).zip(&shares) {
        let of_node = Work::of_node(model, id, pixels);
        let kind = if of_node.norm_pixels > 0.0 {
            1
        } else if of_node.scores > 0.0 {
            2
        } else if of_node.activated > 0.0 {
            3
        } else {
            0
        };
        let sum = sums[kind].get_or_insert(Sample { work: Work::default(), cycles: 0.0 });
        sum.cycles += share * cycles;
        if id > 0 {
            sum.work.add(&Work::of_node(model, id, pixels));
        }
    }
    let [plain, norms, attention, activations] = sums.map(|sum| sum.into_iter().collect());
    Ok(Frame { plain, norms, attention, activations })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Cycles of a frame on one core, on all of them, and how often these meet. By the fastest frames, one and all cores in
/// turn: whatever else runs on the machine takes more from all cores than from one.
fn parallel(name: &str, graph: &Graph, one: &PlanOptions, all: &PlanOptions, hertz: f64) -> Result<Together> {
    let model = network(name, graph, false)?;
    let mut benches = [Bench::new(name, &model, one)?, Bench::new(name, &model, all)?];
    let (begin, mut fastest) = (elapsed(), [f64::INFINITY; 2]);
    while elapsed() - begin < PARALLEL_TIME {
        for (bench, fastest) in benches.iter_mut().zip(&mut fastest) {
            *fastest = fastest.min(bench.frame(elapsed)?);
        }
    }
    let [alone, together] = fastest.map(|seconds| seconds * hertz);
    let plan = &benches[1].plan;
    Ok(Together { alone, together, share: plan.largest_share(), joins: plan.joins(SIZE.1) })
}

/// Time by a clock that other programs' work counts on, too.
fn elapsed() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}
