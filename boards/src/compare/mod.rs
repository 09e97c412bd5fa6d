//! `mcir-board compare`: quality and speed of models against bicubic interpolation and one another, on this machine or
//! on boards.

pub mod remote;

use mcir_deploy::DeployError;
use mcir_deploy::target::{Reach, Target};
use mcir_files::{Pending, terminal};
use mcir_report::data::TestSet;
use mcir_report::estimate::size;
use mcir_report::here::{self, Settings};
use mcir_report::measure::Timing;
use mcir_report::page;
use mcir_report::report::{HERE, Latency, Report};
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::args::{EngineArgs, OutputArgs, all_threads};
use mcir_upscale::device::DeviceArgs;
use mcir_upscale::embedded;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use std::path::PathBuf;
use std::time::Duration;

/// Compare models and bicubic interpolation: quality, latency, pictures
///
/// Without arguments, the embedded models on test cards that the program draws itself, on this machine. With `--target`,
/// on each of these boards, by the program that is flashed there or one that is uploaded and removed again; a board
/// that cannot be measured gets a line with the reason.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Model file, folder with model.f32.mcir and model.int8.mcir, or embedded model; may be repeated
    /// [default: all embedded models]
    #[arg(short = 'm', long = "model", value_name = "MODEL")]
    models: Vec<String>,

    /// Only models that upscale by this factor
    #[arg(short = 's', long = "upscale", value_name = "FACTOR", value_parser = clap::value_parser!(u8).range(1..=8))]
    upscale: Option<u8>,

    /// Folder of high-resolution images, or one with `HR` and `LR/X4`, `LR/X1` or `LR_bicubic/X4` in it; may be repeated, for
    /// clean and damaged images side by side [default: drawn test cards]
    #[arg(long, value_name = "DIR")]
    data: Vec<PathBuf>,

    /// Size of the image that latency is measured with
    #[arg(long, value_name = "WxH", default_value = "320x180", value_parser = latency_size)]
    size: (usize, usize),

    /// Time to measure each latency for; at least 3 runs, at most 200
    #[arg(long, value_name = "SECONDS", default_value_t = 1.5, value_parser = mcir_report::bench::seconds)]
    seconds: f64,

    /// Write a web page with plots, and the pictures side by side
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Board to measure on, ssh://user@host:port/folder (port and folder may be left out) or local:FOLDER; may be
    /// repeated [default: this machine]
    #[arg(long = "target", value_name = "TARGET", value_parser = Target::parse, conflicts_with = "device")]
    targets: Vec<Target>,

    /// mcir-board as built for a board, to be uploaded instead of what is flashed there; may be repeated for boards of
    /// several kinds [default: the flashed program, or this one, or one of its release or built beside it where it fits]
    #[arg(long = "binary", visible_alias = "program", value_name = "FILE", requires = "targets")]
    binaries: Vec<PathBuf>,

    #[command(flatten)]
    reach: Reach,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// What keeps a model from being read or run here; after the report, [`Error::Some`] when images had to be left out and
/// [`DeployError::SomeTargets`] when boards could not be measured.
pub fn run(cmd: &Cmd) -> Result<()> {
    let models = cmd.open_models()?;
    let set = if cmd.data.is_empty() { TestSet::cards() } else { TestSet::folders(&cmd.data)? };
    let timing = Timing { size: cmd.size, time: Duration::from_secs_f64(cmd.seconds) };
    // A page that cannot be written is told before anything is measured.
    let file = cmd.report.as_deref().map(Pending::create).transpose()?;
    let bar = cmd.print.progress(0);
    if let Some(note) = &set.note {
        cmd.print.note(&bar, format_args!("note: {note}"));
    }
    let mut plates = cmd.report.is_some().then(Vec::new);
    // One thread: a figure that does not depend on how many processors there are and what else they do.
    let report = if cmd.targets.is_empty() {
        let settings =
            Settings { options: cmd.engine.plan_options(1)?, gpu: cmd.device.open()?, timing: Some(timing) };
        here::measure(models, &set, &settings, plates.as_mut(), &mut progress(&bar, &cmd.print))?
    } else {
        // The pictures, and the bits that all boards should have.
        let options = PlanOptions::default().threads(all_threads());
        let settings = Settings { options, gpu: None, timing: None };
        let job = remote::Job::new(&models, &set, timing, &cmd.engine)?;
        let reference =
            here::measure(models, &set, &settings, plates.as_mut(), &mut progress(&bar, &cmd.print))?;
        let mut report = Report { targets: Vec::new(), sections: Vec::new(), ..reference.clone() };
        report.latency = Latency {
            width: cmd.size.0,
            height: cmd.size.1,
            threads: cmd.engine.threads.map_or(1, usize::from),
        };
        for target in &cmd.targets {
            let name = target.to_string();
            let mut doing = progress(&bar, &cmd.print);
            let doing = &mut |at: here::Progress<'_>| doing(here::Progress { target: &name, ..at });
            match remote::measure(target, &cmd.reach, &cmd.binaries, &job, doing) {
                Ok(of_target) => report.add(&name, of_target, &reference.sections),
                Err(error) => {
                    // Most errors of boards name them.
                    let text = error.to_string();
                    let place = if text.contains(&name) { String::new() } else { format!("{name}: ") };
                    terminal::tell_above(
                        &bar,
                        format_args!("error: {place}{text}\n  help: {}", error.help()),
                    );
                    report.add_failed(&name, &error);
                }
            }
        }
        report
    };
    bar.finish_and_clear();
    for target in &report.targets {
        for reason in &target.invalid_because {
            cmd.print.note(&bar, format_args!("warning: {}: {reason}", target.target));
        }
    }
    if let (Some(path), Some(file), Some(plates)) = (&cmd.report, file, &plates) {
        page::write(file, path, &report, plates)?;
        cmd.print.note(&bar, format_args!("the page with the pictures is {}", path.display()));
    }
    if cmd.print.json {
        cmd.print.result(serde_json::to_string_pretty(&report).expect("a report is plain data"))?;
    } else if !cmd.print.quiet {
        cmd.print.result(report.to_string().trim_end())?;
    }
    if report.failed() > 0 {
        let (failed, total) = (report.failed(), report.targets.len());
        return Err(DeployError::SomeTargets { failed, total }.into());
    }
    match report.skipped.len() {
        0 => Ok(()),
        failed => {
            let done: usize = report.sections.iter().map(|s| s.images.len()).sum();
            Err(Error::Some { failed, total: done + failed, folders: 0 })
        }
    }
}

/// Shows progress on a bar, and errors of single images above it.
fn progress<'a>(
    bar: &'a mcir_files::terminal::ProgressBar,
    print: &'a OutputArgs,
) -> impl FnMut(here::Progress<'_>) + 'a {
    move |at| {
        bar.set_length(at.total);
        bar.set_position(at.done);
        match at.target {
            HERE => bar.set_message(at.what.to_owned()),
            target => bar.set_message(format!("{target}: {}", at.what)),
        }
        if let Some(error) = at.error {
            terminal::tell_above(bar, format_args!("error: {error}\n  help: {}", error.help()));
        }
        if print.verbose && at.target != HERE {
            print.note(bar, format_args!("{}: {}", at.target, at.what));
        }
    }
}

/// Most pixels of the image that latency is measured with: its output has to fit into a board's memory.
const MAX_LATENCY_PIXELS: usize = 1 << 22;

fn latency_size(text: &str) -> Result<(usize, usize), String> {
    let (width, height) = size(text)?;
    match width * height <= MAX_LATENCY_PIXELS {
        true => Ok((width, height)),
        false => Err(format!("it has {} pixels; the limit is {MAX_LATENCY_PIXELS}", width * height)),
    }
}

impl Cmd {
    /// The models to compare.
    fn open_models(&self) -> Result<Vec<NamedModel>> {
        let models: Vec<_> = if self.models.is_empty() {
            let both = |m| [NamedModel::from_embedded(m, true), NamedModel::from_embedded(m, false)];
            // Camera models are for damaged pictures, and these are clean; `--data` with such pictures names its models.
            let clean = embedded::MODELS.iter().filter(|m| m.kind == embedded::Kind::Clean);
            clean.flat_map(both).collect::<Result<_>>()?
        } else {
            let forms = self.models.iter().map(|name| NamedModel::forms(name)).collect::<Result<Vec<_>>>()?;
            forms.into_iter().flatten().collect()
        };
        let Some(upscale) = self.upscale.map(usize::from) else { return Ok(models) };
        let fitting: Vec<_> = models.into_iter().filter(|m| m.upscale() == upscale).collect();
        match fitting.is_empty() {
            true => Err(Error::NoEmbedded { upscale, embedded: embedded::names() }),
            false => Ok(fitting),
        }
    }
}
