//! Execution: rows in, rows out.
//!
//! A [`Frame`] takes rows of `u8` as they arrive, runs the whole network on every band of them while it is
//! warm in the cache, and hands out rows of the upscaled image as soon as they are complete. Nothing is
//! computed twice; nothing is allocated.

mod input;
mod levels;
#[cfg(test)]
mod tests;

use crate::arithmetic::round_clamp;
use crate::cpu::codec::Codec;
use crate::cpu::steps::step::Io;
use crate::memory::line::Line;
use crate::memory::ring::{Ring, RingReader};
use crate::model::NodeId;
use crate::stream::error::RunError;
use crate::stream::plan::Plan;
use crate::stream::schedule::schedule;
use crate::stream::workspace::{Job, Workspace};
use crate::threads::band::{Band, Rings, run_band};
use crate::threads::columns::RingWriter;
use crate::threads::pin_caller;
use alloc::{sync::Arc, vec, vec::Vec};

impl Plan {
    /// Begins an image of `height` rows.
    ///
    /// Networks with window attention, or that work on every so many pixels, see the image extended to a multiple of those
    /// ([`Graph::pad_multiple`](crate::model::Graph::pad_multiple)), those with a margin see its edges repeated.
    ///
    /// # Errors
    /// [`RunError::Rows`] if it has none, [`RunError::Workspace`] if the workspace is another plan's, [`RunError::Plan`] if the
    /// network [keeps the image](Plan::keeps_image) and has no room for it.
    pub fn begin<'a>(&'a self, workspace: &'a mut Workspace, height: usize) -> Result<Frame<'a>, RunError> {
        if height == 0 {
            return Err(RunError::Rows { expected: height, found: 0 });
        }
        if !Arc::ptr_eq(&workspace.plan, &self.identity) {
            return Err(RunError::Workspace);
        }
        if self.pinned {
            pin_caller();
        }
        self.place(workspace, height).map_err(RunError::Plan)?;
        workspace.done.fill(0);
        (workspace.waiting, workspace.handed_out) = (0, 0);
        let mut frame = Frame { plan: self, workspace, height };
        frame.begin_level(0);
        Ok(frame)
    }

    /// Upscales a whole image: rows of interleaved `u8`, without gaps.
    ///
    /// # Shapes
    /// `src`: `[height, width, in_channels]`; `dst`: `[height·upscale, width·upscale, out_channels]`.
    ///
    /// # Errors
    /// [`RunError::Length`] when a slice has another length.
    pub fn run_image(
        &self,
        workspace: &mut Workspace,
        src: &[u8],
        height: usize,
        dst: &mut [u8],
    ) -> Result<(), RunError> {
        let row = self.out_row_bytes();
        let expected = row * height * usize::from(self.model().upscale());
        if dst.len() != expected {
            return Err(RunError::Length { what: "output image", expected, found: dst.len() });
        }
        self.begin(workspace, height)?.push(src, &mut |y, pixels| {
            dst[y * row..(y + 1) * row].copy_from_slice(pixels);
        })
    }

    /// Runs a float model on float pixels, without rounding at either end; 0..1 is black to white.
    ///
    /// # Shapes
    /// As [`Plan::run_image`].
    ///
    /// # Errors
    /// [`RunError::NotFloat`] for a model that is quantized at either end, [`RunError::Length`] when a slice
    /// has another length.
    pub fn run_image_f32(
        &self,
        workspace: &mut Workspace,
        src: &[f32],
        height: usize,
        dst: &mut [f32],
    ) -> Result<(), RunError> {
        if !self.is_float() {
            return Err(RunError::NotFloat);
        }
        let row = self.out_row_bytes();
        let expected = row * height * usize::from(self.model().upscale());
        if dst.len() != expected {
            return Err(RunError::Length { what: "output image", expected, found: dst.len() });
        }
        self.begin(workspace, height)?.push_all(Pixels::F32(src), &mut Sink::F32(dst), None)
    }

    /// Runs an image and shows every row of every edge to `observer`, in the order they are computed: node,
    /// row, and its values. The output is not kept.
    ///
    /// # Errors
    /// As [`Plan::run_image`].
    pub fn observe(
        &self,
        workspace: &mut Workspace,
        src: &[u8],
        height: usize,
        observer: &mut dyn FnMut(NodeId, usize, EdgeRow<'_>),
    ) -> Result<(), RunError> {
        let mut witness = Witness::Observer(observer);
        self.begin(workspace, height)?.push_all(Pixels::U8(src), &mut Sink::None, Some(&mut witness))
    }
}

impl Plan {
    /// Runs an image and adds up, for every node, what `clock` advanced while it ran; the nodes run one after
    /// the other as in [`Plan::run_image`]. The input node has the time between steps: taking rows in and
    /// handing them out. The output is not kept.
    ///
    /// # Errors
    /// As [`Plan::run_image`].
    pub fn profile(
        &self,
        workspace: &mut Workspace,
        src: &[u8],
        height: usize,
        clock: &mut dyn FnMut() -> u64,
    ) -> Result<Vec<u64>, RunError> {
        let mut spent = vec![0; self.model().graph().nodes.len()];
        let mut profiler = Profiler { last: clock(), clock, spent: &mut spent };
        let mut frame = self.begin(workspace, height)?;
        frame.push_all(
            Pixels::U8(src),
            &mut Sink::Rows(&mut |_, _| {}),
            Some(&mut Witness::Profiler(&mut profiler)),
        )?;
        profiler.charge(0);
        Ok(spent)
    }
}

/// Who watches a frame, step by step.
enum Witness<'a, 'b> {
    Observer(&'a mut Observer<'b>),
    Profiler(&'a mut Profiler<'b>),
}

/// Charges the time since the last charge to a node.
struct Profiler<'a> {
    clock: &'a mut dyn FnMut() -> u64,
    last: u64,
    spent: &'a mut [u64],
}

impl Profiler<'_> {
    fn charge(&mut self, id: usize) {
        let now = (self.clock)();
        self.spent[id] += now.wrapping_sub(self.last);
        self.last = now;
    }
}

/// Values of one row of an edge.
#[derive(Clone, Copy)]
pub struct EdgeRow<'a> {
    bytes: &'a [u8],
    codec: Codec,
    scale: f32,
}

impl EdgeRow<'_> {
    /// Number of values: width · channels.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.codec.size_bytes()
    }

    /// Whether there are none; never true for an observed row.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The real values, channels innermost.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn read(&self, out: &mut [f32]) {
        assert_eq!(out.len(), self.len(), "the slice takes the whole row");
        self.codec.load(self.bytes, 0, out);
        if self.codec != Codec::F32 {
            out.iter_mut().for_each(|x| *x *= self.scale);
        }
    }
}

/// Receives a row of the output image: its number and its pixels.
pub type RowSink<'a> = dyn FnMut(usize, &[u8]) + 'a;
/// Receives the rows of all edges.
type Observer<'a> = dyn FnMut(NodeId, usize, EdgeRow<'_>) + 'a;

/// Rows of an image that come in.
enum Pixels<'a> {
    U8(&'a [u8]),
    F32(&'a [f32]),
}

/// Where the rows of the output go.
enum Sink<'a, 'b> {
    None,
    Rows(&'a mut RowSink<'b>),
    F32(&'a mut [f32]),
}

/// One image on its way through the network.
pub struct Frame<'a> {
    plan: &'a Plan,
    workspace: &'a mut Workspace,
    height: usize,
}

impl Frame<'_> {
    /// Takes the next rows (any number, also none) and hands out those rows of the output that are now
    /// complete. With the last row of the image all of the output is handed out.
    ///
    /// # Errors
    /// [`RunError::Length`] when `rows` is not a whole number of rows, [`RunError::Rows`] when there are more
    /// than the image has; the frame is then unchanged.
    pub fn push(&mut self, rows: &[u8], sink: &mut RowSink<'_>) -> Result<(), RunError> {
        self.push_all(Pixels::U8(rows), &mut Sink::Rows(sink), None)
    }

    /// Rows of the output handed out so far.
    pub fn rows_out(&self) -> usize {
        self.workspace.handed_out
    }

    fn push_all(
        &mut self,
        pixels: Pixels<'_>,
        sink: &mut Sink<'_, '_>,
        mut witness: Option<&mut Witness<'_, '_>>,
    ) -> Result<(), RunError> {
        let row = self.plan.in_row_bytes();
        let found = match pixels {
            Pixels::U8(p) => p.len(),
            Pixels::F32(p) => p.len(),
        };
        if found % row != 0 {
            return Err(RunError::Length {
                what: "input rows",
                expected: found.next_multiple_of(row),
                found,
            });
        }
        let margin = self.margin();
        // The first row came with the margin above it.
        let arrived = self.workspace.done[0].saturating_sub(margin).min(self.height);
        if arrived + found / row > self.height {
            return Err(RunError::Rows { expected: self.height, found: arrived + found / row });
        }
        for i in 0..found / row {
            let y = arrived + i;
            // Rows at the edges once more for each of the margin.
            let above = if y == 0 { margin } else { 0 };
            let below = if y + 1 == self.height { margin } else { 0 };
            for _ in 0..=above + below {
                match pixels {
                    Pixels::U8(p) => self.take_u8(&p[i * row..(i + 1) * row]),
                    Pixels::F32(p) => self.take_f32(&p[i * row..(i + 1) * row]),
                }
                self.arrive(sink, &mut witness);
            }
        }
        if found > 0 && arrived + found / row == self.height {
            let extended = self.height + 2 * margin;
            for y in extended..self.padded_height() {
                self.extend_row(y, extended);
                self.arrive(sink, &mut witness);
            }
            let last = self.plan.packed.last_level();
            for level in 0..last {
                while !self.is_complete(level) {
                    self.tick(sink, &mut witness);
                }
                self.run_whole(&mut witness);
                self.begin_level(level + 1);
            }
            let rows = self.height * usize::from(self.plan.model().upscale());
            while self.workspace.handed_out < rows {
                self.tick(sink, &mut witness);
            }
        }
        Ok(())
    }

    /// Rows that the network sees: with their margin, a multiple of the graph's.
    fn padded_height(&self) -> usize {
        self.plan.model().graph().seen(self.height)
    }

    fn margin(&self) -> usize {
        self.plan.model().graph().margin.into()
    }

    /// A row was put into the input's ring.
    fn arrive(&mut self, sink: &mut Sink<'_, '_>, witness: &mut Option<&mut Witness<'_, '_>>) {
        let ws = &mut *self.workspace;
        ws.done[0] += 1;
        ws.waiting += 1;
        if let Some(Witness::Observer(observer)) = witness {
            show(self.plan, bytemuck::cast_slice(&ws.arena), &ws.rings[0], 0, ws.done[0] - 1, observer);
        }
        if ws.waiting == self.plan.layout.band {
            self.tick(sink, witness);
        }
    }

    /// Runs every step on the rows that one more band makes possible, and hands out what is complete.
    fn tick(&mut self, sink: &mut Sink<'_, '_>, witness: &mut Option<&mut Witness<'_, '_>>) {
        let (plan, ws) = (self.plan, &mut *self.workspace);
        ws.waiting = 0;
        ws.fed += plan.layout.band as i64;
        schedule(plan.packed.flows(), ws.level, ws.fed, &mut ws.ready, &mut ws.rows);
        ws.jobs.clear();
        for (id, node) in plan.packed.nodes().iter().enumerate().skip(1) {
            // Before the first in another level.
            let rows = ws.done[id]..ws.rows[id].clamp(0, ws.heights[id] as i64) as usize;
            if !rows.is_empty() {
                ws.done[id] = rows.end;
                if node.step.is_some() {
                    ws.jobs.push(Job { id, rows });
                }
            }
        }
        self.run_jobs(witness);
        self.hand_out(sink);
    }

    /// Runs the steps of a tick.
    fn run_jobs(&mut self, witness: &mut Option<&mut Witness<'_, '_>>) {
        let (plan, ws) = (self.plan, &mut *self.workspace);
        let jobs = Jobs { plan, rings: &ws.rings, heights: &ws.heights, jobs: &ws.jobs };
        let width = plan.layout.padded_width;
        if let Some(witness) = witness {
            if let Witness::Profiler(profiler) = witness {
                profiler.charge(0);
            }
            // One step at a time: a ring only keeps what later steps need.
            for i in 0..ws.jobs.len() {
                let jobs = Jobs { jobs: &ws.jobs[i..=i], ..jobs };
                run_band(
                    ws.pool.as_mut(),
                    (bytemuck::cast_slice_mut(&mut ws.arena), &mut ws.scratch),
                    width,
                    &jobs,
                );
                let Job { id, rows } = ws.jobs[i].clone();
                match witness {
                    Witness::Observer(observer) => {
                        let (arena, ring) = (bytemuck::cast_slice(&ws.arena), &ws.rings[id]);
                        rows.for_each(|y| show(plan, arena, ring, id, y, observer));
                    }
                    Witness::Profiler(profiler) => {
                        profiler.charge(usize::from(plan.packed.nodes()[id].origin))
                    }
                }
            }
        } else {
            run_band(
                ws.pool.as_mut(),
                (bytemuck::cast_slice_mut(&mut ws.arena), &mut ws.scratch),
                width,
                &jobs,
            );
        }
    }

    fn hand_out(&mut self, sink: &mut Sink<'_, '_>) {
        let ws = &mut *self.workspace;
        let id = self.plan.packed.nodes().len() - 1;
        let codec = self.plan.packed.nodes()[id].codec;
        let row_bytes = self.plan.out_row_bytes() * codec.size_bytes();
        // Of an output with a margin, what lies within.
        let r = usize::from(self.plan.model().upscale());
        let above = r * usize::from(self.plan.model().graph().margin);
        let left = above * ws.rings[id].px_bytes;
        let end = ws.done[id].saturating_sub(above).min(self.height * r);
        for y in ws.handed_out..end {
            let bytes = row_of(bytemuck::cast_slice(&ws.arena), &ws.rings[id], above + y);
            let bytes = &bytes[left..left + row_bytes];
            match sink {
                Sink::None => {}
                Sink::F32(out) => {
                    let row: &[f32] = bytemuck::cast_slice(bytes);
                    out[y * row.len()..(y + 1) * row.len()].copy_from_slice(row);
                }
                Sink::Rows(sink) => {
                    to_pixels(codec, bytes, &mut ws.out_row);
                    sink(y, &ws.out_row);
                }
            }
        }
        ws.handed_out = end;
    }
}

/// The jobs of a tick, in the order of their nodes.
#[derive(Clone, Copy)]
struct Jobs<'a> {
    plan: &'a Plan,
    rings: &'a [Ring],
    /// Rows of every edge.
    heights: &'a [usize],
    jobs: &'a [Job],
}

impl Band for Jobs<'_> {
    fn len(&self) -> usize {
        self.jobs.len()
    }

    fn rings(&self, i: usize) -> Rings<'_> {
        let nodes = self.plan.packed.nodes();
        let id = self.jobs[i].id;
        let (node, rings) = (&nodes[id], self.rings);
        let inputs = node.inputs.map(|input| (&rings[input], self.heights[input]));
        let second = node.writes_next.then(|| &rings[id + 1]);
        Rings { inputs, out: &rings[id], second }
    }

    fn run(
        &self,
        i: usize,
        inputs: [RingReader<'_>; 2],
        out: RingWriter<'_>,
        second: Option<RingWriter<'_>>,
        scratch: &mut [Line],
    ) {
        let Job { id, rows } = self.jobs[i].clone();
        let step = self.plan.packed.nodes()[id].step.as_ref().expect("only nodes with a step become jobs");
        step.run(&mut Io { inputs, out, second, rows, scratch, cpu: self.plan.packed.cpu() });
    }
}

/// Stored values of an output edge as pixels.
fn to_pixels(codec: Codec, bytes: &[u8], out: &mut [u8]) {
    match codec {
        Codec::I8 { xor, .. } => {
            for (to, from) in out.iter_mut().zip(bytes) {
                *to = from ^ xor ^ 0x80;
            }
        }
        Codec::F32 | Codec::I16 => {
            for (to, &x) in out.iter_mut().zip(bytemuck::cast_slice::<u8, f32>(bytes)) {
                *to = round_clamp(x * 255.0, 0.0, 255.0) as u8;
            }
        }
    }
}

fn row_of<'a>(arena: &'a [u8], ring: &Ring, y: usize) -> &'a [u8] {
    let start = ring.offset + ring.slot(y) + ring.pad * ring.px_bytes;
    &arena[start..start + ring.width * ring.px_bytes]
}

fn show(plan: &Plan, arena: &[u8], ring: &Ring, id: usize, y: usize, observer: &mut Observer<'_>) {
    let bytes = row_of(arena, ring, y);
    let scale = crate::program::scale_of(plan.model().graph().node(id as NodeId).dtype);
    observer(id as NodeId, y, EdgeRow { bytes, codec: plan.packed.nodes()[id].codec, scale });
}
