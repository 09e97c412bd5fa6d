//! The other networks of the curricular contrastive regularization.

use crate::config::{Negative, Spn};
use crate::net::Net;
use crate::trained::{self, TrainedError};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use std::path::PathBuf;

/// Trained networks of the same task, of any architecture, frozen. They are read from their files when a run starts and when it
/// resumes, and are not in its checkpoints.
#[derive(Debug, Clone, Default)]
pub struct Others {
    nets: Vec<Net>,
}

/// Why a network cannot be one of the others.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OthersError {
    /// Its file cannot be used.
    #[error("{path} cannot be one of spn.others: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<TrainedError>,
    },
    /// It makes images of another size or channel count.
    #[error(
        "{path} enlarges {found} times, with {channels} channels, and cannot be one of spn.others of a network that \
         enlarges {wanted} times with {wanted_channels}; name networks for the same task"
    )]
    Task {
        /// The file.
        path: PathBuf,
        /// Its factor.
        found: usize,
        /// Its channels.
        channels: usize,
        /// The factor of the network being trained.
        wanted: usize,
        /// The channels of the network being trained.
        wanted_channels: usize,
    },
}

impl Others {
    /// The networks that a configuration names, on the device of `target`, without autodiff; none where its loss has no use
    /// for them.
    ///
    /// # Errors
    /// A file that is no trained network, or one for another factor or channel count.
    pub fn load(spn: &Spn, target: &Net) -> Result<Self, OthersError> {
        if spn.negative != Negative::Ccr {
            return Ok(Self::default());
        }
        let target = target.valid();
        let device = target.device();
        let one = |path: &PathBuf| {
            let file = |source| OthersError::File { path: path.clone(), source: Box::new(source) };
            let net = trained::load(path).map_err(file)?.net(&device).map_err(|e| file(e.into()))?;
            let (wanted, wanted_channels) = (target.upscale(), target.in_channels());
            let (found, channels) = (net.upscale(), net.in_channels());
            if (found, channels) != (wanted, wanted_channels) {
                let path = path.clone();
                return Err(OthersError::Task { path, found, channels, wanted, wanted_channels });
            }
            Ok(net.with_precision(target.precision()))
        };
        Ok(Self { nets: spn.others.iter().map(one).collect::<Result<_, _>>()? })
    }

    /// What each makes of an input.
    ///
    /// # Shapes
    /// lr `[N, C, H, W]` without autodiff; outputs as of the network
    pub fn forward(&self, lr: &Tensor<4>) -> Vec<Tensor<4>> {
        self.nets.iter().map(|net| net.forward(lr.clone())).collect()
    }

    /// Copies on another device.
    pub fn fork(self, device: &Device) -> Self {
        Self { nets: self.nets.into_iter().map(|net| net.fork(device)).collect() }
    }
}
