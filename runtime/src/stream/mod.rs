//! Streaming a program through a processor's kernels: rows in, rows out.

pub(crate) mod error;
pub(crate) mod frame;
pub(crate) mod options;
pub(crate) mod packed;
pub(crate) mod plan;
pub(crate) mod rings;
pub(crate) mod schedule;
pub(crate) mod workspace;
