//! `mcir-train eval`

use super::Common;
use mcir_trainer::data::pairs;
use mcir_trainer::eval::{self, Scores};
use mcir_trainer::trained;
use std::fmt::Write;
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
        let report = serde_json::json!({
            "schema": 1, "upscale": upscale, "measured": measured(upscale).trim(), "scores": scores,
        });
        say!("{report}");
        return Ok(());
    }
    say!("{}", table(&scores, upscale));
    Ok(())
}

/// What was measured, and how: tables of dehazing and deblurring are in RGB, those of deraining and super-resolution in Y.
fn table(scores: &Scores, upscale: usize) -> String {
    let restores = scores.input_psnr_rgb_db.is_some();
    let width = scores.images.iter().map(|i| i.name.len()).max().unwrap_or(0).max(7);
    let mut text = format!("{:width$}  PSNR-Y dB  SSIM-Y  PSNR-RGB dB  SSIM-RGB", "image");
    text += if restores { "  input PSNR-RGB dB\n" } else { "\n" };
    let mut row = |name: &str, [y, ssim_y, rgb, ssim_rgb]: [f64; 4], input: Option<f64>| {
        let input = input.map_or(String::new(), |db| format!("  {db:17.3}"));
        let _ = writeln!(text, "{name:width$}  {y:9.3}  {ssim_y:.4}  {rgb:11.3}  {ssim_rgb:8.4}{input}");
    };
    for i in &scores.images {
        row(&i.name, [i.psnr_y_db, i.ssim_y, i.psnr_rgb_db, i.ssim_rgb], i.input_psnr_rgb_db);
    }
    let s = scores;
    row("average", [s.psnr_y_db, s.ssim_y, s.psnr_rgb_db, s.ssim_rgb], s.input_psnr_rgb_db);
    text += &measured(upscale);
    text
}

/// Which of the columns published tables have.
fn measured(upscale: usize) -> String {
    match upscale {
        1 => "whole images; published tables of dehazing and deblurring are RGB, those of deraining Y (BT.601)\n".into(),
        n => format!("without a border of {n} pixels; published tables of super-resolution are Y (BT.601)\n"),
    }
}
