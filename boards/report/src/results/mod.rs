//! `mcir-board results`: does the SPN loss help? Pairs of training runs that differ in nothing else, measured
//! in f32 and int8.
//!
//! Reads what the trainer and the quantizer leave in a run's folder, measures every model with the engine and
//! writes tables and plots. It draws no conclusion that the figures do not: a gain counts as one when it is
//! positive in every seed.

mod markdown;
mod plot;
mod runs;
mod scores;

use crate::data::TestSet;
use mcir_files::Pending;
use mcir_upscale::args::{EngineArgs, OutputArgs};
use mcir_upscale::error::{Error, Result};
use scores::{Evidence, Scores};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Tabulate pairs of training runs with and without SPN: PSNR, gain, spread over seeds, latency
///
/// Runs whose configurations differ in the seed and the SPN loss alone are compared; the others are only
/// listed.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Folders of runs, or runs: config.toml, log.csv, model.f32.mcir (or model.mcir) and, if quantized,
    /// model.int8.mcir
    #[arg(required = true, value_name = "RUNS")]
    runs: Vec<PathBuf>,

    /// Folder of high-resolution images, or one with `HR` and `LR/X4` or `LR_bicubic/X4` in it; may be repeated
    #[arg(long, required = true, value_name = "DIR")]
    data: Vec<PathBuf>,

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
    let options = cmd.engine.plan_options(1)?;
    let runs = runs::find(&cmd.runs)?;
    let sets = cmd.data.iter().map(|d| TestSet::folder(d)).collect::<Result<Vec<_>>>()?;
    let notes = cmd.notes.as_deref().map(read).transpose()?;

    let bar = cmd.print.progress(runs.len() as u64);
    let mut scores = Vec::new();
    for run in &runs {
        bar.set_message(run.name.clone());
        scores.push(Scores::measure(run, &sets, options)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let evidence = Evidence::new(&runs, &scores, &sets, options)?;

    if let Some(path) = &cmd.output {
        write(path, &evidence, notes.as_deref())?;
        cmd.print.note(&bar, format_args!("the tables are in {}", path.display()));
    }
    if cmd.print.json {
        return cmd.print.result(serde_json::to_string_pretty(&evidence).expect("plain data"));
    }
    if cmd.output.is_none() && !cmd.print.quiet {
        cmd.print.result(markdown::text(&evidence, None, None).trim_end())?;
    }
    Ok(())
}

/// Writes `NAME.md` and a `NAME-N.svg` for each group that has pairs.
fn write(path: &Path, evidence: &Evidence, notes: Option<&str>) -> Result<()> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    for (i, group) in evidence.groups.iter().enumerate() {
        if group.variants.iter().any(|v| !v.pairs.is_empty()) {
            let svg = plot::svg(group, &evidence.sets);
            save(&path.with_file_name(format!("{stem}-{}.svg", i + 1)), svg.as_bytes())?;
        }
    }
    save(path, markdown::text(evidence, notes, Some(&stem)).as_bytes())
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
