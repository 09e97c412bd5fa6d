//! Architectures: functions from a configuration to a [`Graph`](crate::model::Graph).
//!
//! Written once, here; the trainer, the quantizer and the engine interpret the graph that they return.

pub mod edsr;
pub mod ffanet;
pub mod stand_in;
pub mod swinir;
