//! `mcir-board bench`: how fast a model is on this machine, where the time goes, and whether the figure can be trusted.

mod measure;
mod report;
mod steady;
mod system;
#[cfg(test)]
mod tests;

pub use report::{BenchReport, FirstRow, Latency, Memory, NodeTime, SCHEMA, Window};
pub use steady::warm_up;
pub use system::System;
pub use system::{Reading, processor_time, waited_ns};

use crate::estimate::size;
use mcir_upscale::args::{EngineArgs, Mode, OutputArgs};
use mcir_upscale::device::DeviceArgs;
use mcir_upscale::embedded::Kind;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use std::time::Duration;

/// Part of the time that a program may wait for a processor before its times are doubted.
pub const BUSY: f64 = 0.05;

/// Measure the speed of a model on this machine
///
/// Frames are run until the time of a frame is steady, and then at least until `--samples` or `--seconds` are
/// reached. Every node is timed, and held against the int8 peak of a core, measured in the same run: its multiplying
/// instructions on registers alone, times the threads. A run in which the machine slowed itself down is marked invalid.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Model file, folder or embedded model [default: the embedded x4 model]
    #[arg(short = 'm', long, value_name = "MODEL")]
    model: Option<String>,

    /// Size of the input image
    #[arg(long, value_name = "WxH", default_value = "320x180", value_parser = size)]
    size: (usize, usize),

    /// What the network sees: rgb, or y for brightness only; the interpolation of colour is not measured
    #[arg(long, value_name = "MODE", default_value = "rgb")]
    mode: Mode,

    /// Frames to measure after the warm-up
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    samples: u32,

    /// Stop after this time even with fewer frames
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    seconds: f64,

    /// Run for this time, five minutes unless told otherwise, however many frames it is, and show how the time of a
    /// frame develops
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "300", value_parser = seconds,
          conflicts_with_all = ["samples", "seconds"])]
    sustained: Option<f64>,

    /// Fail unless this holds: `fps=N`, `gmacs=N`, `share=N` (of the measured peak) or `memory-mb=N` (at most); may be
    /// repeated
    #[arg(long = "assert", value_name = "FLOOR", value_parser = Floor::parse)]
    floors: Vec<Floor>,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

impl Cmd {
    fn length(&self) -> measure::Length {
        match self.sustained {
            Some(seconds) => {
                measure::Length { samples: usize::MAX, time: Duration::from_secs_f64(seconds), windows: true }
            }
            None => measure::Length {
                samples: self.samples as usize,
                time: Duration::from_secs_f64(self.seconds),
                windows: false,
            },
        }
    }
}

/// Does it.
///
/// # Errors
/// What keeps the model from being read or run; [`Error::Floor`] when an assertion does not hold.
pub fn run(cmd: &Cmd) -> Result<()> {
    let model = match &cmd.model {
        Some(name) => NamedModel::open(name)?,
        None => NamedModel::default_for(4, Kind::Clean)?,
    };
    let model = if cmd.mode == Mode::Y { model.for_y()? } else { model };
    let options = cmd.engine.plan_options(1)?;
    let bar = cmd.print.progress(0);
    let gpu = cmd.device.open()?;
    let report =
        measure::bench(&model, cmd.size, (&options, gpu.as_ref()), &cmd.length(), &mut |done, what| {
            bar.set_message(what.to_string());
            bar.set_position(done);
        })?;
    bar.finish_and_clear();
    match cmd.print.json {
        true => {
            cmd.print.result(serde_json::to_string_pretty(&report).expect("the report has no odd values"))?
        }
        false if cmd.print.quiet => {}
        false => cmd.print.result(&report)?,
    }
    for reason in &report.invalid_because {
        cmd.print.note(&bar, format_args!("warning: {reason}"));
    }
    if let Some(waited) = report.waited.filter(|&waited| waited > BUSY) {
        let percent = waited * 100.0;
        cmd.print.note(
            &bar,
            format_args!(
                "warning: other programs used the processors for {percent:.0} % of the time; trust the processor time, or \
                 stop them and run again"
            ),
        );
    }
    cmd.floors.iter().try_for_each(|floor| floor.check(&report))
}

/// A figure that a run must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    figure: Figure,
    limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Figure {
    Fps,
    Gmacs,
    Share,
    MemoryMb,
}

impl Floor {
    /// From `fps=30` and the like.
    fn parse(text: &str) -> Result<Self, String> {
        let help =
            || format!("`{text}` is not fps=N, gmacs=N, share=N or memory-mb=N; give for example fps=30");
        let (name, number) = text.split_once('=').ok_or_else(help)?;
        let figure = match name {
            "fps" => Figure::Fps,
            "gmacs" => Figure::Gmacs,
            "share" => Figure::Share,
            "memory-mb" => Figure::MemoryMb,
            _ => return Err(help()),
        };
        let limit = number.parse().ok().filter(|limit: &f64| limit.is_finite() && *limit > 0.0);
        Ok(Self { figure, limit: limit.ok_or_else(help)? })
    }

    fn check(&self, report: &BenchReport) -> Result<()> {
        let (what, found, holds) = match self.figure {
            Figure::Fps => ("frames a second", report.fps, report.fps >= self.limit),
            Figure::Gmacs => ("GMAC/s", report.gmacs, report.gmacs >= self.limit),
            Figure::Share => {
                ("of the measured peak", report.share_of_peak, report.share_of_peak >= self.limit)
            }
            Figure::MemoryMb => {
                // Where the system does not tell, the engine's own exact figure is what there is.
                let bytes = report.memory.process_peak_bytes.unwrap_or(report.memory.engine_bytes as u64);
                let found = bytes as f64 / 1e6;
                ("MB of memory at the peak", found, found <= self.limit)
            }
        };
        if holds { Ok(()) } else { Err(Error::Floor { what, found, limit: self.limit }) }
    }
}

/// A time on the command line.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("`{text}` is not a time of 0.01 to 86400 seconds; give for example 30")),
    }
}
