//! Trainer.

pub mod checkpoint;
pub mod config;
pub mod conv;
pub mod data;
pub mod eval;
pub mod log;
pub mod loss;
pub mod net;
pub mod resize;
pub mod seed;
pub mod train;
pub mod weights;
pub mod export;
