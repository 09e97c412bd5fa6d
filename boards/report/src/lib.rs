//! What is known, measured and predicted of models and boards.
//!
//! - [`profiles`]: boards as data; [`machine`]: a board as it is just now, with its energy;
//! - [`data`], [`measure`]: pairs of pictures, and the quality of a model on them;
//! - [`mod@bench`]: the time of frames; [`estimate`]: what it will be on a board that is not at hand;
//! - [`here`]: all of it for `compare` on this machine, as a [`report`] and as a [`page`]; [`results`]: of trained runs;
//!   [`shipped`]: what was measured of the models in the program.
//!
//! Nothing here talks to another machine: that is `mcir-deploy`.

pub mod bench;
pub mod data;
pub mod estimate;
pub mod here;
pub mod machine;
pub mod measure;
pub mod page;
pub mod profiles;
pub mod report;
pub mod results;
pub mod shipped;
