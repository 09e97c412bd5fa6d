//! Which rows every step computes when, and how many rows each edge must keep.
//!
//! Work proceeds in ticks. In a tick a band of input rows arrives and every step, in order, computes all
//! output rows for which its inputs are there. After the last input row the ticks go on with rows that do
//! not exist, until the output is complete; nothing produces rows beyond its own height, so the same
//! capacities hold at the end. Capacities follow from playing this on row counters, for an image without an
//! end, until the pattern repeats.
//!
//! What pools, and what works on pooled edges, needs its input complete: it is *whole*. Such steps cut the network
//! into levels. A level streams as above until all of its edges that others wait for are complete; then its whole steps
//! run, one after the other; then the next level streams, with the complete edges of earlier ones as its input. A network
//! without pooling is one level.

use crate::model::Extent;
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
    /// Size of its edge.
    pub extent: Extent,
    /// When it runs.
    pub level: usize,
    /// Whether all rows of its edge are there at the end of its level.
    pub kept: bool,
}

impl Flow {
    /// Of all nodes.
    pub fn of(nodes: &[Node]) -> Vec<Self> {
        let mut flows: Vec<Self> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let is_whole = node.edge.extent.fraction().is_none();
            let after = |&i: &usize| flows[i].level + usize::from(flows[i].is_whole() && !is_whole);
            flows.push(Self {
                inputs: node.inputs.clone(),
                reach: node.reach,
                padding: node.padding,
                with_previous: matches!(node.work, Work::Narrowed),
                px_bytes: node.edge.channels * node.edge.dtype.size_bytes(),
                extent: node.edge.extent,
                level: node.inputs.iter().map(after).max().unwrap_or(0),
                kept: is_whole,
            });
        }
        for id in 0..flows.len() {
            for i in flows[id].inputs.clone() {
                flows[i].kept |= flows[id].is_whole() || flows[id].level > flows[i].level;
            }
        }
        flows
    }

    /// Whether it computes its edge at once, when its inputs are complete.
    pub fn is_whole(&self) -> bool {
        self.extent.fraction().is_none()
    }

    /// Whether it computes rows in the ticks of a level.
    pub fn streams_in(&self, level: usize) -> bool {
        self.level == level && !self.is_whole()
    }
}

/// The level of the output, the last.
pub(crate) fn last_level(nodes: &[Flow]) -> usize {
    nodes.last().map_or(0, |node| node.level)
}

/// How far every node of a level goes in the tick after which `fed` input rows have arrived, on an image without an end:
/// counts of rows, negative before the first. Edges of earlier levels are taken as if they arrived with the input.
///
/// First from the input on: how far each node can go. Then from the output back: how far it has to, for its
/// readers to go as far as they can. A node that is ahead of a reader (the interpolated image, ahead of the
/// network's correction) waits, so that its cheap input is kept instead of its wide output.
pub(crate) fn schedule(nodes: &[Flow], level: usize, fed: i64, ready: &mut [i64], rows: &mut [i64]) {
    for (id, node) in nodes.iter().enumerate().filter(|(_, node)| node.streams_in(level)) {
        let arrived = |&i: &usize| match nodes[i].extent {
            Extent::Times(_) | Extent::Part { .. } if nodes[i].level == level => Some(ready[i]),
            Extent::Times(n) => Some(fed * i64::from(n)),
            Extent::Part { times, of } => Some((fed * i64::from(times)).div_euclid(i64::from(of))),
            Extent::One | Extent::Pooled { .. } => None,
        };
        let input = node.inputs.iter().filter_map(arrived).min();
        ready[id] = input.map_or(fed, |input| node.reach.ready(input));
    }
    // Before any image: enough for every reach, far from overflow.
    rows.fill(i64::MIN / 2);
    let last = nodes.len() - 1;
    for (id, node) in nodes.iter().enumerate().rev().filter(|(_, node)| node.streams_in(level)) {
        // The input has arrived and cannot wait; a window is worth computing at once, while its keys are at hand.
        if id == 0 || id == last || node.kept || matches!(node.reach, Reach::Windows { .. }) {
            rows[id] = ready[id];
        }
        let needed = node.reach.needed(rows[id]);
        for &input in node.inputs.iter().filter(|&&i| nodes[i].streams_in(level)) {
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
    /// Slots for rows; all of the image where the edge is [kept](Flow::kept).
    pub rows: usize,
    /// Whether rows stay from one tick to the next.
    pub stays: bool,
}

/// What every edge needs for bands of `band` input rows; `multiple` is what the image is padded to.
pub(crate) fn needs(nodes: &[Flow], band: usize, multiple: usize) -> Vec<Need> {
    let mut capacity = vec![1_i64; nodes.len()];
    let mut stays: Vec<bool> = nodes.iter().map(|node| node.kept).collect();
    for level in 0..=last_level(nodes) {
        needs_of_level(nodes, level, band, multiple, &mut capacity, &mut stays);
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

fn needs_of_level(
    nodes: &[Flow],
    level: usize,
    band: usize,
    multiple: usize,
    capacity: &mut [i64],
    stays: &mut [bool],
) {
    let mut rows = vec![0_i64; nodes.len()];
    let mut ready = rows.clone();
    let mut fed = 0;
    // After every edge has begun and no reader looks above the image any more, the pattern repeats with the
    // windows: a tick for each of their rows shows it, even with bands of one row.
    let mut after = 0;
    while after < 2 * multiple {
        let inside = |(node, &rows): (&Flow, &i64)| {
            !node.streams_in(level) || rows > 0 && (node.inputs.is_empty() || node.reach.first(rows) > 0)
        };
        if nodes.iter().zip(&rows).all(inside) {
            after += 1;
        }
        fed += band as i64;
        let before = rows.clone();
        schedule(nodes, level, fed, &mut ready, &mut rows);
        rows.iter_mut().for_each(|r| *r = (*r).max(0));
        for (id, node) in nodes.iter().enumerate().filter(|(_, node)| node.streams_in(level)) {
            for &input in node.inputs.iter().filter(|&&i| nodes[i].streams_in(level)) {
                // The reader has not yet run in this tick when the edge got its newest rows.
                let needed = node.reach.first(before[id]).max(0);
                capacity[input] = capacity[input].max(rows[input] - needed);
                stays[input] |= node.reach.first(rows[id]).max(0) < rows[input];
            }
        }
        let last = nodes.len() - 1;
        if nodes[last].level == level {
            capacity[last] = capacity[last].max(rows[last] - before[last]);
        }
    }
}
