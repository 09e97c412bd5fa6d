//! Models of brightness alone in every verb, and brightness alone through models of colours.

mod support;

use image::DynamicImage;
use mcir_boards::bench::BenchReport;
use mcir_runtime::arch::edsr::Config;
use mcir_runtime::plan::{Plan, PlanOptions};
use serde_json::Value;
use std::path::PathBuf;
use support::{Folder, arg, board, model, picture};

fn for_y() -> Config {
    Config { channels: 1, ..Config::edge(2, 8, 1) }
}

/// A model of Y in a file, and a grey and a colour image.
fn folder() -> (Folder, PathBuf, PathBuf, PathBuf) {
    let folder = Folder::new();
    let file = folder.file("y.mcir", &model(&for_y()).to_bytes());
    let grey = folder.path("grey.png");
    DynamicImage::from(picture(37, 21)).to_luma8().save(&grey).unwrap();
    let colour = folder.image("colour.png", 37, 21);
    (folder, file, grey, colour)
}

#[test]
fn upscale_takes_grey_as_it_is_and_colour_apart() {
    let (folder, file, grey, colour) = folder();
    let upscaled = |input: &PathBuf, name: &str, options: &[&str]| {
        let output = folder.path(name);
        let args = ["upscale", "-i", arg(input), "-o", arg(&output)];
        board(args.iter().chain(options)).succeeds();
        image::open(&output).unwrap()
    };
    let large = upscaled(&grey, "large-grey.png", &["-m", arg(&file)]);
    let plan = Plan::new(&model(&for_y()), 37, &PlanOptions::default()).unwrap();
    let mut expected = vec![0; 4 * 37 * 21];
    let pixels = image::open(&grey).unwrap().to_luma8();
    plan.run_image(&mut plan.workspace(), &pixels, 21, &mut expected).unwrap();
    assert!(matches!(large, DynamicImage::ImageLuma8(_)));
    assert_eq!(large.as_bytes(), expected);

    let large = upscaled(&colour, "large-colour.png", &["-m", arg(&file)]).to_rgb8();
    assert_eq!(large.dimensions(), (74, 42));
    // The disc keeps its colour: yellow, which blue is far from.
    let [red, _, blue] = large.get_pixel(36, 20).0;
    assert!(red > 200 && blue < 90, "{red}, {blue}");

    // Colours that are interpolated are others than those of a network for colours.
    let rgb = folder.model("rgb.mcir", 2);
    let all = upscaled(&colour, "rgb.png", &["-m", arg(&rgb)]);
    let apart = upscaled(&colour, "apart.png", &["-m", arg(&rgb), "--mode", "y"]);
    assert_ne!(all, apart);
    assert_eq!(
        upscaled(&colour, "again.png", &["-m", arg(&rgb), "--mode", "y", "-j", "3", "--isa", "scalar"]),
        apart
    );
    // Grey is brightness alone in either mode.
    assert_eq!(
        upscaled(&grey, "a.png", &["-m", arg(&rgb)]),
        upscaled(&grey, "b.png", &["-m", arg(&rgb), "--mode", "y"])
    );
}

#[test]
fn bench_compare_and_bundle_take_models_of_brightness() {
    let (folder, file, _, _) = folder();
    let bench = |options: &[&str]| -> BenchReport {
        let args = ["bench", "--size", "40x24", "--samples", "2", "-j", "1", "--json"];
        serde_json::from_str(&board(args.iter().chain(options)).succeeds().stdout()).unwrap()
    };
    let report = bench(&["-m", arg(&file)]);
    assert_eq!((report.mode.as_str(), report.precision.as_str()), ("y", "f32"));
    let rgb = folder.model("rgb.mcir", 2);
    let [colours, brightness] = ["rgb", "y"].map(|mode| bench(&["-m", arg(&rgb), "--mode", mode]));
    assert_eq!((colours.mode.as_str(), brightness.mode.as_str()), ("rgb", "y"));
    // As many as the model that was made for brightness.
    assert_eq!(brightness.macs, report.macs);
    assert!(brightness.macs < colours.macs);

    let args = ["compare", "-m", arg(&file), "--seconds", "0.01", "--size", "16x16", "--json"];
    let report: Value = serde_json::from_str(&board(args).succeeds().stdout()).unwrap();
    let row = &report["sections"][0]["rows"][1];
    assert!(row["psnr_y_db"].as_f64().unwrap() > 10.0 && row["memory_bytes"].as_u64().unwrap() > 0, "{row}");

    let bundle = folder.path("y.bundle");
    let args = ["bundle", "-m", arg(&file), "-o", arg(&bundle)];
    assert!(board(args).succeeds().stdout().contains("self-test CRC"));
    let target = format!("local:{}", folder.path("board").display());
    board(["flash", arg(&bundle), "--target", &target]).succeeds();
}

#[test]
fn camera_takes_models_of_brightness() {
    let (folder, file, _, _) = folder();
    let video = folder.y4m("video.y4m", 32, 24, 3);
    let (source, output) = (format!("file:{}", arg(&video)), folder.path("large.y4m"));
    let args = ["camera", "--source", &source, "-m", arg(&file), "-o", arg(&output), "--json"];
    let report: Value = serde_json::from_str(&board(args).succeeds().stdout()).unwrap();
    assert_eq!(report["mode"], "y", "{report}");
    let bytes = std::fs::read(&output).unwrap();
    assert!(bytes.starts_with(b"YUV4MPEG2 W64 H48"));
}
