//! What `bench` measures, as a value that prints as text or as JSON with the same fields.

use super::system::System;
use mcir_upscale::device::GpuInfo;
use mcir_upscale::table::Table;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Version of the JSON output.
pub const SCHEMA: u32 = 1;

/// Measured speed of a model on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Always `bench`.
    pub command: String,
    /// Version of the program.
    pub version: String,
    /// The model's name.
    pub model: String,
    /// `f32` or `int8`.
    pub precision: String,
    /// What the network sees: `rgb`, or `y` for brightness alone.
    pub mode: String,
    /// Upscaling factor.
    pub upscale: usize,
    /// Size of the model file.
    pub file_bytes: usize,
    /// Width of the input image in pixels.
    pub width: usize,
    /// Height of the input image in pixels.
    pub height: usize,
    /// Threads.
    pub threads: usize,
    /// Instruction set of the kernels; `vulkan` on a GPU.
    pub isa: String,
    /// The GPU, if it ran there. No peak is measured then: what is related to it is 0. Nodes
    /// are in the order of the GPU's steps, on its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuInfo>,
    /// Input rows in a band.
    pub band: usize,
    /// Multiply-accumulates of a frame.
    pub macs: u64,
    /// The first frame after the plan was made, in milliseconds.
    pub first_ms: f64,
    /// Frames run until the time was steady; not in the samples.
    pub warmup_frames: usize,
    /// Whether it was steady when the warm-up ended; a frame of seconds has no time for that.
    pub steady: bool,
    /// Times of the samples.
    pub latency: Latency,
    /// How soon the first output row is there; `None` on a GPU, which takes whole images.
    #[serde(default)]
    pub first_row: Option<FirstRow>,
    /// Median of the processor time of a frame, all threads together, in milliseconds: what the frame costs where other
    /// programs take turns. Threads that wait for each other count too.
    pub cpu_p50_ms: f64,
    /// Frames a second at the median.
    pub fps: f64,
    /// 10⁹ multiply-accumulates a second at the median.
    pub gmacs: f64,
    /// int8 peak of one core in 10⁹ multiply-accumulates a second: the instructions of the widest kernel on registers
    /// only, the best of several measurements before and after the samples.
    pub peak_gmacs: f64,
    /// `gmacs` as a part of the peak of all threads.
    pub share_of_peak: f64,
    /// Sustained runs: the median in each tenth of the time.
    pub windows: Vec<Window>,
    /// Where the time goes, of nodes that take any.
    pub nodes: Vec<NodeTime>,
    /// Memory.
    pub memory: Memory,
    /// The machine before the run.
    pub before: System,
    /// The machine after the run.
    pub after: System,
    /// Part of the time in which the program waited for a processor that others had; `None` where the system does not
    /// tell.
    pub waited: Option<f64>,
    /// Whether the figures stand for the machine.
    pub valid: bool,
    /// Why not.
    pub invalid_because: Vec<String>,
}

/// Times of frames in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Number of frames.
    pub samples: usize,
    /// Fastest.
    pub min_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// Nine of ten are faster.
    pub p90_ms: f64,
    /// 99 of 100 are faster.
    pub p99_ms: f64,
    /// Slowest.
    pub max_ms: f64,
}

impl Latency {
    /// Of these times, in any order.
    ///
    /// # Panics
    /// If there are none.
    pub fn of(times_ms: &[f64]) -> Self {
        let mut sorted = times_ms.to_vec();
        sorted.sort_by(f64::total_cmp);
        // The smallest time that this part of the samples does not exceed.
        let part = |part: f64| sorted[((sorted.len() as f64 * part).ceil() as usize).max(1) - 1];
        Self {
            samples: sorted.len(),
            min_ms: sorted[0],
            p50_ms: part(0.5),
            p90_ms: part(0.9),
            p99_ms: part(0.99),
            max_ms: sorted[sorted.len() - 1],
        }
    }
}

/// From the first input row of a frame to its first output row, with input rows that never have to be waited for. A camera
/// adds the time in which it delivers [`after_rows`](Self::after_rows) of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FirstRow {
    /// Input rows that are needed for it, with those of their band.
    pub after_rows: usize,
    /// Its times.
    pub latency: Latency,
}

/// A part of a sustained run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// End of the part, in seconds after the start.
    pub until_s: f64,
    /// Times of its frames.
    pub latency: Latency,
}

/// Time of a node in one frame: the least of several profiled frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeTime {
    /// Its name.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Milliseconds; of a node that another one computes along, it is in that one's.
    pub ms: f64,
    /// Part of the time of all nodes.
    pub share_of_time: f64,
    /// Multiply-accumulates of a frame.
    pub macs: u64,
    /// 10⁹ multiply-accumulates a second.
    pub gmacs: f64,
    /// As a part of the peak of all threads.
    pub share_of_peak: f64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What the engine allocates, exactly: `arena_bytes`, `weight_bytes`, what steps compute in, and a row of output.
    pub engine_bytes: usize,
    /// Ring buffers.
    pub arena_bytes: usize,
    /// Packed weights.
    pub weight_bytes: usize,
    /// Most memory that the whole program had resident; `None` where the system does not tell.
    pub process_peak_bytes: Option<u64>,
}

impl BenchReport {
    fn node_table(&self) -> Table {
        let mut table = Table::new(["node", "operator", "ms", "% of time", "MMAC", "GMAC/s", "% of peak"]);
        for node in &self.nodes {
            let of_macs = |text: String| if node.macs > 0 { text } else { String::new() };
            // None is measured on a GPU.
            let of_peak = |text: String| if self.gpu.is_none() { of_macs(text) } else { String::new() };
            table.push([
                node.name.clone(),
                node.op.clone(),
                format!("{:.3}", node.ms),
                format!("{:.1}", 100.0 * node.share_of_time),
                of_macs(format!("{:.1}", node.macs as f64 * 1e-6)),
                of_macs(format!("{:.1}", node.gmacs)),
                of_peak(format!("{:.1}", 100.0 * node.share_of_peak)),
            ]);
        }
        table
    }
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (w, h, r) = (self.width, self.height, self.upscale);
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        write!(f, "{} {}: {w}x{h} to {}x{}, ", self.model, self.precision, w * r, h * r)?;
        match &self.gpu {
            Some(gpu) => writeln!(f, "{} ({}, Vulkan {})", gpu.name, gpu.driver, gpu.vulkan)?,
            None => writeln!(f, "{} {threads}, {}, bands of {} rows", self.threads, self.isa, self.band)?,
        }
        let Latency { samples, min_ms, p50_ms, p90_ms, p99_ms, max_ms } = self.latency;
        writeln!(
            f,
            "first frame {:.2} ms; {} to warm up{}, {samples} measured",
            self.first_ms,
            self.warmup_frames,
            if self.steady { "" } else { ", not yet steady" }
        )?;
        writeln!(
            f,
            "min {min_ms:.2}  p50 {p50_ms:.2}  p90 {p90_ms:.2}  p99 {p99_ms:.2}  max {max_ms:.2} ms: {:.1} frames a second",
            self.fps
        )?;
        if let Some(FirstRow { after_rows, latency }) = self.first_row {
            let Latency { p50_ms, p99_ms, .. } = latency;
            writeln!(
                f,
                "first output row, after {after_rows} input rows: p50 {p50_ms:.2}  p99 {p99_ms:.2} ms"
            )?;
        }
        write!(f, "processor time p50 {:.2} ms; {:.1} GMAC/s", self.cpu_p50_ms, self.gmacs)?;
        if self.gpu.is_none() {
            let (peak, share) = (self.peak_gmacs * self.threads as f64, 100.0 * self.share_of_peak);
            write!(f, ", {share:.1} % of {peak:.1}, the int8 peak measured in this run")?;
        }
        let Memory { engine_bytes, arena_bytes, weight_bytes, process_peak_bytes } = self.memory;
        let mb = |bytes: f64| bytes / 1e6;
        write!(f, "\nmemory: engine {:.2} MB", mb(engine_bytes as f64))?;
        if self.gpu.is_none() {
            write!(f, " (rings {:.2}, weights {:.2})", mb(arena_bytes as f64), mb(weight_bytes as f64))?;
        }
        match process_peak_bytes {
            Some(bytes) => writeln!(f, ", whole program at its peak {:.2} MB", mb(bytes as f64))?,
            None => writeln!(f)?,
        }
        writeln!(f, "before: {}\nafter:  {}", self.before, self.after)?;
        if let Some(waited) = self.waited {
            writeln!(f, "waited for a processor {:.1} % of the time", 100.0 * waited)?;
        }
        if !self.windows.is_empty() {
            let mut table = Table::new(["until s", "frames", "p50 ms", "p99 ms"]);
            for Window { until_s, latency } in &self.windows {
                table.push([
                    format!("{until_s:.1}"),
                    latency.samples.to_string(),
                    format!("{:.2}", latency.p50_ms),
                    format!("{:.2}", latency.p99_ms),
                ]);
            }
            writeln!(f, "\n{table}")?;
        }
        if !self.nodes.is_empty() {
            write!(f, "\n{}", self.node_table())?;
        }
        if self.valid {
            return Ok(());
        }
        write!(f, "\nnot valid: {}", self.invalid_because.join("; "))
    }
}
