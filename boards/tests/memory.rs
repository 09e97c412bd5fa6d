//! Peak memory of `upscale`: the engine and the encoders hold a few rows, so that beyond the decoded input memory does not
//! grow with the height.

#![cfg(target_os = "linux")]

mod support;

use mcir_runtime::arch::edsr::Config;
use support::{Folder, arg, board, model, picture};

/// Beyond the decoded input.
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
        assert_modest(args, u64::from(width) * u64::from(height) * channels);
    }
}

/// Runs the command; `decoded` are the bytes of its input's pixels.
#[track_caller]
fn assert_modest(args: [&str; 8], decoded: u64) {
    let json = board(args).succeeds().json();
    let peak = json["peak_memory_bytes"].as_u64().expect("Linux tells the peak");
    let beyond = peak.saturating_sub(decoded);
    println!("{} to {}: peak {peak} bytes, {beyond} beyond the decoded input", args[2], args[4]);
    assert!(peak > decoded, "the measurement works");
    assert!(beyond < LIMIT_BYTES, "{args:?}: {beyond} bytes, {LIMIT_BYTES} allowed");
}

/// Results of 123 MB and more, none of which may be in memory as a whole.
#[test]
fn memory_does_not_grow_with_the_height() {
    let folder = Folder::new();
    let (width, height) = (320, 8000);
    let model = folder.model("m", 4);
    let rgb = image::DynamicImage::from(picture(width, height));
    // An Exif segment that turns by 90 degrees, so that columns become rows.
    let exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    rgb.rotate270().save(folder.path("plain.jpg")).unwrap();
    let jpeg = std::fs::read(folder.path("plain.jpg")).unwrap();
    folder.file("in.jpg", &[&jpeg[..2], exif, &jpeg[2..]].concat());
    rgb.to_rgba8().save(folder.path("in.png")).unwrap();
    rgb.to_rgba8().save(folder.path("in.tiff")).unwrap();
    rgb.save(folder.path("in.bmp")).unwrap();
    for (input, output, channels) in [
        ("in.png", "out.png", 4),
        ("in.jpg", "out.jpg", 3),
        ("in.bmp", "out.bmp", 3),
        ("in.tiff", "out.tiff", 4),
    ] {
        let paths = [folder.path(input), folder.path(output)];
        let args = ["upscale", "-i", arg(&paths[0]), "-o", arg(&paths[1]), "-m", arg(&model), "--json"];
        assert_modest(args, u64::from(width) * u64::from(height) * channels);
        assert_eq!(image::image_dimensions(&paths[1]).unwrap(), (4 * width, 4 * height), "{output}");
    }
}
