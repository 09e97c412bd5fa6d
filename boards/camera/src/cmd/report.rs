//! The report at the end.

use super::SCHEMA;
use crate::health;
use crate::live::Running;
use crate::pipeline::Outcome;
use crate::shared::Shared;
use crate::stats::{Counts, Latency};
use mcir_upscale::table::Table;
use serde::Serialize;

/// What does not change while it runs.
pub(super) struct About {
    pub source: String,
    pub model: String,
    pub precision: &'static str,
    pub upscale: usize,
    pub mode: &'static str,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: u32,
    command: &'static str,
    source: String,
    model: String,
    precision: &'static str,
    upscale: usize,
    mode: &'static str,
    isa: Option<&'static str>,
    threads: usize,
    /// The GPU that the last frame was made on; none for the processor.
    gpu: Option<String>,
    /// Width and height of the camera's frames.
    size: Option<(usize, usize)>,
    pub frames: Counts,
    /// How often the camera came back.
    reconnects: u64,
    fps: Option<f64>,
    latency: Vec<Latency>,
    memory: Memory,
}

/// Memory of the program in bytes.
#[derive(Debug, Serialize)]
struct Memory {
    /// After the first frames.
    warm_bytes: Option<u64>,
    end_bytes: Option<u64>,
    peak_bytes: Option<u64>,
}

impl About {
    pub fn report(self, shared: &Shared, outcome: Option<&Outcome>) -> Report {
        let outcome = outcome.cloned().unwrap_or_default();
        let Self { model, precision, upscale, mode, .. } = self;
        let ran = outcome.ran.unwrap_or(Running { model, precision, upscale, mode });
        Report {
            schema: SCHEMA,
            command: "camera",
            source: self.source,
            model: ran.model,
            precision: ran.precision,
            upscale: ran.upscale,
            mode: ran.mode,
            isa: outcome.isa,
            threads: outcome.threads,
            gpu: outcome.gpu,
            size: outcome.size,
            frames: shared.stats.counts(),
            reconnects: shared.stats.reconnects(),
            fps: shared.stats.rate(),
            latency: shared.stats.latencies(),
            memory: Memory {
                warm_bytes: outcome.memory[0],
                end_bytes: outcome.memory[1],
                peak_bytes: health::peak_bytes(),
            },
        }
    }
}

impl Report {
    pub fn text(&self) -> String {
        let Counts { captured, output, dropped, broken, unfinished } = self.frames;
        let mut text = format!("{captured} frames came, {output} left, {dropped} were dropped");
        for (n, what) in [(broken, "were damaged"), (unfinished, "were given up at the end")] {
            if n > 0 {
                text += &format!(", {n} {what}");
            }
        }
        if let Some(fps) = self.fps {
            text += &format!("; {fps:.1} a second");
        }
        if self.reconnects > 0 {
            text += &format!("; the camera came back {} times", self.reconnects);
        }
        let ms = |v: f64| format!("{v:.2}");
        let mut table = Table::new(["latency, ms", "p50", "p99"]);
        for stage in &self.latency {
            table.push([stage.stage.to_owned(), ms(stage.p50_ms), ms(stage.p99_ms)]);
        }
        if !table.lines.is_empty() {
            text += &format!("\n{}", table.to_string().trim_end());
        }
        text
    }
}
