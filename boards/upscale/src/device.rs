//! Where networks run: on the processor, or on a GPU in programs that were built with the feature `gpu`.

#[cfg_attr(feature = "gpu", path = "device/gpu.rs")]
#[cfg_attr(not(feature = "gpu"), path = "device/no_gpu.rs")]
mod accelerator;

pub(crate) use accelerator::Placed;
pub use accelerator::{Accelerator, gpus};

use crate::error::Result;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// Where networks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// A GPU that multiplies bytes fast, where there is one; otherwise the processor.
    Auto,
    /// The best GPU, or the one of this number.
    Gpu(Option<usize>),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "auto" => Ok(Self::Auto),
            None if text == "gpu" => Ok(Self::Gpu(None)),
            Some(("gpu", index)) if index.parse::<usize>().is_ok() => Ok(Self::Gpu(index.parse().ok())),
            _ => {
                Err("it must be cpu, auto, gpu, or gpu:N with the number that `mcir-board info` shows".into())
            }
        }
    }
}

/// The option `--device`.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct DeviceArgs {
    /// Where int8 models run: cpu, gpu, gpu:N for the one of this number in `mcir-board info`, or auto for a GPU that multiplies
    /// bytes fast, if there is one. Pictures have the same bytes everywhere
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: Device,
}

impl DeviceArgs {
    /// Opens the GPU, if one is asked for.
    ///
    /// # Errors
    /// [`Error::Gpu`](crate::error::Error::Gpu) when one was asked for by name and cannot be used.
    pub fn open(&self) -> Result<Option<Accelerator>> {
        Accelerator::open(self.device)
    }
}

/// A GPU of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuInfo {
    /// Its number, for `--device gpu:N`.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Driver with its version.
    pub driver: String,
    /// Vulkan's version.
    pub vulkan: String,
    /// `integrated`, `discrete`, `virtual`, `software` or `other`.
    pub kind: String,
    /// Whether it multiplies and adds four bytes at once, and fast.
    pub dot_product: bool,
    /// Whether it has cooperative matrices, which nothing uses yet.
    pub matrices: bool,
    /// What keeps it from being used.
    pub lacks: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for (text, device) in [
            ("cpu", Device::Cpu),
            ("auto", Device::Auto),
            ("gpu", Device::Gpu(None)),
            ("gpu:2", Device::Gpu(Some(2))),
        ] {
            assert_eq!(text.parse(), Ok(device));
        }
        for text in ["", "gpu:", "gpu:x", "gpu:-1", "cuda", "cpu:0", "auto:1"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_processor_needs_no_gpu_and_auto_takes_none_in_software() {
        assert!(Accelerator::open(Device::Cpu).unwrap().is_none());
        if let Some(gpu) = Accelerator::open(Device::Auto).unwrap() {
            assert_ne!(gpu.info().kind, "software");
        }
    }
}
