//! `mcir-quantize run`.

use super::{Common, EXIT_GATE, Engine, check_output, load_model, print, print_json, write_whole};
use anyhow::Result;
use mcir_quantize::QuantizeError;
use mcir_quantize::cost::{BASIS, KeptNode, kept_nodes, total_ms};
use mcir_quantize::describe::describe;
use mcir_quantize::error::Skipped;
use mcir_quantize::fold::fold;
use mcir_quantize::gate::{Baseline, Drops, Limits, common_task};
use mcir_quantize::images::{self, DEFAULT_CALIBRATION, Task};
use mcir_quantize::ladder::{Candidate, climb, try_with};
use mcir_quantize::page::{Details, crops, page};
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_quantize::report::{SCHEMA, drops_to_text, kept_to_text, sensitivity_to_text};
use mcir_quantize::rewrite::Precision;
use mcir_quantize::samples::Samples;
use mcir_quantize::sensitivity::{EdgeSnr, Sensitivity, edge_snr, sensitivities};
use mcir_runtime::model::{Model, NodeId, Op};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Quantize an f32 model to int8, unless that costs too much PSNR
#[derive(clap::Args)]
pub struct Args {
    /// Float model file
    model: PathBuf,
    /// Folder of high-resolution photographs to calibrate on, or one with `HR` and `LR/X1` or `LR/X4` in it, as `mcir-train degrade`
    /// writes it: then the model sees the latter
    #[arg(short, long)]
    calibration: PathBuf,
    /// Folder of high-resolution photographs to measure the drop on [default: a sixth of the calibration
    /// images, which are then not calibrated on]
    #[arg(short = 'v', long)]
    validation: Option<PathBuf>,
    /// Float model file that the drop is measured against, for one that was tuned with `mcir-train qat` from
    /// another [default: the model itself]
    #[arg(long, value_name = "MODEL")]
    against: Option<PathBuf>,
    /// Largest allowed mean drop of PSNR-Y against the float model on held-out images, in dB
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    max_drop_db: f64,
    /// Largest allowed drop of PSNR-Y of any one held-out image, in dB [default: three times --max-drop-db and 0.1 more]
    #[arg(long, allow_negative_numbers = true)]
    max_worst_drop_db: Option<f64>,
    /// Least PSNR of the int8 model's pictures against the float model's, mean over the held-out images, in dB; 40 is hard to see.
    /// For networks trained to look sharp (GANs), whose distance from the photograph says little
    #[arg(long, value_name = "DB", allow_negative_numbers = true)]
    min_agreement_db: Option<f64>,
    /// Where the int8 model file goes
    #[arg(short, long)]
    output: PathBuf,
    /// Most images to calibrate on, spread evenly over the folder
    #[arg(long, default_value_t = DEFAULT_CALIBRATION)]
    images: usize,
    /// How much work it may be
    #[arg(long, value_enum, default_value = "normal")]
    effort: EffortArg,
    /// Make it faster on aarch64 with the dot product (Raspberry Pi 5, Jetson Orin) and, from 32 channels on, on x86-64 with
    /// AVX-512 VNNI, at some loss: Winograd's convolution in 8 bits, with 7 bits for activations and smaller weights
    #[arg(long)]
    winograd: bool,
    /// The engine that the model is for. TensorRT wants symmetric activations, which costs some PSNR, as values after a ReLU then
    /// have half the levels; the model also runs here, with the same values up to rounding
    #[arg(long = "for", value_enum, value_name = "ENGINE", default_value = "mcir")]
    engine: Engine,
    /// Convolution to keep in f32, by name; can be given several times
    #[arg(long, value_name = "NAME")]
    keep_float: Vec<String>,
    /// Convolution to give 16-bit activations, by name; can be given several times
    #[arg(long, value_name = "NAME")]
    keep_int16: Vec<String>,
    /// Do not move the costliest convolutions to 16-bit activations or f32 when the gate fails; fail
    #[arg(long)]
    no_fallback: bool,
    /// Measure what each convolution costs alone, and the signal to noise of each edge, also when the gate
    /// is met
    #[arg(long)]
    sensitivity: bool,
    /// Write an HTML page with the drops, the signal to noise of each edge and crops of the worst image
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write the model also when the gate is not met; the exit code is 3 all the same
    #[arg(long)]
    write_failed: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum EffortArg {
    /// Weights go to the nearest step
    Low,
    /// Weights are rounded with regard to each other
    Normal,
    /// The best of several models on the calibration images; takes a few times as long
    High,
}

impl From<EffortArg> for Effort {
    fn from(arg: EffortArg) -> Self {
        match arg {
            EffortArg::Low => Self::Low,
            EffortArg::Normal => Self::Normal,
            EffortArg::High => Self::High,
        }
    }
}

#[derive(Serialize)]
struct Output {
    schema: u32,
    max_drop_db: f64,
    max_worst_drop_db: f64,
    min_agreement_db: Option<f64>,
    passed: bool,
    written: bool,
    calibration_images: usize,
    skipped_images: usize,
    kept: Vec<KeptNode>,
    predicted_for: &'static str,
    predicted_ms: f64,
    sensitivity: Vec<Sensitivity>,
    snr: Vec<EdgeSnr>,
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
    // Rounded, so that a message does not show how floats are added.
    let by_default = ((3.0 * args.max_drop_db + 0.1) * 1e4).round() / 1e4;
    let worst_db = args.max_worst_drop_db.unwrap_or(by_default);
    anyhow::ensure!(
        worst_db >= 0.0,
        "--max-worst-drop-db {worst_db} is not a number of dB from 0 on; try 0.4"
    );
    anyhow::ensure!(
        args.min_agreement_db.is_none_or(|db| (0.0..=99.0).contains(&db)),
        "--min-agreement-db {} is not a number of dB from 0 to 99; try 40",
        args.min_agreement_db.unwrap_or_default()
    );
    let purpose = match (args.engine, args.winograd) {
        (Engine::Mcir, false) => Purpose::Engine,
        (Engine::Mcir, true) => Purpose::Winograd,
        (Engine::Tensorrt, false) => Purpose::Symmetric,
        (Engine::Tensorrt, true) => anyhow::bail!(
            "--winograd is for this engine's convolutions and not TensorRT's; leave out one of --winograd and --for"
        ),
    };
    let limits = Limits {
        mean_db: args.max_drop_db,
        worst_db: Some(worst_db),
        least_agreement_db: args.min_agreement_db,
    };
    check_output(&args.output, &[&args.model])?;
    if let Some(report) = &args.report {
        check_output(report, &[&args.model, &args.output])?;
        anyhow::ensure!(
            report != &args.output,
            "the report and the model go to the same file; choose another"
        );
    }
    let model = load_model(&args.model)?;
    // Refuses quantized models, unknown operators and unknown names before any image is read.
    let folded = fold(&model)?;
    args.keep_float.iter().chain(&args.keep_int16).try_for_each(|name| known(&folded, name))?;
    let reference = args.against.as_deref().map(load_model).transpose()?;
    let reference = reference.as_ref().unwrap_or(&model);
    let task = common_task(reference, &model)?;
    let (progress, threads) = (args.common.progress(), args.common.threads());

    let files = images::list(&args.calibration)?;
    let (calibration, held_out, held_out_folder) = match &args.validation {
        Some(folder) => (images::spread(&files, args.images), images::list(folder)?, folder),
        None => {
            images::enough(&args.calibration, files.len(), images::MIN_CALIBRATION + 1, &[])?;
            let (calibration, held_out) = images::split(&files, args.images);
            (calibration, held_out, &args.calibration)
        }
    };
    let (samples, mut skipped) = Samples::gather(&args.calibration, &calibration, task, threads, &progress)?;
    args.common.warn_skipped(&args.calibration, &skipped);
    let (held_out, more) = images::usable(held_out_folder, held_out, task, threads, &progress)?;
    args.common.warn_skipped(held_out_folder, &more);
    skipped.extend::<Vec<Skipped>>(more);

    let settings = Settings { effort: args.effort.into(), purpose, threads, progress: &progress };
    let calibrated = Calibrated::new(&model, &samples, settings)?;
    let mut kept = named(&calibrated, &args.keep_float, Precision::F32)?;
    kept.extend(named(&calibrated, &args.keep_int16, Precision::Int16)?);
    let baseline = Baseline::new(reference, &held_out, threads, &progress)?;
    if images::sees_photographs(&calibration, task) || images::sees_photographs(&held_out, task) {
        args.common.note(
            "note: the model does not enlarge, and sees the photographs as they are; for one that takes away haze, blur or the like name \
             a folder with HR and LR/X1, as mcir-train degrade writes it",
        );
    }
    let gain_db = baseline.gain_over_bicubic_db();
    if gain_db < 0.0 && args.min_agreement_db.is_none() {
        args.common.note(&format!(
            "warning: the float model's pictures are {:.2} dB further from the photographs than {}, as a GAN's are: a drop of PSNR says little of it; \
             --min-agreement-db 40 limits how far the int8 pictures are from the float ones",
            -gain_db,
            if task.upscale == 1 { "what they are made from" } else { "bicubic interpolation" }
        ));
    }
    let mut candidate = try_with(&baseline, &calibrated, kept)?;
    let fails = |candidate: &Candidate| !candidate.drops.passes(limits);
    let fallback = fails(&candidate) && !args.no_fallback;
    let costs = if args.sensitivity || fallback {
        sensitivities(&calibrated, &sensitivity_files(args, &calibration, task))?
    } else {
        Vec::new()
    };
    if fallback {
        args.common.note(&format!(
            "{:.4} dB lost with this, {:.4} on the worst image, pictures alike to {:.1} dB: moving the costliest convolutions to 16 bits or f32",
            candidate.drops.mean_drop_db,
            candidate.drops.worst().drop_db,
            candidate.drops.agreement_db
        ));
        candidate = climb(&baseline, &calibrated, candidate, &costs, limits)?;
    }
    let snr = match args.sensitivity || args.report.is_some() {
        true => edge_snr(calibrated.folded(), &candidate.rewritten, &samples, threads)?,
        false => Vec::new(),
    };

    let passed = !fails(&candidate);
    let written = passed || args.write_failed;
    let Candidate { rewritten, drops, kept } = candidate;
    let kept = kept_nodes(calibrated.folded(), &rewritten, &kept);
    let predicted_ms = total_ms(&rewritten.model);
    if let Some(report) = &args.report {
        let worst = held_out.iter().find(|path| images::name_of(path) == drops.worst().name);
        let crops =
            crops(reference, &rewritten.model, worst.expect("the worst image is one of those measured"))?;
        let details = Details { snr: &snr, costs: &costs, kept: &kept };
        let name = model.meta("name").unwrap_or("model");
        write_whole(report, page(name, &drops, &crops, details).as_bytes())?;
    }
    let int8 = describe(rewritten.model, &kept, samples.len(), &drops)?;
    let bytes = int8.to_bytes();
    if written {
        write_whole(&args.output, &bytes)?;
    }
    if args.common.json {
        let worst = drops.worst();
        print_json(&Output {
            schema: SCHEMA,
            max_drop_db: args.max_drop_db,
            max_worst_drop_db: worst_db,
            min_agreement_db: args.min_agreement_db,
            passed,
            written,
            calibration_images: samples.len(),
            skipped_images: skipped.len(),
            kept,
            predicted_for: BASIS,
            predicted_ms,
            sensitivity: costs,
            snr,
            file_bytes: bytes.len(),
            worst_image: worst.name.clone(),
            worst_drop_db: worst.drop_db,
            drops,
        })?;
    } else {
        print(&(sensitivity_to_text(&costs, &snr) + &kept_to_text(&kept) + &drops_to_text(&drops)))?;
        args.common.note(&verdict(args, passed, written, &drops, limits, bytes.len()));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_GATE) })
}

/// Whether a folded model has a node of this name whose precision can be chosen.
fn known(folded: &Model, name: &str) -> Result<(), QuantizeError> {
    let chosen = |op: &Op| matches!(op, Op::Conv2d(_) | Op::WindowAttention { .. });
    match folded.graph().nodes.iter().any(|node| node.name == name && chosen(&node.op)) {
        true => Ok(()),
        false => Err(QuantizeError::NoSuchNode { name: name.to_string() }),
    }
}

fn named(
    calibrated: &Calibrated<'_>,
    names: &[String],
    precision: Precision,
) -> Result<Vec<(NodeId, Precision)>> {
    let graph = calibrated.folded().graph();
    let find = |name: &String| {
        let found = calibrated.movable().into_iter().find(|&id| graph.node(id).name == *name);
        let id = found.ok_or_else(|| QuantizeError::NoSuchNode { name: name.clone() })?;
        Ok((id, precision))
    };
    names.iter().map(find).collect()
}

/// A few of the calibration images to measure single convolutions on.
fn sensitivity_files(args: &Args, calibration: &[PathBuf], task: Task) -> Vec<PathBuf> {
    let (few, all) = images::few(calibration, task);
    if all {
        args.common.note("warning: all images are used to measure single convolutions");
    }
    few
}

fn verdict(args: &Args, passed: bool, written: bool, drops: &Drops, limits: Limits, bytes: usize) -> String {
    let output = args.output.display();
    let (mean, worst) = (drops.mean_drop_db, drops.worst());
    let lost = drops.missed(limits).unwrap_or_default();
    let limit = |db: Option<f64>| db.map_or(String::new(), |db| format!(" (limit {db})"));
    match (passed, written) {
        (true, _) => format!(
            "wrote {output}: {bytes} bytes, {mean:.4} dB lost{}, {:.4} on the worst image{}; int8 pictures agree with f32 ones to \
             {:.1} dB{}",
            limit(Some(limits.mean_db)),
            worst.drop_db,
            limit(limits.worst_db),
            drops.agreement_db,
            limit(limits.least_agreement_db),
        ),
        (false, true) => format!("wrote {output} although the gate is not met: {lost}"),
        (false, false) => format!(
            "gate not met: {lost}; nothing written; calibrate on more images like those it will see, or raise \
             --max-drop-db or --max-worst-drop-db, or lower --min-agreement-db"
        ),
    }
}
