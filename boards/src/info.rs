//! `mcir-board info`: what a machine is and how it feels just now.

use mcir_deploy::target::{Reach, Target};
use mcir_report::machine::{Machine, Throttled};
use mcir_upscale::args::OutputArgs;
use mcir_upscale::device::{GpuInfo, gpus};
use mcir_upscale::error::Result;

/// Say what a board is: model, cores, instruction set, clock, temperature, throttling
///
/// Needs nothing of this project on the board, only a shell.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Board: ssh://user@host[:port] [default: this machine]
    #[arg(long, value_name = "TARGET", env = "MCIR_TARGET", value_parser = Target::parse)]
    target: Option<Target>,

    #[command(flatten)]
    reach: Reach,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// When the board cannot be reached.
pub fn run(cmd: &Cmd) -> Result<()> {
    let machine = match &cmd.target {
        None => Machine::here(),
        Some(target) => Machine::of(&target.snapshot(&cmd.reach)?),
    };
    // What a shell on another machine does not tell.
    let gpus = if cmd.target.is_none() { gpus().unwrap_or_default() } else { Vec::new() };
    if cmd.print.json {
        let target = cmd.target.as_ref().map(ToString::to_string);
        let object = serde_json::json!({ "schema": 1, "command": "info", "target": target, "machine": machine, "gpus": gpus });
        return cmd.print.result(serde_json::to_string_pretty(&object).expect("a machine is plain data"));
    }
    let text = text(&machine) + &gpus.iter().map(gpu_line).collect::<String>();
    cmd.print.result(text.trim_end())
}

/// A line for each thing that the machine tells.
fn text(m: &Machine) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            out += &format!("{label:13}{value}\n");
        }
    };
    let gib = |bytes: u64| format!("{:.2} GB", bytes as f64 * 1e-9);
    line("model", m.model.clone());
    let board = m.board.clone();
    line("board", Some(board.unwrap_or_else(|| "no profile fits; `mcir-board profile` measures one".into())));
    let processor = m.processor.clone().or_else(|| m.architecture.clone());
    line("processor", processor.map(|p| format!("{} x {p}", m.processors)));
    line("architecture", m.architecture.clone());
    line("engine", m.isa.map(|isa| format!("{isa} (of {})", m.features.join(", "))));
    line(
        "memory",
        m.memory_bytes.map(|all| match m.memory_available_bytes {
            Some(free) => format!("{}, {} available", gib(all), gib(free)),
            None => gib(all),
        }),
    );
    line(
        "clock",
        m.frequency_mhz.map(|now| match m.max_frequency_mhz {
            Some(max) => format!("{now:.0} of {max:.0} MHz"),
            None => format!("{now:.0} MHz"),
        }),
    );
    line("governor", m.governor.clone());
    line("temperature", m.temperature_c.map(|c| format!("{c:.1} °C")));
    line("throttling", m.throttled.as_ref().map(throttling));
    line("power mode", m.power_mode.clone());
    line("system", m.system.clone());
    line("kernel", m.kernel.clone());
    out
}

/// A GPU, by the number that `--device` takes.
fn gpu_line(gpu: &GpuInfo) -> String {
    let fit = match &gpu.lacks {
        Some(lacks) => format!("; not used: {lacks}"),
        None if !gpu.dot_product => "; slow for int8: its driver calls no product of bytes fast".into(),
        None => String::new(),
    };
    let label = format!("gpu:{}", gpu.index);
    format!("{label:13}{}, {}, {}, Vulkan {}{fit}\n", gpu.name, gpu.kind, gpu.driver, gpu.vulkan)
}

fn throttling(t: &Throttled) -> String {
    let list = |words: &[&str]| if words.is_empty() { "no".to_owned() } else { words.join(", ") };
    format!("now: {}; since the start: {} ({:#x})", list(&t.now), list(&t.since_start), t.raw)
}
