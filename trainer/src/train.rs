//! The training loop: [`Trainer`] is the state, [`Trainer::step`] one step, [`run`] the loop around it with
//! log, validation and checkpoints.

mod error;
mod step;

pub use error::TrainError;
pub use step::Losses;

use crate::checkpoint::Checkpoint;
use crate::config::{Config, Spn};
use crate::conv::Precision;
use crate::data::batches::Recipe;
use crate::data::library::Library;
use crate::data::pairs::Pair;
use crate::divergence::Detector;
use crate::eval::{self, Set, SetScores};
use crate::files;
use crate::log::{Log, Row};
use crate::loss::contrastive::Contrast;
use crate::negatives::{Negatives, Others};
use crate::net::{Architecture, Net, branch};
use crate::weights::Tensors;
use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::{Bytes, Device};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use step::{Replica, SpnState};

/// A run in progress.
pub struct Trainer {
    config: Config,
    device: Device,
    net: Net,
    /// Average of the weights, without gradients.
    ema: Net,
    optimizer: ModuleOptimizer,
    spn: Option<SpnState>,
    step: u64,
    /// How many tensors of the network were taken from the start weights, and of how many.
    started_from: Option<(usize, usize)>,
    /// Devices beside the first, which holds all state.
    replicas: Vec<Replica>,
    /// Where steps are computed: one hop to it for each step instead of one for each operation of the CPU.
    threads: Arc<rayon::ThreadPool>,
}

/// What [`run`] tells while it works.
pub trait Progress {
    /// A step was done.
    fn step(&mut self, step: u64, losses: &Losses);
    /// The averaged weights were evaluated on every validation set.
    fn validated(&mut self, step: u64, scores: &[SetScores]);
    /// A checkpoint was written.
    fn saved(&mut self, step: u64);
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Steps done in all.
    pub steps: u64,
    /// Steps done since it was started or resumed.
    pub done: u64,
    /// Time that these took, with waiting for their batches, without validation and saving.
    pub seconds: f64,
    /// Whether it was stopped before its last step.
    pub stopped: bool,
    /// Last validation; empty if there was none.
    pub scores: Vec<SetScores>,
}

impl Trainer {
    /// A run from its beginning: from random weights, or those of `start` where they fit the network by name
    /// and shape (others, such as the tail of another upscaling factor, stay random).
    ///
    /// `pretrained` are the weights that a frozen pretrained negative model needs.
    ///
    /// # Errors
    /// The configuration's network is not valid, or the feature network cannot be loaded.
    pub fn new(
        config: Config,
        start: Option<&Tensors>,
        pretrained: Option<&Tensors>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let architecture = config.model.architecture();
        let inner = device.clone().inner();
        let mut tensors = Net::random(&architecture, config.seed, &inner)?.to_tensors();
        let mut taken = 0;
        for (name, shape, values) in start.iter().flat_map(|s| s.iter()) {
            if tensors.shape(name) == Some(shape) {
                tensors.insert(name.into(), shape.to_vec(), values.to_vec());
                taken += 1;
            }
        }
        if let Some(start) = start.filter(|_| taken == 0) {
            return Err(TrainError::NothingFits { found: start.len() });
        }
        let started_from = start.map(|_| (taken, tensors.len()));
        if let (Architecture::Graph(graph), channels @ 1..) = (&architecture, config.train.expand) {
            branch::add(&mut tensors, graph, channels.into(), config.seed);
        }
        check_precision(&config, &inner)?;
        let device = inner.clone().autodiff();
        let net = Net::from_tensors(&architecture, &tensors, &device)?.with_precision(config.train.precision);
        let spn = match active(&config) {
            Some(spn) => Some(SpnState::new(
                spn,
                Contrast::new(spn, config.seed, config.train.precision, &inner)?,
                start_negatives(spn, &net, config.seed, pretrained)?,
                Others::load(spn, &net)?,
                config.seed,
            )),
            None => None,
        };
        let ema = net.folded().valid().with_precision(Precision::F32);
        let replicas = Vec::new();
        let threads = threads()?;
        let optimizer = adam(&config);
        Ok(Self { ema, net, optimizer, spn, step: 0, started_from, replicas, device, config, threads })
    }

    /// The same run on further devices: each computes an equal part of every batch, with copies of the weights that
    /// are made anew for every step; the first one adds the gradients and holds all state.
    ///
    /// # Errors
    /// The batch cannot be divided equally, a device cannot compute as configured, or the feature network cannot be
    /// loaded on it.
    pub fn with_devices(mut self, more: &[Device]) -> Result<Self, TrainError> {
        let (batch, parts) = (self.config.train.batch, self.config.train.accumulate * (1 + more.len()));
        if !batch.is_multiple_of(parts) {
            return Err(TrainError::Parts { batch, parts });
        }
        for device in more {
            let device = device.clone().inner();
            check_precision(&self.config, &device)?;
            let (seed, precision) = (self.config.seed, self.config.train.precision);
            let contrast = match active(&self.config) {
                Some(spn) => Some(Contrast::new(spn, seed, precision, &device)?),
                None => None,
            };
            self.replicas.push(Replica { device, contrast });
        }
        Ok(self)
    }

    /// A run continued from a checkpoint, with settings changed by `config` if given (more steps, say).
    ///
    /// A loss with negative models that the run did not have before starts them anew, from the weights as they are;
    /// `pretrained` is then as in [`Trainer::new`].
    ///
    /// # Errors
    /// The checkpoint is damaged or of another network, or its negative models are of another kind.
    pub fn resume(
        checkpoint: &Checkpoint,
        config: Option<Config>,
        pretrained: Option<&Tensors>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let saved = Config::resolve(None, &checkpoint.config, &[])?;
        let config = config.unwrap_or_else(|| saved.clone());
        if config.model != saved.model {
            return Err(TrainError::OtherModel);
        }
        let architecture = config.model.architecture();
        let inner = device.clone().inner();
        let device = inner.clone().autodiff();
        let bytes = Bytes::from_bytes_vec(checkpoint.optimizer.clone());
        check_precision(&config, &inner)?;
        let net = Net::from_tensors(&architecture, &checkpoint.net, &device)?;
        let net = net.with_precision(config.train.precision);
        let spn = match active(&config) {
            Some(spn) => Some(SpnState::new(
                spn,
                Contrast::new(spn, config.seed, config.train.precision, &inner)?,
                match active(&saved) {
                    None => start_negatives(spn, &net, config.seed, pretrained)?,
                    Some(was) if (was.negative, was.models()) != (spn.negative, spn.models()) => {
                        let name = |spn: &Spn| format!("{} {:?}", spn.models(), spn.negative).to_lowercase();
                        let (saved, wanted) = (name(was), name(spn));
                        return Err(TrainError::OtherNegatives { saved, wanted });
                    }
                    Some(_) => Negatives::restore(spn, &net, &checkpoint.negatives, &inner)?,
                },
                Others::load(spn, &net)?,
                config.seed,
            )),
            None => None,
        };
        Ok(Self {
            net,
            spn,
            ema: Net::from_tensors(&architecture, &checkpoint.ema, &inner)?,
            optimizer: adam(&config).from_bytes(bytes).map_err(|e| TrainError::Optimizer(e.to_string()))?,
            step: checkpoint.step,
            started_from: None,
            replicas: Vec::new(),
            threads: threads()?,
            config,
            device,
        })
    }

    /// The state as a checkpoint.
    pub fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        let optimizer = self.optimizer.into_bytes().map_err(|e| TrainError::Optimizer(e.to_string()))?;
        Ok(Checkpoint {
            config: self.config.to_toml(),
            step: self.step,
            net: self.net.to_tensors(),
            ema: self.ema.to_tensors(),
            negatives: self.spn.as_ref().map_or(Vec::new(), |spn| spn.negatives.to_tensors()),
            optimizer: optimizer.to_vec(),
        })
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// How many of the network's tensors a new run took from its start weights, and how many the network has.
    pub fn started_from(&self) -> Option<(usize, usize)> {
        self.started_from
    }

    /// Settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The averaged network, which is evaluated and exported.
    pub fn averaged(&self) -> &Net {
        &self.ema
    }
}

/// The SPN settings, unless λ is zero or there is no negative: then the loss is the reconstruction alone and nothing
/// else is computed.
fn active(config: &Config) -> Option<&Spn> {
    config.spn.as_ref().filter(|spn| spn.is_active())
}

fn start_negatives(
    spn: &Spn,
    net: &Net,
    seed: u64,
    pretrained: Option<&Tensors>,
) -> Result<Negatives, TrainError> {
    Negatives::new(spn, &net.folded(), seed, pretrained).map_err(TrainError::Pretrained)
}

/// The threads of a run.
fn threads() -> Result<Arc<rayon::ThreadPool>, TrainError> {
    // glibc learns from the largest block that it saw freed how much free memory to keep. Without this one, which
    // is as large as it accepts and never touched, it returns the tensors of every step to the system and has
    // their pages cleared anew in the next: a quarter of the time of a small network. Elsewhere it does nothing.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(31 << 20)));
    rayon::ThreadPoolBuilder::new().build().map(Arc::new).map_err(TrainError::Threads)
}

fn check_precision(config: &Config, device: &Device) -> Result<(), TrainError> {
    let precision = config.train.precision;
    if device.supports_dtype(precision.dtype()) {
        return Ok(());
    }
    Err(TrainError::Precision { device: format!("{device:?}"), precision })
}

/// Adam as PyTorch sets it up.
fn adam(config: &Config) -> ModuleOptimizer {
    let [first, second] = config.train.betas;
    AdamConfig::new().with_beta_1(first as f32).with_beta_2(second as f32).with_epsilon(1e-8).init()
}

/// Trains to the configured number of steps, or until `stop` is set, in which case the state is saved first.
///
/// Writes `config.toml`, `log.csv`, `validation.csv`, checkpoints, `samples/` and, however it ends, `curves.svg` into
/// `folder`. Samples are those of the first validation set. The batches are prepared in other threads.
///
/// # Errors
/// Any [`TrainError`].
pub fn run(
    trainer: &mut Trainer,
    train: Arc<Library>,
    val: &[Set],
    folder: &Path,
    stop: &AtomicBool,
    progress: &mut dyn Progress,
) -> Result<Summary, TrainError> {
    let result = run_steps(trainer, train, val, folder, stop, progress);
    // After an error, that is what is told.
    let drawn = draw_curves(folder);
    result.and_then(|summary| drawn.map(|()| summary))
}

fn draw_curves(folder: &Path) -> Result<(), TrainError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| TrainError::Io { path, source }
    };
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(io(&path))
    };
    let picture = crate::curves::svg(&read("log.csv")?, &read("validation.csv")?);
    let path = folder.join("curves.svg");
    files::replace(&path, picture.as_bytes()).map_err(io(&path))
}

fn run_steps(
    trainer: &mut Trainer,
    train: Arc<Library>,
    val: &[Set],
    folder: &Path,
    stop: &AtomicBool,
    progress: &mut dyn Progress,
) -> Result<Summary, TrainError> {
    let config = trainer.config.clone();
    let io = |path: PathBuf| move |source| TrainError::Io { path, source };
    let config_path = folder.join("config.toml");
    files::replace(&config_path, config.to_toml().as_bytes()).map_err(io(config_path))?;
    let log_path = folder.join("log.csv");
    let mut log = Log::open(folder, trainer.step).map_err(io(log_path.clone()))?;
    let recipe = Recipe {
        images: train,
        seed: config.seed,
        batch: config.train.batch,
        patch: config.data.patch,
        upscale: config.model.upscale(),
        augment: config.data.augment,
        degrade: config.data.degrade.clone(),
    };
    let batches = recipe.ahead(trainer.step..config.train.steps);
    let started = Instant::now();
    let (mut mean, mut scores) = (Mean::default(), Vec::new());
    let mut detector = Detector::new(config.train.divergence_window, config.train.divergence_factor);
    let (first, mut seconds, mut begun) = (trainer.step, 0.0, Instant::now());
    let mut saved = None;
    // A run that is resumed has a checkpoint of where it begins.
    let mut kept = Some(first).filter(|&step| step > 0);
    for batch in batches {
        let batch = batch.map_err(TrainError::Batch)?;
        let lr = config.train.lr_at(trainer.step);
        let losses = trainer.step(batch).map_err(|error| match error {
            TrainError::NotFinite { loss, step, .. } => TrainError::NotFinite { loss, step, kept },
            error => error,
        })?;
        seconds += begun.elapsed().as_secs_f64();
        mean.push(&losses);
        let step = trainer.step;
        if let Some((mean, best)) = detector.push(losses.l1.into()) {
            return Err(TrainError::Diverged { mean, best, step, kept });
        }
        let last = step == config.train.steps;
        progress.step(step, &losses);
        let validate = !val.is_empty() && (last || step.is_multiple_of(config.train.val_every));
        if validate {
            scores = eval::evaluate_sets(&trainer.ema, val)?;
            progress.validated(step, &scores);
            let first = &val[0].pairs;
            write_samples(&trainer.ema, &first[..config.train.samples.min(first.len())], folder)?;
        }
        if validate || last || step.is_multiple_of(config.train.log_every) {
            let scores = if validate { scores.as_slice() } else { &[] };
            let seconds = started.elapsed().as_secs_f64();
            let (loss, negative) = std::mem::take(&mut mean).values();
            let row = Row { step, lr, loss, negative, seconds, scores };
            log.write(&row).map_err(io(log_path.clone()))?;
        }
        let stopping = stop.load(Ordering::Relaxed);
        let due = step.is_multiple_of(config.train.save_every) && detector.is_healthy();
        if last || stopping || due {
            trainer.checkpoint()?.save(folder)?;
            progress.saved(step);
            (saved, kept) = (Some(step), Some(step));
        }
        if stopping {
            break;
        }
        begun = Instant::now();
    }
    if saved != Some(trainer.step) {
        trainer.checkpoint()?.save(folder)?;
    }
    let stopped = trainer.step < config.train.steps;
    Ok(Summary { steps: trainer.step, done: trainer.step - first, seconds, stopped, scores })
}

/// Writes the network's outputs as PNG files, over those of the validation before.
fn write_samples(net: &Net, pairs: &[Pair], folder: &Path) -> Result<(), TrainError> {
    let samples = folder.join("samples");
    for pair in pairs {
        let sr = eval::upscale(net, &pair.lr)?;
        let path = samples.join(format!("{}.png", pair.name));
        let failed = |source| TrainError::Io { path: path.clone(), source };
        std::fs::create_dir_all(&samples).map_err(failed)?;
        files::write_png(&path, &sr).map_err(failed)?;
    }
    Ok(())
}

/// Means over the steps of a log row.
#[derive(Default)]
struct Mean {
    count: f64,
    reconstruction: f64,
    negative: Option<f64>,
}

impl Mean {
    fn push(&mut self, losses: &Losses) {
        self.count += 1.0;
        self.reconstruction += f64::from(losses.reconstruction);
        if let Some(negative) = losses.negative {
            *self.negative.get_or_insert(0.0) += f64::from(negative);
        }
    }

    fn values(self) -> (f64, Option<f64>) {
        (self.reconstruction / self.count, self.negative.map(|sum| sum / self.count))
    }
}

#[cfg(test)]
mod tests;
