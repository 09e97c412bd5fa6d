//! From one level of a network that keeps the image to the next.

use super::{Frame, Witness, show};
use crate::stream::schedule::Flow;
use crate::stream::workspace::Job;

impl Frame<'_> {
    /// Whether all rows of a level are there that later steps ask for.
    pub(super) fn is_complete(&self, level: usize) -> bool {
        let (flows, ws) = (self.plan.packed.flows(), &*self.workspace);
        flows
            .iter()
            .enumerate()
            .all(|(id, flow)| !(flow.kept && flow.streams_in(level)) || ws.done[id] == ws.heights[id])
    }

    /// Goes on with a level, for which nothing has been computed yet.
    pub(super) fn begin_level(&mut self, level: usize) {
        (self.workspace.level, self.workspace.fed) = (level, 0);
        if self.plan.keeps_image() {
            self.pad(|_, flow| flow.streams_in(level));
        }
    }

    /// Writes the padding of edges whose memory was used for others before.
    fn pad(&mut self, which: impl Fn(usize, &Flow) -> bool) {
        let ws = &mut *self.workspace;
        let arena: &mut [u8] = bytemuck::cast_slice_mut(&mut ws.arena);
        for (id, flow) in self.plan.packed.flows().iter().enumerate() {
            let ring = &ws.rings[id];
            if ring.pad > 0 && which(id, flow) {
                arena[ring.range()].fill(self.plan.packed.nodes()[id].codec.padding_byte());
            }
        }
    }

    /// Runs what waited for the level to be complete.
    pub(super) fn run_whole(&mut self, witness: &mut Option<&mut Witness<'_, '_>>) {
        let (plan, level) = (self.plan, self.workspace.level);
        for (id, flow) in plan.packed.flows().iter().enumerate() {
            if !flow.is_whole() || flow.level != level {
                continue;
            }
            let rows = self.workspace.heights[id];
            self.workspace.done[id] = rows;
            if plan.packed.nodes()[id].step.is_some() {
                let written = id..=id + usize::from(plan.packed.nodes()[id].writes_next);
                self.pad(|id, _| written.contains(&id));
                self.workspace.jobs.clear();
                self.workspace.jobs.push(Job { id, rows: 0..rows });
                self.run_jobs(witness);
            } else if let Some(Witness::Observer(observer)) = witness {
                let (arena, ring) = (bytemuck::cast_slice(&self.workspace.arena), &self.workspace.rings[id]);
                (0..rows).for_each(|y| show(plan, arena, ring, id, y, observer));
            }
        }
    }
}
