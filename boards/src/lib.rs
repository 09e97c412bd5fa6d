//! The workflow around the engine: upscaling files and camera frames, comparing models, and putting them on boards.
//!
//! The library holds the verbs of the program `mcir-board`, one module each ([`upscale`], [`compare`], [`mod@bench`],
//! [`results`], [`camera`] with its page in [`live`] and its pins in [`gpio`], [`list`], [`info`], [`estimate`],
//! [`deploy`] with its own, [`completions`]), and what they share: boards as data ([`profiles`]) and as they are
//! ([`machine`]), models by name ([`models`], [`embedded`]), a model that runs on pictures
//! ([`upscaler`]), measured results ([`report`]) and drawn test images ([`cards`]). How a network is computed does not
//! belong here; that is `mcir-runtime`.

pub mod args;
pub mod bench;
pub mod camera;
pub mod cards;
pub mod compare;
pub mod completions;
pub mod deploy;
pub mod embedded;
pub mod error;
pub mod estimate;
pub mod gpio;
pub mod info;
pub mod list;
pub mod live;
pub mod machine;
pub mod models;
pub mod profiles;
pub mod report;
pub mod results;
pub mod upscale;
pub mod upscaler;
