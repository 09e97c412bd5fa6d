//! Which embedded model a picture is enlarged with: as the file says, or as the user does.

mod support;

use image::codecs::jpeg::JpegEncoder;
use support::{Folder, arg, board, picture};

/// The JSON of an `upscale` of files in a folder.
fn upscaled(folder: &Folder, options: &[&str]) -> serde_json::Value {
    let (input, output) = (folder.path("in"), folder.path("out"));
    let args = ["upscale", "-i", arg(&input), "-o", arg(&output), "--json"];
    let run = board(args.iter().chain(options)).succeeds();
    serde_json::from_str(&run.stdout()).unwrap()
}

#[test]
fn a_coarse_jpeg_is_cleaned_up_and_everything_else_is_not() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("in")).unwrap();
    folder.image("in/a.png", 40, 30);
    for (name, quality) in [("b", 60), ("c", 98)] {
        let file = std::fs::File::create(folder.path(&format!("in/{name}.jpg"))).unwrap();
        JpegEncoder::new_with_quality(file, quality).encode_image(&picture(40, 30)).unwrap();
    }
    for upscale in ["2", "3", "4"] {
        let result = upscaled(&folder, &["-s", upscale]);
        let models: Vec<_> =
            (0..3).map(|i| result["images"][i]["model"].as_str().unwrap().to_owned()).collect();
        let (clean, camera) = (format!("edsr-edge-x{upscale}"), format!("edsr-edge-x{upscale}-camera-75"));
        assert_eq!(models, [clean.clone(), camera.clone(), clean.clone()]);
        let note = result["images"][1]["notes"][0].as_str().unwrap();
        assert!(note.contains("JPEG of quality 60") && note.contains("--strength 0 enlarges"), "{note}");
        // The options that it names give the same again.
        let options = note.split("cleaned up: ").nth(1).unwrap().split(';').next().unwrap();
        assert_eq!(options, format!("-m {clean} --strength 0.75"));
        let again = upscaled(&folder, &options.split(' ').collect::<Vec<_>>());
        assert_eq!(again["images"][1]["model"], camera);
    }
    let models = |options: &[&str]| -> Vec<String> {
        let result = upscaled(&folder, options);
        (0..3).map(|i| result["images"][i]["model"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(models(&["-s", "2", "-m", "edsr-edge-x2"]), ["edsr-edge-x2"; 3]);
    assert_eq!(models(&["-s", "2", "--strength", "1"]), ["edsr-edge-x2-camera"; 3]);
    assert_eq!(models(&["-s", "2", "--strength", "0"]), ["edsr-edge-x2"; 3]);
    assert_eq!(models(&["-m", "edsr-edge-x3-camera", "--strength", "0.45"]), ["edsr-edge-x3-camera-50"; 3]);
}

#[test]
fn strengths_that_are_not_there_are_refused() {
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 20, 10), folder.named_model("own", 2));
    let output = folder.path("out.png");
    let upscale = |options: &[&str]| {
        let args = ["upscale", "-i", arg(&input), "-o", arg(&output)];
        board(args.iter().chain(options))
    };
    let with_own = upscale(&["-m", arg(&model), "--strength", "0.5"]);
    with_own.fails(2, &["has no strengths", "leave --strength out", "edsr-edge-x4"]);
    for wrong in ["1.5", "-1", "much", "nan"] {
        upscale(&[&format!("--strength={wrong}")]).fails_plainly(2, &["from 0 to 1"]);
    }
    assert!(!output.exists());
}

#[test]
fn models_are_listed_with_what_they_are_for() {
    let text = board(["models"]).succeeds().stdout();
    for name in ["bicubic", "edsr-edge-x2", "edsr-edge-x3-camera", "edsr-edge-m-x4", "non-commercial"] {
        assert!(text.contains(name), "{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&board(["models", "--json"]).succeeds().stdout()).unwrap();
    let camera =
        json["models"].as_array().unwrap().iter().find(|m| m["name"] == "edsr-edge-x4-camera").unwrap();
    assert_eq!((&camera["upscale"], &camera["learnt"]), (&4.into(), &"camera".into()));
    assert_eq!(camera["strengths"], serde_json::json!([0.25, 0.5, 0.75]));
}
