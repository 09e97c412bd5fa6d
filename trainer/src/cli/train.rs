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
    /// Print the configuration that a run would have, as TOML, with --json as JSON, and train nothing
    #[arg(long)]
    dry_run: bool,
    /// Folder for config.toml, log.csv, validation.csv, curves.svg, samples, checkpoints and model.mcir
    #[arg(short, long, required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Trains.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.dry_run {
        let config = match (args.resume, &args.output) {
            (true, None) => bail!("--resume needs the folder of the run; name it with --output"),
            (true, Some(folder)) => args.settings.resolve_over(&Checkpoint::load(folder)?)?,
            (false, _) => args.settings.resolve()?,
        };
        match args.common.json {
            true => say!("{}", serde_json::json!({ "schema": 1, "name": config.name, "config": config })),
            false => say!("{}", config.to_toml()),
        }
        return Ok(());
    }
    let folder = args.output.as_ref().context("name a folder for the run with --output")?;
    let devices = args.common.device.devices(args.settings.devices.into())?;
    let (device, more) = devices.split_first().context("no device")?;
    let has_run = folder.join(checkpoint::FILE).exists() || folder.join(checkpoint::PREVIOUS).exists();
    let mut trainer = if args.resume {
        let checkpoint = Checkpoint::load(folder)?;
        let config = args.settings.resolve_over(&checkpoint)?;
        let pretrained = settings::pretrained(&config)?;
        Trainer::resume(&checkpoint, Some(config), pretrained.as_ref(), device)?
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
    let (train, val) = settings::images(&config, folder, args.common.quiet)?;
    if !args.common.quiet {
        tell!(
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
    if !args.common.quiet && config.is_short_of_a_start() && trainer.steps_done() == 0 {
        tell!(
            "note: the paper trains {} from the weights of x2, for which its steps are meant; name them with --from",
            config.name
        );
    }
    if let (Some((taken, of)), Some(path)) = (trainer.started_from(), &config.train.from) {
        // Few tensors fit a network of another width, and then it starts all but anew.
        if 2 * taken < of || !args.common.quiet {
            let (warning, path) = (if 2 * taken < of { "warning: only " } else { "" }, path.display());
            let rest = if taken < of { ", where name and shape fit; the rest is random" } else { "" };
            tell!("{warning}{taken} of {of} tensors start from {path}{rest}");
        }
    }
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
    let images_per_s =
        (summary.seconds > 0.0).then(|| (summary.done * config.train.batch as u64) as f64 / summary.seconds);
    if args.common.json {
        let report = serde_json::json!({
            "schema": 2, "name": config.name, "steps": summary.steps, "stopped": summary.stopped,
            "model": path, "validation": summary.scores, "images_per_s": images_per_s,
        });
        say!("{report}");
    } else {
        let state = if summary.stopped { "stopped" } else { "done" };
        let speed = images_per_s.map_or(String::new(), |rate| format!(" ({rate:.3} patches/s)"));
        say!("{state} after {} steps{speed}: {}", summary.steps, path.display());
        for SetScores { set, scores } in &summary.scores {
            let rgb = scores.input_psnr_rgb_db.map_or(String::new(), |input| {
                format!(", PSNR-RGB {:.3} dB ({input:.3} dB before)", scores.psnr_rgb_db)
            });
            say!("{set}: PSNR-Y {:.3} dB, SSIM-Y {:.4}{rgb}", scores.psnr_y_db, scores.ssim_y);
        }
    }
    Ok(())
}
