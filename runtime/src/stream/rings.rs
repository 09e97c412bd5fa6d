//! The ring buffers of a program's edges, for a width and a height of the bands.
//!
//! Edges whose rows are all used up in the tick that computes them (everything between a window attention and the next, for
//! one) share memory with others that live at another time of the tick: SwinIR-light x4 at 320 pixels takes 30 MB instead of
//! 77.

use crate::memory::arena::{self, Life};
use crate::memory::ring::Ring;
use crate::stream::schedule::{Flow, needs};
use alloc::vec::Vec;

/// Lays all rings out, for images of `width` pixels (padded); returns them and the bytes of the arena.
pub(crate) fn lay_out(nodes: &[Flow], width: usize, band: usize, multiple: usize) -> (Vec<Ring>, u64) {
    let needs = needs(nodes, band, multiple);
    let mut rings: Vec<Ring> = nodes
        .iter()
        .enumerate()
        .map(|(id, node)| {
            let readers = nodes.iter().filter(|n| n.inputs.contains(&id));
            let pad = readers.map(|r| r.padding).max().unwrap_or(0);
            let px_bytes = node.px_bytes;
            let width = width * node.upscale;
            let row_bytes = Ring::stride(width, pad, px_bytes);
            Ring { offset: 0, rows: needs[id].rows, row_bytes, pad, width, px_bytes }
        })
        .collect();
    let lives: Vec<Option<Life>> = (0..nodes.len())
        // Padding is written once, so nothing else may be written there.
        .map(|id| (!needs[id].stays && rings[id].pad == 0).then(|| life_of(nodes, id)))
        .collect();
    let bytes = arena::lay_out(&mut rings, &lives);
    (rings, bytes)
}

/// When an edge that is used up in the tick is there.
pub(crate) fn life_of(nodes: &[Flow], id: usize) -> Life {
    // What a step writes along with its own edge is written by the step before.
    let from = if nodes[id].with_previous { id - 1 } else { id };
    let readers = nodes.iter().enumerate().filter(|(_, n)| n.inputs.contains(&id));
    Life { from, to: readers.map(|(reader, _)| reader).max().unwrap_or(id).max(id) }
}
