//! x86-64: a folder an instruction set.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod avxvnni;
pub(crate) mod winograd_4x4;
