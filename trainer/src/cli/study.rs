//! `mcir-train study`

use super::Common;
use super::runs::{self, Runner};
use super::settings;
use anyhow::{Context, bail};
use mcir_trainer::ablate::SetScore;
use mcir_trainer::export::{self, ExportError};
use mcir_trainer::study::{Plan, Run};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Options of `study`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Plan of the study (TOML): its runs without the loss, its arms with it, and their seeds
    plan: PathBuf,
    /// Folder of photographs to train on (data.hr)
    #[arg(long)]
    data: PathBuf,
    /// Folder of high-resolution images to validate on; may be given several times (data.val_hr)
    #[arg(long, value_name = "FOLDER")]
    val: Vec<PathBuf>,
    /// torchvision weights of the feature network, .pth or .safetensors, for runs with a loss that has one
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Arms to run, by name [default: all]
    #[arg(long, value_name = "ARM", value_delimiter = ',')]
    only: Vec<String>,
    /// Setting of all runs, over those of the plan: train.steps=20
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Save and stop after so many minutes; the same command continues
    #[arg(long)]
    minutes: Option<f64>,
    /// Print the runs in their order, and whether they are done, and train nothing
    #[arg(long)]
    dry_run: bool,
    /// GPUs of the backend to train on; each computes an equal part of every batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    devices: u16,
    /// Folder for one run a subfolder
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Carries a plan out.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let plan = Plan::parse(&runs::read(&args.plan)?)?;
    let runs = all(args, &plan)?;
    if runs.is_empty() {
        bail!("the plan has no runs{}", if args.only.is_empty() { "" } else { " of the arms in --only" });
    }
    let mut left = Vec::new();
    for run in &runs {
        if !is_done(run, &args.output.join(&run.name))? {
            left.push(run);
        }
    }
    if args.dry_run && args.common.json {
        let mut list = Vec::new();
        for run in &runs {
            let (steps, done) = (run.config.train.steps, !left.contains(&run));
            list.push(serde_json::json!({ "name": run.name, "steps": steps, "done": done }));
        }
        say!("{}", serde_json::json!({ "schema": 1, "output": args.output, "runs": list }));
        return Ok(());
    }
    if args.dry_run {
        for run in &runs {
            let state = if left.contains(&run) { "to do" } else { "done" };
            say!("{}: {} steps, {state}", run.name, run.config.train.steps);
        }
        return Ok(());
    }
    for run in &left {
        if settings::needs_stand_in(&run.config) {
            settings::warn_of_stand_in(&run.config);
            break;
        }
    }
    let stop = settings::stop_flag()?;
    if let Some(minutes) = args.minutes {
        stop_after(minutes, &stop)?;
    }
    let mut runner = Runner::new(&args.common, args.devices, Arc::clone(&stop))?;
    let before = runs.len() - left.len();
    let mut ends = Vec::new();
    for (i, run) in left.iter().enumerate() {
        if !args.common.quiet {
            tell!("run {} of {}: {}", before + i + 1, runs.len(), run.name);
        }
        let end = if stop.load(Ordering::Relaxed) { None } else { one(args, &mut runner, run)? };
        let Some(end) = end else { break };
        // With --json the result is one object, at the end, and this only tells how far it is.
        match (args.common.json, args.common.quiet) {
            (false, _) => say!("{}", end.line()),
            (true, false) => tell!("{}", end.line()),
            (true, true) => {}
        }
        ends.push(end);
    }
    let done = before + ends.len();
    if args.common.json {
        let runs: Vec<_> = runs.iter().map(|run| state(run, !left.contains(&run), &ends)).collect();
        say!("{}", serde_json::json!({ "schema": 1, "output": args.output, "runs": runs }));
    } else if done < runs.len() {
        say!("stopped with {done} of {} runs done; the same command continues", runs.len());
    } else {
        say!("all {} runs are done: {}", runs.len(), args.output.display());
    }
    Ok(())
}

/// How a run of now ended.
struct End<'a> {
    name: &'a str,
    /// Nothing if it diverged.
    scores: Option<Vec<SetScore>>,
    /// Steps per second; nothing if there were none left.
    speed: Option<f64>,
}

impl End<'_> {
    /// The run in a line.
    fn line(&self) -> String {
        let Some(scores) = &self.scores else { return format!("{}: diverged", self.name) };
        let mut line = match self.speed {
            Some(speed) => format!("{}: {speed:.2} steps/s", self.name),
            None => format!("{}: done before", self.name),
        };
        for score in scores {
            line += &format!(", {} {:.3} dB", score.set, score.psnr_y_db);
        }
        line
    }
}

/// A run of the plan as JSON. What was complete before this command is not measured again.
fn state(run: &Run, done_before: bool, ends: &[End<'_>]) -> serde_json::Value {
    let end = ends.iter().find(|end| end.name == run.name);
    serde_json::json!({
        "name": run.name, "steps": run.config.train.steps, "done": done_before || end.is_some(),
        "diverged": end.is_some_and(|end| end.scores.is_none()), "scores": end.and_then(|end| end.scores.as_ref()),
        "steps_per_s": end.and_then(|end| end.speed),
    })
}

/// The runs of the plan.
fn all(args: &Args, plan: &Plan) -> anyhow::Result<Vec<Run>> {
    let text = |path: &Path| path.display().to_string();
    let mut more = vec![format!("data.hr={:?}", text(&args.data))];
    if !args.val.is_empty() {
        more.push(format!("data.val_hr={:?}", args.val.iter().map(|p| text(p)).collect::<Vec<_>>()));
    }
    more.extend(args.settings.iter().cloned());
    Ok(plan.runs(&more, args.features.as_deref(), &args.output, &args.only)?)
}

/// Does a run; nothing if it was stopped.
fn one<'a>(args: &Args, runner: &mut Runner<'_>, run: &'a Run) -> anyhow::Result<Option<End<'a>>> {
    let folder = args.output.join(&run.name);
    let Some(end) = runner.run(run.config.clone(), &folder)? else { return Ok(None) };
    if let Some(trainer) = &end.trainer {
        match export::model(trainer.averaged(), export::metadata(&run.config, run.config.train.steps)) {
            // Such a network lives in its checkpoint.
            Err(ExportError::NoGraph) => {}
            model => export::write(&model?, &folder.join(MODEL))?,
        }
    }
    let (done, seconds) = end.done;
    let speed = (seconds > 0.0).then(|| done as f64 / seconds);
    Ok(Some(End { name: &run.name, scores: end.outcome.scores, speed }))
}

const MODEL: &str = "model.mcir";

/// Whether a run is complete. One of other settings is refused: results must not be mixed.
fn is_done(run: &Run, folder: &Path) -> anyhow::Result<bool> {
    let config = folder.join("config.toml");
    if !folder.join(MODEL).exists() || !config.exists() {
        return Ok(false);
    }
    runs::check_same(&runs::read(&config)?, &run.config, folder)?;
    Ok(true)
}

/// Sets the flag when the time is over.
fn stop_after(minutes: f64, stop: &Arc<AtomicBool>) -> anyhow::Result<()> {
    let time = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes takes a number of minutes")?;
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    Ok(())
}
