//! The plan: a [`PackedModel`] laid out for one input width.
//!
//! A plan knows how many rows every edge must keep and where their rings lie in one arena. Running it (see
//! [`exec`](crate::exec)) then only walks rows and steps.

#[cfg(test)]
mod tests;

use crate::cpu::isa::Isa;
use crate::memory::ring::Ring;
use crate::model::{DType, Extent, Model};
use crate::stream::error::PlanError;
use crate::stream::options::{MAX_BAND, MAX_THREADS, PlanOptions};
use crate::stream::packed::{MAX_MEMORY_BYTES, PackedModel};
use crate::stream::rings;
use crate::stream::schedule::{Flow, last_level};
use crate::threads::band::most_columns;
use alloc::{sync::Arc, vec::Vec};

/// Widest image, in input pixels.
pub const MAX_WIDTH: usize = 32768;

/// A model prepared for one input width and one instruction set.
pub struct Plan {
    pub(crate) packed: PackedModel,
    pub(crate) layout: Layout,
    pub(crate) threads: usize,
    pub(crate) pinned: bool,
    /// The plan's own; its workspaces hold it too.
    pub(crate) identity: Arc<()>,
}

/// Where everything lies for images of one width.
pub(crate) struct Layout {
    pub width: usize,
    /// The width with its margin, rounded up to a multiple of the graph's: what the network sees.
    pub padded_width: usize,
    /// Input rows processed at a time.
    pub band: usize,
    /// Where the edges lie in images of any height; nothing if that depends on the height ([`Plan::places`]).
    pub places: Option<Places>,
}

/// Where every edge lies in the arena.
#[derive(Clone)]
pub(crate) struct Places {
    /// The ring of every node's edge.
    pub rings: Vec<Ring>,
    pub arena_bytes: usize,
}

impl Places {
    fn new(
        flows: &[Flow],
        (padded_width, band, multiple): (usize, usize, usize),
        sizes: &[[usize; 2]],
    ) -> Result<Self, PlanError> {
        let (rings, arena_bytes) = rings::lay_out(flows, padded_width, band, multiple, sizes);
        if arena_bytes > MAX_MEMORY_BYTES {
            return Err(PlanError::Memory { bytes: arena_bytes });
        }
        Ok(Self { rings, arena_bytes: arena_bytes as usize })
    }
}

impl Layout {
    /// For images of `width` pixels; `at_once` is the number of rows that the kernels do best together.
    fn new(
        model: &Model,
        flows: &[Flow],
        width: usize,
        options: &PlanOptions,
        at_once: usize,
    ) -> Result<Self, PlanError> {
        if width == 0 || width > MAX_WIDTH {
            return Err(PlanError::Width { found: width, limit: MAX_WIDTH });
        }
        let band = options
            .band
            .unwrap_or_else(|| default_band(model, width, options.threads).next_multiple_of(at_once));
        if band == 0 || band > MAX_BAND {
            return Err(PlanError::Band { found: band, limit: MAX_BAND });
        }
        let multiple = model.graph().pad_multiple();
        let padded_width = model.graph().seen(width);
        let places = match last_level(flows) {
            0 => Some(Places::new(flows, (padded_width, band, multiple), &[])?),
            _ => None,
        };
        Ok(Self { width, padded_width, band, places })
    }

    /// Bytes of the arena whatever the height.
    fn least_bytes(&self) -> usize {
        self.places.as_ref().map_or(0, |places| places.arena_bytes)
    }
}

impl Plan {
    /// Prepares `model` for images of `width` pixels, of any height.
    ///
    /// # Errors
    /// [`PlanError`] when the width, the band or the instruction set is impossible here, the engine does not have an
    /// operator, or working memory and packed weights would take more than 1 GiB.
    pub fn new(model: &Model, width: usize, options: &PlanOptions) -> Result<Self, PlanError> {
        let recipe = PackedModel::recipe(model, options)?;
        // Before weights are packed: what has no room is refused at once.
        let layout = Layout::new(model, &recipe.flows, width, options, recipe.rows_at_once())?;
        let packed = PackedModel::pack(model, recipe, layout.least_bytes() as u64)?;
        Ok(Self::with(packed, layout, options))
    }

    /// Lays a packed model out for images of `width` pixels, of any height. The weights are shared with all other plans of it;
    /// instruction set and observability are the packed model's, whatever the options say.
    ///
    /// # Errors
    /// As [`Plan::new`], for the width and the band.
    pub fn of(packed: &PackedModel, width: usize, options: &PlanOptions) -> Result<Self, PlanError> {
        let at_once = packed.rows_at_once();
        let layout = Layout::new(packed.model(), packed.flows(), width, options, at_once)?;
        let bytes = layout.least_bytes() as u64 + packed.weight_bytes() as u64;
        if bytes > MAX_MEMORY_BYTES {
            return Err(PlanError::Memory { bytes });
        }
        Ok(Self::with(packed.clone(), layout, options))
    }

    fn with(packed: PackedModel, layout: Layout, options: &PlanOptions) -> Self {
        let threads = options.threads.clamp(1, MAX_THREADS);
        Self { packed, layout, threads, pinned: options.pinned, identity: Arc::new(()) }
    }

    /// Width of the input image in pixels.
    pub fn width(&self) -> usize {
        self.layout.width
    }

    /// The packed model, for plans of other widths.
    pub fn packed(&self) -> &PackedModel {
        &self.packed
    }

    /// The model that was planned.
    pub fn model(&self) -> &Model {
        self.packed.model()
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.packed.isa()
    }

    /// Input rows processed at a time.
    pub fn band(&self) -> usize {
        self.layout.band
    }

    /// Threads that run it.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Times that the threads wait for each other while they compute an image of `height` rows: at the beginning and the
    /// end of every band, and after each of its steps. A few of the first and last bands may have fewer steps.
    pub fn joins(&self, height: usize) -> usize {
        let steps = self.packed.steps();
        (steps + 2) * self.packed.model().graph().seen(height).div_ceil(self.layout.band)
    }

    /// Part of every step that the busiest thread computes: `1 / threads` where the width divides evenly. Columns go to
    /// threads in whole units.
    pub fn largest_share(&self) -> f64 {
        most_columns(self.layout.padded_width, self.threads) as f64 / self.layout.padded_width as f64
    }

    /// Bytes of one row of the input image.
    pub fn in_row_bytes(&self) -> usize {
        self.layout.width * self.packed.model().in_channels()
    }

    /// Bytes of one row of the output image.
    pub fn out_row_bytes(&self) -> usize {
        self.layout.width * usize::from(self.packed.model().upscale()) * self.packed.model().out_channels()
    }

    /// Whether the network looks at the whole image before it computes the first row of the output. Its memory then depends
    /// on the height, and is allocated when an image begins that is higher than those before.
    pub fn keeps_image(&self) -> bool {
        self.layout.places.is_none()
    }

    /// Bytes of the ring buffers for an image of `height` rows; of the height only if the network
    /// [keeps the image](Self::keeps_image).
    ///
    /// # Errors
    /// [`PlanError::Memory`] above 1 GiB, [`PlanError::Small`] for an image with less to pool than the network's windows need.
    pub fn arena_bytes(&self, height: usize) -> Result<usize, PlanError> {
        Ok(match &self.layout.places {
            Some(places) => places.arena_bytes,
            None => self.places(height)?.arena_bytes,
        })
    }

    /// Where the edges of an image of `height` rows lie.
    pub(crate) fn places(&self, height: usize) -> Result<Places, PlanError> {
        let multiple = self.packed.model().graph().pad_multiple();
        let Layout { width, padded_width, band, .. } = self.layout;
        let sizes = self.sizes(height).ok_or(PlanError::Small { width, height })?;
        let places = Places::new(self.packed.flows(), (padded_width, band, multiple), &sizes)?;
        let bytes = places.arena_bytes as u64 + self.weight_bytes() as u64;
        if bytes > MAX_MEMORY_BYTES {
            return Err(PlanError::Memory { bytes });
        }
        Ok(places)
    }

    /// Height and width of every edge for an image of `height` rows; `None` if it is too small.
    pub(crate) fn sizes(&self, height: usize) -> Option<Vec<[usize; 2]>> {
        let model = self.packed.model();
        let height = model.graph().seen(height);
        let sizes = model.sizes(height, self.layout.padded_width)?;
        let size = |extent: Extent| match extent {
            Extent::Times(_) | Extent::Part { .. } => {
                [height, self.layout.padded_width].map(|size| extent.side(size).unwrap_or(1))
            }
            Extent::One => [1, 1],
            Extent::Pooled { by, .. } => sizes[usize::from(by)],
        };
        Some(self.packed.flows().iter().map(|flow| size(flow.extent)).collect())
    }

    /// Bytes of packed weights, which plans of the same [`PackedModel`] share.
    pub fn weight_bytes(&self) -> usize {
        self.packed.weight_bytes()
    }

    /// Working memory in bytes for an image of `height` rows: rings, packed weights, what steps compute in, and the row that is
    /// handed out.
    ///
    /// # Errors
    /// As [`Plan::arena_bytes`].
    pub fn memory_bytes(&self, height: usize) -> Result<usize, PlanError> {
        Ok(self.arena_bytes(height)? + self.weight_bytes() + self.scratch_bytes() + self.out_row_bytes())
    }

    /// Bytes of working memory of all threads' steps.
    pub(crate) fn scratch_bytes(&self) -> usize {
        self.packed.scratch_bytes() * self.threads
    }

    pub(crate) fn is_float(&self) -> bool {
        let graph = self.packed.model().graph();
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
