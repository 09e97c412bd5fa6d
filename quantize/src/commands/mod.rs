//! The subcommands, and what they share: files, progress, output.

pub mod check;
pub mod export_onnx;
pub mod import;
pub mod inspect;
pub mod package;
pub mod prepare;
pub mod run;

use anyhow::Result;
use mcir_files::{Pending, name, terminal};
use mcir_quantize::QuantizeError;
use mcir_quantize::error::Skipped;
use mcir_quantize::parallel::{Progress, default_threads};
use mcir_runtime::model::Model;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The gate is not met.
pub const EXIT_GATE: u8 = 3;

/// Options of all commands that take a while.
#[derive(clap::Args)]
pub struct Common {
    /// Threads; the result does not depend on it [default: all cores]
    #[arg(short = 'j', long)]
    threads: Option<usize>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    pub json: bool,
    /// Show no progress bar
    #[arg(long)]
    no_progress: bool,
    /// Print errors and the result only
    #[arg(short, long)]
    quiet: bool,
}

impl Common {
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(default_threads).clamp(1, 64)
    }

    pub fn progress(&self) -> Bar {
        Bar(terminal::bar(0, !(self.quiet || self.no_progress)))
    }

    /// Tells which images were left out.
    pub fn warn_skipped(&self, folder: &Path, skipped: &[Skipped]) {
        if !self.quiet {
            for Skipped { name: file, reason } in skipped {
                terminal::tell(format_args!(
                    "warning: {} left out: it {reason}",
                    name::text(&folder.join(file))
                ));
            }
        }
    }

    pub fn note(&self, text: &str) {
        if !self.quiet {
            terminal::tell(text);
        }
    }
}

/// The engine that a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Ours
    Mcir,
    /// NVIDIA's: symmetric activations, by way of `export-onnx --for tensorrt`
    Tensorrt,
}

/// A bar on the standard error, hidden when that is not a terminal.
pub struct Bar(terminal::ProgressBar);

impl Progress for Bar {
    fn begin(&self, stage: &str, total: usize) {
        self.0.reset();
        self.0.set_length(total as u64);
        self.0.set_message(stage.to_string());
    }

    fn step(&self) {
        self.0.inc(1);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// Longest model file; the format itself allows no more.
const MAX_MODEL_BYTES: u64 = 1 << 28;

/// Reads a model file.
pub fn load_model(path: &Path) -> Result<Model> {
    let bytes = match mcir_files::bytes(path, MAX_MODEL_BYTES) {
        // No model is shorter than its header: that is the error to tell.
        Err(mcir_files::Error::Empty { .. }) => Vec::new(),
        bytes => bytes.map_err(QuantizeError::from)?,
    };
    let model = Model::from_bytes(bytes);
    Ok(model.map_err(|source| QuantizeError::Load { path: path.to_path_buf(), source })?)
}

/// Writes a file that is whole or not there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = Pending::create(path)?;
        file.write_all(bytes).map_err(mcir_files::Error::io("write", path))?;
        file.finish()
    };
    Ok(write().map_err(QuantizeError::from)?)
}

/// Refuses, before any work, an output path that cannot be written or is the input.
pub fn check_output(output: &Path, inputs: &[&Path]) -> Result<()> {
    let folder = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    anyhow::ensure!(
        folder.is_dir() && output.file_name().is_some() && !output.is_dir(),
        "cannot write {}: it is not a file name in an existing folder; make the folder first",
        output.display()
    );
    // A disk that cannot be written to is found out now, not after minutes of work.
    Pending::create(output).map_err(QuantizeError::from)?;
    for input in inputs {
        if let (Ok(a), Ok(b)) = (output.canonicalize(), input.canonicalize()) {
            anyhow::ensure!(
                a != b,
                "the output {} is the input; choose another output path",
                output.display()
            );
        }
    }
    Ok(())
}

/// Prints to the standard output; a reader that went away (`| head`) is no error.
pub fn print(text: &str) -> Result<()> {
    Ok(terminal::print(text.trim_end_matches('\n')).map_err(QuantizeError::from)?)
}

/// Prints a value as JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
