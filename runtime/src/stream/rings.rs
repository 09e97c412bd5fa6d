//! The ring buffers of a program's edges, for a width and a height of the bands.
//!
//! Edges whose rows are all used up in the tick that computes them (everything between a window attention and the next, for
//! one) share memory with others that live at another time of the tick: SwinIR-light x4 at 320 pixels takes 30 MB instead of
//! 77. In a network of several levels, edges of one share memory with those of another where neither is read in both.

use crate::memory::arena::{self, Life};
use crate::memory::ring::Ring;
use crate::stream::schedule::{Flow, Need, last_level, needs};
use alloc::vec::Vec;

/// Lays all rings out, for images of `width` pixels (padded); returns them and the bytes of the arena. `sizes` has the height
/// and width of every edge, and is asked of networks of several levels, whose rings depend on the height; the others'
/// are for any.
pub(crate) fn lay_out(
    nodes: &[Flow],
    width: usize,
    band: usize,
    multiple: usize,
    sizes: &[[usize; 2]],
) -> (Vec<Ring>, u64) {
    let needs = needs(nodes, band, multiple);
    let mut rings: Vec<Ring> = nodes
        .iter()
        .enumerate()
        .map(|(id, node)| {
            let readers = nodes.iter().filter(|n| n.inputs.contains(&id));
            let pad = readers.map(|r| r.padding).max().unwrap_or(0);
            let px_bytes = node.px_bytes;
            let width = node.extent.side(width).unwrap_or_else(|| sizes[id][1]);
            let rows = if node.kept { sizes[id][0] } else { needs[id].rows };
            Ring { offset: 0, rows, row_bytes: Ring::stride(width, pad, px_bytes), pad, width, px_bytes }
        })
        .collect();
    let lives: Vec<Option<Life>> = match last_level(nodes) {
        // Padding is written once, so nothing else may be written there.
        0 => (0..nodes.len())
            .map(|id| (!needs[id].stays && rings[id].pad == 0).then(|| life_of(nodes, id)))
            .collect(),
        // Padding is written anew in every level.
        _ => lives(nodes, &needs, &rings).into_iter().map(Some).collect(),
    };
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

/// When the edges of a network of several levels are there. Time goes on with every step of a level, in the order of the
/// nodes, and then with every whole one.
pub(crate) fn lives(nodes: &[Flow], needs: &[Need], rings: &[Ring]) -> Vec<Life> {
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|&id| (nodes[id].level, nodes[id].is_whole(), id));
    let mut time = alloc::vec![0; nodes.len()];
    order.iter().enumerate().for_each(|(at, &id)| time[id] = at);
    // A level's ticks repeat: what stays from one to the next is there from the first step to the last.
    let span = |level: usize| {
        let steps = || (0..nodes.len()).filter(|&id| nodes[id].streams_in(level)).map(|id| time[id]);
        Life { from: steps().min().unwrap_or(0), to: steps().max().unwrap_or(0) }
    };
    let spans: Vec<Life> = (0..=last_level(nodes)).map(span).collect();
    // Its rows, or the padding beside them, are there for all of its level.
    let stays = |id: usize| !nodes[id].is_whole() && (nodes[id].kept || needs[id].stays || rings[id].pad > 0);
    let life = |id: usize| {
        let node = &nodes[id];
        let end = |reader: usize| match nodes[reader].is_whole() {
            false if node.is_whole() || stays(id) => spans[nodes[reader].level].to,
            _ => time[reader],
        };
        let readers = (0..nodes.len()).filter(|&reader| nodes[reader].inputs.contains(&id));
        let written = if node.with_previous { time[id - 1] } else { time[id] };
        let to = readers.map(end).max().unwrap_or(0).max(time[id]);
        let span = spans[node.level];
        match stays(id) {
            true => Life { from: span.from, to: to.max(span.to) },
            false => Life { from: written, to },
        }
    };
    (0..nodes.len()).map(life).collect()
}
