//! Trains super-resolution and restoration networks and writes them as model files for the mcir engine.
//!
//! ```text
//! photographs ─ pairs ─ batches ─► train ─► checkpoint ─ export ─► model file (f32)
//!                                    ▲                               ▲
//!                 presets, TOML ─ config       PyTorch weights ─ import
//! ```
//!
//! A network is not written down here a second time: [`net::Net`] lowers the engine's own
//! [`Graph`](mcir_runtime::model::Graph) to burn, and [`export`] walks the same nodes back. So whatever
//! `mcir_runtime::arch` can describe can be trained, and the engine runs exactly what was trained. The exceptions are
//! [`net::nafnet`], [`net::dehazeformer`] and [`net::idt`], which the engine cannot run.
//!
//! # Use
//! ```text
//! mcir-train train -p edsr-edge-x4 --data PHOTOGRAPHS --val Set5/HR -o runs/x4     # --resume continues it
//! mcir-train train -p edsr-edge-x4 --data PHOTOGRAPHS --lambda 1e-4 --features vgg16.pth -o runs/x4-spn
//! mcir-train eval -m runs/x4 --data Set14/HR
//! mcir-train export -i runs/x4 -o model.mcir
//! mcir-train import -i EDSR_Lx4.pth -o edsr-light-x4.mcir
//! mcir-train ablate -p edsr-edge-x4 --data PHOTOGRAPHS --val Set5/HR --vary "spn.lambda=0;1e-4" -o runs/lambda
//! ```
//!
//! # Modules
//! - [`config`]: presets, the TOML file, settings of the command line; saved beside the results.
//! - [`data`]: folders to pairs, MATLAB-compatible downscaling, the damage that air, cameras and files do, random patches, batches
//!   prepared ahead; [`sheet`]: pictures of that.
//! - [`net`], [`conv`], [`resize`], [`attention`]: the networks in burn, with a convolution for the CPU and an interpolation
//!   that follows the engine's definition at the borders.
//! - [`loss`], [`negatives`]: what is minimised: a distance between pixels, and the SPN loss with its negative models.
//! - [`train`], [`checkpoint`], [`log`], [`curves`], [`divergence`]: the loop, its state on disk, its record and the
//!   picture of it, its alarm.
//! - [`device`]: the backends.
//! - [`ablate`]: grids of runs and the table that compares them.
//! - [`eval`]: PSNR and SSIM with the engine's metrics.
//! - [`import`], [`export`], [`trained`], [`weights`]: values in and out.
//! - [`files`]: files that are there whole or not at all.
//! - [`qat`]: fine-tuning for int8.
//! - [`seed`]: random numbers that depend on seed, purpose and step only.
//!
//! # Reproducibility
//! Batches and initial weights follow from the seed alone, and on the CPU every sum has a fixed order, so a
//! run repeats to the bit on machines with the same vector width, whatever the number of threads
//! (`RAYON_NUM_THREADS`), and so does one that was interrupted and resumed.

pub mod ablate;
pub mod attention;
pub mod checkpoint;
pub mod config;
pub mod conv;
pub mod curves;
pub mod data;
pub mod device;
pub mod divergence;
pub mod eval;
mod exp;
pub mod export;
pub mod files;
mod flex;
pub mod import;
pub mod log;
pub mod loss;
pub mod negatives;
pub mod net;
pub mod qat;
pub mod resize;
pub mod seed;
pub mod sheet;
pub mod shuffle;
pub mod study;
pub mod train;
pub mod trained;
pub mod weights;

#[cfg(test)]
mod shared;
