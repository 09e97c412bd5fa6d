//! `mcir-board gpu-check`: whether a GPU makes the processor's bits, and how long it takes.

#[cfg_attr(feature = "gpu", path = "gpu_check/measure.rs")]
#[cfg_attr(not(feature = "gpu"), path = "gpu_check/without.rs")]
mod measure;

use mcir_report::bench::Latency;
use mcir_upscale::args::OutputArgs;
use mcir_upscale::device::{Accelerator, Device, GpuInfo};
use mcir_upscale::error::{Error, Result};
use mcir_upscale::table::Table;
use serde::Serialize;
use std::fmt;

/// Version of the JSON output.
const SCHEMA: u32 = 1;

/// Compare a GPU's pictures with the processor's, bit for bit, and time every embedded int8 model
///
/// Runs every operator that the GPU has a kernel for and all embedded int8 models. The exit code is 3 when a single byte differs.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// gpu, or gpu:N for the one of this number in `mcir-board info`
    #[arg(long, value_name = "DEVICE", default_value = "gpu")]
    device: Device,

    /// Size of the picture that is timed, in pixels
    #[arg(long, value_name = "WxH", default_value = "320x180", value_parser = crate::estimate::size)]
    size: (usize, usize),

    /// Seconds for the times of each model, on the GPU and on all processors
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = crate::bench::seconds)]
    seconds: f64,

    #[command(flatten)]
    print: OutputArgs,
}

/// What came out.
#[derive(Debug, Serialize)]
struct Outcome {
    schema: u32,
    command: &'static str,
    version: &'static str,
    gpu: GpuInfo,
    /// Whether all bytes were the same.
    same_bits: bool,
    operators: Vec<Bits>,
    models: Vec<Timed>,
}

/// One model on pictures of several sizes.
#[derive(Debug, Serialize)]
struct Bits {
    name: String,
    /// Bytes compared.
    bytes: usize,
    /// Of them, those that differ.
    different: usize,
    /// Why it did not run, if it did not.
    error: Option<String>,
}

/// An embedded model.
#[derive(Debug, Serialize)]
struct Timed {
    #[serde(flatten)]
    bits: Bits,
    width: usize,
    height: usize,
    upscale: usize,
    /// Times of a picture on the GPU, from the processor's memory to the processor's memory.
    gpu: Option<Latency>,
    /// The same on all processors.
    cpu: Option<Latency>,
}

impl Bits {
    fn is_good(&self) -> bool {
        self.error.is_none() && self.bytes > 0 && self.different == 0
    }

    fn verdict(&self) -> String {
        match &self.error {
            Some(error) => format!("FAILED: {error}"),
            None if self.different > 0 => format!("{} of {} bytes DIFFER", self.different, self.bytes),
            None => format!("same, {} bytes", self.bytes),
        }
    }
}

/// Does it.
///
/// # Errors
/// [`Error::Gpu`] when there is none to check, [`Error::GpuBits`] when a byte differs.
pub fn run(cmd: &Cmd) -> Result<()> {
    let device = if cmd.device == Device::Auto { Device::Gpu(None) } else { cmd.device };
    let Some(gpu) = Accelerator::open(device)? else {
        return Err(Error::Gpu { reason: "the processor was asked for".into() });
    };
    let bar = cmd.print.progress(0);
    let (operators, models) =
        measure::all(&gpu, cmd.size, cmd.seconds, &mut |what| bar.set_message(what.to_owned()))?;
    bar.finish_and_clear();
    let good =
        operators.iter().chain(models.iter().map(|model| &model.bits)).filter(|bits| bits.is_good()).count();
    let all = operators.len() + models.len();
    let outcome = Outcome {
        schema: SCHEMA,
        command: "gpu-check",
        version: env!("CARGO_PKG_VERSION"),
        gpu: gpu.info(),
        same_bits: good == all,
        operators,
        models,
    };
    match cmd.print.json {
        true => {
            cmd.print.result(serde_json::to_string_pretty(&outcome).expect("an outcome is plain data"))?
        }
        false => cmd.print.result(&outcome)?,
    }
    if good == all {
        return Ok(());
    }
    Err(Error::GpuBits { device: outcome.gpu.name, good, all })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GpuInfo { name, driver, vulkan, kind, dot_product, .. } = &self.gpu;
        let product = if *dot_product { "fast" } else { "slow" };
        writeln!(f, "{name} ({kind}), {driver}, Vulkan {vulkan}, products of four bytes {product}\n")?;
        let mut table = Table::new(["operators", "bits"]);
        for bits in &self.operators {
            table.push([bits.name.clone(), bits.verdict()]);
        }
        writeln!(f, "{table}")?;
        let mut table = Table::new(["model", "bits", "size", "GPU ms", "p99", "CPU ms"]);
        table.text_columns = 3;
        for model in &self.models {
            let ms = |latency: Option<Latency>, of: fn(&Latency) -> f64| {
                latency.map_or_else(String::new, |latency| format!("{:.2}", of(&latency)))
            };
            table.push([
                model.bits.name.clone(),
                model.bits.verdict(),
                format!("{}x{} x{}", model.width, model.height, model.upscale),
                ms(model.gpu, |l| l.p50_ms),
                ms(model.gpu, |l| l.p99_ms),
                ms(model.cpu, |l| l.p50_ms),
            ]);
        }
        write!(f, "{table}")
    }
}
