//! The workflow around the engine: upscaling files, and comparing models by quality and latency.
//!
//! The library holds the verbs of the program `mcir-board`, one module each ([`upscale`], [`compare`], [`bench`],
//! [`results`]), and what they share: image files ([`files`]), models by name ([`models`], [`embedded`]), a model that runs on
//! pictures ([`upscaler`]), measured results ([`report`]) and drawn test images ([`cards`]). How a network is
//! computed does not belong here; that is `mcir-runtime`.

pub mod args;
pub mod bench;
pub mod cards;
pub mod compare;
pub mod embedded;
pub mod error;
pub mod files;
pub mod models;
pub mod report;
pub mod results;
pub mod upscale;
pub mod upscaler;
