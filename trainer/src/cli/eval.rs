//! `mcir-train eval`

use super::Common;
use anyhow::bail;
use mcir_trainer::checkpoint::Checkpoint;
use mcir_trainer::config::Config;
use mcir_trainer::data::pairs;
use mcir_trainer::net::Net;
use mcir_trainer::{eval, export};
use std::path::PathBuf;

/// Options of `eval`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model file (.mcir), checkpoint or run folder
    #[arg(short, long)]
    model: PathBuf,
    /// Folder of high-resolution images
    #[arg(long)]
    data: PathBuf,
    /// Folder of low-resolution images; made by bicubic downscaling without it
    #[arg(long)]
    lr: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Evaluates.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let device = args.common.device()?;
    let net = if args.model.extension().is_some_and(|e| e == "mcir") {
        let model = super::settings::model(&args.model)?;
        if model.is_quantized() {
            bail!("{} is quantized; measure it with mcir-board compare", args.model.display());
        }
        Net::from_tensors(&model.graph().clone().into(), &export::tensors(&model), &device)?
    } else {
        let checkpoint = Checkpoint::load(&args.model)?;
        let config = Config::resolve(None, &checkpoint.config, &[])?;
        Net::from_tensors(&config.model.architecture(), &checkpoint.ema, &device)?
    };
    let upscale = net.upscale();
    let pairs = pairs::load(&args.data, args.lr.as_deref(), upscale)?;
    let scores = eval::evaluate(&net, &pairs)?;
    if args.common.json {
        println!("{}", serde_json::json!({ "schema": 1, "upscale": upscale, "scores": scores }));
        return Ok(());
    }
    let width = scores.images.iter().map(|i| i.name.len()).max().unwrap_or(0).max(7);
    println!("{:width$}  PSNR-Y dB  SSIM-Y  PSNR-RGB dB", "image");
    for i in &scores.images {
        println!("{:width$}  {:9.3}  {:.4}  {:11.3}", i.name, i.psnr_y_db, i.ssim_y, i.psnr_rgb_db);
    }
    let (y, ssim, rgb) = (scores.psnr_y_db, scores.ssim_y, scores.psnr_rgb_db);
    println!("{:width$}  {y:9.3}  {ssim:.4}  {rgb:11.3}", "average");
    Ok(())
}
