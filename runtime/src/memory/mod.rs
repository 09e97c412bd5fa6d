//! The one block of memory that a frame runs in: ring buffers of rows, and where each of them lies.

pub(crate) mod arena;
pub(crate) mod line;
pub(crate) mod ring;
#[cfg(test)]
pub(crate) mod tests;
