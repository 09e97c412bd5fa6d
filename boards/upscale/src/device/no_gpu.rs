//! Without the feature `gpu` there is none: values of these types cannot be made.

use super::{Device, GpuInfo};
use crate::error::{Error, Result};
use mcir_runtime::model::{Model, NodeId};

/// An open GPU.
#[derive(Debug, Clone)]
pub enum Accelerator {}

/// GPUs of this machine, or why they are not known.
pub fn gpus() -> Result<Vec<GpuInfo>, String> {
    Err("this program was built without the feature gpu".into())
}

impl Accelerator {
    /// Opens the GPU that is asked for.
    pub fn open(device: Device) -> Result<Option<Self>> {
        match device {
            Device::Cpu | Device::Auto => Ok(None),
            Device::Gpu(_) => Err(Error::Gpu { reason: gpus().unwrap_err() }),
        }
    }

    /// Milliseconds of the steps of a picture.
    pub fn profile(&self, _: &Model, _: [usize; 2], _: &[u8]) -> Vec<(NodeId, f64)> {
        match *self {}
    }

    /// What it is.
    pub fn info(&self) -> GpuInfo {
        match *self {}
    }
}

/// A model on a GPU.
pub(crate) enum Placed {}

#[allow(clippy::needless_pass_by_ref_mut, reason = "as with a GPU")]
impl Placed {
    pub fn new(accelerator: &Accelerator) -> Self {
        match *accelerator {}
    }

    pub fn takes(&mut self, _: &Model, _: [usize; 2]) -> bool {
        match *self {}
    }

    pub fn run(&mut self, _: &[u8]) -> Option<&[u8]> {
        match *self {}
    }

    pub fn submit(&mut self, _: &Model, _: [usize; 2], _: &[u8]) -> bool {
        match *self {}
    }

    pub fn take(&mut self) -> Option<&[u8]> {
        match *self {}
    }

    pub fn take_note(&mut self) -> Option<String> {
        match *self {}
    }

    pub fn name(&self) -> Option<&str> {
        match *self {}
    }

    pub fn memory_bytes(&self) -> usize {
        match *self {}
    }

    pub fn rest(&mut self) {
        match *self {}
    }
}
