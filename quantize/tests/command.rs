//! The binary from outside: exit codes, messages, and that a failure leaves no file behind.

mod support;

use mcir_runtime::arch::edsr::{Config, graph};
use mcir_runtime::model::Model;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{random, sharpener, write_pictures};
use tempfile::TempDir;

/// A folder with a float model, photographs to calibrate on, and others to validate on.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(model: &Model) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.f32"), model.to_bytes()).unwrap();
        write_pictures(&folder.path().join("photos"), 6, 72, 64);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the binary in the folder.
    fn run(&self, args: &[&str]) -> Output {
        let binary = env!("CARGO_BIN_EXE_mcir-quantize");
        Command::new(binary).current_dir(self.folder.path()).args(args).output().unwrap()
    }

    /// Runs it, expects a failure with this text, and no new file.
    #[track_caller]
    fn fails(&self, args: &[&str], code: i32, message: &str) {
        let before = self.files();
        let output = self.run(args);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(message), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        assert_eq!(self.files(), before);
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    assert!(output.status.code().is_some(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)))
}

fn load(path: &Path) -> Model {
    Model::from_bytes(std::fs::read(path).unwrap()).unwrap()
}

const RUN: [&str; 6] = ["run", "model.f32", "-c", "photos", "-o", "model.int8"];

#[test]
fn a_good_model_passes_the_gate() {
    let place = Place::new(&sharpener(2, 0.5, 0.0));
    let output = place.run(&RUN);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("worst:"));
    let int8 = load(&place.path("model.int8"));
    assert!(int8.is_quantized());
    assert_eq!(int8.meta("quantize.calibration_images"), Some("5"));
    assert_eq!(int8.meta("quantize.validation_images"), Some("1"));
    // Nothing but the model, the photographs and the result.
    assert_eq!(place.files().len(), 3);
}

#[test]
fn json_has_the_fields_of_the_table() {
    let place = Place::new(&sharpener(2, 0.5, 0.0));
    let run = json(&place.run(&[&RUN[..], &["-v", "photos", "--json", "-j", "1"]].concat()));
    assert_eq!((&run["schema"], &run["passed"], &run["written"]), (&2.into(), &true.into(), &true.into()));
    assert_eq!(run["images"].as_array().unwrap().len(), 6);
    let drops: Vec<f64> =
        run["images"].as_array().unwrap().iter().map(|i| i["drop_db"].as_f64().unwrap()).collect();
    let mean = run["mean_drop_db"].as_f64().unwrap();
    assert!((drops.iter().sum::<f64>() / 6.0 - mean).abs() < 1e-9);
    let bins = run["histogram"].as_array().unwrap();
    assert_eq!(bins.iter().map(|bin| bin["images"].as_u64().unwrap()).sum::<u64>(), 6);
    let worst = run["worst_drop_db"].as_f64().unwrap();
    assert!(drops.iter().all(|&d| d <= worst) && drops.contains(&worst));

    let check = json(&place.run(&["check", "model.f32", "model.int8", "photos", "--json"]));
    assert_eq!(check["images"], run["images"], "check measures what the gate measured");
    assert_eq!(check["mean_drop_db"], run["mean_drop_db"]);

    for (model, quantized, part) in [("model.f32", false, 0.0), ("model.int8", true, 1.0)] {
        let inspect = json(&place.run(&["inspect", model, "--width", "64", "--json"]));
        assert_eq!((&inspect["schema"], &inspect["quantized"]), (&2.into(), &quantized.into()));
        assert_eq!((&inspect["int8_macs_part"], &inspect["width"]), (&part.into(), &64.into()));
        let nodes = inspect["nodes"].as_array().unwrap();
        let macs: u64 = nodes.iter().map(|n| n["macs_per_pixel"].as_u64().unwrap()).sum();
        assert_eq!(inspect["macs_per_pixel"].as_u64(), Some(macs));
        assert!(inspect["memory_bytes"].as_u64().unwrap() > 1000);
    }
    let text = String::from_utf8(place.run(&["inspect", "model.int8"]).stdout).unwrap();
    assert!(
        text.contains("conv_last") && text.contains("width 320") && text.contains("100.0 % in int8"),
        "{text}"
    );
}

#[test]
fn the_file_does_not_depend_on_the_threads_nor_the_moment() {
    let place = Place::new(&random(graph(&Config::edge(2, 8, 1)), 3));
    for (threads, output) in [("1", "a"), ("3", "b")] {
        let args = ["run", "model.f32", "-c", "photos", "-o", output, "-j", threads, "--max-drop-db", "9"];
        assert_eq!(place.run(&args).status.code(), Some(0));
    }
    assert!(std::fs::read(place.path("a")).unwrap() == std::fs::read(place.path("b")).unwrap());
}

#[test]
fn a_model_that_loses_too_much_is_not_written() {
    let place = Place::new(&sharpener(2, 0.5, 1e6));
    let run = [&RUN[..], &["--no-fallback"]].concat();
    place.fails(&run, 3, "gate not met");
    let output = place.run(&[&run[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(3));
    let result = json(&output);
    assert_eq!((&result["passed"], &result["written"]), (&false.into(), &false.into()));
    assert!(result["mean_drop_db"].as_f64().unwrap() > 0.1);
    assert!(!place.path("model.int8").exists());

    // An old result stays as it was.
    std::fs::write(place.path("model.int8"), "old").unwrap();
    assert_eq!(place.run(&run).status.code(), Some(3));
    assert_eq!(std::fs::read(place.path("model.int8")).unwrap(), b"old");

    let output = place.run(&[&run[..], &["--write-failed"]].concat());
    assert_eq!(output.status.code(), Some(3));
    assert!(load(&place.path("model.int8")).is_quantized());
    let check = place.run(&["check", "model.f32", "model.int8", "photos", "--max-drop-db", "0.1"]);
    assert_eq!(check.status.code(), Some(3));
    assert!(
        stderr(&check).contains("gate not met:") && stderr(&check).contains("dB lost, limit 0.1"),
        "{}",
        stderr(&check)
    );
}

/// A mean hides one picture that is spoilt: each has a limit of its own.
#[test]
fn the_worst_image_has_a_limit_of_its_own() {
    let place = Place::new(&sharpener(2, 0.5, 1e6));
    let limits = ["--max-drop-db", "99", "--max-worst-drop-db", "0.1"];
    let run = [&RUN[..], &limits, &["--no-fallback", "--write-failed"]].concat();
    let output = place.run(&run);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let result = json(&place.run(&[&run[..], &["--json"]].concat()));
    let worst = result["worst_image"].as_str().unwrap();
    assert!(result["worst_drop_db"].as_f64().unwrap() > 0.1);
    assert!(stderr(&output).contains(&format!("dB lost on {worst}, limit 0.1")), "{}", stderr(&output));
    let check =
        |limit| place.run(&["check", "model.f32", "model.int8", "photos", "--max-worst-drop-db", limit]);
    assert_eq!((check("0.1").status.code(), check("99").status.code()), (Some(3), Some(0)));
    // The ladder climbs for the worst image, too.
    let output = place.run(&[&RUN[..], &limits].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// A network whose pictures are nowhere near the photographs, as a GAN's: noise may even bring them nearer, so the int8 model's
/// pictures are held against the float model's.
#[test]
fn pictures_can_be_held_against_those_of_the_float_model() {
    let place = Place::new(&random(graph(&Config::edge(2, 8, 2)), 3));
    let limits = ["--max-drop-db", "9", "--max-worst-drop-db", "9"];
    let run = [&RUN[..], &limits].concat();
    let output = place.run(&[&run[..], &["--json"]].concat());
    assert!(stderr(&output).contains("--min-agreement-db 40"), "it is said: {}", stderr(&output));
    let plain = json(&output);
    let agreement = |result: &Value| result["agreement_db"].as_f64().unwrap();
    let images: Vec<f64> =
        plain["images"].as_array().unwrap().iter().map(|i| i["agreement_db"].as_f64().unwrap()).collect();
    let mean = images.iter().sum::<f64>() / images.len() as f64;
    assert!((agreement(&plain) - mean).abs() < 1e-9 && mean > 30.0 && mean < 80.0, "{mean}");
    assert!(kept(&plain).is_empty());

    // A little more is to be had by better precision of some convolutions; the message is not needed any more.
    let wanted = format!("{:.2}", agreement(&plain) + 1.0);
    let near = ["--min-agreement-db", &wanted];
    let output = place.run(&[&run[..], &near, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
    let better = json(&output);
    assert!(agreement(&better) >= wanted.parse().unwrap() && !kept(&better).is_empty());
    let check = |db: &str| {
        place.run(&["check", "model.f32", "model.int8", "photos", "--min-agreement-db", db]).status.code()
    };
    assert_eq!((check("20"), check("99")), (Some(0), Some(3)));

    place.fails(&[&run[..], &near, &["--no-fallback"]].concat(), 3, "agree with f32 ones");
    place.fails(&[&run[..], &["--min-agreement-db=-3"]].concat(), 1, "try 40");
}

#[test]
fn named_convolutions_stay_in_floats() {
    let place = Place::new(&sharpener(2, 0.5, 1e6));
    // The features between the two then stay in floats too.
    let keep = |name| [&RUN[..], &["--keep-float", "conv_first", "--keep-float", name]].concat();
    let output = place.run(&keep("conv_last"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        load(&place.path("model.int8")).meta("quantize.kept").map(|kept| kept.lines().count()),
        Some(2)
    );
    std::fs::remove_file(place.path("model.int8")).unwrap();
    place.fails(&keep("conv_lost"), 1, "no convolution is called `conv_lost`");
    // Told before any image is looked at.
    let early = ["run", "model.f32", "-c", "nowhere", "-o", "model.int8", "--keep-int16", "conv_lost"];
    place.fails(&early, 1, "no convolution is called `conv_lost`");
}

#[test]
fn the_costliest_convolutions_return_to_floats_until_the_gate_holds() {
    let place = Place::new(&sharpener(2, 0.5, 1e6));
    let output = place.run(&[&RUN[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = json(&output);
    assert_eq!(
        kept(&result),
        [("conv_last", "f32"), ("conv_first", "f32")],
        "the one that reads comes first"
    );
    assert_eq!(result["sensitivity"][0]["name"], "conv_last");
    assert!(result["sensitivity"][0]["drop_db"].as_f64().unwrap() > 0.1);
    let macs =
        result["sensitivity"].as_array().unwrap().iter().map(|c| c["macs_per_pixel"].as_u64().unwrap());
    let int8 = load(&place.path("model.int8"));
    assert_eq!(macs.sum::<u64>(), int8.macs_per_pixel());
    let stored = int8.meta("quantize.kept").unwrap();
    assert!(stored.starts_with("conv_last: f32, ") && stored.contains("\nconv_first: f32, "), "{stored}");
    assert!(int8.meta("quantize.predicted_for").unwrap().contains("320x180"));
    for node in result["kept"].as_array().unwrap() {
        assert!(node["macs_part"].as_f64().unwrap() > 0.1, "{node}");
        let [f32_ms, int8_ms] = ["predicted_ms", "predicted_int8_ms"].map(|key| node[key].as_f64().unwrap());
        assert!((f32_ms / int8_ms - 4.0).abs() < 1e-9, "{node}");
    }
}

/// Names and precisions of the convolutions that are not in int8.
fn kept(result: &Value) -> Vec<(&str, &str)> {
    let nodes = result["kept"].as_array().unwrap().iter();
    nodes.map(|k| (k["name"].as_str().unwrap(), k["precision"].as_str().unwrap())).collect()
}

#[test]
fn sixteen_bits_are_the_first_rung() {
    let place = Place::new(&sharpener(2, 0.5, 2e4));
    let output = place.run(&[&RUN[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let result = json(&output);
    assert!(kept(&result).contains(&("conv_last", "int16")), "{:?}", kept(&result));
    assert!(kept(&result).iter().all(|(_, precision)| *precision == "int16"), "{:?}", kept(&result));
    let inspect = json(&place.run(&["inspect", "model.int8", "--json"]));
    assert!(inspect["int16_macs_part"].as_f64().unwrap() > 0.2, "{inspect}");
    let int8 = load(&place.path("model.int8"));
    assert!(int8.meta("quantize.kept").unwrap().contains("conv_last: int16, "));
    std::fs::remove_file(place.path("model.int8")).unwrap();

    // The same by hand, with the table.
    let output = place.run(&[&RUN[..], &["--keep-int16", "conv_last"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("predicted for one thread of a Cortex-A76"), "{text}");
}

#[test]
fn sensitivity_is_told_on_request() {
    let place = Place::new(&random(graph(&Config::edge(2, 8, 1)), 3));
    let args = [&RUN[..], &["--sensitivity", "--effort", "high", "--json"]].concat();
    let result = json(&place.run(&args));
    assert_eq!(result["sensitivity"].as_array().unwrap().len(), 5);
    let snr = result["snr"].as_array().unwrap();
    let of = |name: &str| snr.iter().find(|e| e["name"] == name).unwrap()["snr_db"].as_f64().unwrap();
    assert_eq!(of("base"), 100.0, "interpolated pixels are exact");
    assert!(of("conv_first") > of("conv_last") && of("conv_last") > 15.0, "{snr:?}");
    let text = place.run(&[&RUN[..], &["--sensitivity"]].concat()).stdout;
    assert!(String::from_utf8(text).unwrap().contains("drop alone dB"));
}

#[test]
fn reports_are_whole_pages() {
    let place = Place::new(&sharpener(2, 0.5, 0.0));
    let output = place.run(&[&RUN[..], &["--report", "run.html"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let check = ["check", "model.f32", "model.int8", "photos", "--report", "check.html"];
    assert_eq!(place.run(&check).status.code(), Some(0));
    let [run, check] = ["run.html", "check.html"].map(|n| std::fs::read_to_string(place.path(n)).unwrap());
    for page in [&run, &check] {
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert_eq!(page.matches("data:image/png").count(), 4);
        assert!(page.contains("003.png") && page.contains("difference x8"));
    }
    assert!(run.contains("conv_after_body (i16)") && !check.contains("conv_after_body"));
    place.fails(&[&RUN[..], &["--report", "model.f32"]].concat(), 1, "is the input");
    place.fails(&[&RUN[..], &["--report", "no/where.html"]].concat(), 1, "make the folder first");
}

#[test]
fn usage_errors_exit_with_2() {
    let place = Place::new(&sharpener(2, 0.5, 0.0));
    place.fails(&["run", "model.f32", "-o", "x"], 2, "--calibration");
    place.fails(&["quantise"], 2, "unrecognized subcommand");
    place.fails(&[&RUN[..], &["--max-drop-db", "much"]].concat(), 2, "invalid value");
    // A limit below 0 would be missed by a model that loses nothing.
    let check = ["check", "model.f32", "model.f32", "photos"];
    for (option, value) in
        [("--max-drop-db", "-1"), ("--max-worst-drop-db", "-0.5"), ("--min-agreement-db", "-3")]
    {
        for command in [&RUN[..], &check] {
            let message = format!("{option} {value} is not a number of dB from 0");
            place.fails(&[command, &[option, value]].concat(), 1, &message);
        }
    }
}

#[test]
fn bad_folders_are_refused() {
    let place = Place::new(&sharpener(2, 0.5, 0.0));
    let with = |folder| ["run", "model.f32", "-c", folder, "-o", "model.int8"];
    place.fails(&with("nowhere"), 1, "cannot list the image folder nowhere");
    place.fails(&with("model.f32"), 1, "cannot list the image folder model.f32");

    let folder = |name: &str, fill: &dyn Fn(&Path)| {
        std::fs::create_dir(place.path(name)).unwrap();
        fill(&place.path(name));
    };
    folder("empty", &|_| {});
    place.fails(
        &with("empty"),
        1,
        "empty has 0 usable images, and at least 5 are needed (4 to calibrate on, and one held out",
    );
    folder("notes", &|p| std::fs::write(p.join("a.txt"), "not a picture").unwrap());
    place.fails(&with("notes"), 1, "notes has 0 usable images");
    folder("few", &|p| write_pictures(p, 3, 64, 64));
    place.fails(&with("few"), 1, "few has 3 usable images, and at least 5 are needed");
    folder("small", &|p| write_pictures(p, 6, 31, 64));
    place.fails(&with("small"), 1, "has 31x64 pixels, at least 32x32 are needed");
    for (name, level) in [("black", 0), ("white", 255)] {
        folder(name, &|p| {
            for i in 0..6 {
                image::RgbImage::from_pixel(64, 64, image::Rgb([level; 3]))
                    .save(p.join(format!("{i}.png")))
                    .unwrap();
            }
        });
        place.fails(&with(name), 1, "is a single colour");
    }
    folder("broken", &|p| {
        write_pictures(p, 6, 64, 64);
        for entry in std::fs::read_dir(p).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        }
        std::fs::write(p.join("zero.jpg"), "").unwrap();
    });
    place.fails(&with("broken"), 1, "is not a readable image");

    // A few bad ones among enough good ones are only left out.
    folder("mixed", &|p| {
        write_pictures(p, 6, 64, 64);
        std::fs::write(p.join("zero.jpg"), "").unwrap();
    });
    let output = place.run(&with("mixed"));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("zero.jpg left out"), "{}", stderr(&output));
    std::fs::remove_file(place.path("model.int8")).unwrap();

    // The validation folder is held to the same.
    place.fails(
        &[&RUN[..], &["-v", "empty"]].concat(),
        1,
        "empty has 0 usable images, and at least 1 is needed",
    );
}

#[test]
fn bad_models_are_refused() {
    let place = Place::new(&sharpener(2, 0.5, 0.0));
    let with = |model, output| ["run", model, "-c", "photos", "-o", output];
    place.fails(&with("nowhere", "out"), 1, "cannot read nowhere");
    place.fails(&with("photos/000.png", "out"), 1, "not a model file");
    place.fails(&with("model.f32", "model.f32"), 1, "is the input");
    place.fails(&with("model.f32", "no/folder/out"), 1, "make the folder first");
    place.fails(&with("model.f32", "photos"), 1, "cannot write photos");

    let bytes = std::fs::read(place.path("model.f32")).unwrap();
    std::fs::write(place.path("cut"), &bytes[..bytes.len() - 7]).unwrap();
    place.fails(&with("cut", "out"), 1, "model is truncated");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    std::fs::write(place.path("flipped"), &flipped).unwrap();
    place.fails(&with("flipped", "out"), 1, "model is damaged");
    std::fs::write(place.path("zero"), "").unwrap();
    place.fails(&with("zero", "out"), 1, "model is truncated");

    assert_eq!(place.run(&RUN).status.code(), Some(0));
    place.fails(&with("model.int8", "out"), 1, "already quantized");

    let other = sharpener(3, 0.5, 0.0);
    std::fs::write(place.path("x3"), other.to_bytes()).unwrap();
    place.fails(&["check", "x3", "model.int8", "photos"], 1, "differ in upscaling factor: 3 and 2");
    place.fails(&["inspect", "model.f32", "--width", "0"], 1, "width 0 is not in");
    place.fails(&["inspect", "cut"], 1, "model is truncated");
}

#[test]
fn a_prepared_model_is_quantized_with_its_types() {
    let place = Place::new(&random(graph(&Config::edge(2, 8, 1)), 3));
    let prepare = ["prepare", "model.f32", "-c", "photos", "-o", "prepared.f32"];
    assert_eq!(place.run(&prepare).status.code(), Some(0));
    let prepared = load(&place.path("prepared.f32"));
    assert!(!prepared.is_quantized() && prepared.meta("quantize.types").is_some());
    let run = ["run", "prepared.f32", "-c", "photos", "-o", "model.int8", "--max-drop-db", "9"];
    let against = [&run[..], &["--against", "model.f32", "--json"]].concat();
    let result = json(&place.run(&against));
    assert_eq!(result["written"], true);
    assert_eq!(load(&place.path("model.int8")).meta("quantize.types"), None);
    let held_out = result["images"][0]["psnr_f32_db"].as_f64().unwrap();
    let check = json(&place.run(&["check", "model.f32", "model.int8", "photos", "--json"]));
    let images = check["images"].as_array().unwrap();
    assert!(
        images.iter().any(|i| i["psnr_f32_db"].as_f64() == Some(held_out)),
        "measured against that model"
    );
    std::fs::remove_file(place.path("model.int8")).unwrap();

    let metadata = vec![("quantize.types".into(), "input i8:1".into())];
    std::fs::write(place.path("wrong.f32"), prepared.with_metadata(metadata).unwrap().to_bytes()).unwrap();
    place.fails(&["run", "wrong.f32", "-c", "photos", "-o", "out"], 1, "`mcir-quantize prepare`");
    place.fails(&["prepare", "model.f32", "-c", "photos", "-o", "model.f32"], 1, "is the input");
}

#[test]
fn models_for_tensorrt_are_symmetric() {
    let place = Place::new(&random(graph(&Config::edge(2, 8, 1)), 4));
    let symmetric = ["run", "model.f32", "-c", "photos", "--max-drop-db", "9", "--for", "tensorrt", "-o"];
    let done = |output: Output| assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    done(place.run(&[&symmetric[..], &["model.trt"]].concat()));
    done(place.run(&["export-onnx", "model.trt", "--for", "tensorrt", "-o", "model.onnx"]));
    done(place.run(&[&RUN[..], &["--max-drop-db", "9"]].concat()));
    let export = ["export-onnx", "model.int8", "--for", "tensorrt", "-o", "x.onnx"];
    place.fails(&export, 1, "`mcir-quantize run --for tensorrt`");
    let sums = ["export-onnx", "model.trt", "--for", "tensorrt", "--sums", "int16", "-o", "x.onnx"];
    place.fails(&sums, 1, "no 16-bit sums");
    place.fails(&[&symmetric[..], &["x.trt", "--winograd"]].concat(), 1, "leave out one");
    // Types that were prepared for this engine are not TensorRT's; those that were prepared for it are.
    done(place.run(&["prepare", "model.f32", "-c", "photos", "-o", "model.prepared"]));
    let tuned = ["run", "model.prepared", "-c", "photos", "--for", "tensorrt", "-o", "x.trt"];
    place.fails(&tuned, 1, "`prepare --for tensorrt`");
    done(place.run(&["prepare", "model.f32", "-c", "photos", "--for", "tensorrt", "-o", "model.prepared"]));
    done(place.run(&[&tuned[..], &["--max-drop-db", "9", "--write-failed"]].concat()));
    done(place.run(&["export-onnx", "x.trt", "--for", "tensorrt", "-o", "tuned.onnx"]));
}

#[test]
fn damaged_weights_are_refused() {
    let model = sharpener(2, 0.5, 0.0);
    let place = Place::new(&model);
    let mut bytes = std::fs::read(place.path("model.f32")).unwrap();
    // The first weight becomes NaN, and the checksum (all bytes but its own four) is right again.
    let weights = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    bytes[weights..weights + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..20]);
    crc.update(&bytes[24..]);
    bytes[20..24].copy_from_slice(&crc.finalize().to_le_bytes());
    std::fs::write(place.path("nan"), &bytes).unwrap();
    place.fails(&["run", "nan", "-c", "photos", "-o", "out"], 1, "of node 1 is not an allowed value");
}
