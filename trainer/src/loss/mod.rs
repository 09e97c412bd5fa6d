//! Losses.

pub mod pixel;
