//! `mcir-board compare` on good input.

mod support;

use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::{psnr_y, ssim_y};
use support::{Folder, arg, board, picture};

/// How long a latency is measured, of which nothing here depends on the precision.
const SHORT: &str = "--seconds=0.05";

/// The same number, but for what its way through text may change.
#[track_caller]
fn close(found: &serde_json::Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn measures_bicubic_and_models_on_a_folder() {
    let folder = Folder::new();
    let (x2, x4) = (folder.model("two.mcir", 2), folder.model("four.mcir", 4));
    let data = folder.path("data");
    std::fs::create_dir(&data).unwrap();
    picture(51, 46).save(data.join("disc.png")).unwrap();
    picture(64, 64).save(data.join("square.jpg")).unwrap();
    let args = ["compare", "-m", arg(&x2), "-m", arg(&x4), "--data", arg(&data), "-j", "1", SHORT];
    let json = board(args.iter().chain(&["--json"])).succeeds().json();
    assert_eq!(json["schema"], 2);
    assert_eq!(json["data"], "data");
    assert_eq!(json["latency"]["threads"], 1);
    let sections = json["sections"].as_array().unwrap();
    assert_eq!(sections.iter().map(|s| s["upscale"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    for section in sections {
        assert_eq!(section["images"], serde_json::json!(["disc", "square"]));
        let upscale = section["upscale"].as_u64().unwrap() as usize;
        let hr =
            Image::new(51, 46, 3, picture(51, 46).into_raw()).unwrap().crop_to_multiple(upscale).unwrap();
        let lr = resize_bicubic(&hr, hr.width() / upscale, hr.height() / upscale).unwrap();
        let sr = resize_bicubic(&lr, hr.width(), hr.height()).unwrap();
        let bicubic = &section["rows"][0];
        assert_eq!(bicubic["name"], "bicubic");
        close(&bicubic["images"][0]["psnr_y_db"], psnr_y(&sr, &hr, upscale).unwrap());
        close(&bicubic["images"][0]["ssim_y"], ssim_y(&sr, &hr, upscale).unwrap());
        let images = bicubic["images"].as_array().unwrap();
        let mean = images.iter().map(|i| i["psnr_y_db"].as_f64().unwrap()).sum::<f64>() / 2.0;
        close(&bicubic["psnr_y_db"], mean);
        let model = &section["rows"][1];
        assert_eq!((&model["name"], &model["precision"]), (&"untrained".into(), &"f32".into()));
        close(&model["gain_db"], model["psnr_y_db"].as_f64().unwrap() - mean);
        assert!(model["latency_ms"].as_f64().unwrap() > 0.0);
        assert!(model["memory_bytes"].as_u64().unwrap() > 0);
    }
    let only = board(args.iter().chain(&["-s", "4"])).succeeds().stdout();
    assert!(only.contains("x4: data, 2 images") && !only.contains("x2"), "{only}");
}

#[test]
fn takes_low_resolution_images_where_there_are_some() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let (hr, lr) = (folder.path("set/HR"), folder.path("set/LR_bicubic/X2"));
    std::fs::create_dir_all(&hr).unwrap();
    std::fs::create_dir_all(&lr).unwrap();
    picture(40, 40).save(hr.join("a.png")).unwrap();
    // Not what bicubic would make: the result has to change.
    picture(20, 20).save(lr.join("ax2.png")).unwrap();
    let set = folder.path("set");
    let args = ["compare", "-m", arg(&model), "--data", arg(&set), SHORT, "--json"];
    let given = board(args).succeeds().json()["sections"][0]["rows"][0]["psnr_y_db"].clone();
    let made = board(["compare", "-m", arg(&model), "--data", arg(&hr), SHORT, "--json"]).succeeds().json();
    assert_ne!(given, made["sections"][0]["rows"][0]["psnr_y_db"]);
    // One that does not fit is an error.
    picture(20, 19).save(lr.join("ax2.png")).unwrap();
    board(args).fails(1, &["ax2.png has 20x19 pixels, but its high-resolution image needs 20x20"]);
}

#[test]
fn the_page_holds_everything_it_needs() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let data = folder.path("data");
    std::fs::create_dir(&data).unwrap();
    picture(60, 44).save(data.join("a<b.png")).unwrap();
    let page = folder.path("report.html");
    board(["compare", "-m", arg(&model), "--data", arg(&data), "--report", arg(&page), SHORT, "-q"])
        .succeeds();
    let html = std::fs::read_to_string(&page).unwrap();
    for part in ["<!doctype html>", "a&lt;b", "untrained f32", "PSNR-Y dB", "320x180 to 640x360"] {
        assert!(html.contains(part), "{part}");
    }
    for outside in ["http:", "https:", "src=\"/", "url(", "@import", "<b.png"] {
        assert!(!html.contains(outside), "{outside}");
    }
    // The original and two methods, each whole and as a detail.
    assert_eq!(html.matches("src=\"data:image/png;base64,").count(), 6);
}

#[test]
fn a_folder_of_model_files_is_a_model() {
    let folder = Folder::new();
    let models = folder.path("mine");
    std::fs::create_dir(&models).unwrap();
    std::fs::rename(folder.model("m", 2), models.join("model.f32.mcir")).unwrap();
    let data = folder.path("data");
    std::fs::create_dir(&data).unwrap();
    picture(40, 40).save(data.join("a.png")).unwrap();
    let json =
        board(["compare", "-m", arg(&models), "--data", arg(&data), SHORT, "--json"]).succeeds().json();
    assert_eq!(json["sections"][0]["rows"].as_array().unwrap().len(), 2);
    board(["compare", "-m", arg(&data), "--data", arg(&data)]).fails(2, &["data`"]);
}

/// With no arguments: what a newcomer runs.
#[test]
fn works_with_nothing_at_all() {
    let run = board(["compare", "--json"]).succeeds();
    let json = run.json();
    assert_eq!(json["data"], "drawn test cards");
    for section in json["sections"].as_array().unwrap() {
        let images = section["images"].as_array().unwrap();
        assert_eq!(images.len(), 5);
        let rows = section["rows"].as_array().unwrap();
        assert_eq!(rows[0]["name"], "bicubic");
        assert_eq!((rows.len() - 1) % 2, 0, "every embedded model is there as f32 and as int8");
    }
}
