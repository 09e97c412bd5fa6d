//! The subcommands, and what they share: files, progress, output.

pub mod check;
pub mod export_onnx;
pub mod inspect;
pub mod prepare;
pub mod run;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
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
        let bar = ProgressBar::new(0);
        if self.quiet || self.no_progress {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{msg:18} [{bar:30}] {pos}/{len} {eta}");
        bar.set_style(style.expect("the template is valid").progress_chars("=> "));
        Bar(bar)
    }

    /// Tells which images were left out.
    pub fn warn_skipped(&self, folder: &Path, skipped: &[Skipped]) {
        if !self.quiet {
            for Skipped { name, reason } in skipped {
                eprintln!("warning: {} left out: it {reason}", folder.join(name).display());
            }
        }
    }

    pub fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// A bar on the standard error, hidden when that is not a terminal.
pub struct Bar(ProgressBar);

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

/// Reads a model file.
pub fn load_model(path: &Path) -> Result<Model> {
    let bytes =
        std::fs::read(path).map_err(|source| QuantizeError::Read { path: path.to_path_buf(), source })?;
    let model = Model::from_bytes(bytes);
    Ok(model.map_err(|source| QuantizeError::Load { path: path.to_path_buf(), source })?)
}

/// Writes a file under a temporary name and renames it, so that it is whole or not there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| {
        // The error at hand is the one to tell; a left-over temporary file does no harm.
        let _ = std::fs::remove_file(&temporary);
        QuantizeError::Write { path: path.to_path_buf(), source }.into()
    })
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
    let probe = folder.join(format!(".mcir-quantize.{}.tmp", std::process::id()));
    std::fs::File::create(&probe)
        .and_then(|_| std::fs::remove_file(&probe))
        .map_err(|source| QuantizeError::Write { path: output.to_path_buf(), source })?;
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
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Prints a value as JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
