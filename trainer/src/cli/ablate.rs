//! `mcir-train ablate`

use super::Common;
use super::progress::Line;
use super::settings::{self, Settings};
use anyhow::{Context, bail};
use mcir_trainer::ablate::{self, Axis, Outcome, Row, SetScore};
use mcir_trainer::checkpoint::{self, Checkpoint};
use mcir_trainer::config::Config;
use mcir_trainer::train::{self, TrainError, Trainer};
use mcir_trainer::{eval, files};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Options of `ablate`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Setting to vary and its values: "spn.lambda=0;1e-4;5e-4". Several make a grid
    #[arg(long, value_name = "KEY=VALUE;VALUE")]
    vary: Vec<String>,
    /// Seeds that each combination is run with
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Folder for one run a subfolder, table.md and table.json; runs that are there are continued
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Runs the grid.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let base = args.settings.resolve()?;
    if base.data.val_hr.is_empty() {
        bail!("an ablation compares results on validation images; name their folder with --val");
    }
    let axes = args.vary.iter().map(|v| Axis::parse(v)).collect::<Result<Vec<_>, _>>()?;
    let combinations = ablate::combinations(&axes);
    // A mistake in the last combination should not show after hours.
    let configs = combinations.iter().map(|s| ablate::config(&base, s, 0)).collect::<Result<Vec<_>, _>>()?;
    if let Some(config) = configs.iter().find(|config| settings::needs_stand_in(config)) {
        settings::warn_of_stand_in(config);
    }
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create {}", args.output.display()))?;
    let stop = settings::stop_flag()?;
    let total = combinations.len() * args.seeds.len();
    let (mut rows, mut number) = (Vec::new(), 0);
    for settings in combinations {
        let mut runs = Vec::new();
        for &seed in &args.seeds {
            number += 1;
            let config = ablate::config(&base, &settings, seed)?;
            let folder = args.output.join(ablate::folder_name(&settings, seed));
            if !args.common.quiet {
                eprintln!("run {number} of {total}: {}", folder.display());
            }
            match one(args, config, &folder, &stop)? {
                Some(outcome) => runs.push(outcome),
                None => {
                    println!("stopped in run {number} of {total}; the same command continues");
                    return Ok(());
                }
            }
        }
        rows.push(Row::new(settings, runs));
        // After every combination, so that a long grid can be looked at while it runs.
        write(&args.output.join("table.md"), &ablate::table(&rows))?;
        let json = serde_json::json!({ "schema": 2, "rows": rows });
        write(&args.output.join("table.json"), &json.to_string())?;
    }
    if args.common.json {
        println!("{}", serde_json::json!({ "schema": 2, "rows": rows }));
    } else {
        print!("{}", ablate::table(&rows));
    }
    Ok(())
}

/// Runs or continues one run; `None` if it was stopped.
fn one(args: &Args, config: Config, folder: &Path, stop: &AtomicBool) -> anyhow::Result<Option<Outcome>> {
    let devices = args.common.device.devices(args.settings.devices.into())?;
    let (device, more) = devices.split_first().context("no device")?;
    let seed = config.seed;
    let diverged = folder.join("diverged.txt");
    if diverged.exists() {
        return Ok(Some(Outcome { seed, scores: None }));
    }
    let mut trainer = if folder.join(checkpoint::FILE).exists() || folder.join(checkpoint::PREVIOUS).exists()
    {
        Trainer::resume(&Checkpoint::load(folder)?, Some(config.clone()), device)?
    } else {
        let start = settings::start(&config)?;
        let pretrained = settings::pretrained(&config)?;
        Trainer::new(config.clone(), start.as_ref(), pretrained.as_ref(), device)?
    };
    trainer = trainer.with_devices(more)?;
    let (train, val) = settings::images(&config)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let hidden = args.common.quiet || args.common.no_progress;
    let mut line = Line::new(trainer.steps_done(), config.train.steps, hidden);
    match train::run(&mut trainer, train, &val, folder, stop, &mut line) {
        Ok(summary) if summary.stopped && stop.load(Ordering::Relaxed) => Ok(None),
        Ok(_) => {
            // Measured again, because a run that was complete before has no validation of its own.
            let scores = eval::evaluate_sets(trainer.averaged(), &val)?;
            Ok(Some(Outcome { seed, scores: Some(scores.iter().map(SetScore::from).collect()) }))
        }
        Err(error @ (TrainError::Diverged { .. } | TrainError::NotFinite { .. })) => {
            write(&diverged, &format!("{error}\n"))?;
            Ok(Some(Outcome { seed, scores: None }))
        }
        Err(error) => Err(error.into()),
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    files::replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
