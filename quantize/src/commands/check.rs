//! `mcir-quantize check`.

use super::{Common, EXIT_GATE, check_output, load_model, print, print_json, write_whole};
use anyhow::Result;
use mcir_quantize::gate::{Drops, Limits, common_task, measure};
use mcir_quantize::images;
use mcir_quantize::page::{Details, crops, page};
use mcir_quantize::report::{SCHEMA, drops_to_text};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measure what quantization costs on a folder of photographs
#[derive(clap::Args)]
pub struct Args {
    /// Float model file
    float: PathBuf,
    /// Quantized model file
    int8: PathBuf,
    /// Folder of high-resolution photographs
    folder: PathBuf,
    /// End with exit code 3 when the mean drop of PSNR-Y exceeds this, in dB
    #[arg(long, allow_negative_numbers = true)]
    max_drop_db: Option<f64>,
    /// End with exit code 3 when any one image drops by more than this, in dB
    #[arg(long, allow_negative_numbers = true)]
    max_worst_drop_db: Option<f64>,
    /// End with exit code 3 when the int8 model's pictures are further from the float model's than this PSNR, in dB, mean over the images
    #[arg(long, value_name = "DB", allow_negative_numbers = true)]
    min_agreement_db: Option<f64>,
    /// Write an HTML page with the drops and crops of the worst image
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Output {
    schema: u32,
    max_drop_db: Option<f64>,
    max_worst_drop_db: Option<f64>,
    min_agreement_db: Option<f64>,
    passed: bool,
    worst_image: String,
    worst_drop_db: f64,
    #[serde(flatten)]
    drops: Drops,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    if let Some(report) = &args.report {
        check_output(report, &[&args.float, &args.int8])?;
    }
    let limits = [
        ("--max-drop-db", args.max_drop_db, "0.1"),
        ("--max-worst-drop-db", args.max_worst_drop_db, "0.4"),
        ("--min-agreement-db", args.min_agreement_db, "40"),
    ];
    for (option, limit, example) in limits {
        // Nor is what is no number at all.
        if let Some(db) = limit.filter(|db| db.is_nan() || *db < 0.0) {
            anyhow::bail!("{option} {db} is not a number of dB from 0 on; try {example}");
        }
    }
    let (float, int8) = (load_model(&args.float)?, load_model(&args.int8)?);
    let task = common_task(&float, &int8)?;
    let progress = args.common.progress();
    let threads = args.common.threads();
    let files = images::list(&args.folder)?;
    let (files, skipped) = images::usable(&args.folder, files, task, threads, &progress)?;
    args.common.warn_skipped(&args.folder, &skipped);
    let drops = measure(&float, &int8, &files, threads, &progress)?;
    if let Some(report) = &args.report {
        let worst = files.iter().find(|path| images::name_of(path) == drops.worst().name);
        let crops = crops(&float, &int8, worst.expect("the worst image is one of those measured"))?;
        let name = float.meta("name").unwrap_or("model");
        write_whole(report, page(name, &drops, &crops, Details::default()).as_bytes())?;
    }
    let mean_db = args.max_drop_db.unwrap_or(f64::INFINITY);
    let limits =
        Limits { mean_db, worst_db: args.max_worst_drop_db, least_agreement_db: args.min_agreement_db };
    let (passed, missed) = (drops.passes(limits), drops.missed(limits));
    if args.common.json {
        let worst = drops.worst();
        print_json(&Output {
            schema: SCHEMA,
            max_drop_db: args.max_drop_db,
            max_worst_drop_db: args.max_worst_drop_db,
            min_agreement_db: args.min_agreement_db,
            passed,
            worst_image: worst.name.clone(),
            worst_drop_db: worst.drop_db,
            drops,
        })?;
    } else {
        print(&drops_to_text(&drops))?;
    }
    if let Some(missed) = missed {
        args.common.note(&format!("gate not met: {missed}"));
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_GATE) })
}
