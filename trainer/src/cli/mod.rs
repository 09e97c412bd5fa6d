//! Command line: one file a verb.

/// A line of the result, or several, on the standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::say(&format!($($text)*)) };
}
/// A line for the user on the standard error.
macro_rules! tell {
    ($($text:tt)*) => { mcir_files::terminal::tell(format_args!($($text)*)) };
}

mod ablate;
mod blend;
mod degrade;
mod eval;
mod export;
mod import;
mod progress;
mod qat;
mod runs;
mod settings;
mod study;
mod train;

use burn::tensor::Device;
use clap::{Args as ClapArgs, Parser, Subcommand};
use mcir_trainer::device::Backend;
use std::sync::atomic::{AtomicBool, Ordering};

/// Trains, evaluates, imports and exports super-resolution networks.
#[derive(Debug, Parser)]
#[command(name = "mcir-train", version)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Train a network, or resume a run
    Train(train::Args),
    /// Run a grid of settings and seeds and tabulate the results
    Ablate(ablate::Args),
    /// Run the pairs of a study's plan, and continue where it stopped
    Study(study::Args),
    /// Measure PSNR and SSIM of a checkpoint or model file on a folder of images
    Eval(eval::Args),
    /// Make a model file from published PyTorch weights
    Import(import::Args),
    /// Write the model file of a checkpoint
    Export(export::Args),
    /// Tune a float model until it loses less in int8
    Qat(qat::Args),
    /// Make the network between two that were trained one from the other
    Blend(blend::Args),
    /// Make damaged low-resolution images as training does, for a test set or to look at
    Degrade(degrade::Args),
}

/// Options that every verb takes.
#[derive(Debug, ClapArgs)]
struct Common {
    /// Where to compute
    #[arg(long, value_enum, default_value_t = Backend::Cpu, env = "MCIR_DEVICE")]
    device: Backend,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Print nothing but the result
    #[arg(short, long)]
    quiet: bool,
    /// Show no progress line
    #[arg(long)]
    no_progress: bool,
}

impl Common {
    /// The device of a verb that uses one.
    fn device(&self) -> anyhow::Result<Device> {
        Ok(self.device.devices(1)?.remove(0))
    }
}

/// Runs the verb.
pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.verb {
        Verb::Train(args) => train::run(args),
        Verb::Ablate(args) => ablate::run(args),
        Verb::Study(args) => study::run(args),
        Verb::Eval(args) => eval::run(args),
        Verb::Import(args) => import::run(args),
        Verb::Export(args) => export::run(args),
        Verb::Qat(args) => qat::run(args),
        Verb::Blend(args) => blend::run(args),
        Verb::Degrade(args) => degrade::run(args),
    }
}

/// Whether a result could not be written.
static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Prints a result. A reader that has gone away does not end a training; nor does a full disk, but it is told, and
/// [`is_written`] knows.
fn say(text: &str) {
    if let Err(error) = mcir_files::terminal::print(text.trim_end_matches('\n')) {
        UNWRITTEN.store(true, Ordering::Relaxed);
        tell!("error: {error}");
    }
}

/// Whether all results could be written.
pub fn is_written() -> bool {
    !UNWRITTEN.load(Ordering::Relaxed)
}
