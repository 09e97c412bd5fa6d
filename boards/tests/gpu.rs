//! `--device gpu`: the processor's bytes, and what happens when the GPU fails. On Mesa's driver in software, or a GPU.
#![cfg(feature = "gpu")]

mod support;

use std::process::Command;
use support::{Folder, Run, arg, board, y4m};

/// Whether there is a device that can be used; says so if there is none.
fn is_there() -> bool {
    let info = board(["info", "--json"]).succeeds().json();
    let usable = info["gpus"].as_array().unwrap().iter().any(|gpu| gpu["lacks"].is_null());
    if !usable {
        support::skip::skip("there is no Vulkan device");
    }
    usable
}

/// Runs the program with a fault of the GPU.
fn with_fault(fault: &str, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-board"));
    Run::of(command.args(args).env("MCIR_GPU_FAULT", fault).output().unwrap())
}

#[test]
fn pictures_have_the_same_bytes() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let colour = folder.image("colour.png", 61, 37);
    let grey = folder.path("grey.png");
    image::DynamicImage::ImageRgb8(support::picture(40, 23)).to_luma8().save(&grey).unwrap();
    for (input, mode) in [(&colour, "rgb"), (&colour, "y"), (&grey, "rgb")] {
        let upscale = |device: &str, name: &str| {
            let output = folder.path(name);
            let args = [
                "upscale",
                "-i",
                arg(input),
                "-o",
                arg(&output),
                "--mode",
                mode,
                "--device",
                device,
                "--json",
            ];
            let outcome = board(args).succeeds().json();
            (std::fs::read(&output).unwrap(), outcome)
        };
        let (cpu, of_cpu) = upscale("cpu", "cpu.png");
        let (gpu, of_gpu) = upscale("gpu", "gpu.png");
        assert!(cpu == gpu, "{} {mode}", input.display());
        assert!(of_cpu["gpu"].is_null() && of_cpu["isa"].is_string());
        assert!(of_gpu["gpu"].is_string(), "{of_gpu}");
        assert_eq!(of_gpu["images"][0]["notes"].as_array().unwrap().len(), 0, "{of_gpu}");
    }
}

#[test]
fn a_gpu_that_fails_costs_no_picture_and_is_told_once() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let input = folder.path("in");
    std::fs::create_dir(&input).unwrap();
    for i in 0..4 {
        support::picture(30 + i, 20).save(input.join(format!("{i}.png"))).unwrap();
    }
    let upscale = |fault: &str, name: &str, device: &str| {
        let output = folder.path(name);
        let run = with_fault(fault, &["upscale", "-i", arg(&input), "-o", arg(&output), "--device", device]);
        let pictures: Vec<_> =
            (0..4).map(|i| std::fs::read(output.join(format!("{i}.png"))).unwrap_or_default()).collect();
        (pictures, run.succeeds().stderr())
    };
    let (expected, _) = upscale("lost@0", "cpu", "cpu");
    assert!(expected.iter().all(|picture| !picture.is_empty()));
    for (fault, what) in
        [("lost@2", "the GPU was lost"), ("hang@1", "did not finish a frame"), ("memory@0", "out of memory")]
    {
        let (found, told) = upscale(fault, fault, "gpu");
        assert!(found == expected, "{fault}");
        assert_eq!(told.matches(what).count(), 1, "{fault}: {told}");
        assert!(told.contains("the CPU goes on"), "{told}");
    }
}

#[test]
fn a_camera_goes_on_when_the_gpu_is_lost() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let source = format!("file:{}", arg(&folder.file("in.y4m", &y4m(48, 20, 7))));
    let film = |fault: &str, device: &str| {
        let output = folder.path(&format!("{device}-{fault}.y4m"));
        let args = [
            "camera",
            "--source",
            &source,
            "-o",
            arg(&output),
            "--device",
            device,
            "--interval",
            "0",
            "--json",
        ];
        let run = with_fault(fault, &args).succeeds();
        (std::fs::read(&output).unwrap(), run.json(), run.stderr())
    };
    let (expected, _, _) = film("lost@0", "cpu");
    let (whole, report, told) = film("lost@1000", "gpu");
    assert!(whole == expected);
    assert!(report["gpu"].is_string() && !told.contains("the GPU is not used"), "{report} {told}");
    let (found, report, told) = film("lost@3", "gpu");
    assert!(found == expected);
    assert!(report["gpu"].is_null() && report["isa"].is_string(), "{report}");
    assert_eq!(told.matches("the GPU is not used").count(), 1, "{told}");
    let frames = &report["frames"];
    assert_eq!((&frames["captured"], &frames["output"]), (&7.into(), &7.into()), "{report}");
}

#[test]
fn what_does_not_run_there_runs_on_the_processor_and_is_named() {
    if !is_there() {
        return;
    }
    let folder = Folder::new();
    let model = folder.model("float.mcir", 2);
    let (input, output) = (folder.image("in.png", 20, 12), folder.path("out.png"));
    let args = ["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model), "--device", "gpu"];
    let told = board(args).succeeds().stderr();
    assert!(told.contains("the GPU has no kernel for Input (input): its result is floats"), "{told}");
    // Nobody asked for it by name.
    let told = board([&args[..8], &["auto"]].concat()).succeeds().stderr();
    assert!(!told.contains("GPU"), "{told}");
}

#[test]
fn bench_and_compare_say_what_they_measured() {
    if !is_there() {
        return;
    }
    let short = ["--size", "32x18", "--seconds", "0.05", "--device", "gpu", "--json"];
    let bench = board([&["bench", "-m", "edsr-edge-x2"], &short[..]].concat()).succeeds().json();
    assert!(bench["gpu"]["name"].is_string() && bench["isa"] == "vulkan", "{bench}");
    assert!(bench["latency"]["p50_ms"].as_f64().unwrap() > 0.0);
    let nodes = bench["nodes"].as_array().unwrap();
    assert!(nodes.iter().any(|node| node["op"] == "Conv2d" && node["ms"].as_f64().unwrap() > 0.0), "{bench}");
    let compare = board([&["compare", "-m", "edsr-edge-x2"], &short[..]].concat()).succeeds().json();
    let rows = compare["sections"][0]["rows"].as_array().unwrap();
    let device = |precision: &str| {
        let row = rows.iter().find(|row| row["precision"] == precision).unwrap();
        row["device"].is_string()
    };
    assert!(device("int8") && !device("f32"), "{compare}");
    // A figure of the processor would pass for one of the GPU.
    let args = ["bench", "-m", "edsr-edge-x2", "--size", "32x18", "--seconds", "0.05", "--device", "gpu"];
    with_fault("lost@2", &args).fails(2, &["the GPU was lost"]);
}

#[test]
fn gpu_check_holds_all_models_against_the_processor() {
    if !is_there() {
        return;
    }
    let check = board(["gpu-check", "--size", "24x16", "--seconds", "0.01", "--json"]).succeeds().json();
    assert_eq!(check["same_bits"], true, "{check}");
    let models = check["models"].as_array().unwrap();
    assert!(models.len() >= 10, "{check}");
    for model in models.iter().chain(check["operators"].as_array().unwrap()) {
        assert!(model["bytes"].as_u64().unwrap() > 0 && model["different"] == 0, "{model}");
    }
    assert!(
        models.iter().all(|model| model["gpu"]["p50_ms"].is_number() && model["cpu"]["p50_ms"].is_number())
    );
}

#[test]
fn a_gpu_that_is_not_there_is_an_error() {
    if !is_there() {
        return;
    }
    board(["bench", "--device", "gpu:99"]).fails(2, &["there is no GPU 99", "info"]);
    // Boards are measured on their processors.
    let args = ["compare", "--target", "local:/nowhere", "--device", "gpu"];
    board(args).fails_plainly(2, &["cannot be used with"]);
    board(["bench", "--device", "cuda"]).fails_plainly(2, &["cpu, auto, gpu"]);
}
