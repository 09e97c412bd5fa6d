//! What can go wrong on the way to a GPU, and on it.

use std::time::Duration;

/// Why a GPU does not, or does not any more, run a model. After each of them the CPU can go on: no picture was handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no Vulkan loader on this system (`libvulkan.so.1`), or it is older than Vulkan 1.1.
    #[error("Vulkan cannot be used: {reason}")]
    NoLoader {
        /// What the loader, or the system, says.
        reason: String,
    },
    /// No device that may be used.
    #[error("no GPU is usable{}", because(.refused))]
    NoDevice {
        /// Devices that are there, each with what it lacks.
        refused: Vec<String>,
    },
    /// A number beyond the devices.
    #[error("there is no GPU {index}; this system has {count}")]
    NoSuchDevice {
        /// Asked for.
        index: usize,
        /// Devices.
        count: usize,
    },
    /// The device lacks something that the same bits depend on.
    #[error("{device} cannot be used: {lacks}")]
    Unusable {
        /// Its name.
        device: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// The device computes something else than the CPU.
    #[error("{device} does not compute the CPU's bits: {what}")]
    Probe {
        /// Its name.
        device: String,
        /// What was tried.
        what: String,
    },
    /// The model has something that no kernel is there for.
    #[error("the GPU has no kernel for {operator} ({node}): {why}")]
    Unsupported {
        /// Name of the node in the graph.
        node: String,
        /// Its operator.
        operator: &'static str,
        /// What of it.
        why: &'static str,
    },
    /// The picture is too small for the network, or needs more memory in one piece than the device gives.
    #[error("a picture of {width}x{height} pixels {why}")]
    Size {
        /// Its width.
        width: usize,
        /// Its height.
        height: usize,
        /// Why not.
        why: &'static str,
    },
    /// The device, or the system for it, has no memory left.
    #[error("the GPU is out of memory: {bytes} bytes were asked for")]
    OutOfMemory {
        /// Asked for last.
        bytes: u64,
    },
    /// The driver has given the device up.
    #[error("the GPU was lost")]
    Lost,
    /// A frame did not end in time; the device is not used any more.
    #[error("the GPU did not finish a frame in {} s", .0.as_secs_f64())]
    Hang(Duration),
    /// Anything else that a driver may answer.
    #[error("{call} failed with Vulkan's {code}")]
    Vulkan {
        /// The function.
        call: &'static str,
        /// `VkResult`.
        code: i32,
    },
}

fn because(refused: &[String]) -> String {
    if refused.is_empty() { String::new() } else { format!(": {}", refused.join("; ")) }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
