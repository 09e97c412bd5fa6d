//! How many rows each edge must keep, and where in the arena they lie.
//!
//! Work proceeds in ticks. In a tick a band of input rows arrives and every step, in order, computes all
//! output rows for which its inputs are there. After the last input row the ticks go on with rows that do
//! not exist, until the output is complete; nothing produces rows beyond its own height, so the same
//! capacities hold at the end. Capacities follow from playing this on row counters, for an image without an
//! end, until the pattern repeats.

use crate::kernel::view::Ring;
use crate::model::Model;
use crate::ops::{Reach, column_padding};
use alloc::{vec, vec::Vec};

/// How far every node goes in the tick after which `fed` input rows have arrived, on an image without an end:
/// counts of rows, negative before the first.
///
/// First from the input on: how far each node can go. Then from the output back: how far it has to, for its
/// readers to go as far as they can. A node that is ahead of a reader (the interpolated image, ahead of the
/// network's correction) waits, so that its cheap input is kept instead of its wide output.
pub(crate) fn schedule(model: &Model, fed: i64, ready: &mut [i64], rows: &mut [i64]) {
    let nodes = &model.graph().nodes;
    ready[0] = fed;
    for (id, node) in nodes.iter().enumerate().skip(1) {
        let input = node.inputs.iter().map(|&i| ready[usize::from(i)]).min().unwrap_or(0);
        ready[id] = Reach::of(&node.op).ready(input);
    }
    // Before any image: enough for every reach, far from overflow.
    rows.fill(i64::MIN / 2);
    // The input has arrived and cannot wait.
    rows[0] = fed;
    if let (Some(last), Some(&end)) = (rows.last_mut(), ready.last()) {
        *last = end;
    }
    for (id, node) in nodes.iter().enumerate().rev() {
        let reach = Reach::of(&node.op);
        if matches!(reach, Reach::Windows { .. }) {
            // A window is worth computing at once, while its keys are at hand.
            rows[id] = ready[id];
        }
        let needed = reach.needed(rows[id]);
        for &input in &node.inputs {
            let input = &mut rows[usize::from(input)];
            *input = needed.max(*input);
        }
    }
}

/// Slots of every edge's ring for bands of `band` input rows.
pub(crate) fn capacities(model: &Model, band: usize) -> Vec<usize> {
    let nodes = &model.graph().nodes;
    let mut rows = vec![0_i64; nodes.len()];
    let mut ready = rows.clone();
    let mut capacity = vec![1_i64; nodes.len()];
    let mut fed = 0;
    // After every edge has begun, the pattern repeats with the windows: a tick for each of their rows shows
    // it, even with bands of one row.
    let multiple = model.graph().pad_multiple();
    let mut after = 0;
    while after < 2 * multiple {
        if rows.iter().all(|&r| r > 0) {
            after += 1;
        }
        fed += band as i64;
        let before = rows.clone();
        schedule(model, fed, &mut ready, &mut rows);
        rows.iter_mut().for_each(|r| *r = (*r).max(0));
        for (id, node) in nodes.iter().enumerate() {
            for &input in &node.inputs {
                // The reader has not yet run in this tick when the edge got its newest rows.
                let needed = Reach::of(&node.op).first(before[id]).max(0);
                let live = rows[usize::from(input)] - needed;
                capacity[usize::from(input)] = capacity[usize::from(input)].max(live);
            }
        }
        let last = nodes.len() - 1;
        capacity[last] = capacity[last].max(rows[last] - before[last]);
    }
    // Rows below the image are reflections of its last ones, which must still be there.
    if multiple > 1 {
        capacity[0] = capacity[0].max(2 * multiple as i64);
    }
    capacity.into_iter().map(|c| c as usize).collect()
}

/// Lays all rings out one after the other, for images of `width` pixels (padded); returns them and the bytes of the arena.
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
