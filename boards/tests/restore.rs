//! A model that does not enlarge and looks at the whole image, FFA-Net, in every verb.

#![cfg(unix)]

mod support;

use mcir_runtime::arch::{ffanet, stand_in};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::path::{Path, PathBuf};
use support::{Folder, Run, arg, board, camera, picture};

/// The model in a file, and a folder with clean and damaged images as `mcir-train degrade` writes it.
fn folder() -> (Folder, PathBuf, PathBuf) {
    let folder = Folder::new();
    let config = ffanet::Config { num_block: 1, num_feat: 8, ..ffanet::Config::edge() };
    let model = stand_in::weighted(ffanet::graph(&config)).unwrap();
    let file = folder.file("restores.mcir", &model.to_bytes());
    let set = folder.path("set");
    for (name, value) in [("HR", 0), ("LR/X1", 90)] {
        let folder = set.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut image = picture(36, 28);
        image.pixels_mut().for_each(|pixel| pixel.0.iter_mut().for_each(|v| *v = v.saturating_add(value)));
        image.save(folder.join("a.png")).unwrap();
    }
    (folder, file, set)
}

/// What enlarges is no restoration, and what is not said cannot be guessed.
#[test]
fn restoring_takes_a_model_that_keeps_the_size() {
    let (folder, _, set) = folder();
    let (input, output) = (set.join("LR/X1/a.png"), folder.path("clear.png"));
    let restore =
        |more: &[&str]| board(["restore", "-i", arg(&input), "-o", arg(&output)].iter().chain(more));
    restore(&[]).fails(2, &["restore needs a model", "-m", "mcir-board upscale"]);
    restore(&["-s", "2"]).fails(2, &["restore needs a model"]);
    restore(&["-m", "edsr-edge-x2"]).fails(2, &["edsr-edge-x2 enlarges 2 times", "mcir-board upscale"]);
    assert!(!output.exists());
    assert!(board(["restore", "--help"]).succeeds().stdout().contains("at the same size"));
}

#[test]
fn images_keep_their_size() {
    let (folder, file, set) = folder();
    let hazy = set.join("LR/X1/a.png");
    let output = folder.path("clear.png");
    board(["restore", "-m", arg(&file), "-i", arg(&hazy), "-o", arg(&output), "-j", "2"]).succeeds();
    let clear = image::open(&output).unwrap().to_rgb8();
    let model = mcir_runtime::model::Model::from_bytes(std::fs::read(&file).unwrap()).unwrap();
    let plan = Plan::new(&model, 36, &PlanOptions::default()).unwrap();
    let mut expected = vec![0; 3 * 36 * 28];
    let pixels = image::open(&hazy).unwrap().to_rgb8();
    plan.run_image(&mut plan.workspace(), &pixels, 28, &mut expected).unwrap();
    assert_eq!((clear.dimensions(), clear.as_raw()), ((36, 28), &expected));
    assert_ne!(clear, pixels);
}

#[test]
fn compare_measures_it_against_what_went_in() {
    let (_folder, file, set) = folder();
    let compare = |data: &Path, more: &[&str]| {
        let args = ["compare", "-m", arg(&file), "--data", arg(data), "--seconds", "0.01", "--size", "16x16"];
        board(args.iter().chain(more)).succeeds()
    };
    let report = compare(&set, &["--json", "-s", "1"]).json();
    let section = &report["sections"][0];
    assert_eq!((&section["upscale"], &section["crop_border"]), (&1.into(), &0.into()));
    let rows = section["rows"].as_array().unwrap();
    assert_eq!((&rows[0]["name"], rows.len()), (&"unchanged".into(), 2));
    // Every channel is 90 levels brighter, which are 77 of Y, or as bright as can be: 10.4 dB or somewhat more.
    let input = rows[0]["psnr_y_db"].as_f64().unwrap();
    assert!((10.0..16.0).contains(&input), "{input}");
    let gain = rows[1]["gain_db"].as_f64().unwrap();
    assert!((rows[1]["psnr_y_db"].as_f64().unwrap() - input - gain).abs() < 1e-9);
    let text = compare(&set, &[]).stdout();
    assert!(
        text.contains("vs input") && text.contains("unchanged") && text.contains("0 pixels of border"),
        "{text}"
    );
    // Without damaged ones what goes in is the target itself.
    let clean = compare(&set.join("HR"), &["--json"]).json();
    assert!(clean["sections"][0]["rows"][0]["psnr_y_db"].is_null(), "{clean}");
}

#[test]
fn bench_and_camera_run_it() {
    let (folder, file, _) = folder();
    let args = ["bench", "-m", arg(&file), "--size", "24x20", "--samples", "2", "-j", "1", "--json"];
    let report = board(args).succeeds().json();
    assert_eq!(report["upscale"], 1, "{report}");
    let video = folder.y4m("in.y4m", 24, 16, 3);
    let source = format!("file:{}", video.display());
    let output = folder.path("out.y4m");
    let args = ["--source", &source, "-m", arg(&file), "-o", arg(&output)];
    Run::of(camera(&folder, &args).output().unwrap()).succeeds();
    let written = std::fs::read(&output).unwrap();
    assert!(written.starts_with(b"YUV4MPEG2 W24 H16 "), "{:?}", &written[..32]);
    assert_eq!(written.windows(6).filter(|bytes| bytes == b"FRAME\n").count(), 3);
}
