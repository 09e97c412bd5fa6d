//! `mcir-quantize run`.

use super::{Common, EXIT_GATE, check_output, load_model, print, print_json, write_whole};
use anyhow::Result;
use mcir_quantize::QuantizeError;
use mcir_quantize::error::Skipped;
use mcir_quantize::fold::fold;
use mcir_quantize::gate::{Drops, measure, task_of};
use mcir_quantize::images::{self, DEFAULT_CALIBRATION};
use mcir_quantize::pipeline::{Calibrated, Settings};
use mcir_quantize::report::{SCHEMA, drops_to_text};
use mcir_runtime::model::{Model, NodeId};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Quantize an f32 model to int8, unless that costs too much PSNR
#[derive(clap::Args)]
pub struct Args {
    /// Float model file
    model: PathBuf,
    /// Folder of high-resolution photographs to calibrate on
    #[arg(short, long)]
    calibration: PathBuf,
    /// Folder of high-resolution photographs to measure the drop on [default: a sixth of the calibration
    /// images, which are then not calibrated on]
    #[arg(short = 'v', long)]
    validation: Option<PathBuf>,
    /// Largest allowed mean drop of PSNR-Y against the float model on held-out images, in dB
    #[arg(long, default_value_t = 0.1)]
    max_drop_db: f64,
    /// Where the int8 model file goes
    #[arg(short, long)]
    output: PathBuf,
    /// Most images to calibrate on, spread evenly over the folder
    #[arg(long, default_value_t = DEFAULT_CALIBRATION)]
    images: usize,
    /// Convolution to keep in f32, by name; can be given several times
    #[arg(long, value_name = "NAME")]
    keep_float: Vec<String>,
    /// Write the model also when the gate is not met; the exit code is 3 all the same
    #[arg(long)]
    write_failed: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Output {
    schema: u32,
    max_drop_db: f64,
    passed: bool,
    written: bool,
    calibration_images: usize,
    skipped_images: usize,
    kept_float: Vec<String>,
    file_bytes: usize,
    worst_image: String,
    worst_drop_db: f64,
    #[serde(flatten)]
    drops: Drops,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    anyhow::ensure!(
        args.max_drop_db >= 0.0,
        "--max-drop-db {} is not a number of dB from 0 on; try 0.1",
        args.max_drop_db
    );
    check_output(&args.output, &[&args.model])?;
    let model = load_model(&args.model)?;
    // Refuses quantized models and unknown operators before any image is read.
    fold(&model)?;
    let task = task_of(&model)?;
    let (progress, threads) = (args.common.progress(), args.common.threads());

    let files = images::list(&args.calibration)?;
    let (calibration, held_out, held_out_folder) = match &args.validation {
        Some(folder) => (images::spread(&files, args.images), images::list(folder)?, folder),
        None => {
            let (calibration, held_out) = images::split(&files, args.images);
            (calibration, held_out, &args.calibration)
        }
    };
    let (samples, mut skipped) = images::samples(&args.calibration, &calibration, task, threads, &progress)?;
    args.common.warn_skipped(&args.calibration, &skipped);
    let (held_out, more) = images::usable(held_out_folder, held_out, task, threads, &progress)?;
    args.common.warn_skipped(held_out_folder, &more);
    skipped.extend::<Vec<Skipped>>(more);

    let settings = Settings { threads, progress: &progress };
    let calibrated = Calibrated::new(&model, &samples, settings)?;
    let float = named(&calibrated, &args.keep_float)?;
    let int8 = calibrated.build(&float)?.model;
    let drops = measure(&model, &int8, &held_out, threads, &progress)?;

    let passed = drops.passes(args.max_drop_db);
    let written = passed || args.write_failed;
    let int8 = describe(int8, args, samples.len(), &drops)?;
    let bytes = int8.to_bytes();
    if written {
        write_whole(&args.output, &bytes)?;
    }
    if args.common.json {
        let worst = drops.worst();
        print_json(&Output {
            schema: SCHEMA,
            max_drop_db: args.max_drop_db,
            passed,
            written,
            calibration_images: samples.len(),
            skipped_images: skipped.len(),
            kept_float: args.keep_float.clone(),
            file_bytes: bytes.len(),
            worst_image: worst.name.clone(),
            worst_drop_db: worst.drop_db,
            drops,
        })?;
    } else {
        print(&drops_to_text(&drops))?;
        args.common.note(&verdict(args, passed, written, drops.mean_drop_db, bytes.len()));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_GATE) })
}

fn named(calibrated: &Calibrated<'_>, names: &[String]) -> Result<Vec<NodeId>> {
    let graph = calibrated.folded().graph();
    let find = |name: &String| {
        let found = calibrated.convolutions().into_iter().find(|&id| graph.node(id).name == *name);
        Ok(found.ok_or_else(|| QuantizeError::NoSuchNode { name: name.clone() })?)
    };
    names.iter().map(find).collect()
}

/// Adds how the model was quantized to its metadata.
fn describe(model: Model, args: &Args, samples: usize, drops: &Drops) -> Result<Model> {
    let mut metadata = model.metadata().to_vec();
    let mut set = |key: &str, value: String| {
        metadata.retain(|(k, _)| k != key);
        metadata.push((key.to_string(), value));
    };
    set("quantize.version", env!("CARGO_PKG_VERSION").into());
    set("quantize.calibration_images", samples.to_string());
    set("quantize.validation_images", drops.images.len().to_string());
    set("quantize.psnr_y_f32_db", format!("{:.4}", drops.psnr_f32_db));
    set("quantize.psnr_y_int8_db", format!("{:.4}", drops.psnr_int8_db));
    set("quantize.mean_drop_db", format!("{:.4}", drops.mean_drop_db));
    if !args.keep_float.is_empty() {
        set("quantize.kept_float", args.keep_float.join(" "));
    }
    Ok(model.with_metadata(metadata).map_err(QuantizeError::Rewrite)?)
}

fn verdict(args: &Args, passed: bool, written: bool, drop_db: f64, bytes: usize) -> String {
    let output = args.output.display();
    let limit = args.max_drop_db;
    match (passed, written) {
        (true, _) => format!("wrote {output}: {bytes} bytes, {drop_db:.4} dB lost (limit {limit})"),
        (false, true) => format!("wrote {output} although {drop_db:.4} dB lost exceed the limit of {limit}"),
        (false, false) => format!(
            "gate not met: {drop_db:.4} dB lost, limit {limit}; nothing written; calibrate on more images like \
             those it will see, raise --max-drop-db, or keep a convolution in f32 with --keep-float"
        ),
    }
}
