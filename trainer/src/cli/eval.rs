//! `mcir-train eval`

use super::Common;
use mcir_trainer::data::pairs;
use mcir_trainer::{eval, trained};
use std::path::PathBuf;

/// Options of `eval`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model file (.mcir), checkpoint, run folder or PyTorch file
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
    let net = trained::load(&args.model)?.net(&device)?;
    let upscale = net.upscale();
    let pairs = pairs::load(&args.data, args.lr.as_deref(), upscale)?;
    eval::check(&pairs, upscale)?;
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
