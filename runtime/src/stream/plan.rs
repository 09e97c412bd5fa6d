//! The plan: a [`Model`] prepared for one input width and one instruction set.
//!
//! [`Plan::new`] packs weights, finds out how many rows every edge must keep and lays the rings out in one
//! arena. Running it (see [`exec`](crate::stream::frame)) then only walks rows and steps.

#[cfg(test)]
mod tests;

use crate::cpu::codec::Codec;
use crate::cpu::conv::WinogradKernel;
use crate::cpu::isa::Isa;
use crate::cpu::steps::Step;
use crate::cpu::table::Cpu;
use crate::error::PlanError;
use crate::memory::ring::Ring;
use crate::model::{DType, Model, NodeId};
use crate::program::lower::{self, Action, Lowered};
use crate::stream::rings;
use crate::threads::band::most_columns;
use alloc::vec::Vec;

/// Widest image, in input pixels.
pub const MAX_WIDTH: usize = 32768;
/// Most input rows in a band.
pub const MAX_BAND: usize = 256;
/// Most threads.
pub const MAX_THREADS: usize = 64;
/// Most memory of a plan, working memory and packed weights; a hostile model must not make a board swap itself to death.
const MAX_MEMORY_BYTES: u64 = 1 << 30;

/// Choices for [`Plan::new`]; the default is the fastest on this processor, on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Instruction set; the best one if `None`.
    pub isa: Option<Isa>,
    /// Input rows processed at a time; chosen from the model if `None`. The output does not depend on it.
    pub band: Option<usize>,
    /// Worker threads, 0 and 1 for none. The output does not depend on it. Ignored without `std`.
    pub threads: usize,
    /// Keep each thread to one processor: the n-th of those that the program was given. The thread that runs frames is the
    /// first and stays pinned after them, as do threads that it starts later. Linux only; elsewhere, and without `std`,
    /// ignored.
    pub pinned: bool,
    /// Keep every edge as the graph has it, so that an observer sees it in the documented channel order.
    pub observable: bool,
}

/// A [`Model`] prepared for one input width and one instruction set.
pub struct Plan {
    pub(crate) width: usize,
    /// The width rounded up to whole windows: what the network sees.
    pub(crate) padded_width: usize,
    pub(crate) isa: Isa,
    pub(crate) cpu: Cpu,
    pub(crate) band: usize,
    pub(crate) threads: usize,
    pub(crate) pinned: bool,
    pub(crate) nodes: Vec<PlannedNode>,
    pub(crate) lowered: Vec<Lowered>,
    pub(crate) arena_bytes: usize,
    pub(crate) model: Model,
}

/// A node with its step and its output ring.
pub(crate) struct PlannedNode {
    /// The graph's node that it belongs to.
    pub origin: NodeId,
    /// `None` for the input, and for an edge that the step before writes along with its own.
    pub step: Option<Step>,
    /// Whether the step also writes the next node's edge.
    pub writes_next: bool,
    /// Edges read; the first one twice if there is only one.
    pub inputs: [usize; 2],
    pub ring: Ring,
    pub codec: Codec,
    /// Resolution as a multiple of the input's.
    pub upscale: usize,
}

impl Plan {
    /// Prepares `model` for images of `width` pixels, of any height.
    ///
    /// # Errors
    /// [`PlanError`] when the width, the band or the instruction set is impossible here, or the engine does
    /// not have an operator.
    pub fn new(model: &Model, width: usize, options: &PlanOptions) -> Result<Self, PlanError> {
        if width == 0 || width > MAX_WIDTH {
            return Err(PlanError::Width { found: width, limit: MAX_WIDTH });
        }
        let isa = options.isa.unwrap_or_else(Isa::best);
        let cpu = isa.cpu().ok_or(PlanError::Isa { name: isa.name() })?;
        let multiple = cpu.winograd.map_or(1, WinogradKernel::rows);
        let band = options
            .band
            .unwrap_or_else(|| default_band(model, width, options.threads).next_multiple_of(multiple));
        if band == 0 || band > MAX_BAND {
            return Err(PlanError::Band { found: band, limit: MAX_BAND });
        }
        let padded_width = width.next_multiple_of(model.graph().pad_multiple());
        let lowered = if options.observable { lower::one_to_one(model) } else { lower::lower(model, cpu) };
        let multiple = model.graph().pad_multiple();
        let (rings, arena_bytes) = rings::lay_out(&lowered, padded_width, band, multiple);
        let mut memory = arena_bytes;
        let within = |bytes| if bytes > MAX_MEMORY_BYTES { Err(PlanError::Memory { bytes }) } else { Ok(()) };
        within(memory)?;
        let mut nodes = Vec::with_capacity(rings.len());
        for (i, (node, ring)) in lowered.iter().zip(rings).enumerate() {
            let writes_next = lowered.get(i + 1).is_some_and(|n| n.action == Action::Along);
            let step = Step::new(model, node, cpu)?;
            // A kernel may want a layer of one channel as wide as its registers.
            memory += step.as_ref().map_or(0, Step::weight_bytes) as u64;
            within(memory)?;
            let first = node.inputs.first().copied().unwrap_or(0);
            let inputs = [first, node.inputs.get(1).copied().unwrap_or(first)];
            let codec = Codec::new(node.dtype, cpu.xor);
            nodes.push(PlannedNode {
                origin: node.origin,
                step,
                writes_next,
                inputs,
                ring,
                codec,
                upscale: node.upscale,
            });
        }
        let threads = options.threads.clamp(1, MAX_THREADS);
        Ok(Self {
            width,
            padded_width,
            isa,
            cpu,
            band,
            threads,
            pinned: options.pinned,
            nodes,
            lowered,
            arena_bytes: arena_bytes as usize,
            model: model.clone(),
        })
    }

    /// Width of the input image in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The model that was planned.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Input rows processed at a time.
    pub fn band(&self) -> usize {
        self.band
    }

    /// Threads that run it.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Times that the threads wait for each other while they compute an image of `height` rows: at the beginning and the
    /// end of every band, and after each of its steps. A few of the first and last bands may have fewer steps.
    pub fn joins(&self, height: usize) -> usize {
        let steps = self.nodes.iter().filter(|node| node.step.is_some()).count();
        (steps + 2) * height.next_multiple_of(self.model.graph().pad_multiple()).div_ceil(self.band)
    }

    /// Part of every step that the busiest thread computes: `1 / threads` where the width divides evenly. Columns go to
    /// threads in whole units.
    pub fn largest_share(&self) -> f64 {
        most_columns(self.padded_width, self.threads) as f64 / self.padded_width as f64
    }

    /// Bytes of one row of the input image.
    pub fn in_row_bytes(&self) -> usize {
        self.width * self.model.in_channels()
    }

    /// Bytes of one row of the output image.
    pub fn out_row_bytes(&self) -> usize {
        self.width * usize::from(self.model.upscale()) * self.model.out_channels()
    }

    /// Bytes of the ring buffers, which [`Plan::workspace`](Self::workspace) allocates.
    pub fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Bytes of packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.nodes.iter().filter_map(|n| n.step.as_ref()).map(Step::weight_bytes).sum()
    }

    /// Working memory in bytes: rings, packed weights and the row that is handed out.
    pub fn memory_bytes(&self) -> usize {
        self.arena_bytes + self.weight_bytes() + self.out_row_bytes()
    }

    pub(crate) fn is_float(&self) -> bool {
        let graph = self.model.graph();
        graph.node(0).dtype == DType::F32 && graph.node(graph.output()).dtype == DType::F32
    }
}

/// Enough pixels in a band to pay for starting each step, few enough that the bands between two steps stay
/// in the cache. Where a step does much for every pixel, fewer are enough, and the rings of such a network, which is
/// wide, take a third less memory. Threads share a band and meet at its end, so they get twice as much.
fn default_band(model: &Model, width: usize, threads: usize) -> usize {
    /// Multiply-accumulates beside which starting a step is nothing.
    const STEP_MACS: u64 = 10_000_000;
    let per_step = model.macs_per_pixel() / model.graph().nodes.len() as u64;
    let pixels = STEP_MACS.checked_div(per_step).unwrap_or(u64::MAX).clamp(640, 1280) as usize;
    let pixels = if threads > 1 { 2 * pixels } else { pixels };
    (pixels / width).clamp(2, 16)
}
