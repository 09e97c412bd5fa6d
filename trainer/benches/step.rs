//! Time of one training step on the CPU.
//!
//! Alone it prints medians of a plain step, of a step with the SPN loss and four negatives, and of the part of it that
//! the feature network takes. `--preset`, `--batch`, `--patch` and `--set KEY=VALUE` change what is trained.
//!
//! With `--serve` it does one step, with the SPN loss if the settings have one, for each line on its standard input and
//! answers with the milliseconds: `compare.py` drives it that way, turn by turn with PyTorch.

use burn::tensor::{Device, Tensor, TensorData};
use mcir_trainer::config::{Config, Spn};
use mcir_trainer::conv::Precision;
use mcir_trainer::data::batches::Batch;
use mcir_trainer::loss::contrastive::Contrast;
use mcir_trainer::seed::{Purpose, Stream};
use mcir_trainer::train::Trainer;
use std::io::{BufRead, Write};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let after = |name: &str, default: &str| {
        let at = args.iter().position(|a| a == name);
        at.and_then(|i| args.get(i + 1)).map_or(default.to_string(), String::clone)
    };
    let number = |name: &str, default: &str| -> usize {
        after(name, default).parse().unwrap_or_else(|_| panic!("{name} takes a number"))
    };
    let (preset, n, patch) =
        (after("--preset", "edsr-light-x4"), number("--batch", "4"), number("--patch", "48"));
    let mut settings = vec![format!("train.batch={n}"), format!("data.patch={patch}")];
    let sets = args.iter().enumerate().filter(|(_, a)| *a == "--set");
    settings.extend(sets.filter_map(|(i, _)| args.get(i + 1).cloned()));
    let config = Config::resolve(Some(&preset), "", &settings).expect("a known preset and valid sizes");
    if args.iter().any(|a| a == "--serve") {
        return serve(&config);
    }
    let rounds = number("--rounds", "7");
    let mut plain = trainer(&config, None);
    let loss = config.spn.clone().unwrap_or_default();
    let mut spn = trainer(&config, Some(loss.clone()));
    let contrast = Contrast::new(&loss, 1, Precision::F32, &Device::flex()).expect("the stand-in");
    let mut times = [const { Vec::new() }; 3];
    for round in 0..=rounds {
        let patches = batch(&config, round);
        let (sr, negatives) = images(&config, &loss);
        let again = patches.clone();
        let found = [
            time(|| plain.step(patches).expect("finite")),
            time(|| spn.step(again).expect("finite")),
            time(|| features(sr, negatives, &contrast)),
        ];
        // The first round warms up.
        if round > 0 {
            times.iter_mut().zip(found).for_each(|(all, t)| all.push(t));
        }
    }
    let [plain, spn, vgg] = times.map(|mut all| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    });
    println!("{preset}, batch {n}, LR patch {patch}: medians of {rounds} steps");
    println!("plain step          {plain:9.1} ms");
    println!("feature passes      {vgg:9.1} ms");
    println!("SPN, 4 negatives    {spn:9.1} ms = {:.2} plain steps + feature passes", (spn - vgg) / plain);
}

fn trainer(config: &Config, spn: Option<Spn>) -> Trainer {
    let config = Config { spn, ..config.clone() };
    Trainer::new(config, None, None, &Device::flex()).expect("starts")
}

fn draw(n: usize, index: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, Purpose::Batch, index as u64);
    (0..n).map(|_| 0.5 + stream.symmetric(0.5)).collect()
}

fn batch(config: &Config, round: usize) -> Batch {
    let (n, r) = (config.train.batch * 3 * config.data.patch.pow(2), config.model.upscale());
    Batch { step: 0, lr: draw(n, 2 * round), hr: draw(n * r * r, 2 * round + 1), teacher: Vec::new() }
}

fn time<T>(f: impl FnOnce() -> T) -> f64 {
    let started = Instant::now();
    std::hint::black_box(f());
    started.elapsed().as_secs_f64() * 1e3
}

/// An output with gradients and those of four negative models.
fn images(config: &Config, spn: &Spn) -> (Tensor<4>, Vec<Tensor<4>>) {
    let side = config.data.patch * config.model.upscale();
    let images = spn.batch.unwrap_or(config.train.batch).min(config.train.batch);
    let shape = [images, 3, side, side];
    let image = |i: usize, device: &Device| {
        Tensor::<4>::from_data(TensorData::new(draw(shape.iter().product(), i), shape), device)
    };
    let device = Device::flex();
    let sr = image(0, &device.clone().autodiff()).require_grad();
    (sr, (1..5).map(|i| image(i, &device)).collect())
}

/// What an SPN step adds beside the negatives' own passes.
fn features(sr: Tensor<4>, negatives: Vec<Tensor<4>>, contrast: &Contrast) {
    let loss = contrast.negative_loss(sr.clone(), negatives, 0);
    drop(sr.grad(&loss.backward()));
}

fn serve(config: &Config) {
    let mut run = trainer(config, config.spn.clone());
    for (round, line) in std::io::stdin().lock().lines().enumerate() {
        line.expect("standard input can be read");
        let batch = batch(config, round);
        let ms = time(|| run.step(batch).expect("finite"));
        println!("{ms}");
        std::io::stdout().flush().expect("standard output can be written");
    }
}
