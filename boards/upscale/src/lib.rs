//! A model that runs on pictures: the verb [`upscale`](mod@upscale), and what every other verb of `mcir-board` needs of it.
//!
//! [`models`] finds models by name, [`embedded`] holds those that are in the program, [`upscaler`] runs one on pictures,
//! row by row, and [`colour`] leads from RGB to brightness and back. [`device`] is where networks run, [`args`] are the options that mean the same in every verb, [`error`] is what can go wrong, [`table`] lays out
//! text, and [`cards`] draws test images. How a network is computed does not belong here; that is `mcir-runtime`.

pub mod args;
pub mod cards;
pub mod colour;
pub mod device;
pub mod embedded;
pub mod error;
pub mod models;
pub mod table;
pub mod upscale;
pub mod upscaler;
