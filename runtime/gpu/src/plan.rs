//! A lowered model for pictures of one size: where edges lie in memory, and what is dispatched.

use crate::error::{Error, Result};
use crate::kernel::{Dispatch, Kernel, LOCAL, MAX_GROUPS, Module, Push, Type, linear};
use crate::lower::{ConvShape, Edge, Lowered, Step, Task};

/// Rows that an invocation of the convolution makes, in `shaders/conv.comp`.
const ROWS: usize = 4;
/// Columns of a workgroup.
const LANES: usize = 32;
/// Most invocations of a workgroup, where the device allows as many.
const MAX_INVOCATIONS: usize = 256;
/// Most bytes of the input in shared memory: several workgroups share a processor's.
const TILE_BYTES: usize = 16 << 10;
/// Largest number of words that places are counted in.
const MAX_WORDS: usize = i32::MAX as usize;

/// What the device allows, as far as kernels depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub invocations: usize,
    pub dot: bool,
}

/// All that is done for a frame.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub dispatches: Vec<Dispatch>,
    /// The program's node that each of them is for.
    pub nodes: Vec<usize>,
    pub arena_bytes: u64,
    pub input_bytes: usize,
    pub output_bytes: usize,
}

impl Plan {
    /// For pictures of this width and height.
    ///
    /// # Errors
    /// [`Error::Size`] when one edge, or all that are needed at a time, are beyond what places are counted in.
    pub fn new(lowered: &Lowered, (width, height): (usize, usize), limits: Limits) -> Result<Self> {
        let refused = |why| Error::Size { width, height, why };
        if width == 0 || height == 0 {
            return Err(refused("has no pixels"));
        }
        let whole = |size: usize| {
            let extended = size.checked_add(2 * lowered.margin)?;
            extended.checked_next_multiple_of(lowered.pad_multiple.max(1))
        };
        let large = || refused("is too large for the GPU in one piece");
        let inside = [whole(width).ok_or_else(large)?, whole(height).ok_or_else(large)?];
        if inside.iter().any(|&size| size > MAX_GROUPS as usize) {
            return Err(large());
        }
        let geometry = Geometry { picture: [width, height], inside };
        // The output shown is all of the network's, so that it can be written without another pass.
        let direct = lowered.margin == 0 && inside == [width, height];
        let steps = steps(lowered, direct);
        let places = places(lowered, &steps, geometry).ok_or_else(large)?;
        let dispatches = steps
            .iter()
            .map(|step| dispatch(lowered, step, geometry, &places.starts, limits))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(large)?;
        let pixels = width * height;
        Ok(Self {
            nodes: steps.iter().map(|step| step.node).collect(),
            dispatches,
            arena_bytes: 4 * places.words as u64,
            input_bytes: pixels * lowered.in_channels,
            output_bytes: pixels * lowered.upscale * lowered.upscale * lowered.out_channels,
        })
    }
}

/// Sizes, each width and height.
#[derive(Debug, Clone, Copy)]
struct Geometry {
    picture: [usize; 2],
    /// Of the network's input.
    inside: [usize; 2],
}

impl Geometry {
    /// Of an edge.
    fn of(self, edge: Edge) -> [usize; 2] {
        self.inside.map(|size| size * edge.times)
    }

    /// Words of an edge; `None` beyond all limits.
    fn words(self, edge: Edge) -> Option<usize> {
        let [width, height] = self.of(edge);
        let words = width.checked_mul(height)?.checked_mul(edge.quads() * edge.kind.planes())?;
        (words <= MAX_WORDS).then_some(words)
    }
}

/// The steps of a frame. The end of a real-time network writes the picture itself, if it may.
fn steps(lowered: &Lowered, direct: bool) -> Vec<Step> {
    let mut steps = lowered.steps.clone();
    if direct
        && let [.., last, _] = &mut steps[..]
        && matches!(last.work, Task::Skip { .. })
    {
        last.writes = [None; 2];
        steps.pop();
    }
    steps
}

/// Where edges lie in the arena.
struct Places {
    /// Of every edge; 0 for those without.
    starts: Vec<usize>,
    words: usize,
}

/// Places for all edges that are written, so that those which are needed at the same time do not overlap: each at the lowest place
/// that is free while it is needed.
fn places(lowered: &Lowered, steps: &[Step], geometry: Geometry) -> Option<Places> {
    let mut starts = vec![0; lowered.edges.len()];
    // Start, end, and the last step that reads.
    let mut taken: Vec<(usize, usize, usize)> = Vec::new();
    let mut words = 1;
    for (now, step) in steps.iter().enumerate() {
        for edge in step.writes.into_iter().flatten() {
            taken.retain(|&(_, _, until)| until >= now);
            taken.sort_unstable();
            let size = geometry.words(lowered.edges[edge])?;
            let mut start = 0;
            for &(from, to, _) in &taken {
                if from >= start + size {
                    break;
                }
                start = start.max(to);
            }
            let last = steps.iter().rposition(|step| step.reads.contains(&edge)).unwrap_or(now);
            taken.push((start, start + size, last));
            starts[edge] = start;
            words = words.max(start + size);
        }
    }
    (words <= MAX_WORDS).then_some(Places { starts, words })
}

fn dispatch(
    lowered: &Lowered,
    step: &Step,
    geometry: Geometry,
    starts: &[usize],
    limits: Limits,
) -> Option<Dispatch> {
    let place = |edge: Option<usize>| edge.map_or(0, |edge| starts[edge] as i32);
    let edge = lowered.edges[step.node];
    let [width, height] = geometry.of(edge);
    let from = step.reads.first().map_or([width, height], |&edge| geometry.of(lowered.edges[edge]));
    let mut push = Push {
        in0: place(step.reads.first().copied()),
        in1: place(step.reads.get(1).copied()),
        out0: place(step.writes[0]),
        out1: place(step.writes[1]),
        in_width: from[0] as i32,
        in_height: from[1] as i32,
        width: width as i32,
        height: height as i32,
        ..step.push
    };
    let (kernel, groups) = match &step.work {
        Task::Input => {
            [push.in_width, push.in_height] = geometry.picture.map(|size| size as i32);
            push.extra0 = lowered.margin as i32;
            let constants = vec![lowered.in_channels as i32];
            let groups = [width.div_ceil(LOCAL) as u32, height as u32, 1];
            (Kernel { module: Module::Input, constants }, groups)
        }
        Task::Output => {
            let shown = geometry.picture.map(|size| size * lowered.upscale);
            [push.width, push.height] = shown.map(|size| size as i32);
            push.extra0 = (lowered.margin * lowered.upscale) as i32;
            let constants = vec![lowered.out_channels as i32];
            (Kernel { module: Module::Output, constants }, linear((shown[0] * shown[1]).div_ceil(4)))
        }
        Task::Quads(kernel) => {
            let invocations = width * height * edge.quads();
            push.extra0 = i32::try_from(invocations).ok()?;
            (kernel.clone(), linear(invocations))
        }
        Task::Skip { kind, upscale } => {
            let direct = step.writes[0].is_none();
            let constants = vec![edge.channels as i32, *upscale as i32, *kind as i32, i32::from(direct)];
            let pixels = width * height;
            let invocations = if direct { pixels.div_ceil(4) } else { pixels };
            (Kernel { module: Module::Skip, constants }, linear(invocations))
        }
        Task::Convolution(shape) => {
            // A pixel shuffle's edge is larger than what is computed.
            [push.width, push.height] = from.map(|size| size as i32);
            convolution(shape, step, edge, from, limits)
        }
    };
    let fits = groups.iter().all(|&count| count <= MAX_GROUPS);
    fits.then_some(Dispatch { kernel, push, groups })
}

/// The kernel of a convolution, and its workgroups for so many columns and rows.
fn convolution(
    shape: &ConvShape,
    step: &Step,
    edge: Edge,
    [width, height]: [usize; 2],
    limits: Limits,
) -> (Kernel, [u32; 3]) {
    let blocks = shape.out_quads.div_ceil(2);
    let most = limits.invocations.min(MAX_INVOCATIONS) / LANES;
    // All blocks of a workgroup read the same tile.
    let together = (1..=blocks.min(most)).rev().find(|n| blocks.is_multiple_of(*n)).unwrap_or(1);
    let groups = (most / together).clamp(1, 2).min(height.div_ceil(ROWS));
    let tile = (LANES + shape.kernel - 1) * (groups * ROWS + shape.kernel - 1) * 4 * shape.input.planes();
    let stage = (TILE_BYTES / tile).clamp(1, shape.quads);
    // Equal stages.
    let stage = shape.quads.div_ceil(shape.quads.div_ceil(stage));
    let shuffled_quads = if shape.shuffle > 1 { edge.quads() } else { 1 };
    let constants = [
        LANES,
        groups,
        together,
        LANES,
        groups,
        together,
        shape.kernel,
        shape.quads,
        stage,
        shape.out_quads,
        edge.kind as usize,
        usize::from(step.writes[0].is_some()),
        usize::from(shape.residual),
        usize::from(shape.narrow),
        shape.shuffle,
        shuffled_quads,
        usize::from(shape.wide),
    ];
    let module = match shape.input {
        Type::I8 if limits.dot => Module::ConvDot,
        Type::I8 => Module::Conv,
        Type::I16 => Module::ConvI16,
    };
    let kernel = Kernel { module, constants: constants.map(|n| n as i32).to_vec() };
    let counts = [width.div_ceil(LANES), height.div_ceil(groups * ROWS), blocks / together];
    (kernel, counts.map(|count| count as u32))
}

#[cfg(test)]
mod tests;
