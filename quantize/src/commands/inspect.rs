//! `mcir-quantize inspect`.

use super::{load_model, print, print_json};
use anyhow::{Context as _, Result};
use mcir_quantize::report::summary;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show the nodes, types, ranges, sizes and working memory of a model
#[derive(clap::Args)]
pub struct Args {
    /// Model file, f32 or int8
    model: PathBuf,
    /// Width of the input image in pixels, for the working memory
    #[arg(long, default_value_t = 320)]
    width: usize,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let model = load_model(&args.model)?;
    let summary = summary(&model, args.width)
        .with_context(|| format!("{} cannot be planned; try another --width", args.model.display()))?;
    if args.json {
        print_json(&summary)?;
    } else {
        print(&summary.to_text())?;
    }
    Ok(ExitCode::SUCCESS)
}
