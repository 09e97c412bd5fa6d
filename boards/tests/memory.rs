//! Peak memory of `upscale`: the engine holds a few rows, so memory does not grow with the area.

#![cfg(target_os = "linux")]

mod support;

use mcir_runtime::arch::edsr::Config;
use support::{Folder, arg, board, model, picture};

/// Beyond the decoded input and output.
const LIMIT_BYTES: u64 = 64 << 20;

#[test]
fn a_720p_image_needs_less_than_64_mb() {
    let folder = Folder::new();
    let (width, height, upscale) = (1280, 720, 4);
    let rgb = image::DynamicImage::from(picture(width, height));
    rgb.save(folder.path("rgb.png")).unwrap();
    rgb.to_rgba8().save(folder.path("rgba.png")).unwrap();
    // As f32, four times the memory of the same network in int8.
    let edge = folder.file("edge.mcir", &model(&Config::edge(upscale, 24, 1)).to_bytes());
    let cases = [
        ("rgb.png", "out.png", 3, arg(&edge)),
        ("rgba.png", "out.png", 4, arg(&edge)),
        ("rgb.png", "out.jpg", 3, arg(&edge)),
        ("rgb.png", "out.png", 3, "edsr-edge-x4"),
    ];
    for (input, output, channels, model) in cases {
        let paths = [folder.path(input), folder.path(output)];
        let args = ["upscale", "-i", arg(&paths[0]), "-o", arg(&paths[1]), "-m", model, "--json"];
        let json = board(args).succeeds().json();
        let peak = json["peak_memory_bytes"].as_u64().expect("Linux tells the peak");
        let decoded = u64::from(width) * u64::from(height) * channels * (1 + u64::from(upscale).pow(2));
        let beyond = peak.saturating_sub(decoded);
        println!("{input} to {output}: peak {peak} bytes, {beyond} beyond the decoded images");
        assert!(peak > decoded, "the measurement works");
        assert!(beyond < LIMIT_BYTES, "{input} to {output}: {beyond} bytes, {LIMIT_BYTES} allowed");
    }
}
