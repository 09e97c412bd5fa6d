//! [`load`]: a trained network, whatever file it is in.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::{Config, ConfigError};
use crate::export;
use crate::import::{self, ImportError};
use crate::net::{Architecture, Net};
use crate::weights::{Tensors, WeightsError};
use burn::tensor::Device;
use mcir_runtime::error::LoadError;
use mcir_runtime::model::Model;
use std::path::{Path, PathBuf};

/// Why a file gives no trained network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainedError {
    /// The model file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not a model file.
    #[error("{path} is not a model file: {source}")]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: LoadError,
    },
    /// It is quantized.
    #[error("{path} is quantized, a float model is needed; mcir-board compare measures quantized ones")]
    Quantized {
        /// The file.
        path: PathBuf,
    },
    /// It is not a usable checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The configuration in the checkpoint cannot be read.
    #[error("the configuration in the checkpoint cannot be used: {0}")]
    Config(#[from] ConfigError),
    /// Networks that cannot be blended.
    #[error("only networks of one architecture and size have something between them; these are different")]
    OtherArchitecture,
    /// Weights that are not of the architecture.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// It is not a PyTorch file that can be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// A network without a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// What it computes.
    pub architecture: Architecture,
    /// Its weights; the averaged ones of a run.
    pub tensors: Tensors,
}

impl Trained {
    /// The network on a device.
    ///
    /// # Errors
    /// The weights do not fit the architecture.
    pub fn net(&self, device: &Device) -> Result<Net, WeightsError> {
        Net::from_tensors(&self.architecture, &self.tensors, device)
    }
}

/// The network between two of one architecture: each weight is that of `from`, moved by `share` of the way to that of `to`.
/// Where one was trained on from the other, what is between them computes what is between.
///
/// # Errors
/// [`TrainedError::OtherArchitecture`].
///
/// # Source
/// Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", CVPR 2019.
pub fn blend(from: &Trained, to: &Trained, share: f32) -> Result<Trained, TrainedError> {
    if from.architecture != to.architecture {
        return Err(TrainedError::OtherArchitecture);
    }
    let mut tensors = Tensors::default();
    for (name, shape, values) in from.tensors.iter() {
        let other = to.tensors.get(name, shape)?;
        let between = values.iter().zip(other).map(|(a, b)| a + share * (b - a)).collect();
        tensors.insert(name.into(), shape.to_vec(), between);
    }
    Ok(Trained { architecture: from.architecture.clone(), tensors })
}

/// Reads a float model file (`.mcir`).
///
/// # Errors
/// It is not there, not a model, or quantized.
pub fn model(path: &Path) -> Result<Model, TrainedError> {
    let bytes = std::fs::read(path).map_err(|source| TrainedError::Io { path: path.into(), source })?;
    let model =
        Model::from_bytes(bytes).map_err(|source| TrainedError::Model { path: path.into(), source })?;
    if model.is_quantized() { Err(TrainedError::Quantized { path: path.into() }) } else { Ok(model) }
}

/// Reads a model file (`.mcir`), PyTorch weights (`.pth`, `.pt`, `.safetensors`), a checkpoint or the folder of a run.
///
/// # Errors
/// Any [`TrainedError`].
pub fn load(path: &Path) -> Result<Trained, TrainedError> {
    match path.extension().and_then(|e| e.to_str()) {
        Some("mcir") => {
            let model = model(path)?;
            Ok(Trained { architecture: model.graph().clone().into(), tensors: export::tensors(&model) })
        }
        Some("pth" | "pt" | "safetensors") => Ok(import::load(path, &import::Options::default())?),
        _ => {
            let checkpoint = Checkpoint::load(path)?;
            let config = Config::resolve(None, &checkpoint.config, &[])?;
            Ok(Trained { architecture: config.model.architecture(), tensors: checkpoint.ema })
        }
    }
}
