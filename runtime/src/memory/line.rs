//! Memory at 64-byte addresses, which vectors are loaded from without crossing a cache line.

use alloc::{vec, vec::Vec};
use bytemuck::{Pod, Zeroable};

/// 64 bytes at a 64-byte address.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; 64]);

/// A zeroed buffer of at least `bytes` bytes at a 64-byte address.
pub(crate) fn aligned(bytes: usize) -> Vec<Line> {
    vec![Line([0; 64]); bytes.div_ceil(64)]
}

/// The same, or nothing where there is no memory for it.
pub(crate) fn try_aligned(bytes: usize) -> Option<Vec<Line>> {
    let lines = bytes.div_ceil(64);
    let mut memory = Vec::new();
    memory.try_reserve_exact(lines).ok()?;
    memory.resize(lines, Line([0; 64]));
    Some(memory)
}
