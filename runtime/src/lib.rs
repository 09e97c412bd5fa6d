#![cfg_attr(not(feature = "std"), no_std)]
//! Streaming super-resolution engine.

extern crate alloc;

pub mod arch;
pub mod error;
pub mod image;
pub mod metrics;
pub mod model;
