//! The embedded models on the benchmark images: what the project promises of them.

use mcir_boards::embedded::MODELS;
use mcir_boards::models::NamedModel;
use mcir_boards::upscaler::Upscaler;
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::psnr_y;
use mcir_runtime::plan::PlanOptions;
use mcir_tests::{load_image, shared_data};
use std::path::Path;

/// Largest loss of int8 against f32, in dB.
const MAX_DROP_DB: f64 = 0.05;

/// Mean PSNR-Y over a folder of high-resolution images, shrunk with MATLAB's bicubic. Grey images count as RGB,
/// as in published tables.
fn mean_psnr(folder: &Path, upscale: usize, mut enlarge: impl FnMut(&Image) -> Image) -> f64 {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let psnr = files.iter().map(|file| {
        let hr = load_image(file).unwrap().to_rgb().crop_to_multiple(upscale).unwrap();
        let lr = resize_bicubic(&hr, hr.width() / upscale, hr.height() / upscale).unwrap();
        psnr_y(&enlarge(&lr), &hr, upscale).unwrap()
    });
    psnr.sum::<f64>() / files.len() as f64
}

/// `gain_db`: least gain of int8 over bicubic.
fn keeps_promise(folder: &str, upscale: usize, gain_db: f64) {
    let Some(folder) = shared_data(folder) else { return };
    let embedded = MODELS.iter().find(|m| m.upscale == upscale).expect("a model for the factor is embedded");
    let [f32, int8] = [true, false].map(|float| {
        let mut upscaler =
            Upscaler::new(NamedModel::from_embedded(embedded, float).unwrap(), PlanOptions::default());
        mean_psnr(&folder, upscale, |lr| upscaler.run(lr, &mut |_| {}).unwrap())
    });
    let bicubic = mean_psnr(&folder, upscale, |lr| {
        resize_bicubic(lr, lr.width() * upscale, lr.height() * upscale).unwrap()
    });
    println!("x{upscale}: bicubic {bicubic:.3} dB, f32 {f32:.3}, int8 {int8:.3}");
    assert!(int8 >= bicubic + gain_db, "x{upscale}: int8 {int8} dB, bicubic {bicubic}");
    assert!(f32 - int8 < MAX_DROP_DB, "x{upscale}: f32 {f32} dB, int8 {int8}");
}

#[test]
fn x4_on_set5() {
    keeps_promise("sr/Set5/HR", 4, 1.5);
}

#[test]
fn x4_on_set14() {
    keeps_promise("sr/Set14/HR", 4, 0.9);
}

#[test]
fn x2_on_set5() {
    keeps_promise("sr/Set5/HR", 2, 2.5);
}
