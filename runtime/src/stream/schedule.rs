//! Which rows every step computes when, and how many rows each edge must keep.
//!
//! Work proceeds in ticks. In a tick a band of input rows arrives and every step, in order, computes all
//! output rows for which its inputs are there. After the last input row the ticks go on with rows that do
//! not exist, until the output is complete; nothing produces rows beyond its own height, so the same
//! capacities hold at the end. Capacities follow from playing this on row counters, for an image without an
//! end, until the pattern repeats.

use crate::program::{Node, Reach, Work};
use alloc::{vec, vec::Vec};

/// How rows flow through a node of a program.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flow {
    pub inputs: Vec<usize>,
    pub reach: Reach,
    /// Padding pixels that it reads at either side of its inputs' rows.
    pub padding: usize,
    /// Whether the node before writes its edge along with its own.
    pub with_previous: bool,
    /// Bytes of a pixel of its edge.
    pub px_bytes: usize,
    /// Resolution as a multiple of the input's.
    pub upscale: usize,
}

impl Flow {
    pub fn of(node: &Node) -> Self {
        Self {
            inputs: node.inputs.clone(),
            reach: node.reach,
            padding: node.padding,
            with_previous: matches!(node.work, Work::Narrowed),
            px_bytes: node.edge.channels * node.edge.dtype.size_bytes(),
            upscale: node.edge.upscale,
        }
    }
}

/// How far every node goes in the tick after which `fed` input rows have arrived, on an image without an end:
/// counts of rows, negative before the first.
///
/// First from the input on: how far each node can go. Then from the output back: how far it has to, for its
/// readers to go as far as they can. A node that is ahead of a reader (the interpolated image, ahead of the
/// network's correction) waits, so that its cheap input is kept instead of its wide output.
pub(crate) fn schedule(nodes: &[Flow], fed: i64, ready: &mut [i64], rows: &mut [i64]) {
    ready[0] = fed;
    for (id, node) in nodes.iter().enumerate().skip(1) {
        let input = node.inputs.iter().map(|&i| ready[i]).min().unwrap_or(0);
        ready[id] = node.reach.ready(input);
    }
    // Before any image: enough for every reach, far from overflow.
    rows.fill(i64::MIN / 2);
    // The input has arrived and cannot wait.
    rows[0] = fed;
    if let (Some(last), Some(&end)) = (rows.last_mut(), ready.last()) {
        *last = end;
    }
    for (id, node) in nodes.iter().enumerate().rev() {
        if matches!(node.reach, Reach::Windows { .. }) {
            // A window is worth computing at once, while its keys are at hand.
            rows[id] = ready[id];
        }
        let needed = node.reach.needed(rows[id]);
        for &input in &node.inputs {
            rows[input] = needed.max(rows[input]);
        }
    }
    for id in 1..nodes.len() {
        if nodes[id].with_previous {
            rows[id] = rows[id - 1];
        }
    }
}

/// What an edge needs of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// Slots for rows.
    pub rows: usize,
    /// Whether rows stay from one tick to the next.
    pub stays: bool,
}

/// What every edge needs for bands of `band` input rows; `multiple` is what the image is padded to.
pub(crate) fn needs(nodes: &[Flow], band: usize, multiple: usize) -> Vec<Need> {
    let mut rows = vec![0_i64; nodes.len()];
    let mut ready = rows.clone();
    let mut capacity = vec![1_i64; nodes.len()];
    let mut stays = vec![false; nodes.len()];
    let mut fed = 0;
    // After every edge has begun and no reader looks above the image any more, the pattern repeats with the
    // windows: a tick for each of their rows shows it, even with bands of one row.
    let mut after = 0;
    while after < 2 * multiple {
        let inside =
            |(node, &rows): (&Flow, &i64)| rows > 0 && (node.inputs.is_empty() || node.reach.first(rows) > 0);
        if nodes.iter().zip(&rows).all(inside) {
            after += 1;
        }
        fed += band as i64;
        let before = rows.clone();
        schedule(nodes, fed, &mut ready, &mut rows);
        rows.iter_mut().for_each(|r| *r = (*r).max(0));
        for (id, node) in nodes.iter().enumerate() {
            for &input in &node.inputs {
                // The reader has not yet run in this tick when the edge got its newest rows.
                let needed = node.reach.first(before[id]).max(0);
                capacity[input] = capacity[input].max(rows[input] - needed);
                stays[input] |= node.reach.first(rows[id]).max(0) < rows[input];
            }
        }
        let last = nodes.len() - 1;
        capacity[last] = capacity[last].max(rows[last] - before[last]);
    }
    // Rows below the image are reflections of its last ones, which must still be there.
    if multiple > 1 {
        capacity[0] = capacity[0].max(2 * multiple as i64);
    }
    // The input arrives between ticks, the output leaves after them.
    stays[0] = true;
    if let Some(last) = stays.last_mut() {
        *last = true;
    }
    capacity.into_iter().zip(stays).map(|(rows, stays)| Need { rows: rows as usize, stays }).collect()
}
