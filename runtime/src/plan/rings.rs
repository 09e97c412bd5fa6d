//! How many rows each edge must keep, and where in the arena they lie.
//!
//! Work proceeds in ticks. In a tick a band of input rows arrives and every step, in order, computes all
//! output rows for which its inputs are there. After the last input row the ticks go on with rows that do
//! not exist, until the output is complete; nothing produces rows beyond its own height, so the same
//! capacities hold at the end. Capacities follow from playing this on row counters, for an image without an
//! end, until the pattern repeats.

use crate::kernel::view::Ring;
use crate::model::{Model, NodeId};
use crate::ops::{Reach, column_padding};
use alloc::{vec, vec::Vec};

/// Rows that node `id` can have computed when its inputs have `rows(input)` rows, on an image without an
/// end; negative before the first.
pub(crate) fn ready(model: &Model, id: NodeId, rows: impl Fn(NodeId) -> i64) -> i64 {
    let node = model.graph().node(id);
    let reach = Reach::of(&node.op);
    let input = node.inputs.iter().map(|&i| rows(i)).min().unwrap_or(0);
    (input - reach.below as i64) * reach.upscale as i64
}

/// First input row that output row `row` of the node needs.
fn first_needed(model: &Model, id: NodeId, row: i64) -> i64 {
    let reach = Reach::of(&model.graph().node(id).op);
    row / reach.upscale as i64 - reach.above as i64
}

/// Slots of every edge's ring for bands of `band` input rows.
pub(crate) fn capacities(model: &Model, band: usize) -> Vec<usize> {
    let nodes = &model.graph().nodes;
    let mut rows = vec![0_i64; nodes.len()];
    let mut capacity = vec![1_i64; nodes.len()];
    let mut fed = 0;
    // After every edge has begun, one more tick shows the steady state; two make sure.
    let mut after = 0;
    while after < 2 {
        if rows.iter().all(|&r| r > 0) {
            after += 1;
        }
        fed += band as i64;
        let before = rows.clone();
        let mut virt = vec![0_i64; nodes.len()];
        virt[0] = fed;
        for id in 1..nodes.len() {
            virt[id] = ready(model, id as NodeId, |i| virt[usize::from(i)]);
        }
        for (row, &v) in rows.iter_mut().zip(&virt) {
            *row = v.max(0);
        }
        for (id, node) in nodes.iter().enumerate() {
            for &input in &node.inputs {
                // The reader has not yet run in this tick when the edge got its newest rows.
                let needed = first_needed(model, id as NodeId, before[id]).max(0);
                let live = rows[usize::from(input)] - needed;
                capacity[usize::from(input)] = capacity[usize::from(input)].max(live);
            }
        }
        let last = nodes.len() - 1;
        capacity[last] = capacity[last].max(rows[last] - before[last]);
    }
    capacity.into_iter().map(|c| c as usize).collect()
}

/// Lays all rings out one after the other; returns them and the bytes of the arena.
pub(crate) fn lay_out(model: &Model, width: usize, band: usize) -> (Vec<Ring>, u64) {
    let graph = model.graph();
    let mut offset = 0_u64;
    let mut rings = Vec::with_capacity(graph.nodes.len());
    for (id, rows) in (0..).zip(capacities(model, band)) {
        let shape = model.shape(id);
        let pad = graph.readers(id).map(|r| column_padding(&graph.node(r).op)).max().unwrap_or(0);
        let px_bytes = usize::from(shape.channels) * graph.node(id).dtype.size_bytes();
        let width = width * usize::from(shape.upscale);
        let row_bytes = Ring::stride(width, pad, px_bytes);
        rings.push(Ring { offset: offset as usize, rows, row_bytes, pad, width, px_bytes });
        offset = offset.saturating_add((rows as u64 + 1).saturating_mul(row_bytes as u64));
    }
    (rings, offset)
}
