//! Presets: the paper's recipes, and short ones for small networks on small machines.

use super::{
    Config, ConfigError, Data, Model, Schedule, Train, betas, divergence_factor, divergence_window,
    memory_mb, samples, teacher_weight,
};
use crate::conv::Precision;
use crate::loss::pixel::Loss;
use crate::net::{dehazeformer, idt, nafnet};
use mcir_runtime::arch::{edsr, ffanet, swinir};
use std::path::PathBuf;

/// The names that [`Config::preset`] knows.
pub const PRESETS: &str = "edsr-light-xN, edsr-edge-xN (4 blocks of 16 channels), edsr-edge-m-xN (8 of 32), \
     swinir-xN (6 groups of 6 layers of 180 channels), swinir-light-xN and swinir-edge-xN with N from 2 to 4; \
     swinir-denoise and swinir-jpeg (the same size, on images that keep theirs); nafnet-wN with N = 8, 16 (12 blocks) or 32, 64 (36 blocks); \
     ffanet (3 groups of 19 blocks of 64), ffanet-edge (2 of 3 of 16); dehazeformer-t, -s, -b; idt";

impl Config {
    /// The configuration of a preset.
    ///
    /// # Errors
    /// [`ConfigError::Preset`].
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        let unknown = || ConfigError::Preset(name.into());
        if let Some(width) = name.strip_prefix("nafnet-w") {
            let (model, patch, train) = match width {
                "8" | "16" => (nafnet::Config::small(if width == "8" { 8 } else { 16 }), 64, short_nafnet()),
                "32" | "64" => {
                    (nafnet::Config::deblur(if width == "32" { 32 } else { 64 }), 256, paper_nafnet())
                }
                _ => return Err(unknown()),
            };
            return Ok(Self::with(name, Model::Nafnet(model), patch, train));
        }
        let dehazeformer = match name {
            "dehazeformer-t" => Some((dehazeformer::Config::tiny(), 32, 4e-4)),
            "dehazeformer-s" => Some((dehazeformer::Config::small(), 16, 2e-4)),
            "dehazeformer-b" => Some((dehazeformer::Config::base(), 8, 2e-4)),
            _ => None,
        };
        if let Some((model, batch, lr)) = dehazeformer {
            return Ok(Self::with(name, Model::Dehazeformer(model), 256, dehazeformer_train(batch, lr)));
        }
        if name == "idt" {
            let model = idt::Config::paper();
            let patch = model.side();
            return Ok(Self::with(name, Model::Idt(model), patch, idt_train()));
        }
        let ffanet = match name {
            "ffanet" => Some((ffanet::Config::paper(), 240, paper_ffanet())),
            "ffanet-edge" => Some((ffanet::Config::edge(), 64, short_ffanet())),
            _ => None,
        };
        if let Some((model, patch, train)) = ffanet {
            return Ok(Self::with(name, Model::Ffanet(model), patch, train));
        }
        let swinir = match name {
            "swinir-denoise" => Some((8, 128)),
            "swinir-jpeg" => Some((7, 126)),
            _ => None,
        };
        if let Some((window, patch)) = swinir {
            let model = Model::Swinir(swinir::Config::restoration(window));
            return Ok(Self::with(name, model, patch, restoring_swinir()));
        }
        let (family, upscale) = name.rsplit_once("-x").ok_or_else(unknown)?;
        let upscale = match upscale {
            "2" => 2,
            "3" => 3,
            "4" => 4,
            _ => return Err(unknown()),
        };
        let (model, patch, train) = match family {
            "edsr-light" => (Model::Edsr(edsr::Config::light(upscale)), 48, paper()),
            "edsr-edge" => (Model::Edsr(edsr::Config::edge(upscale, 16, 4)), 32, short()),
            "edsr-edge-m" => (Model::Edsr(edsr::Config::edge(upscale, 32, 8)), 32, short()),
            "swinir" => {
                let train = Train { batch: 32, ..paper_swinir(upscale) };
                (Model::Swinir(swinir::Config::classical(upscale)), 48, train)
            }
            "swinir-light" => (Model::Swinir(swinir::Config::light(upscale)), 64, paper_swinir(upscale)),
            "swinir-edge" => (Model::Swinir(swinir::Config::edge(upscale)), 32, short()),
            _ => return Err(unknown()),
        };
        Ok(Self::with(name, model, patch, train))
    }

    fn with(name: &str, model: Model, patch: usize, train: Train) -> Self {
        let data = Data {
            hr: PathBuf::new(),
            lr: None,
            val_hr: Vec::new(),
            val_lr: Vec::new(),
            patch,
            augment: true,
            degrade: None,
            teacher: None,
            memory_mb: memory_mb(),
        };
        Self { name: name.into(), seed: 1, model, data, train, spn: None }
    }
}

/// The paper's EDSR recipe: 300k steps, halved at 200k.
fn paper() -> Train {
    Train {
        from: None,
        steps: 300_000,
        batch: 16,
        accumulate: 1,
        precision: Precision::F32,
        loss: Loss::L1,
        lr: 1e-4,
        betas: betas(),
        schedule: Schedule::MultiStep { milestones: vec![200_000], gamma: 0.5 },
        teacher_weight: teacher_weight(),
        expand: 0,
        warmup: 0,
        ema: 0.999,
        val_every: 5000,
        save_every: 1000,
        log_every: 100,
        samples: samples(),
        divergence_window: divergence_window(),
        divergence_factor: divergence_factor(),
    }
}

/// The paper's SwinIR recipe: 500k steps from scratch at x2; x3 and x4 start from x2 (`--from`) and take half.
fn paper_swinir(upscale: u8) -> Train {
    let half = if upscale == 2 { 1 } else { 2 };
    let milestones = [250_000, 400_000, 450_000, 475_000].map(|m: u64| m / half).to_vec();
    Train {
        steps: 500_000 / half,
        batch: 64,
        lr: 2e-4,
        schedule: Schedule::MultiStep { milestones, gamma: 0.5 },
        ..paper()
    }
}

/// The paper's recipe for images that keep their size: 1.6M steps of 8 patches.
fn restoring_swinir() -> Train {
    let milestones = vec![800_000, 1_200_000, 1_400_000, 1_500_000];
    Train {
        steps: 1_600_000,
        batch: 8,
        loss: Loss::Charbonnier,
        lr: 2e-4,
        schedule: Schedule::MultiStep { milestones, gamma: 0.5 },
        ..paper()
    }
}

/// For small networks on a CPU: an hour or two instead of days.
fn short() -> Train {
    Train {
        steps: 20_000,
        lr: 1e-3,
        schedule: Schedule::Cosine { end: 1e-5 },
        warmup: 100,
        val_every: 1000,
        save_every: 500,
        log_every: 50,
        ..paper()
    }
}

/// The paper's NAFNet recipe for deblurring (GoPro): 200k steps of 8 x 4 patches, PSNR as the loss, a short
/// memory in Adam.
fn paper_nafnet() -> Train {
    Train {
        steps: 200_000,
        batch: 32,
        loss: Loss::Psnr,
        lr: 1e-3,
        betas: [0.9, 0.9],
        schedule: Schedule::Cosine { end: 1e-7 },
        ..paper()
    }
}

/// FFA-Net's recipe for RESIDE's indoor images (ITS): 500k steps of 2 patches; the outdoor ones (OTS) have 1M.
fn paper_ffanet() -> Train {
    Train { steps: 500_000, batch: 2, schedule: Schedule::Cosine { end: 0.0 }, ..paper() }
}

/// A recipe near that of DehazeFormer, which counts epochs and has AdamW: patches of 256, L1, half a cosine to a hundredth.
fn dehazeformer_train(batch: usize, lr: f64) -> Train {
    Train { steps: 300_000, batch, lr, schedule: Schedule::Cosine { end: lr / 100.0 }, ..paper() }
}

/// For IDT, whose authors have published no recipe: that of similar transformers, with the loss that is in their code.
fn idt_train() -> Train {
    Train {
        steps: 300_000,
        batch: 8,
        loss: Loss::Charbonnier,
        lr: 2e-4,
        schedule: Schedule::Cosine { end: 1e-6 },
        ..paper()
    }
}

/// The same for a CPU.
fn short_ffanet() -> Train {
    Train { batch: 8, ..short() }
}

/// The same for a CPU.
fn short_nafnet() -> Train {
    Train { batch: 8, loss: Loss::Psnr, betas: [0.9, 0.9], ..short() }
}
