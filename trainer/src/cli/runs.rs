//! Runs of a grid or a study, one after the other, each begun or continued where it was.

use super::Common;
use super::progress::Line;
use super::settings;
use anyhow::{Context, ensure};
use burn::tensor::Device;
use mcir_trainer::ablate::{self, Outcome, SetScore};
use mcir_trainer::checkpoint::{self, Checkpoint};
use mcir_trainer::config::{Config, Data};
use mcir_trainer::train::{self, TrainError, Trainer};
use mcir_trainer::{eval, files};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the message of a run that diverged is kept.
const DIVERGED: &str = "diverged.txt";

/// What runs share.
pub struct Runner<'a> {
    common: &'a Common,
    device: Device,
    more: Vec<Device>,
    stop: Arc<AtomicBool>,
    /// What the images of a run depend on, and the images: neighbours mostly share them.
    images: Option<((Data, usize), settings::Images)>,
}

/// How a run ended.
pub struct End {
    /// Its results.
    pub outcome: Outcome,
    /// The trained state, unless it diverged.
    pub trainer: Option<Trainer>,
    /// Steps of now, and the seconds that they took.
    pub done: (u64, f64),
}

impl<'a> Runner<'a> {
    /// `stop` ends the run at hand after a step, with a checkpoint.
    pub fn new(common: &'a Common, devices: u16, stop: Arc<AtomicBool>) -> anyhow::Result<Self> {
        let mut devices = common.device.devices(devices.into())?.into_iter();
        let device = devices.next().context("no device")?;
        Ok(Self { common, device, more: devices.collect(), stop, images: None })
    }

    /// Begins or continues a run; `None` if it was stopped.
    pub fn run(&mut self, config: Config, folder: &Path) -> anyhow::Result<Option<End>> {
        let seed = config.seed;
        if folder.join(DIVERGED).exists() {
            check_same(&read(&folder.join("config.toml"))?, &config, folder)?;
            let outcome = Outcome { seed, scores: None };
            return Ok(Some(End { outcome, trainer: None, done: (0, 0.0) }));
        }
        let pretrained = settings::pretrained(&config)?;
        let has_run = folder.join(checkpoint::FILE).exists() || folder.join(checkpoint::PREVIOUS).exists();
        let mut trainer = if has_run {
            let checkpoint = Checkpoint::load(folder)?;
            check_same(&checkpoint.config, &config, folder)?;
            Trainer::resume(&checkpoint, Some(config.clone()), pretrained.as_ref(), &self.device)?
        } else {
            let start = settings::start(&config)?;
            Trainer::new(config.clone(), start.as_ref(), pretrained.as_ref(), &self.device)?
        };
        trainer = trainer.with_devices(&self.more)?;
        let key = (config.data.clone(), config.model.upscale());
        if self.images.as_ref().is_none_or(|(loaded, _)| *loaded != key) {
            // Given up first: two sets at once may be more than the memory holds.
            self.images = None;
            self.images = Some((key, settings::images(&config, folder, self.common.quiet)?));
        }
        let Some((_, (train, val))) = &self.images else { unreachable!("they were loaded above") };
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let hidden = self.common.quiet || self.common.no_progress;
        let mut line = Line::new(trainer.steps_done(), config.train.steps, hidden);
        match train::run(&mut trainer, train.clone(), val, folder, &self.stop, &mut line) {
            Ok(summary) if summary.stopped && self.stop.load(Ordering::Relaxed) => Ok(None),
            Ok(summary) => {
                // Measured again, because a run that was complete before has no validation of its own.
                let scores = eval::evaluate_sets(trainer.averaged(), val)?;
                let outcome = Outcome { seed, scores: Some(scores.iter().map(SetScore::from).collect()) };
                Ok(Some(End { outcome, trainer: Some(trainer), done: (summary.done, summary.seconds) }))
            }
            Err(error @ (TrainError::Diverged { .. } | TrainError::NotFinite { .. })) => {
                let path = folder.join(DIVERGED);
                files::replace(&path, format!("{error}\n").as_bytes())
                    .with_context(|| format!("cannot write {}", path.display()))?;
                let outcome = Outcome { seed, scores: None };
                Ok(Some(End { outcome, trainer: None, done: (0, 0.0) }))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Results of different settings must not be mixed.
pub fn check_same(saved: &str, config: &Config, folder: &Path) -> anyhow::Result<()> {
    let found = ablate::differences(&Config::resolve(None, saved, &[])?, config);
    ensure!(
        found.is_empty(),
        "{} holds a run with other settings (there, here): {}; choose another --output or remove the folder",
        folder.display(),
        found.join(", ")
    );
    Ok(())
}

/// Text of a file.
pub fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
