//! aarch64: NEON and its extensions, a folder each, and what they share.

// First, because the others use its macros.
#[macro_use]
mod tile_6x4;

pub(crate) mod dot;
mod epilogue;
pub(crate) mod i8mm;
pub(crate) mod neon;
mod store;
