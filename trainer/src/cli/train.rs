//! `mcir-train train`

use super::Common;
use super::progress::Line;
use anyhow::{Context, bail};
use mcir_runtime::model::Model;
use mcir_trainer::checkpoint::{self, Checkpoint};
use mcir_trainer::config::Config;
use mcir_trainer::data::pairs;
use mcir_trainer::train::{self, Trainer};
use mcir_trainer::{export, weights::Tensors};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Options of `train`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Preset to start from: edsr-light-xN, edsr-edge-xN, edsr-edge-m-xN
    #[arg(short, long)]
    preset: Option<String>,
    /// Configuration file (TOML); may name a preset
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Folder of photographs to train on (data.hr)
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder of high-resolution images to validate on (data.val_hr)
    #[arg(long)]
    val: Option<PathBuf>,
    /// Optimizer steps (train.steps)
    #[arg(long)]
    steps: Option<u64>,
    /// Patches in a step (train.batch)
    #[arg(long)]
    batch: Option<usize>,
    /// Seed of weights and data order (seed)
    #[arg(long)]
    seed: Option<u64>,
    /// Weight of the SPN loss; any value switches it on (spn.lambda)
    #[arg(long)]
    lambda: Option<f64>,
    /// torchvision weights of the feature network, .pth or .safetensors (spn.features.path)
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Any other setting, as in the configuration file: train.lr=0.001
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Start from the weights of a model file or checkpoint where they fit
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Continue the run in the output folder
    #[arg(long, conflicts_with_all = ["preset", "config"])]
    resume: bool,
    /// Folder for config.toml, log.csv, checkpoints and model.mcir
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Args {
    /// The named options as settings.
    fn settings(&self) -> Vec<String> {
        let path = |key: &str, p: &Option<PathBuf>| {
            p.as_ref().map(|p| format!("{key}={:?}", p.display().to_string()))
        };
        let named = [
            path("data.hr", &self.data),
            path("data.val_hr", &self.val),
            self.steps.map(|n| format!("train.steps={n}")),
            self.batch.map(|n| format!("train.batch={n}")),
            self.seed.map(|n| format!("seed={n}")),
            self.lambda.map(|n| format!("spn.lambda={n:?}")),
            path("spn.features.path", &self.features),
        ];
        named.into_iter().flatten().chain(self.settings.iter().cloned()).collect()
    }
}

/// Trains.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let device = args.common.device.device()?;
    let folder = &args.output;
    let has_run = folder.join(checkpoint::FILE).exists() || folder.join(checkpoint::PREVIOUS).exists();
    let mut trainer = if args.resume {
        let checkpoint = Checkpoint::load(folder)?;
        let config = Config::resolve(None, &checkpoint.config, &args.settings())?;
        Trainer::resume(&checkpoint, Some(config), &device)?
    } else if has_run {
        bail!("{} already holds a run; continue it with --resume or choose another folder", folder.display());
    } else {
        let document = match &args.config {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            None => String::new(),
        };
        let config = Config::resolve(args.preset.as_deref(), &document, &args.settings())?;
        let start = args.from.as_deref().map(weights).transpose()?;
        let pretrained =
            config.spn.as_ref().and_then(|spn| spn.pretrained.as_deref()).map(weights).transpose()?;
        Trainer::new(config, start.as_ref(), pretrained.as_ref(), &device)?
    };
    let config = trainer.config().clone();
    if config.data.hr.as_os_str().is_empty() {
        bail!("no training images; name their folder with --data or data.hr");
    }
    let upscale = config.model.upscale();
    let train = pairs::load(&config.data.hr, config.data.lr.as_deref(), upscale)?;
    pairs::check_patch(&train, config.data.patch)?;
    let val = match &config.data.val_hr {
        Some(hr) => pairs::load(hr, config.data.val_lr.as_deref(), upscale)?,
        None => Vec::new(),
    };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    if !args.common.quiet {
        let name = &config.name;
        let parameters = trainer.averaged().graph();
        eprintln!(
            "{name}: {} nodes · {} training images · {} for validation · steps {} to {}",
            parameters.nodes.len(),
            train.len(),
            val.len(),
            trainer.steps_done(),
            config.train.steps
        );
    }
    if config.spn.as_ref().is_some_and(|spn| spn.lambda > 0.0 && spn.features.path.is_none()) {
        eprintln!(
            "warning: no feature network given (--features); a random one stands in, so results of this SPN run \
             do not compare with published ones"
        );
    }
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    // A second Ctrl-C ends the process at once; the last checkpoint is whole at every moment.
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
        eprintln!("stopping after this step; once more to stop at once");
    })
    .context("cannot listen for Ctrl-C")?;
    let hidden = args.common.quiet || args.common.no_progress;
    let mut line = Line::new(trainer.steps_done(), config.train.steps, hidden);
    let summary = train::run(&mut trainer, Arc::new(train), &val, folder, &stop, &mut line)?;
    let model = export::model(trainer.averaged(), export::metadata(&config, summary.steps))?;
    let path = folder.join("model.mcir");
    export::write(&model, &path)?;
    if args.common.json {
        let report = serde_json::json!({
            "schema": 1, "name": config.name, "steps": summary.steps, "stopped": summary.stopped,
            "model": path, "scores": summary.scores,
        });
        println!("{report}");
    } else {
        let psnr = summary
            .scores
            .map_or(String::new(), |s| format!(", PSNR-Y {:.3} dB, SSIM-Y {:.4}", s.psnr_y_db, s.ssim_y));
        let state = if summary.stopped { "stopped" } else { "done" };
        println!("{state} after {} steps{psnr}: {}", summary.steps, path.display());
    }
    Ok(())
}

/// Weights of a model file, a checkpoint or a run's folder.
pub fn weights(path: &Path) -> anyhow::Result<Tensors> {
    if path.extension().is_some_and(|e| e == "mcir") {
        Ok(export::tensors(&model(path)?))
    } else {
        Ok(Checkpoint::load(path)?.ema)
    }
}

/// Reads a model file.
pub fn model(path: &Path) -> anyhow::Result<Model> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Model::from_bytes(bytes).map_err(|e| anyhow::anyhow!("{e}")).with_context(|| path.display().to_string())
}
