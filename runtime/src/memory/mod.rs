//! The one block of memory that a frame runs in: ring buffers of rows, and where each of them lies.

pub(crate) mod arena;
pub(crate) mod line;
#[allow(unsafe_code, reason = "threads write different columns of the same rows")]
pub(crate) mod ring;
#[cfg(test)]
#[allow(unsafe_code, reason = "makes the writers that the steps get")]
mod tests;
