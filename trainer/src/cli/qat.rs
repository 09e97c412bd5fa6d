//! `mcir-train qat`

use super::{Common, export};
use anyhow::{Context, ensure};
use mcir_trainer::data::batches::Recipe;
use mcir_trainer::data::layout::Part;
use mcir_trainer::data::library::Library;
use mcir_trainer::data::pairs::Source;
use mcir_trainer::export::write;
use mcir_trainer::qat::{self, Settings};
use mcir_trainer::trained;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of `qat`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Float model file with types, as `mcir-quantize prepare` writes it
    #[arg(short, long)]
    model: PathBuf,
    /// Folder of high-resolution photographs
    #[arg(long)]
    data: PathBuf,
    /// Float model file to write, for `mcir-quantize run`
    #[arg(short, long)]
    output: PathBuf,
    /// Steps
    #[arg(long, default_value_t = 2000)]
    steps: u64,
    /// Learning rate at the beginning
    #[arg(long, default_value_t = 1e-4)]
    lr: f64,
    /// Patches in a batch
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Side of a low-resolution patch in pixels
    #[arg(long, default_value_t = 48)]
    patch: usize,
    /// Seed of the patches
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    common: Common,
}

/// Tunes.
pub fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(
        args.batch > 0 && args.patch > 0 && args.steps > 0,
        "--batch, --patch and --steps must be at least 1; leave them out for the defaults"
    );
    ensure!(args.lr.is_finite() && args.lr > 0.0, "--lr {} is not a learning rate; try 1e-4", args.lr);
    let device = args.common.device()?;
    let model = trained::model(&args.model)?;
    // Refused before the photographs are read.
    qat::Types::of(&model).with_context(|| format!("cannot tune {}", args.model.display()))?;
    let upscale = usize::from(model.upscale());
    let source = Source::open(&args.data, None, upscale, Part::Train)?;
    let images = Library::load(&source, args.patch, usize::MAX, Path::new("."))?;
    let recipe = Recipe {
        images: Arc::new(images),
        seed: args.seed,
        batch: args.batch,
        patch: args.patch,
        upscale,
        augment: true,
        degrade: None,
    };
    let settings = Settings { steps: args.steps, lr: args.lr };
    let (mut sum, mut count) = (0.0, 0.0);
    let tuned = qat::tune(&model, recipe, settings, &device, &mut |step, loss| {
        (sum, count) = (sum + f64::from(loss), count + 1.0);
        if (step % 100 == 0 || step == args.steps) && !args.common.quiet && !args.common.no_progress {
            tell!("step {step} of {}: {:.6} from the float model", args.steps, sum / count);
            (sum, count) = (0.0, 0.0);
        }
    })?;
    write(&tuned, &args.output)?;
    export::report(&tuned, &args.output, args.common.json);
    Ok(())
}
