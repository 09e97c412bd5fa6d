//! `mcir-train train`

use super::Common;
use super::progress::Line;
use super::settings::{self, Settings};
use anyhow::{Context, bail};
use burn::module::Module;
use mcir_trainer::checkpoint::{self, Checkpoint};
use mcir_trainer::eval::SetScores;
use mcir_trainer::export::{self, ExportError};
use mcir_trainer::train::{self, Trainer};
use std::path::PathBuf;

/// Options of `train`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Continue the run in the output folder
    #[arg(long)]
    resume: bool,
    /// Folder for config.toml, log.csv, checkpoints and model.mcir
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Trains.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let devices = args.common.device.devices(args.settings.devices.into())?;
    let (device, more) = devices.split_first().context("no device")?;
    let folder = &args.output;
    let has_run = folder.join(checkpoint::FILE).exists() || folder.join(checkpoint::PREVIOUS).exists();
    let mut trainer = if args.resume {
        let checkpoint = Checkpoint::load(folder)?;
        let config = args.settings.resolve_over(&checkpoint)?;
        Trainer::resume(&checkpoint, Some(config), device)?
    } else if has_run {
        bail!("{} already holds a run; continue it with --resume or choose another folder", folder.display());
    } else {
        let config = args.settings.resolve()?;
        let start = settings::start(&config)?;
        let pretrained = settings::pretrained(&config)?;
        Trainer::new(config, start.as_ref(), pretrained.as_ref(), device)?
    };
    trainer = trainer.with_devices(more)?;
    let config = trainer.config().clone();
    let (train, val) = settings::images(&config)?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    if !args.common.quiet {
        eprintln!(
            "{}: {} parameters · {} training images · {} for validation · steps {} to {}",
            config.name,
            trainer.averaged().num_params(),
            train.len(),
            val.iter().map(|set| set.pairs.len()).sum::<usize>(),
            trainer.steps_done(),
            config.train.steps
        );
    }
    settings::warn_of_stand_in(&config);
    let stop = settings::stop_flag()?;
    let hidden = args.common.quiet || args.common.no_progress;
    let mut line = Line::new(trainer.steps_done(), config.train.steps, hidden);
    let summary = train::run(&mut trainer, train, &val, folder, &stop, &mut line)?;
    let path = match export::model(trainer.averaged(), export::metadata(&config, summary.steps)) {
        // Nothing has failed: such a network lives in its checkpoint.
        Err(ExportError::NoGraph) => folder.join(checkpoint::FILE),
        model => {
            let path = folder.join("model.mcir");
            export::write(&model?, &path)?;
            path
        }
    };
    if args.common.json {
        let report = serde_json::json!({
            "schema": 2, "name": config.name, "steps": summary.steps, "stopped": summary.stopped,
            "model": path, "validation": summary.scores,
        });
        println!("{report}");
    } else {
        let state = if summary.stopped { "stopped" } else { "done" };
        println!("{state} after {} steps: {}", summary.steps, path.display());
        for SetScores { set, scores } in &summary.scores {
            println!("{set}: PSNR-Y {:.3} dB, SSIM-Y {:.4}", scores.psnr_y_db, scores.ssim_y);
        }
    }
    Ok(())
}
