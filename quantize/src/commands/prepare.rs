//! `mcir-quantize prepare`.

use super::{Common, Engine, check_output, load_model, write_whole};
use anyhow::Result;
use mcir_quantize::fold::fold;
use mcir_quantize::gate::task_of;
use mcir_quantize::images::{self, DEFAULT_CALIBRATION};
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_quantize::samples::Samples;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the f32 model with the types of its edges, for `mcir-train qat`
#[derive(clap::Args)]
pub struct Args {
    /// Float model file
    model: PathBuf,
    /// Folder of high-resolution photographs to calibrate on
    #[arg(short, long)]
    calibration: PathBuf,
    /// Where the float model with types goes
    #[arg(short, long)]
    output: PathBuf,
    /// Most images to calibrate on, spread evenly over the folder
    #[arg(long, default_value_t = DEFAULT_CALIBRATION)]
    images: usize,
    /// The engine that the tuned model will be for; TensorRT wants symmetric activations
    #[arg(long = "for", value_enum, value_name = "ENGINE", default_value = "mcir")]
    engine: Engine,
    #[command(flatten)]
    common: Common,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    check_output(&args.output, &[&args.model])?;
    let model = load_model(&args.model)?;
    fold(&model)?;
    let task = task_of(&model)?;
    let (progress, threads) = (args.common.progress(), args.common.threads());
    let files = images::spread(&images::list(&args.calibration)?, args.images);
    let (samples, skipped) = Samples::gather(&args.calibration, &files, task, threads, &progress)?;
    args.common.warn_skipped(&args.calibration, &skipped);
    // The weights will be tuned, so their rounding does not matter here.
    let purpose = match args.engine {
        Engine::Mcir => Purpose::Engine,
        Engine::Tensorrt => Purpose::Symmetric,
    };
    let settings = Settings { effort: Effort::Low, purpose, threads, progress: &progress };
    let bytes = Calibrated::new(&model, &samples, settings)?.prepared()?.to_bytes();
    write_whole(&args.output, &bytes)?;
    if args.common.json {
        super::print_json(&serde_json::json!({
            "schema": mcir_quantize::report::SCHEMA,
            "calibration_images": samples.len(),
            "skipped_images": skipped.len(),
            "file_bytes": bytes.len(),
        }))?;
    } else {
        args.common.note(&format!(
            "wrote {}: {} bytes; tune it with `mcir-train qat`, then `mcir-quantize run --against {}`",
            args.output.display(),
            bytes.len(),
            args.model.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}
