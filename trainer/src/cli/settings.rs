//! Options that make a configuration, shared by the verbs that train.

use anyhow::{Context, bail};
use mcir_trainer::checkpoint::Checkpoint;
use mcir_trainer::config::{Config, Data, FeatureKind, Negative};
use mcir_trainer::data::layout::Part;
use mcir_trainer::data::library::Library;
use mcir_trainer::data::pairs::{self, Source};
use mcir_trainer::eval::{self, Set};
use mcir_trainer::{trained, weights::Tensors};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Preset, file and settings
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// Preset to start from: edsr-light-xN, edsr-edge-xN, edsr-edge-m-xN, swinir-xN, swinir-light-xN, swinir-edge-xN,
    /// swinir-denoise, swinir-jpeg, nafnet-wN, ffanet, ffanet-edge, dehazeformer-t, -s, -b, idt
    #[arg(short, long)]
    preset: Option<String>,
    /// Configuration file (TOML); may name a preset
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Folder of photographs to train on (data.hr)
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder of the degraded or low-resolution training images; made from the others without it (data.lr)
    #[arg(long, value_name = "FOLDER")]
    lr: Option<PathBuf>,
    /// Folder of high-resolution images to validate on; may be given several times (data.val_hr)
    #[arg(long, value_name = "FOLDER")]
    val: Vec<PathBuf>,
    /// Folder of the degraded or low-resolution images of each --val (data.val_lr)
    #[arg(long, value_name = "FOLDER")]
    val_lr: Vec<PathBuf>,
    /// Start from the weights of a model file, checkpoint, run folder or PyTorch file where they fit (train.from)
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Optimizer steps (train.steps)
    #[arg(long)]
    steps: Option<u64>,
    /// Patches in a step (train.batch)
    #[arg(long)]
    batch: Option<usize>,
    /// GPUs of the backend to train on; each computes an equal part of every batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub devices: u16,
    /// Seed of weights and data order (seed)
    #[arg(long)]
    seed: Option<u64>,
    /// Weight of the SPN loss; any value switches it on (spn.lambda)
    #[arg(long)]
    lambda: Option<f64>,
    /// torchvision weights of the feature network, .pth or .safetensors; with spn.features.net=model any trained network
    /// (spn.features.path)
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Any other setting, as in the configuration file: train.lr=0.001
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl Settings {
    /// The named options as settings.
    fn list(&self) -> Vec<String> {
        let path = |key: &str, p: &Option<PathBuf>| {
            p.as_ref().map(|p| format!("{key}={:?}", p.display().to_string()))
        };
        let paths = |key: &str, list: &[PathBuf]| {
            let list: Vec<_> = list.iter().map(|p| p.display().to_string()).collect();
            (!list.is_empty()).then(|| format!("{key}={list:?}"))
        };
        let named = [
            path("data.hr", &self.data),
            path("data.lr", &self.lr),
            paths("data.val_hr", &self.val),
            paths("data.val_lr", &self.val_lr),
            path("train.from", &self.from),
            self.steps.map(|n| format!("train.steps={n}")),
            self.batch.map(|n| format!("train.batch={n}")),
            self.seed.map(|n| format!("seed={n}")),
            self.lambda.map(|n| format!("spn.lambda={n:?}")),
            path("spn.features.path", &self.features),
        ];
        named.into_iter().flatten().chain(self.settings.iter().cloned()).collect()
    }

    /// The configuration of a new run.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        let document = match &self.config {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            None => String::new(),
        };
        Ok(Config::resolve(self.preset.as_deref(), &document, &self.list())?)
    }

    /// The configuration of a run that is resumed: the one in its checkpoint, with the settings laid over it.
    pub fn resolve_over(&self, checkpoint: &Checkpoint) -> anyhow::Result<Config> {
        if self.preset.is_some() || self.config.is_some() || self.from.is_some() {
            bail!(
                "a resumed run keeps its configuration and weights; leave --preset, --config and --from out, use \
                 --set to change settings"
            );
        }
        Ok(Config::resolve(None, &checkpoint.config, &self.list())?)
    }
}

/// Of the degradations of validation images, which are the same in every run and every validation.
const VALIDATION_SEED: u64 = 1;

/// Training images and validation sets.
pub type Images = (Arc<Library>, Vec<Set>);

/// Training images and validation sets of a configuration. Pixels that memory does not hold are kept in `folder`.
pub fn images(config: &Config, folder: &Path, quiet: bool) -> anyhow::Result<Images> {
    if config.data.hr.as_os_str().is_empty() {
        bail!("no training images; name their folder with --data or data.hr");
    }
    let upscale = config.model.upscale();
    let Data { hr, lr, patch, memory_mb, .. } = &config.data;
    let mut source = match &config.data.degrade {
        Some(_) => Source::targets(hr, upscale, Part::Train)?,
        None => Source::open(hr, lr.as_deref(), upscale, Part::Train)?,
    };
    if let Some(folder) = &config.data.teacher {
        source = source.with_teacher(folder)?;
    }
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Some thousand large photographs take minutes.
    if !quiet && source.len() >= 500 {
        tell!("decoding {} images", source.len());
    }
    let train = Library::load(&source, *patch, memory_mb.saturating_mul(1 << 20), folder)?;
    let mut val = Vec::new();
    for (i, hr) in config.data.val_hr.iter().enumerate() {
        let (name, lr) = (eval::set_name(hr), config.data.val_lr.get(i));
        // A network that learns to clean up is measured on what it cleans up, and on what needs no cleaning.
        if let (Some(degrade), None) = (&config.data.degrade, lr) {
            let pairs = pairs::load_degraded(hr, upscale, degrade, VALIDATION_SEED)?;
            eval::check(&pairs, upscale)?;
            val.push(Set { name: format!("{name} degraded"), pairs });
        }
        if upscale > 1 || lr.is_some() {
            let pairs = pairs::load(hr, lr.map(PathBuf::as_path), upscale)?;
            eval::check(&pairs, upscale)?;
            val.push(Set { name, pairs });
        }
    }
    Ok((Arc::new(train), val))
}

/// Weights that a new run starts from, if the configuration names some.
pub fn start(config: &Config) -> anyhow::Result<Option<Tensors>> {
    let load = |path| anyhow::Ok(trained::load(path)?.tensors);
    config.train.from.as_deref().map(load).transpose()
}

/// Weights of the frozen pretrained negative model, if the configuration has one.
pub fn pretrained(config: &Config) -> anyhow::Result<Option<Tensors>> {
    let spn = config.spn.as_ref().filter(|spn| spn.is_active() && spn.negative == Negative::Pretrained);
    let load = |path| anyhow::Ok(trained::load(path)?.tensors);
    spn.and_then(|spn| spn.pretrained.as_deref()).map(load).transpose()
}

/// Whether a random network stands in for the feature network.
pub fn needs_stand_in(config: &Config) -> bool {
    let spn = config.spn.as_ref().filter(|spn| spn.is_active());
    spn.is_some_and(|spn| {
        spn.features.path.is_none() && matches!(spn.features.net, FeatureKind::Vgg16 | FeatureKind::Vgg19)
    })
}

/// Says what the stand-in means, if there is one.
pub fn warn_of_stand_in(config: &Config) {
    if needs_stand_in(config) {
        tell!(
            "warning: no feature network given (--features); a random one stands in, so results of this SPN run \
             do not compare with published ones"
        );
    }
}

/// A flag that Ctrl-C sets, or SIGTERM, which job schedulers send before they kill. A second one ends the process at
/// once; the last checkpoint is whole at every moment.
pub fn stop_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: a signal that finds the flag set is the second.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C")?;
    }
    let watched = Arc::clone(&stop);
    std::thread::spawn(move || {
        while !watched.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
        }
        // Mostly it is over by then, and the message would come after the result.
        std::thread::sleep(Duration::from_millis(400));
        tell!("stopping after this step; once more to stop at once");
    });
    Ok(stop)
}
