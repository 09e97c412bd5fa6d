//! Groups of options that mean the same in every verb.

use crate::error::{Error, Result};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use mcir_files::{Format, terminal};
use mcir_runtime::Isa;
use mcir_runtime::plan::{MAX_THREADS, PlanOptions};

/// How the engine runs.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// Threads [default: all processors; for compare and bench 1]
    #[arg(short = 'j', long, value_name = "THREADS", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,

    /// Pin each thread of the engine to one of the processors that this program may run on, for example those that taskset gives it (Linux)
    #[arg(long)]
    pub pin: bool,

    /// Instruction set, for example scalar [default: the fastest that this processor has]
    #[arg(long, value_name = "NAME")]
    pub isa: Option<String>,
}

impl EngineArgs {
    /// What the engine is told; on `default_threads` threads, 0 for all processors, when none are asked for.
    ///
    /// # Errors
    /// [`Error::Isa`] when there is no such instruction set.
    pub fn plan_options(&self, default_threads: usize) -> Result<PlanOptions> {
        let isa = self.isa.as_deref().map(isa).transpose()?;
        let threads = match self.threads.map_or(default_threads, usize::from) {
            0 => all_threads(),
            threads => threads.min(MAX_THREADS),
        };
        Ok(PlanOptions::default().isa(isa).threads(threads).pinned(self.pin))
    }
}

/// What the network sees of colour pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// All colours; a network for brightness sees just that
    #[default]
    Rgb,
    /// Brightness only, with a third of the work at both ends of the network; colour is interpolated, as eyes see little
    /// detail in it
    Y,
}

/// As many threads as there are processors, if the engine takes that many.
pub fn all_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

fn isa(name: &str) -> Result<Isa> {
    Isa::from_name(name).filter(|isa| isa.is_available()).ok_or_else(|| Error::Isa {
        name: name.into(),
        available: Isa::available().map(Isa::name).collect::<Vec<_>>().join(", "),
    })
}

/// What is printed.
#[derive(Debug, Clone, clap::Args)]
pub struct OutputArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    pub json: bool,

    /// Print errors only
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more about what is being done
    #[arg(short, long)]
    pub verbose: bool,

    /// Draw no progress bar; there is none either when the standard error is not a terminal
    #[arg(long)]
    pub no_progress: bool,
}

impl OutputArgs {
    /// A bar over `steps` steps, hidden when it is not wanted.
    pub fn progress(&self, steps: u64) -> mcir_files::terminal::ProgressBar {
        terminal::bar(steps, !(self.quiet || self.no_progress))
    }

    /// A bar over bytes that are sent, hidden when it is not wanted.
    pub fn bytes(&self, bytes: u64) -> mcir_files::terminal::ProgressBar {
        terminal::bar_of_bytes(bytes, !(self.quiet || self.no_progress))
    }

    /// Prints the result. A reader that has gone away, as `head` does, is no error.
    ///
    /// # Errors
    /// [`mcir_files::Error::Io`] when the standard output cannot be written to.
    pub fn result(&self, text: impl std::fmt::Display) -> Result<()> {
        Ok(terminal::print(text)?)
    }

    /// A line for the user beside the result.
    pub fn note(&self, bar: &mcir_files::terminal::ProgressBar, line: impl std::fmt::Display) {
        if !self.quiet {
            terminal::tell_above(bar, line);
        }
    }
}

/// A parser of image formats for clap.
pub fn format() -> impl TypedValueParser<Value = Format> {
    let value = |format: Format| {
        let value = PossibleValue::new(format.extension()).help(format.description());
        match format {
            Format::Jpeg => value.alias("jpeg"),
            Format::Tiff => value.alias("tif"),
            _ => value,
        }
    };
    let parser = PossibleValuesParser::new(Format::ALL.map(value));
    parser.map(|name| Format::from_extension(&name).expect("clap only lets formats through"))
}
