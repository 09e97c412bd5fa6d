//! From a model to a board that runs it: bundles, the slots of a board, and the way there.
//!
//! - [`manifest`], [`bundle`], [`sign`]: the file that is put on a board;
//! - [`slots`]: the board's end: what it has and which slot runs;
//! - [`target`]: the way to a board, over ssh or a folder of this machine;
//! - [`flash`], [`resident`]: the verbs;
//! - [`fleet`]: bundles for updaters of whole fleets; [`raw`]: partitions and flash chips without a file system.

mod advice;
pub mod bundle;
mod error;
pub mod flash;
pub mod fleet;
pub mod keygen;
pub mod manifest;
mod prepare;
pub mod program;
pub mod raw;
pub mod resident;
pub mod self_test;
pub mod sign;
#[cfg(test)]
#[path = "../../../tests/src/skip.rs"]
mod skip;
pub mod slots;
pub mod target;

pub use error::DeployError;
