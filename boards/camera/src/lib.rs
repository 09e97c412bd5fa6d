//! `mcir-board camera`: super-resolution of what a camera sees, as it sees it.
//!
//! [`raw`], [`y4m`] and [`mjpeg`] turn bytes into images and touch no device; [`source`] gets the bytes from
//! cameras; [`pipeline`] lets capture, engine and outputs overlap; [`output`] and [`live`] are where
//! pictures go, [`loopback`] among them; [`gpio`] are button, light and fan. [`video`] puts
//! all of it between two ffmpegs, for files.

pub mod capture;
mod choice;
mod cmd;
pub mod error;
pub mod gpio;
pub mod health;
pub mod jpeg;
pub mod live;
pub mod loopback;
pub mod mjpeg;
pub mod notify;
pub mod output;
pub mod pins;
pub mod pipeline;
pub mod queue;
pub mod raw;
pub mod recording;
pub mod rows;
pub mod shared;
pub mod source;
pub mod stats;
pub mod video;
pub mod work;
pub mod y4m;

pub use cmd::{Cmd, run};
