//! Running frames with a clock.

use super::report::{BenchReport, FirstRow, Latency, Memory, NodeTime, SCHEMA, Window};
use super::steady::warm_up;
use super::system::{Reading, process_peak_bytes, processor_time, waited_ns};
use mcir_runtime::Isa;
use mcir_runtime::exec::Workspace;
use mcir_runtime::image::Image;
use mcir_runtime::model::NodeId;
use mcir_runtime::plan::{Plan, PlanOptions};
use mcir_upscale::device::Accelerator;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use std::time::{Duration, Instant};

/// The warm-up takes at least the first, in which a governor raises the clock, and ends after the second, steady or not.
const WARMUP: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(10)];
/// Profiled frames.
const PROFILES: usize = 9;
/// No more profiled frames are begun after this time.
const PROFILE_TIME: Duration = Duration::from_secs(5);
/// Parts of a sustained run.
const WINDOWS: usize = 10;
/// Measurements of the peak before and after the samples, and rounds of each.
const PEAKS: (usize, u64) = (10, 20_000);

/// How long to measure.
pub(super) struct Length {
    /// Frames after which it is enough.
    pub samples: usize,
    /// Time after which it is enough.
    pub time: Duration,
    /// Whether to show how the time develops.
    pub windows: bool,
}

/// Measures a model, on a GPU if one is given.
pub(super) fn bench(
    model: &NamedModel,
    (width, height): (usize, usize),
    (options, gpu): (&PlanOptions, Option<&Accelerator>),
    length: &Length,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<BenchReport> {
    if let Some(gpu) = gpu {
        return on_gpu(model, (width, height), gpu, length, progress);
    }
    let failed = |source| Error::Plan { name: model.name.clone(), source };
    let plan = Plan::new(&model.model, width, options).map_err(failed)?;
    let mut runner = Runner {
        workspace: plan.workspace(),
        pixels: picture(width, height, model.model.in_channels()),
        plan: &plan,
        height,
        name: &model.name,
        first_rows: Vec::new(),
        rows_before: 0,
    };
    let before = peak_gmacs(plan.isa());
    let samples = Samples::take(&mut || runner.frame(), length, progress)?;
    let peak = before.max(peak_gmacs(plan.isa()));
    let threads = plan.threads();
    let report = samples.report(model, (width, height), threads, length);
    // Those of the warm-up come first.
    let measured = runner.first_rows.len() - report.latency.samples;
    let first_row =
        FirstRow { after_rows: runner.rows_before, latency: Latency::of(&runner.first_rows[measured..]) };
    let nodes = runner.nodes(peak * threads as f64)?;
    Ok(BenchReport {
        isa: plan.isa().name().into(),
        band: plan.band(),
        peak_gmacs: peak,
        share_of_peak: report.gmacs / (peak * threads as f64),
        nodes,
        first_row: Some(first_row),
        memory: Memory {
            engine_bytes: plan.memory_bytes(height).map_err(failed)?,
            arena_bytes: plan.arena_bytes(height).map_err(failed)?,
            weight_bytes: plan.weight_bytes(),
            ..report.memory
        },
        ..report
    })
}

/// Measures a model on a GPU, from a picture's first row that is given to the last one that is taken.
fn on_gpu(
    model: &NamedModel,
    size: (usize, usize),
    gpu: &Accelerator,
    length: &Length,
    progress: &mut dyn FnMut(u64, &str),
) -> Result<BenchReport> {
    let channels = model.model.in_channels();
    let image = Image::new(size.0, size.1, channels, picture(size.0, size.1, channels))
        .map_err(Error::image(&model.name))?;
    let mut upscaler = Upscaler::new(model.clone(), PlanOptions::default()).on(Some(gpu));
    let mut frame = || {
        let start = Instant::now();
        std::hint::black_box(upscaler.run(&image, &mut |_| {})?);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        // A figure of the processor would pass for one of the GPU.
        match upscaler.gpu() {
            Some(_) => Ok(ms),
            None => {
                Err(Error::Gpu { reason: upscaler.take_note().unwrap_or_else(|| "it was not used".into()) })
            }
        }
    };
    let samples = Samples::take(&mut frame, length, progress)?;
    let engine_bytes = upscaler.memory_bytes().unwrap_or(0);
    let report = samples.report(model, size, 1, length);
    let steps = gpu.profile(&model.model, [size.0, size.1], image.data());
    let total: f64 = steps.iter().map(|(_, ms)| ms).sum();
    let node = |&(id, ms): &(NodeId, f64)| {
        let node = model.model.graph().node(id);
        let macs = model.model.node_macs_per_pixel(id) * (size.0 * size.1) as u64;
        NodeTime {
            name: node.name.clone(),
            op: node.op.name().into(),
            ms,
            share_of_time: if total > 0.0 { ms / total } else { 0.0 },
            macs,
            gmacs: if ms > 0.0 { macs as f64 * 1e-6 / ms } else { 0.0 },
            share_of_peak: 0.0,
        }
    };
    Ok(BenchReport {
        isa: "vulkan".into(),
        nodes: steps.iter().map(node).collect(),
        gpu: Some(gpu.info()),
        // Of the thread that waits for the GPU it would say little.
        waited: None,
        memory: Memory { engine_bytes, ..report.memory },
        ..report
    })
}

/// What was measured, whatever it ran on.
struct Samples {
    first_ms: f64,
    warmup_frames: usize,
    steady: bool,
    times: Vec<f64>,
    cpu_times: Vec<f64>,
    ends: Vec<f64>,
    elapsed: Duration,
    waited_ns: Option<u64>,
    before: Reading,
    after: Reading,
    process_peak_bytes: Option<u64>,
}

impl Samples {
    /// Runs frames until it is enough. `frame` gives a frame's time in milliseconds.
    fn take(
        frame: &mut dyn FnMut() -> Result<f64>,
        length: &Length,
        progress: &mut dyn FnMut(u64, &str),
    ) -> Result<Self> {
        let first_ms = frame()?;
        progress(0, "warm up");
        let warm_up = warm_up(WARMUP[0], WARMUP[1], &mut *frame)?;
        let before = Reading::now();
        let (start, waited) = (Instant::now(), waited_ns());
        let (mut times, mut cpu_times, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        while times.len() < length.samples && (times.is_empty() || start.elapsed() < length.time) {
            let cpu = processor_time();
            times.push(frame()?);
            cpu_times.push((processor_time() - cpu).as_secs_f64() * 1e3);
            ends.push(start.elapsed().as_secs_f64());
            progress(times.len() as u64, "frames");
        }
        let elapsed = start.elapsed();
        let waited_ns = waited_ns().zip(waited).map(|(after, before)| after.saturating_sub(before));
        Ok(Self {
            first_ms,
            warmup_frames: warm_up.frames,
            steady: warm_up.steady,
            times,
            cpu_times,
            ends,
            elapsed,
            waited_ns,
            before,
            process_peak_bytes: process_peak_bytes(),
            after: Reading::now(),
        })
    }

    /// As a report without what only a plan for the processor knows.
    fn report(
        self,
        model: &NamedModel,
        (width, height): (usize, usize),
        threads: usize,
        length: &Length,
    ) -> BenchReport {
        let could = self.elapsed.as_nanos() as f64 * threads.max(1) as f64;
        let latency = Latency::of(&self.times);
        let macs = model.model.macs_per_pixel() * (width * height) as u64;
        let invalid_because: Vec<String> = self.after.throttled_since(&self.before).into_iter().collect();
        BenchReport {
            schema: SCHEMA,
            command: "bench".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            model: model.name.clone(),
            precision: model.precision().into(),
            mode: if model.model.in_channels() == 1 { "y" } else { "rgb" }.into(),
            upscale: model.upscale(),
            file_bytes: model.file_bytes,
            width,
            height,
            threads,
            isa: String::new(),
            gpu: None,
            band: 0,
            macs,
            first_ms: self.first_ms,
            warmup_frames: self.warmup_frames,
            steady: self.steady,
            latency,
            first_row: None,
            cpu_p50_ms: Latency::of(&self.cpu_times).p50_ms,
            fps: 1e3 / latency.p50_ms,
            gmacs: macs as f64 / latency.p50_ms * 1e-6,
            peak_gmacs: 0.0,
            share_of_peak: 0.0,
            windows: if length.windows { windows(&self.times, &self.ends) } else { Vec::new() },
            nodes: Vec::new(),
            memory: Memory {
                engine_bytes: 0,
                arena_bytes: 0,
                weight_bytes: 0,
                process_peak_bytes: self.process_peak_bytes,
            },
            before: self.before.system,
            after: self.after.system,
            waited: self.waited_ns.map(|waited| waited as f64 / could),
            valid: invalid_because.is_empty(),
            invalid_because,
        }
    }
}

/// A plan and what it runs on.
struct Runner<'a> {
    plan: &'a Plan,
    workspace: Workspace,
    pixels: Vec<u8>,
    height: usize,
    name: &'a str,
    /// For every frame the milliseconds from its first input row to its first output row.
    first_rows: Vec<f64>,
    /// Input rows that were given by then.
    rows_before: usize,
}

impl Runner<'_> {
    /// Runs a frame, row by row as from a camera that is never waited for and to nowhere, and returns its time in milliseconds.
    fn frame(&mut self) -> Result<f64> {
        let failed = |source| Error::Run { name: self.name.into(), source };
        let start = Instant::now();
        let mut frame = self.plan.begin(&mut self.workspace, self.height).map_err(failed)?;
        let mut first = None;
        for (y, row) in self.pixels.chunks_exact(self.plan.in_row_bytes()).enumerate() {
            let taken = frame.push(row, &mut |_, row| {
                std::hint::black_box(row);
                first.get_or_insert_with(|| (start.elapsed().as_secs_f64() * 1e3, y + 1));
            });
            taken.map_err(failed)?;
        }
        let (ms, rows) = first.expect("an image has output rows");
        self.first_rows.push(ms);
        self.rows_before = rows;
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }

    /// Times of the nodes that take any: of each the least of several frames, for what disturbs one frame is rarely at
    /// the same node of another.
    fn nodes(&mut self, peak_gmacs: f64) -> Result<Vec<NodeTime>> {
        let start = Instant::now();
        let graph = self.plan.model().graph();
        let mut least = vec![u64::MAX; graph.nodes.len()];
        for done in 0..PROFILES {
            if done > 0 && start.elapsed() > PROFILE_TIME {
                break;
            }
            let mut clock = || start.elapsed().as_nanos() as u64;
            let spent = self.plan.profile(&mut self.workspace, &self.pixels, self.height, &mut clock);
            let spent = spent.map_err(|source| Error::Run { name: self.name.into(), source })?;
            least.iter_mut().zip(spent).for_each(|(least, ns)| *least = ns.min(*least));
        }
        let total: u64 = least.iter().sum();
        let pixels = (self.plan.width() * self.height) as u64;
        let rows = (0..).zip(graph.nodes.iter().zip(&least)).filter(|(_, (_, ns))| **ns > 0);
        Ok(rows
            .map(|(id, (node, &ns))| {
                let id: NodeId = id;
                let macs = self.plan.model().node_macs_per_pixel(id) * pixels;
                let gmacs = macs as f64 / ns as f64;
                NodeTime {
                    name: node.name.clone(),
                    op: node.op.name().into(),
                    ms: ns as f64 * 1e-6,
                    share_of_time: ns as f64 / total as f64,
                    macs,
                    gmacs,
                    share_of_peak: gmacs / peak_gmacs,
                }
            })
            .collect())
    }
}

/// The best of some short measurements: others can only make it smaller.
fn peak_gmacs(isa: Isa) -> f64 {
    let (times, rounds) = PEAKS;
    let once = || {
        let start = Instant::now();
        let macs = isa.exercise_i8(rounds);
        macs as f64 / start.elapsed().as_nanos().max(1) as f64
    };
    (0..times).map(|_| once()).fold(0.0, f64::max)
}

/// The frames of every tenth of the run; a part in which none ended is left out.
fn windows(times: &[f64], ends: &[f64]) -> Vec<Window> {
    let total = ends.last().copied().unwrap_or(0.0);
    let mut parts = vec![Vec::new(); WINDOWS];
    for (&time, &end) in times.iter().zip(ends) {
        // By index, not by comparing with bounds: the last frame ends exactly at `total`, and a rounded bound can
        // lie below that.
        let part = (end / total * WINDOWS as f64) as usize;
        parts[part.min(WINDOWS - 1)].push(time);
    }
    let until = |part: usize| total * (part + 1) as f64 / WINDOWS as f64;
    parts
        .iter()
        .enumerate()
        .filter(|(_, times)| !times.is_empty())
        .map(|(part, times)| Window { until_s: until(part), latency: Latency::of(times) })
        .collect()
}

/// A picture with smooth and busy parts in every channel, `[height, width, channels]`. It has no edges from one end of the range to
/// the other all over, as photographs have not: convolutions for Winograd's algorithm would go the direct way there.
fn picture(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let value = |i: usize| {
        let (x, y, c) = (i / channels % width, i / channels / width, i % channels);
        // Up and down again.
        let slope = (x * (c + 1) + y * 3) % 400;
        (slope.min(400 - slope) + ((x ^ y) & 15) * 3) as u8
    };
    (0..width * height * channels).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_in_one_window() {
        for total in (1..2000).map(|i| f64::from(i) * 1.1e-4 + 0.2) {
            let ends: Vec<f64> = [0.0003, 0.02, 0.021, 0.6, 0.9, 1.0].iter().map(|at| at * total).collect();
            let windows = windows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &ends);
            let samples: Vec<usize> = windows.iter().map(|w| w.latency.samples).collect();
            assert_eq!(samples.iter().sum::<usize>(), 6, "{total}");
            assert_eq!(windows.last().unwrap().latency.max_ms, 6.0);
        }
    }
}
