//! What the program prints and refuses, as its user meets it.

use mcir_trainer::config::Config;
use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-train"));
    command.current_dir(folder).args(args).env("RAYON_NUM_THREADS", "1").output().expect("started")
}

fn images(folder: &Path) {
    std::fs::create_dir(folder).expect("made");
    for k in 0..2u32 {
        let pixel = |x: u32, y: u32| image::Rgb([(x * (5 + k) + y) as u8, (y * 7) as u8, (x * y) as u8]);
        image::RgbImage::from_fn(40, 36, pixel).save(folder.join(format!("{k}.png"))).expect("saved");
    }
}

/// A run of four steps of a small network.
const SMALL: [&str; 22] = [
    "-p",
    "edsr-edge-x2",
    "--data",
    "images",
    "--val",
    "images",
    "--steps",
    "4",
    "--batch",
    "2",
    "--set",
    "data.patch=12",
    "--set",
    "model.num_feat=8",
    "--set",
    "model.num_block=1",
    "--set",
    "train.warmup=0",
    "--set",
    "spn.features.layers=['relu1_1']",
    "--set",
    "spn.features.weights=[1.0]",
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_grid_is_continued_compared_and_never_mixed() {
    let root = tempfile::tempdir().expect("a folder");
    images(&root.path().join("images"));
    let ablate = |more: &[&str]| {
        run(
            root.path(),
            &[&["ablate", "--no-progress", "--seeds", "1,2", "-o", "grid"], &SMALL[..], more].concat(),
        )
    };
    let cases =
        ["--case", "spn.negative=none", "--case", "spn.lambda=0.02 spn.steps=[1]", "--lambda", "0.01"];
    let first = ablate(&cases);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let table = text(&first.stdout);
    assert_eq!(table, std::fs::read_to_string(root.path().join("grid/table.md")).expect("written"));
    let rows: Vec<&str> = table.lines().skip(2).collect();
    assert!(rows[0].starts_with("| spn.negative=none | 2 | 0 |"), "{table}");
    assert!(rows[1].starts_with("| spn.lambda=0.02 spn.steps=[1] | 2 | 0 |"), "{table}");
    let log = root.path().join("grid/spn.negative=none_seed=1/log.csv");
    let before = std::fs::read_to_string(&log).expect("a log");
    assert!(text(&first.stderr).contains("warning: no feature network given"), "{}", text(&first.stderr));

    // The same again computes nothing, and has the differences as JSON.
    let again = ablate(&[&cases[..], &["--json", "-q"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(json["complete"], true);
    let row = &json["rows"][1];
    let psnr = |row: &serde_json::Value, run: usize| {
        row["runs"][run]["scores"][0]["psnr_y_db"].as_f64().expect("a number")
    };
    let difference = |run| psnr(row, run) - psnr(&json["rows"][0], run);
    let found = row["sets"][0]["against_first"]["psnr_y_db"].as_f64().expect("a number");
    assert!((found - (difference(0) + difference(1)) / 2.0).abs() < 1e-9, "{json}");
    assert_eq!(std::fs::read_to_string(&log).expect("a log"), before);

    let other = ablate(&[&cases[..], &["--set", "train.lr=0.002"]].concat());
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("train.lr (0.001, 0.002)"), "{}", text(&other.stderr));
    let twice = ablate(&["--case", "seed=1", "--case", "seed=1"]);
    assert!(text(&twice.stderr).contains("the same or share a folder"), "{}", text(&twice.stderr));
}

#[test]
fn a_dry_run_prints_the_configuration_and_leaves_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let output =
        run(root.path(), &["train", "--dry-run", "-p", "swinir-light-x4", "--lambda", "1e-4", "-o", "a"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config = Config::resolve(None, &text(&output.stdout), &[]).expect("a configuration");
    assert_eq!(
        (config.train.steps, config.train.batch, config.spn.expect("set").lambda),
        (250_000, 64, 1e-4)
    );
    let output = run(root.path(), &["train", "--dry-run", "--json", "-p", "edsr-edge-x2"]);
    let json: serde_json::Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    assert_eq!((&json["name"], &json["config"]["model"]["arch"]), (&"edsr-edge-x2".into(), &"edsr".into()));
    assert_eq!(std::fs::read_dir(root.path()).expect("listed").count(), 0);
    let output = run(root.path(), &["train", "-p", "edsr-edge-x2"]);
    assert_eq!(output.status.code(), Some(2), "no folder to write to");
}

#[test]
fn starting_from_other_weights_is_told() {
    let root = tempfile::tempdir().expect("a folder");
    images(&root.path().join("images"));
    let train = |more: &[&str]| run(root.path(), &[&["train", "--no-progress"], &SMALL[..], more].concat());
    let first = train(&["-o", "a"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("done after 4 steps ("), "{}", text(&first.stdout));
    let all = train(&["-o", "b", "--from", "a"]);
    assert!(text(&all.stderr).contains("10 of 10 tensors start from a\n"), "{}", text(&all.stderr));
    let some = train(&["-o", "c", "--from", "a/model.mcir", "--set", "model.num_block=6"]);
    assert!(text(&some.stderr).contains("warning: only 10 of 30 tensors"), "{}", text(&some.stderr));
    let evaluated = run(root.path(), &["eval", "-m", "a", "--data", "images"]);
    assert!(text(&evaluated.stdout).contains("average"), "{}", text(&evaluated.stderr));
}

/// From photographs to a network that takes haze away, at one size.
#[test]
fn a_restoration_network_goes_from_photographs_to_its_score() {
    let root = tempfile::tempdir().expect("a folder");
    images(&root.path().join("images"));
    let ok = |args: &[&str]| {
        let output = run(root.path(), args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    // The size stays without a word, and the same seed makes the same files.
    let made = ok(&["degrade", "--data", "images", "-p", "haze", "-o", "set"]);
    assert!(made.starts_with("2 pairs in set"), "{made}");
    ok(&["degrade", "--data", "images", "-p", "haze", "-o", "again"]);
    // A second set in the same folder would be mixed with the first; another factor of the same originals is no other set.
    let mixed = run(root.path(), &["degrade", "--data", "images", "-p", "rain", "-o", "again"]);
    assert!(!mixed.status.success() && text(&mixed.stderr).contains("--force"), "{}", text(&mixed.stderr));
    ok(&["degrade", "--data", "images", "-p", "haze", "-o", "again", "--force"]);
    let list = |folder: &str| {
        std::fs::read_to_string(root.path().join(folder).join("degradations.csv")).expect("a list")
    };
    assert_eq!(list("set"), list("again"));
    assert!(list("set").contains("\"haze "), "{}", list("set"));
    let small = ["--steps", "2", "--batch", "2", "--set", "data.patch=12", "--set", "train.warmup=0"];
    let train = ["train", "-p", "ffanet-edge", "--data", "images", "--no-progress", "-o", "run"];
    let refused = run(root.path(), &[&train[..], &small[..]].concat());
    assert!(text(&refused.stderr).contains("--set data.degrade=haze"), "{}", text(&refused.stderr));
    let done = ok(&[&train[..], &small[..], &["--val", "images", "--set", "data.degrade=haze"]].concat());
    assert!(done.contains("images degraded: PSNR-Y ") && done.contains(" dB before)"), "{done}");
    let scores = ok(&["eval", "-m", "run/model.mcir", "--data", "set"]);
    assert!(scores.contains("PSNR-RGB dB") && scores.contains("dehazing and deblurring are RGB"), "{scores}");
    assert_eq!(scores.lines().count(), 5, "{scores}");
    let json = ok(&["eval", "-m", "run/model.mcir", "--data", "set", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["upscale"], 1);
    for key in ["psnr_rgb_db", "ssim_rgb", "input_psnr_rgb_db"] {
        assert!(json["scores"][key].is_number() && json["scores"]["images"][1][key].is_number(), "{json}");
    }
}

/// `mcir-train … 2>&1 | head -1`: who reads no more does not end hours of training.
#[test]
fn a_training_goes_on_when_nobody_reads_what_it_prints() {
    use std::process::Stdio;
    let root = tempfile::tempdir().expect("a folder");
    images(&root.path().join("images"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let args = [&["train", "--no-progress", "-o", "run"], &SMALL[..]].concat();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-train"));
    command.current_dir(root.path()).args(args).env("RAYON_NUM_THREADS", "1");
    let end = command.stdout(writer.try_clone().expect("cloned")).stderr(Stdio::from(writer)).status();
    assert!(end.expect("started").success());
    assert!(root.path().join("run/model.mcir").exists());
    // A full disk is no reader that went away.
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-train"));
    command.current_dir(root.path()).args(["eval", "-m", "run/model.mcir", "--data", "images"]);
    let output = command.stdout(full).output().expect("started");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("No space left on device")
            && !text(&output.stderr).contains("panicked")
    );
}
