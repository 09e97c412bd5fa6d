//! Where the rings of all edges lie in one block of memory.
//!
//! Rings whose rows are used up in the tick that computes them share memory with others that live at another time of the
//! tick; those that keep rows share with none.

use crate::memory::ring::Ring;
use alloc::vec::Vec;

/// The steps of a tick during which an edge's rows are written and read; both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub from: usize,
    pub to: usize,
}

impl Life {
    /// Whether the two are there at the same time.
    pub fn meets(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

/// Sets the offset of every ring; a ring without a life is there at any time. Returns the bytes of the arena.
pub(crate) fn lay_out(rings: &mut [Ring], lives: &[Option<Life>]) -> u64 {
    let mut end = 0;
    for (ring, _) in rings.iter_mut().zip(lives).filter(|(_, life)| life.is_none()) {
        ring.offset = place(&mut end, bytes(ring));
    }
    let shared = share(rings, lives, end);
    end.max(shared)
}

/// Places the rings that have a life from `start` on, the largest first, each as low as those that it meets
/// leave room; returns the end.
fn share(rings: &mut [Ring], lives: &[Option<Life>], start: u64) -> u64 {
    let mut order: Vec<(usize, Life)> =
        lives.iter().enumerate().filter_map(|(id, life)| Some((id, (*life)?))).collect();
    order.sort_by_key(|&(id, _)| core::cmp::Reverse(bytes(&rings[id])));
    let mut end = start;
    let mut placed: Vec<(usize, Life)> = Vec::with_capacity(order.len());
    for (id, life) in order {
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|(_, other)| life.meets(*other))
            .map(|&(other, _)| (rings[other].offset as u64, bytes(&rings[other])))
            .collect();
        taken.sort_unstable();
        let mut at = start;
        for (offset, bytes_there) in taken {
            if at.saturating_add(bytes(&rings[id])) <= offset {
                break;
            }
            at = at.max(offset.saturating_add(bytes_there));
        }
        let mut to = at;
        rings[id].offset = place(&mut to, bytes(&rings[id]));
        end = end.max(to);
        placed.push((id, life));
    }
    end
}

/// The offset `end`, which moves up by so many bytes.
fn place(end: &mut u64, bytes: u64) -> usize {
    let offset = *end;
    *end = end.saturating_add(bytes);
    offset as usize
}

/// As [`Ring::bytes`], for sizes that may be too large to allocate.
fn bytes(ring: &Ring) -> u64 {
    (ring.rows as u64 + 1).saturating_mul(ring.row_bytes as u64)
}
