//! `mcir-train blend`

use super::export::report;
use anyhow::ensure;
use burn::tensor::Device;
use mcir_trainer::{export, trained};
use std::path::PathBuf;

/// Options of `blend`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Network at strength 0: a model file (.mcir), checkpoint, run folder or PyTorch file
    from: PathBuf,
    /// Network at strength 1, trained on from the other
    to: PathBuf,
    /// How far to go from the first to the second, 0 to 1
    #[arg(long)]
    strength: f32,
    /// Name of the new model
    #[arg(long)]
    name: String,
    /// Model file to write
    #[arg(short, long)]
    output: PathBuf,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

/// Blends.
pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!((0.0..=1.0).contains(&args.strength), "--strength {} is not a number from 0 to 1", args.strength);
    let (from, to) = (trained::load(&args.from)?, trained::load(&args.to)?);
    let net = trained::blend(&from, &to, args.strength)?.net(&Device::flex())?;
    let metadata = vec![("name".into(), args.name.clone()), ("strength".into(), args.strength.to_string())];
    let model = export::model(&net, metadata)?;
    export::write(&model, &args.output)?;
    report(&model, &args.output, args.json);
    Ok(())
}
