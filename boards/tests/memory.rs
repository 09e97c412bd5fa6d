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
    let input = folder.path("in.png");
    let (width, height, upscale) = (1280, 720, 4);
    picture(width, height).save(&input).unwrap();
    // As f32, four times the memory of the same network in int8.
    let edge = folder.file("edge.mcir", &model(&Config::edge(upscale, 24, 2)).to_bytes());
    let output = folder.path("out.png");
    let args = ["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&edge), "--json"];
    let json = board(args).succeeds().json();
    let peak = json["peak_memory_bytes"].as_u64().expect("Linux tells the peak");
    let pixels = u64::from(width) * u64::from(height);
    let decoded = pixels * 3 * (1 + u64::from(upscale).pow(2));
    let beyond = peak.saturating_sub(decoded);
    println!("peak {peak} bytes, {beyond} beyond the decoded images");
    assert!(peak > decoded, "the measurement works");
    assert!(beyond < LIMIT_BYTES, "{beyond} bytes beyond the decoded images, {LIMIT_BYTES} allowed");
}
