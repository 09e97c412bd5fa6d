//! The whole way of a model: train a few steps, export, quantize, pass the gate, upscale a picture file.

use burn::tensor::Device;
use mcir_boards::{models::NamedModel, upscaler::Upscaler};
use mcir_quantize::gate;
use mcir_quantize::images::{self, Task};
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_quantize::samples::Samples;
use mcir_runtime::image::Image;
use mcir_runtime::metrics::psnr_y;
use mcir_runtime::model::Model;
use mcir_runtime::plan::PlanOptions;
use mcir_trainer::config::Config;
use mcir_trainer::data::{degrade, pairs::Pair};
use mcir_trainer::eval::SetScores;
use mcir_trainer::train::{Losses, Progress, Trainer, run};
use mcir_trainer::{eval, export};
use std::path::Path;
use std::sync::{Arc, atomic::AtomicBool};

/// Keeps the losses.
#[derive(Default)]
struct Record(Vec<f32>);

impl Progress for Record {
    fn step(&mut self, _: u64, losses: &Losses) {
        self.0.push(losses.reconstruction);
    }
    fn validated(&mut self, _: u64, _: &[SetScores]) {}
    fn saved(&mut self, _: u64) {}
}

/// The project's own drawn pictures, cut into quarters.
fn pictures() -> Vec<(String, Image)> {
    let half = mcir_boards::cards::SIDE / 2;
    let quarters = [(0, 0), (half, 0), (0, half), (half, half)];
    mcir_boards::cards::draw()
        .iter()
        .flat_map(|card| {
            quarters.map(|(x, y)| {
                let quarter = card.image.crop(x, y, half, half).expect("a quarter of a card");
                (format!("{}-{x}-{y}", card.name), quarter)
            })
        })
        .collect()
}

fn pair((name, hr): &(String, Image)) -> Pair {
    let (lr, hr) = degrade::downscale(hr, 2).expect("large enough");
    Pair { name: name.clone(), path: name.into(), lr, hr, grey: false }
}

fn train(folder: &Path) -> Model {
    let settings =
        ["model.num_feat=8", "model.num_block=1", "train.steps=300", "train.batch=4", "data.patch=16"];
    let more =
        ["train.lr=0.004", "train.warmup=5", "train.ema=0.9", "train.val_every=1000", "train.save_every=150"];
    let settings: Vec<String> = settings.iter().chain(&more).map(ToString::to_string).collect();
    let config = Config::resolve(Some("edsr-edge-x2"), "", &settings).expect("a valid configuration");
    let pairs: Vec<Pair> = pictures().iter().map(pair).collect();
    let mut trainer = Trainer::new(config.clone(), None, None, &Device::flex()).expect("starts");
    let mut record = Record::default();
    run(&mut trainer, Arc::new(pairs.into()), &[], folder, &AtomicBool::new(false), &mut record)
        .expect("trains");
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&record.0[..20]), mean(&record.0[250..]));
    assert!(last < 0.85 * first, "the loss falls: {first} at first, {last} at last");
    let model = export::model(trainer.averaged(), export::metadata(&config, 300)).expect("exports");
    let path = folder.join("model.f32.mcir");
    export::write(&model, &path).expect("writes");
    let model = Model::from_bytes(std::fs::read(path).expect("reads")).expect("is a model");

    // The engine computes what was trained: equal pixels but for roundings that fall the other way.
    let lr = pair(&pictures()[5]).lr;
    let burn = eval::upscale(trainer.averaged(), &lr).expect("burn upscales");
    let engine = upscale(&model, &lr);
    let off = burn.data().iter().zip(engine.data()).filter(|(a, b)| a != b).count();
    assert!(off * 200 < burn.data().len(), "{off} of {} pixels differ", burn.data().len());
    model
}

fn upscale(model: &Model, lr: &Image) -> Image {
    let named = NamedModel { name: "trained".into(), model: model.clone(), file_bytes: 0 };
    Upscaler::new(named, PlanOptions::default()).run(lr, &mut |_| {}).expect("upscales")
}

#[test]
fn photographs_become_an_int8_model_that_upscales_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let float = train(folder.path());

    // Quantize on pictures in files, as a user would have them, and hold the gate on others.
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).expect("creates");
    for (name, image) in pictures() {
        std::fs::write(photos.join(name + ".png"), mcir_files::encode_png(&image)).expect("writes");
    }
    let task: Task = gate::task_of(&float).expect("a super-resolution model");
    let (calibration, held_out) = images::split(&images::list(&photos).expect("lists"), 100);
    let (samples, skipped) = Samples::gather(&photos, &calibration, task, 2, &()).expect("reads");
    assert!(skipped.is_empty());
    let settings = Settings { threads: 2, progress: &(), effort: Effort::Normal, purpose: Purpose::Engine };
    let int8 =
        Calibrated::new(&float, &samples, settings).expect("calibrates").build(&[]).expect("builds").model;
    let drops = gate::measure(&float, &int8, &held_out, 2, &()).expect("measures");
    let limits = gate::Limits { mean_db: 0.1, worst_db: Some(0.4), least_agreement_db: None };
    assert!(drops.passes(limits), "{} dB lost", drops.mean_drop_db);
    assert!(int8.is_quantized() && int8.to_bytes().len() < float.to_bytes().len() / 2);

    // And the picture that comes out is better than the interpolated one.
    let Pair { lr, hr, .. } = pair(&pictures()[6]);
    let interpolated = mcir_runtime::image::resize_bicubic(&lr, hr.width(), hr.height()).expect("resizes");
    let (sr, bicubic) = (upscale(&int8, &lr), psnr_y(&interpolated, &hr, 2).expect("measures"));
    let sr = psnr_y(&sr, &hr, 2).expect("measures");
    assert!(sr > bicubic, "{sr:.2} dB, bicubic {bicubic:.2} dB");
}
