//! The models that the program ships: both forms of each belong together and are better than bicubic.

use mcir_boards::cards;
use mcir_boards::embedded::{Kind, MODELS};
use mcir_boards::models::NamedModel;
use mcir_boards::upscaler::Upscaler;
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::psnr_y;
use mcir_runtime::plan::PlanOptions;

/// Mean PSNR-Y over the drawn cards.
fn on_cards(upscale: usize, mut enlarge: impl FnMut(&Image) -> Image) -> f64 {
    let cards = cards::draw();
    let psnr = cards.iter().map(|card| {
        let side = cards::SIDE / upscale;
        let lr = resize_bicubic(&card.image, side, side).unwrap();
        psnr_y(&enlarge(&lr), &card.image, upscale).unwrap()
    });
    psnr.sum::<f64>() / cards.len() as f64
}

#[test]
fn beat_bicubic_and_lose_next_to_nothing_in_int8() {
    assert!(!MODELS.is_empty());
    for embedded in MODELS {
        let upscale = embedded.upscale;
        let bicubic = on_cards(upscale, |lr| resize_bicubic(lr, cards::SIDE, cards::SIDE).unwrap());
        let [f32, int8] = [true, false].map(|float| {
            let model = NamedModel::from_embedded(embedded, float).unwrap();
            let mut upscaler = Upscaler::new(model, PlanOptions::default());
            on_cards(upscale, |lr| upscaler.run(lr, &mut |_| {}).unwrap())
        });
        println!("{}: bicubic {bicubic:.3}, f32 {f32:.3}, int8 {int8:.3} dB", embedded.name);
        // The cards are clean, and models for cameras are careful with what might be damage.
        let gain_db = if embedded.kind == Kind::Clean { 0.3 } else { -1.0 };
        assert!(f32 > bicubic + gain_db, "{}: {f32} dB, bicubic {bicubic}", embedded.name);
        // More would mean that one file was trained further than the other was quantized from.
        // One loses more on drawn edges and text.
        let most_db = if embedded.name == "edsr-edge-m-x2" { 0.06 } else { 0.05 };
        assert!((f32 - int8).abs() < most_db, "{}: f32 {f32} dB, int8 {int8}", embedded.name);
    }
}

#[test]
fn one_for_each_factor_that_the_readme_promises() {
    for upscale in [2, 3, 4] {
        for kind in [Kind::Clean, Kind::Camera] {
            assert_eq!(NamedModel::default_for(upscale, kind).unwrap().precision(), "int8");
        }
    }
}

/// Grey images, and `--mode y`, run a rewritten network.
#[test]
fn brightness_alone_loses_next_to_nothing() {
    for embedded in MODELS {
        for float in [true, false] {
            let model = NamedModel::from_embedded(embedded, float).unwrap();
            let luma = model.model.luma().expect("both ends are linear");
            assert!(luma.macs_per_pixel() < model.model.macs_per_pixel());
            let mut upscaler = Upscaler::new(model, PlanOptions::default());
            let mut means = [0.0; 2];
            // Grey is grey: two of them, and not all that the other test has.
            let cards = &cards::draw()[..2];
            for card in cards {
                let side = cards::SIDE / embedded.upscale;
                let luma = card.image.data().chunks_exact(3).map(|p| p[1]).collect();
                let hr = Image::new(cards::SIDE, cards::SIDE, 1, luma).unwrap();
                let lr = resize_bicubic(&hr, side, side).unwrap();
                let as_rgb = upscaler.run(&lr.to_rgb(), &mut |_| {}).unwrap();
                let alone = upscaler.run(&lr, &mut |_| {}).unwrap();
                means[0] += psnr_y(&as_rgb, &hr.to_rgb(), embedded.upscale).unwrap();
                means[1] += psnr_y(&alone.to_rgb(), &hr.to_rgb(), embedded.upscale).unwrap();
            }
            let [as_rgb, alone] = means.map(|sum| sum / cards.len() as f64);
            println!(
                "{} {}: as RGB {as_rgb:.3}, alone {alone:.3} dB",
                embedded.name,
                if float { "f32" } else { "int8" }
            );
            assert!(
                (as_rgb - alone).abs() < if float { 0.01 } else { 0.05 },
                "{}: {as_rgb}, {alone}",
                embedded.name
            );
        }
    }
}

/// What is flashed to a board and downloaded grows with every copy.
#[test]
fn the_program_has_each_model_once() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_mcir-board")).unwrap();
    for embedded in [MODELS.first().unwrap(), MODELS.last().unwrap()] {
        for model in [embedded.f32, embedded.int8] {
            // Of its weights: models begin and end alike.
            let part = &model[model.len() / 2..][..64];
            let copies = program.windows(part.len()).filter(|window| *window == part).count();
            assert_eq!(copies, 1, "{}", embedded.name);
        }
    }
}
