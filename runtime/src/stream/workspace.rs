//! The memory of a frame.

use crate::memory::line::{Line, aligned, try_aligned};
use crate::stream::error::PlanError;
use crate::stream::plan::Plan;
use crate::threads::band::Pool;
use alloc::{sync::Arc, vec, vec::Vec};
use core::ops::Range;

/// Memory that a plan runs in: the ring buffers of all edges and the counters of one frame.
pub struct Workspace {
    /// The plan that it belongs to: padding, which is written once, is that of the plan's zero points.
    pub(crate) plan: Arc<()>,
    pub(crate) arena: Vec<Line>,
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
    /// Allocates what running the plan needs; nothing else is allocated later.
    pub fn workspace(&self) -> Workspace {
        self.workspace_in(aligned(self.arena_bytes()))
    }

    /// The same where memory may be short: instead of ending the program it says so.
    ///
    /// # Errors
    /// [`PlanError::Memory`] when there is no room for the ring buffers.
    pub fn try_workspace(&self) -> Result<Workspace, PlanError> {
        let bytes = self.arena_bytes();
        let arena = try_aligned(bytes).ok_or(PlanError::Memory { bytes: bytes as u64 })?;
        Ok(self.workspace_in(arena))
    }

    fn workspace_in(&self, mut arena: Vec<Line>) -> Workspace {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut arena);
        // Padding is written once: steps only write the pixels between.
        for (node, ring) in self.packed.nodes().iter().zip(&self.layout.rings) {
            bytes[ring.range()].fill(node.codec.padding_byte());
        }
        let nodes = self.packed.nodes().len();
        Workspace {
            plan: self.identity.clone(),
            arena,
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
