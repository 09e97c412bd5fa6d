//! `mcir-board upscale`: image files in, larger or restored image files out.

mod many;
mod one;

use self::many::Many;
pub use self::one::{Models, Step, Upscaled, Why};
use crate::args::{self, EngineArgs, Mode, OutputArgs};
use crate::device::DeviceArgs;
use crate::error::{Error, Result};
use crate::models::{ModelArgs, NamedModel};
use crate::upscaler::Upscaler;
use mcir_files::{self as files, Format, Input, Output, terminal};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of the JSON output.
const SCHEMA: u32 = 1;

/// Upscale an image, or all images of a folder
///
/// Without --model and --strength the picture decides: a JPEG that was compressed so much that it shows is cleaned up while it is
/// enlarged, and a note says so; everything else is enlarged as it is.
///
/// Opacity is kept, grey images stay grey, photographs are turned upright. Output files appear only when they are complete;
/// a file that is replaced hands down its permissions. Images are written while they are computed, so that memory does not
/// grow with their height; only webp is held in memory as a whole.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Image or folder of images; - is the standard input
    #[arg(short = 'i', long, value_name = "PATH")]
    input: PathBuf,

    /// Image to write (its extension is the format), or folder to write images to; - is the standard output
    #[arg(short = 'o', long, value_name = "PATH")]
    output: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    /// What the network sees of colour images: rgb, or y for brightness only with interpolated colour, which is faster. Grey
    /// images are brightness only anyway, and so is all that a model for Y sees
    #[arg(long, value_name = "MODE", default_value = "rgb")]
    mode: Mode,

    /// Format of images written to a folder, to the standard output or under a name without an extension [default: png]
    #[arg(short = 'f', long, value_name = "FORMAT", value_parser = args::format())]
    format: Option<Format>,

    #[command(flatten)]
    many: Many,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// What was done, for `--json`.
#[derive(Debug, Serialize)]
struct Outcome {
    schema: u32,
    command: &'static str,
    model: String,
    precision: &'static str,
    upscale: usize,
    isa: Option<&'static str>,
    threads: usize,
    /// The GPU that the last image was made on; none for the processor.
    gpu: Option<String>,
    /// Most memory that the program had in use so far, where the system tells (Linux).
    peak_memory_bytes: Option<u64>,
    images: Vec<Upscaled>,
    failed: Vec<Failed>,
    /// Images that were left out because their output was there.
    skipped: usize,
}

#[derive(Debug, Serialize)]
struct Failed {
    input: String,
    error: String,
    help: String,
}

/// Does it.
///
/// # Errors
/// [`Error::StdoutTwice`] when image and JSON would go to the standard output; whatever keeps an image from being upscaled; for a folder, [`Error::Some`] after all others are done.
pub fn run(cmd: &Cmd) -> Result<()> {
    if cmd.print.json && cmd.output == Path::new("-") {
        return Err(Error::StdoutTwice { what: "the image and --json" });
    }
    let mut models =
        Models::choose(&cmd.model, cmd.mode, cmd.engine.plan_options(0)?, cmd.device.open()?.as_ref())?;
    let is_folder = cmd.input.is_dir();
    let (jobs, skipped, unread) = if is_folder { cmd.folder_jobs()? } else { cmd.file_job()? };
    let (total, folders) = (jobs.len(), unread.len());
    let bar = cmd.print.progress(if is_folder { total as u64 } else { 0 });
    let (mut images, mut failed) = (Vec::new(), Vec::new());
    // What is in them is not known; all else is done.
    for error in unread {
        terminal::tell_above(&bar, format_args!("error: {error}\n  help: {}", error.help()));
        let input = if let files::Error::Io { name, .. } = &error { name.clone() } else { String::new() };
        failed.push(Failed { input, error: error.to_string(), help: error.help() });
    }
    for job in jobs {
        bar.set_message(job.input.name());
        match job.run(&mut models, &bar, !is_folder) {
            Ok(done) => {
                cmd.tell(&bar, &done, models.last())?;
                images.push(done);
            }
            // A single image's error is the program's.
            Err(error) if !is_folder => {
                bar.finish_and_clear();
                return Err(error);
            }
            Err(error) => {
                terminal::tell_above(&bar, format_args!("error: {error}\n  help: {}", error.help()));
                failed.push(Failed { input: job.input.name(), error: error.to_string(), help: error.help() });
            }
        }
        if is_folder {
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if skipped > 0 {
        cmd.print.note(&bar, format_args!("{skipped} skipped: the output exists already"));
    }

    let failures = failed.len();
    if cmd.print.json {
        let upscaler = models.last();
        let plan = upscaler.plan();
        let outcome = Outcome {
            schema: SCHEMA,
            command: "upscale",
            model: upscaler.model().name.clone(),
            precision: upscaler.model().precision(),
            upscale: upscaler.model().upscale(),
            isa: plan.map(|p| p.isa().name()),
            threads: plan.map_or(0, mcir_runtime::plan::Plan::threads),
            gpu: upscaler.gpu().map(str::to_owned),
            peak_memory_bytes: peak_memory_bytes(),
            images,
            failed,
            skipped,
        };
        cmd.print.result(serde_json::to_string_pretty(&outcome).expect("an outcome is plain data"))?;
    }
    if failures > 0 { Err(Error::Some { failed: failures - folders, total, folders }) } else { Ok(()) }
}

/// The verb `restore`: with a model that does not enlarge.
///
/// # Errors
/// [`Error::NotRestoring`] without such a model, and as [`run`].
pub fn restore(cmd: &Cmd) -> Result<()> {
    let model = cmd.model.model.as_deref().map(NamedModel::open).transpose()?;
    match model {
        Some(model) if model.upscale() == 1 => run(cmd),
        model => Err(Error::NotRestoring { found: model.map(|model| (model.name.clone(), model.upscale())) }),
    }
}

impl Cmd {
    fn file_job(&self) -> Result<(Vec<Job>, usize, Vec<files::Error>)> {
        let (input, output) = (Input::new(&self.input), Output::new(&self.output));
        if input.path().is_some_and(|path| !path.exists()) {
            return Err(Error::missing(&self.input));
        }
        if self.many.is_for_folders() {
            return Err(Error::NotAFolder { path: self.input.clone() });
        }
        if self.output.is_dir() {
            let path = self.output.clone();
            return Err(Error::OutputKind { path, input: "file", output: "folder" });
        }
        if input.is(&output) {
            return Err(Error::OutputIsInput { path: self.output.clone() });
        }
        let format = match output.path() {
            None => self.format.unwrap_or(Format::Png),
            Some(path) => match (Format::of(path), self.format) {
                (Err(_), Some(format)) if path.extension().is_none() => format,
                (format, _) => format?,
            },
        };
        let job = Job { input, output: Ok(output), format };
        let is_done = self.many.is_done(&job);
        Ok((if is_done { Vec::new() } else { vec![job] }, usize::from(is_done), Vec::new()))
    }

    fn folder_jobs(&self) -> Result<(Vec<Job>, usize, Vec<files::Error>)> {
        if self.output.is_file() || self.output == Path::new("-") {
            let path = self.output.clone();
            return Err(Error::OutputKind { path, input: "folder", output: "file" });
        }
        if same(&self.input, &self.output) {
            return Err(Error::OutputIsInput { path: self.output.clone() });
        }
        let format = self.format.unwrap_or(Format::Png);
        self.many.jobs(&self.input, &self.output, format, self.print.quiet)
    }

    fn tell(
        &self,
        bar: &mcir_files::terminal::ProgressBar,
        done: &Upscaled,
        upscaler: &Upscaler,
    ) -> Result<()> {
        for note in &done.notes {
            self.print.note(bar, format_args!("note: {} {note}", done.input));
        }
        if !self.print.quiet && !self.print.json {
            let (width, height) = (done.width, done.height);
            let line = format_args!("{}  {width}x{height}  {:.0} ms", done.output, done.engine_ms);
            if self.output == Path::new("-") {
                self.print.note(bar, line);
            } else {
                bar.suspend(|| self.print.result(line))?;
            }
        }
        if let (true, Some(gpu)) = (self.print.verbose, upscaler.gpu()) {
            let model = upscaler.model();
            let memory = upscaler.memory_bytes().unwrap_or(0) as f64 / 1e6;
            let line = format_args!(
                "{} {} x{}: {gpu}, {memory:.1} MB of working memory",
                model.name,
                model.precision(),
                model.upscale(),
            );
            self.print.note(bar, line);
        } else if let (true, Some(plan)) = (self.print.verbose, upscaler.plan()) {
            let model = upscaler.model();
            let memory = upscaler.memory_bytes().unwrap_or(0) as f64 / 1e6;
            self.print.note(
                bar,
                format_args!(
                    "{} {} x{}: {} on {} threads, bands of {} rows, {memory:.1} MB of working memory",
                    model.name,
                    model.precision(),
                    model.upscale(),
                    plan.isa().name(),
                    plan.threads(),
                    plan.band(),
                ),
            );
        }
        Ok(())
    }
}

/// One image to upscale.
struct Job {
    input: Input,
    /// Where to, or the name that is taken and by which input.
    output: Result<Output, (PathBuf, PathBuf)>,
    format: Format,
}

impl Job {
    fn run(
        &self,
        models: &mut Models,
        bar: &mcir_files::terminal::ProgressBar,
        rows_on_bar: bool,
    ) -> Result<Upscaled> {
        let output = self
            .output
            .as_ref()
            .map_err(|(output, first)| Error::SameName { output: output.clone(), first: first.clone() })?;
        let mut watch = |step| {
            if let (Step::Rows { done, of }, true) = (step, rows_on_bar) {
                bar.set_length(of as u64);
                bar.set_position(done as u64);
            }
            true
        };
        models.upscale(&self.input, output, self.format, &mut watch)
    }
}

/// Whether two paths are the same existing file or folder.
fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The high-water mark of resident memory.
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
