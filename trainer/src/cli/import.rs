//! `mcir-train import`

use super::Common;
use burn::tensor::Device;
use mcir_trainer::export;
use mcir_trainer::import::{self, Options};
use std::path::PathBuf;

/// Options of `import`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// PyTorch weights: .pth, .pt or .safetensors
    #[arg(short, long)]
    input: PathBuf,
    /// Model file to write
    #[arg(short, long)]
    output: PathBuf,
    /// The network was trained without subtracting a mean: DIV2K's for EDSR and SwinIR, RESIDE's for FFA-Net
    #[arg(long)]
    no_mean_shift: bool,
    /// Factor on each residual [default: that of the publication]
    #[arg(long)]
    res_scale: Option<f32>,
    /// By how much the network enlarges, where the file holds several networks or cannot tell [default: an x2, x3 or x4 in the name
    /// of the file]
    #[arg(long)]
    scale: Option<usize>,
    /// Name of the model [default: that of the file]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Imports.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let options = Options { mean_shift: !args.no_mean_shift, res_scale: args.res_scale, scale: args.scale };
    let trained = import::load(&args.input, &options)?;
    let net = trained.net(&Device::flex())?;
    let file = args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = args.input.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let metadata = [
        ("name", args.name.clone().unwrap_or(stem)),
        ("imported", file),
        ("trainer", concat!("mcir-train ", env!("CARGO_PKG_VERSION")).into()),
    ];
    let metadata = metadata.map(|(k, v)| (k.to_string(), v)).to_vec();
    let model = export::model(&net, metadata)?;
    export::write(&model, &args.output)?;
    super::export::report(&model, &args.output, args.common.json);
    Ok(())
}
