//! `mcir-train export`

use super::Common;
use burn::tensor::Device;
use mcir_trainer::checkpoint::Checkpoint;
use mcir_trainer::config::Config;
use mcir_trainer::export;
use mcir_trainer::net::Net;
use std::path::PathBuf;

/// Options of `export`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Checkpoint or run folder
    #[arg(short, long)]
    input: PathBuf,
    /// Model file to write
    #[arg(short, long)]
    output: PathBuf,
    /// Take the trained weights instead of their average
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    common: Common,
}

/// Exports.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let checkpoint = Checkpoint::load(&args.input)?;
    let config = Config::resolve(None, &checkpoint.config, &[])?;
    let tensors = if args.raw { &checkpoint.net } else { &checkpoint.ema };
    let net = Net::from_tensors(&config.model.architecture(), tensors, &Device::flex())?;
    let model = export::model(&net, export::metadata(&config, checkpoint.step))?;
    export::write(&model, &args.output)?;
    report(&model, &args.output, args.common.json);
    Ok(())
}

/// Prints what was written.
pub fn report(model: &mcir_runtime::model::Model, path: &std::path::Path, json: bool) {
    let (parameters, macs) = (model.num_params(), model.macs_per_pixel());
    if json {
        let report = serde_json::json!({
            "schema": 1, "model": path, "upscale": model.upscale(), "parameters": parameters,
            "macs_per_pixel": macs,
        });
        say!("{report}");
    } else {
        say!("{}: x{}, {parameters} parameters, {macs} MAC per pixel", path.display(), model.upscale());
    }
}
