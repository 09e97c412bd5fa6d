//! Why training stops.

use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::conv::Precision;
use crate::eval::EvalError;
use crate::loss::features::FeaturesError;
use crate::negatives::OthersError;
use crate::weights::WeightsError;
use std::path::PathBuf;

/// Why training stops.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss is infinite or not a number.
    #[error(
        "the loss is {loss} at step {step}; {} with a lower learning rate (--set train.lr=…)",
        advice(kept)
    )]
    NotFinite {
        /// The loss.
        loss: f32,
        /// Step, counted from zero.
        step: u64,
        /// Step of the last checkpoint of the run, if there is one.
        kept: Option<u64>,
    },
    /// The reconstruction gets worse and worse.
    #[error(
        "the reconstruction loss rose to {mean:.5}, {:.1} times its best ({best:.5}), by step {step}: training \
         has diverged; {} with a lower spn.lambda or train.lr",
        mean / best, advice(kept)
    )]
    Diverged {
        /// Mean of the last window.
        mean: f64,
        /// Best mean.
        best: f64,
        /// Steps done.
        step: u64,
        /// Step of the last checkpoint of the run, if there is one.
        kept: Option<u64>,
    },
    /// The feature network cannot be loaded.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// A checkpoint cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint does not hold what the configuration needs.
    #[error("the checkpoint does not fit the configuration: {0}")]
    Weights(#[from] WeightsError),
    /// The checkpoint's configuration cannot be read.
    #[error("the configuration in the checkpoint cannot be used: {0}")]
    Config(#[from] ConfigError),
    /// The checkpoint's optimizer state cannot be read.
    #[error("the optimizer state in the checkpoint cannot be used: {0}; try the previous checkpoint")]
    Optimizer(String),
    /// The device cannot compute as configured.
    #[error(
        "{device} cannot compute in {precision:?}; set train.precision to \"f32\" or choose another device"
    )]
    Precision {
        /// The device.
        device: String,
        /// The configured precision.
        precision: Precision,
    },
    /// The batch cannot be divided.
    #[error(
        "a batch of {batch} patches cannot be divided into {parts} equal parts (train.accumulate times the number \
         of devices); change train.batch or train.accumulate"
    )]
    Parts {
        /// Patches.
        batch: usize,
        /// Parts.
        parts: usize,
    },
    /// The system gives no threads.
    #[error("cannot start threads: {0}; set RAYON_NUM_THREADS to fewer")]
    Threads(rayon::ThreadPoolBuildError),
    /// The validation images cannot be used.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The resumed configuration describes another network.
    #[error("a run cannot change its [model] while it is resumed; start a new one with --from")]
    OtherModel,
    /// The resumed configuration describes other negative models.
    #[error(
        "a run cannot change the kind or number of its negative models while it is resumed ({saved} in the checkpoint, \
         {wanted} in the configuration); leave spn.negative and the length of spn.steps as they were, or start a new run \
         with --from"
    )]
    OtherNegatives {
        /// Kind and number in the checkpoint.
        saved: String,
        /// Kind and number in the configuration.
        wanted: String,
    },
    /// The frozen negative model is of another kind of network.
    #[error("the pretrained negative model does not fit the network: {0} (spn.pretrained)")]
    Pretrained(WeightsError),
    /// A network of the curricular loss cannot be used.
    #[error(transparent)]
    Others(#[from] OthersError),
    /// The start weights are of another kind of network.
    #[error(
        "none of the {found} tensors to start from fits the network by name and shape; choose weights of the same \
         architecture and width (train.from, --from)"
    )]
    NothingFits {
        /// Tensors in the file.
        found: usize,
    },
    /// No batch can be made.
    #[error("cannot read decoded images back: {0}; check the disk of the run's folder, then resume")]
    Batch(std::io::Error),
    /// A file of the run cannot be written.
    #[error("cannot write {path}: {source}; free some space or choose another folder, then resume")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What to do when a run has gone wrong.
fn advice(kept: &Option<u64>) -> String {
    match kept {
        Some(step) => format!("the checkpoint of step {step} is kept: resume from it"),
        None => "nothing had been saved yet: start again".into(),
    }
}
