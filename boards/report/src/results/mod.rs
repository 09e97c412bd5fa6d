//! `mcir-board results`: does the SPN loss help? Pairs of training runs that differ in nothing else, measured
//! in f32 and int8.
//!
//! Reads what the trainer and the quantizer leave in a run's folder, measures every model with the engine and
//! writes tables and plots. It draws no conclusion that the figures do not: a gain counts as one when its interval lies
//! above zero.

mod markdown;
mod plot;
mod runs;
mod scores;
mod stats;

use crate::data::TestSet;
use mcir_files::Pending;
use mcir_upscale::args::{EngineArgs, OutputArgs};
use mcir_upscale::error::{Error, Result};
use runs::RunsError;
use scores::{Evidence, Measured, Scores};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Tabulate pairs of training runs with and without SPN: PSNR, gain, spread over seeds, latency
///
/// Runs whose configurations differ in the seed and the SPN loss alone are compared; the others are only listed.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Folders of runs, or runs: config.toml, log.csv, model.f32.mcir (or model.mcir) and, if quantized,
    /// model.int8.mcir
    #[arg(required_unless_present = "scores", value_name = "RUNS")]
    runs: Vec<PathBuf>,

    /// Folder of high-resolution images, or one with `HR` and `LR/X4` or `LR_bicubic/X4` in it; may be repeated
    #[arg(long, required_unless_present = "scores", value_name = "DIR")]
    data: Vec<PathBuf>,

    /// Compare runs without SPN at other learning rates with those at the lowest, too
    #[arg(long, conflicts_with = "scores")]
    rates: bool,

    /// Write what was measured to this file, from which --scores makes the tables again
    #[arg(long, value_name = "FILE.json")]
    save_scores: Option<PathBuf>,

    /// Take what was measured before from this file, without runs and images
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["runs", "data", "save_scores"])]
    scores: Option<PathBuf>,

    /// Write Markdown, and the plots beside it, instead of printing the table
    #[arg(short, long, value_name = "FILE.md")]
    output: Option<PathBuf>,

    /// Text to put before the tables
    #[arg(long, value_name = "FILE", requires = "output")]
    notes: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// What keeps a run or an image from being read; nothing is left out silently.
pub fn run(cmd: &Cmd) -> Result<()> {
    let notes = cmd.notes.as_deref().map(read).transpose()?;
    let measured = match &cmd.scores {
        Some(path) => load(path)?,
        None => measure(cmd)?,
    };
    if let Some(path) = &cmd.save_scores {
        save(path, serde_json::to_string_pretty(&measured).expect("plain data").as_bytes())?;
    }
    let evidence = Evidence::new(&measured);
    if let Some(path) = &cmd.output {
        write(path, &evidence, notes.as_deref())?;
        cmd.print.note(&cmd.print.progress(0), format_args!("the tables are in {}", path.display()));
    }
    if cmd.print.json {
        return cmd.print.result(serde_json::to_string_pretty(&evidence).expect("plain data"));
    }
    if cmd.output.is_none() && !cmd.print.quiet {
        cmd.print.result(markdown::text(&evidence, None, None).trim_end())?;
    }
    Ok(())
}

/// Runs the models over the images.
fn measure(cmd: &Cmd) -> Result<Measured> {
    let options = cmd.engine.plan_options(1)?;
    let runs = runs::find(&cmd.runs)?;
    let sets = cmd.data.iter().map(|d| TestSet::folder(d)).collect::<Result<Vec<_>>>()?;
    let bar = cmd.print.progress(runs.len() as u64);
    let mut scores = Vec::new();
    for run in &runs {
        bar.set_message(run.name.clone());
        scores.push(Scores::measure(run, &sets, options)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let measured = Measured::new(runs, scores, &sets, cmd.rates, options)?;
    if let Some(why) = measured.costs.iter().find_map(scores::Cost::doubt) {
        cmd.print.note(&bar, format_args!("warning: {why}; measure again when they rest"));
    }
    Ok(measured)
}

/// What [`measure`] found before.
fn load(path: &Path) -> Result<Measured> {
    let broken = |why: String| RunsError::Scores { path: path.into(), why };
    let measured: Measured = serde_json::from_str(&read(path)?).map_err(|e| broken(e.to_string()))?;
    if !measured.is_whole() {
        return Err(broken("its lists do not fit each other".into()).into());
    }
    Ok(measured)
}

/// Writes `NAME.md` and the figure `NAME.svg`.
fn write(path: &Path, evidence: &Evidence, notes: Option<&str>) -> Result<()> {
    let figure = plot::svg(evidence);
    let name = path.with_extension("svg").file_name().unwrap_or_default().to_string_lossy().into_owned();
    if let Some(svg) = &figure {
        save(&path.with_file_name(&name), svg.as_bytes())?;
    }
    save(path, markdown::text(evidence, notes, figure.is_some().then_some(name.as_str())).as_bytes())
}

fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = Error::io("write", &path);
    let mut file = Pending::create(path)?;
    file.write_all(bytes).map_err(&failed)?;
    Ok(file.finish()?)
}

fn read(path: &Path) -> Result<String> {
    let failed = Error::io("read", &path);
    std::fs::read_to_string(path).map_err(&failed)
}
