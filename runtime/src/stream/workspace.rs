//! The memory of a frame.

use crate::memory::line::{Line, aligned, try_aligned};
use crate::memory::ring::Ring;
use crate::stream::error::PlanError;
use crate::stream::plan::{Places, Plan};
use crate::threads::band::Pool;
use alloc::{sync::Arc, vec, vec::Vec};
use core::ops::Range;

/// Memory that a plan runs in: the ring buffers of all edges and the counters of one frame.
pub struct Workspace {
    /// The plan that it belongs to: padding, which is written once, is that of the plan's zero points.
    pub(crate) plan: Arc<()>,
    pub(crate) arena: Vec<Line>,
    /// Working memory of steps, equal parts for the threads.
    pub(crate) scratch: Vec<Line>,
    /// Where the edges of the image lie that was begun last, and its height.
    pub(crate) rings: Vec<Ring>,
    pub(crate) height: usize,
    /// Rows of every edge of this image.
    pub(crate) heights: Vec<usize>,
    /// The level that streams.
    pub(crate) level: usize,
    /// Rows that every node has computed.
    pub(crate) done: Vec<usize>,
    /// Rows that every node could have computed had the image not ended, and those it was asked to.
    pub(crate) ready: Vec<i64>,
    pub(crate) rows: Vec<i64>,
    /// Rows that arrived but were not yet run.
    pub(crate) waiting: usize,
    /// Input rows run, or that would have been run had the image not ended.
    pub(crate) fed: i64,
    /// Output rows handed out.
    pub(crate) handed_out: usize,
    pub(crate) out_row: Vec<u8>,
    /// What the current tick computes.
    pub(crate) jobs: Vec<Job>,
    pub(crate) pool: Option<Pool>,
}

impl Plan {
    /// Allocates what running the plan needs; nothing else is allocated later, except by a network that
    /// [keeps the image](Self::keeps_image) when one begins that is higher than those before.
    pub fn workspace(&self) -> Workspace {
        self.workspace_in(aligned(self.bytes_at_once()), aligned(self.scratch_bytes()))
    }

    /// The same where memory may be short: instead of ending the program it says so.
    ///
    /// # Errors
    /// [`PlanError::Memory`] when there is no room for the ring buffers.
    pub fn try_workspace(&self) -> Result<Workspace, PlanError> {
        let [arena, scratch] = [self.bytes_at_once(), self.scratch_bytes()]
            .map(|bytes| try_aligned(bytes).ok_or(PlanError::Memory { bytes: bytes as u64 }));
        Ok(self.workspace_in(arena?, scratch?))
    }

    /// Bytes that a workspace has before any image begins.
    fn bytes_at_once(&self) -> usize {
        self.layout.places.as_ref().map_or(0, |places| places.arena_bytes)
    }

    fn workspace_in(&self, mut arena: Vec<Line>, scratch: Vec<Line>) -> Workspace {
        let nodes = self.packed.nodes().len();
        let mut rings = Vec::new();
        if let Some(places) = &self.layout.places {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut arena);
            // Padding is written once: steps only write the pixels between.
            for (node, ring) in self.packed.nodes().iter().zip(&places.rings) {
                bytes[ring.range()].fill(node.codec.padding_byte());
            }
            rings.clone_from(&places.rings);
        }
        Workspace {
            plan: self.identity.clone(),
            arena,
            scratch,
            rings,
            height: 0,
            heights: vec![0; nodes],
            level: 0,
            done: vec![0; nodes],
            ready: vec![0; nodes],
            rows: vec![0; nodes],
            waiting: 0,
            fed: 0,
            handed_out: 0,
            out_row: vec![0; self.out_row_bytes()],
            jobs: Vec::with_capacity(nodes),
            pool: self.pool(),
        }
    }

    /// Makes room for an image of `height` rows.
    ///
    /// # Errors
    /// As [`Plan::arena_bytes`], and [`PlanError::Memory`] where there is no room.
    pub(crate) fn place(&self, workspace: &mut Workspace, height: usize) -> Result<(), PlanError> {
        if workspace.height == height {
            return Ok(());
        }
        let padded = self.packed.model().graph().seen(height);
        if self.keeps_image() {
            let Places { rings, arena_bytes } = self.places(height)?;
            if arena_bytes > workspace.arena.len() * size_of::<Line>() {
                // Not both at a time.
                (workspace.arena, workspace.height) = (Vec::new(), 0);
                let bytes = arena_bytes as u64;
                workspace.arena = try_aligned(arena_bytes).ok_or(PlanError::Memory { bytes })?;
            }
            workspace.rings = rings;
            let sizes = self.sizes(height).unwrap_or_default();
            workspace.heights = sizes.into_iter().map(|[rows, _]| rows).collect();
        } else {
            for (rows, flow) in workspace.heights.iter_mut().zip(self.packed.flows()) {
                *rows = flow.extent.side(padded).unwrap_or(1);
            }
        }
        workspace.height = height;
        Ok(())
    }

    #[cfg(feature = "std")]
    fn pool(&self) -> Option<Pool> {
        // Without the threads that were asked for, the caller's alone gives the same output, later.
        (self.threads > 1).then(|| Pool::new(self.threads, self.pinned).ok()).flatten()
    }

    #[cfg(not(feature = "std"))]
    fn pool(&self) -> Option<Pool> {
        None
    }
}

/// Rows that a step computes in a tick.
#[derive(Clone)]
pub(crate) struct Job {
    pub id: usize,
    pub rows: Range<usize>,
}
