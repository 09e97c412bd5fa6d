//! `mcir-train eval`

use super::Common;
use anyhow::anyhow;
use mcir_files::{Pattern, Shard};
use mcir_trainer::data::DataError;
use mcir_trainer::eval::Scores;
use mcir_trainer::eval::parts::{self, Choice, PartsError};
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
    /// Images of all folders in the folder, too; with --lr that has the same folders
    #[arg(short, long)]
    recursive: bool,
    /// Only images whose path in the folder fits this pattern, such as '*_HR.png' or '2024/**'; may be repeated
    #[arg(long = "match", value_name = "PATTERN")]
    patterns: Vec<Pattern>,
    /// The I-th of N parts of the images, 1/8 to 8/8 or 0/8 to 7/8: for as many jobs or machines
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder to write the score of each image to, as JSON
    #[arg(long, value_name = "FOLDER")]
    scores: Option<PathBuf>,
    /// Do not measure again what has its score in that folder: when all parts are there, this gives the table of all
    #[arg(long, requires = "scores")]
    skip_existing: bool,
    #[command(flatten)]
    common: Common,
}

/// Evaluates.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let device = args.common.device()?;
    let net = trained::load(&args.model)?.net(&device)?;
    let upscale = net.upscale();
    let choice = Choice {
        recursive: args.recursive,
        patterns: args.patterns.clone(),
        shard: args.shard.unwrap_or_default(),
        scores: args.scores.clone(),
        skip_existing: args.skip_existing,
    };
    let (scores, skipped) = parts::evaluate(&net, &args.data, args.lr.as_deref(), &choice).map_err(told)?;
    if args.common.json {
        let report = serde_json::json!({
            "schema": 1, "upscale": upscale, "measured": measured(upscale).trim(), "scores": scores, "skipped": skipped,
        });
        say!("{report}");
        return Ok(());
    }
    if skipped > 0 && !args.common.quiet {
        tell!("{skipped} of {} images were measured before", scores.images.len());
    }
    say!("{}", table(&scores, upscale));
    Ok(())
}

/// Errors of the folders with the options that name them here.
fn told(error: PartsError) -> anyhow::Error {
    match error {
        PartsError::Data(DataError::NoInput { hr }) => anyhow!(
            "a network that does not upscale is measured on pairs of images: besides {}, name the folder of the degraded ones with \
             --lr; mcir-train degrade makes both",
            hr.display()
        ),
        PartsError::Data(DataError::Folder { path, source }) => {
            anyhow!("cannot read the folder {}: {source}; check --data and --lr", path.display())
        }
        other => other.into(),
    }
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
    let exact = s.images.iter().filter(|i| i.psnr_y_db.is_infinite() || i.psnr_rgb_db.is_infinite()).count();
    if exact > 0 {
        let images = mcir_files::name::counted(exact, "image");
        let _ = writeln!(text, "{images} came out exact (infinite PSNR), and averages of PSNR are without");
    }
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
