//! Executor on Vulkan compute for the int8 models of [`mcir_runtime`], with the same bits as its CPUs.
//!
//! ```text
//! Model ─► Program (of the runtime) ─► kernels with packed weights ─► plan of a size ─► one submission a frame
//! ```
//!
//! - [`devices`] lists what is there, [`Gpu::open`] takes one and tries whether it computes what it should;
//! - [`Network`] is a model on a GPU: it says which operator has no kernel, if one has none;
//! - [`Frames`] runs it on pictures of one size: buffers and commands are made once.
//!
//! Where the loader, the device or a kernel is missing, and where a device is lost, hangs or is out of memory, there is an
//! [`Error`] and no picture. Whoever calls goes on with the CPU, which makes the same bytes. `README.md` tells how exactness is
//! kept, how kernels work, and what to do on a board.
//!
//! # Unsafe code
//! Vulkan is a C interface; the folder `device` holds all calls, and what they rely on. Lowering, planning and everything that
//! callers see is safe code.

pub mod cases;
mod device;
mod error;
mod kernel;
mod lower;
mod network;
mod plan;
mod probe;

pub use device::options::{Fault, FaultKind, Options};
pub use device::select::{DeviceInfo, Kind, Selection, devices};
pub use error::{Error, Result};
pub use network::{Frames, Gpu, Network, StepTime};
