//! `mcir-train import`

use super::Common;
use burn::tensor::Device;
use mcir_trainer::config::Model;
use mcir_trainer::export;
use mcir_trainer::import::{self, Options};
use mcir_trainer::net::Net;
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
    /// Factor on each residual; 0.1 from 256 channels on and 1 below if not given
    #[arg(long)]
    res_scale: Option<f32>,
    #[command(flatten)]
    common: Common,
}

/// Imports.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let options = Options { mean_shift: !args.no_mean_shift, res_scale: args.res_scale };
    let (network, tensors) = import::load(&args.input, &options)?;
    let net = Net::from_tensors(&network.architecture(), &tensors, &Device::flex())?;
    let file = args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = match &network {
        Model::Edsr(m) => format!("edsr-{}x{}-x{}", m.num_feat, m.num_block, m.upscale),
        Model::Swinir(m) => format!("swinir-{}x{}-x{}", m.embed_dim, m.depths.len(), m.upscale),
        Model::Ffanet(m) => format!("ffanet-{}x{}x{}", m.num_feat, m.num_group, m.num_block),
        Model::Nafnet(m) => format!("nafnet-w{}", m.width),
        Model::Dehazeformer(m) => {
            format!("dehazeformer-{}x{}", m.embed_dims[0], m.depths.iter().sum::<u16>())
        }
    };
    let metadata = [
        ("name", name),
        ("imported", file),
        ("trainer", concat!("mcir-train ", env!("CARGO_PKG_VERSION")).into()),
    ];
    let metadata = metadata.map(|(k, v)| (k.to_string(), v)).to_vec();
    let model = export::model(&net, metadata)?;
    export::write(&model, &args.output)?;
    super::export::report(&model, &args.output, args.common.json);
    Ok(())
}
