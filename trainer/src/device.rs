//! Where to compute: burn's backends, of which each but the CPU is a cargo feature of this crate.

use burn::tensor::Device;
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
use burn::tensor::DeviceType;

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The backend is not part of this build.
    #[error("this mcir-train was built without {0}; build it with --features {0}, or leave --device out")]
    NotBuilt(&'static str),
    /// Too few devices.
    #[error("{found} devices were found for {backend}, {wanted} are wanted; {help}")]
    TooFew {
        /// The backend.
        backend: &'static str,
        /// Devices found.
        found: usize,
        /// Devices wanted.
        wanted: usize,
        /// What to do.
        help: &'static str,
    },
}

/// A backend of burn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Backend {
    /// burn-flex
    Cpu,
    /// WebGPU (cargo feature wgpu)
    Wgpu,
    /// Vulkan (cargo feature vulkan)
    Vulkan,
    /// CUDA (cargo feature cuda)
    Cuda,
    /// burn-ndarray, to cross-check (cargo feature ndarray)
    Ndarray,
}

impl Backend {
    /// The first `wanted` devices of the backend; one is the backend's default device.
    ///
    /// # Errors
    /// The backend is not built in, or has fewer devices.
    pub fn devices(self, wanted: usize) -> Result<Vec<Device>, DeviceError> {
        match self {
            Self::Cpu => one("the CPU", wanted, Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => several("wgpu", wanted, DeviceType::Wgpu, || Device::wgpu(Default::default())),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => Err(DeviceError::NotBuilt("wgpu")),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => {
                several("vulkan", wanted, DeviceType::Vulkan, || Device::vulkan(Default::default()))
            }
            #[cfg(not(feature = "vulkan"))]
            Self::Vulkan => Err(DeviceError::NotBuilt("vulkan")),
            #[cfg(feature = "cuda")]
            Self::Cuda => several("cuda", wanted, DeviceType::Cuda, || Device::cuda(0)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err(DeviceError::NotBuilt("cuda")),
            #[cfg(feature = "ndarray")]
            Self::Ndarray => {
                #[allow(deprecated, reason = "kept to cross-check, as long as it exists")]
                let device = Device::ndarray();
                one("burn-ndarray", wanted, device)
            }
            #[cfg(not(feature = "ndarray"))]
            Self::Ndarray => Err(DeviceError::NotBuilt("ndarray")),
        }
    }
}

fn one(backend: &'static str, wanted: usize, device: Device) -> Result<Vec<Device>, DeviceError> {
    let help = "it is one device, whatever its cores: leave --devices out";
    if wanted == 1 { Ok(vec![device]) } else { Err(DeviceError::TooFew { backend, found: 1, wanted, help }) }
}

#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
fn several(
    backend: &'static str,
    wanted: usize,
    kind: DeviceType,
    default: impl Fn() -> Device,
) -> Result<Vec<Device>, DeviceError> {
    // Asked for first: a default device that does not exist ends the process.
    let found: Vec<Device> = Device::enumerate(kind).into_iter().collect();
    if found.len() < wanted {
        let help = match found.len() {
            0 => {
                "install its driver (Debian's mesa-vulkan-drivers computes Vulkan in software) or use --device cpu"
            }
            _ => "lower --devices",
        };
        return Err(DeviceError::TooFew { backend, found: found.len(), wanted, help });
    }
    Ok(if wanted == 1 { vec![default()] } else { found.into_iter().take(wanted).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_one_device() {
        assert_eq!(Backend::Cpu.devices(1).expect("there").len(), 1);
        let error = Backend::Cpu.devices(2).expect_err("refused").to_string();
        assert!(error.contains("1 devices were found for the CPU, 2 are wanted"), "{error}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_backend_that_is_not_built_in_is_named() {
        let error = Backend::Cuda.devices(1).expect_err("refused").to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
