//! Every JSON that `mcir-train` prints is as its schema in `tests/schemas/` says, with no field more; and scores in parts.

#[path = "../../tests/src/schema.rs"]
#[allow(dead_code, reason = "shared by test programs of several crates")]
mod schema;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-train"));
    command.current_dir(folder).args(args).env("RAYON_NUM_THREADS", "1").output().expect("started")
}

#[track_caller]
fn is(folder: &Path, name: &str, args: &[&str]) -> Value {
    let output = run(folder, &[args, &["--json"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"));
    schema::check(name, &value);
    value
}

fn image(path: &Path, seed: u32) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    let pixel = |x: u32, y: u32| image::Rgb([(x * (5 + seed) + y) as u8, (y * 7) as u8, (x * y) as u8]);
    image::RgbImage::from_fn(40, 36, pixel).save(path).expect("saved");
}

const SMALL: [&str; 18] = [
    "-p",
    "edsr-edge-x2",
    "--data",
    "images",
    "--val",
    "images",
    "--steps",
    "2",
    "--batch",
    "2",
    "--no-progress",
    "--set",
    "data.patch=12",
    "--set",
    "model.num_feat=8",
    "--set",
    "model.num_block=1",
    "--set=train.warmup=0",
];

#[test]
fn verbs() {
    let root = tempfile::tempdir().expect("a folder");
    let at = root.path();
    (0..2).for_each(|k| image(&at.join(format!("images/{k}.png")), k));
    is(at, "train-train", &[&["train", "-o", "a"], &SMALL[..]].concat());
    is(at, "train-train", &[&["train", "-o", "b", "--from", "a"], &SMALL[..]].concat());
    let planned = is(at, "train-configuration", &[&["train", "--dry-run", "-o", "c"], &SMALL[..]].concat());
    assert_eq!((&planned["name"], &planned["config"]["train"]["steps"]), (&"edsr-edge-x2".into(), &2.into()));
    let plan = "[[plain]]\nname = \"x2\"\npreset = \"edsr-edge-x2\"\n[[arm]]\nname = \"fast\"\nof = \"x2\"\nseeds = [1, 2]\n\
                set = [\"train.lr=2e-3\"]\n";
    std::fs::write(at.join("plan.toml"), plan).expect("written");
    let study = is(at, "train-study", &["study", "plan.toml", "--data", "images", "-o", "s", "--dry-run"]);
    assert_eq!(study["runs"].as_array().map(Vec::len), Some(4));
    assert_eq!(study["runs"][0]["done"], false);
    // Lines would follow each other while it trains: they are for those who look on.
    let small = [
        "train.steps=2",
        "train.batch=2",
        "train.warmup=0",
        "data.patch=12",
        "model.num_feat=8",
        "model.num_block=1",
    ];
    let small = small.map(|setting| ["--set", setting]).concat();
    let carry_out = ["study", "plan.toml", "--data", "images", "--val", "images", "-o", "s", "--no-progress"];
    let carry_out = [&carry_out[..], &small[..]].concat();
    let study = is(at, "train-study", &[&carry_out[..], &["--only", "fast"]].concat());
    for run in study["runs"].as_array().expect("a list") {
        assert!(run["done"] == true && run["diverged"] == false, "{run}");
        assert!(run["scores"][0]["psnr_y_db"].is_number() && run["steps_per_s"].is_number(), "{run}");
    }
    // What is done is not done again; with -q there is nothing but the result.
    let again = is(at, "train-study", &[&carry_out[..], &["-q"]].concat());
    assert!(
        again["runs"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|run| run["done"] == true && run["scores"].is_null()),
        "{again}"
    );
    let quiet = run(at, &[&carry_out[..], &["-q", "--json"]].concat());
    assert!(quiet.stderr.is_empty(), "{}", String::from_utf8_lossy(&quiet.stderr));
    is(at, "train-model", &["export", "-i", "a", "-o", "a.mcir"]);
    is(at, "train-model", &["blend", "a", "b", "--strength", "0.5", "--name", "c", "-o", "c.mcir"]);
    is(at, "train-ablate", &[&["ablate", "-o", "grid", "--seeds", "1,2"], &SMALL[..]].concat());
    is(at, "train-degrade", &["degrade", "--data", "images", "-s", "2", "-o", "damaged"]);
    is(at, "error", &["eval", "-m", "nothing", "--data", "images"]);
    is(at, "error", &["eval", "--no-such-option"]);
    let scores = is(at, "train-eval", &["eval", "-m", "a", "--data", "damaged"]);
    assert_eq!(scores["skipped"], 0);

    // In parts, as on several machines, and then the table of all, which is that of one run.
    image(&at.join("images/more/2.png"), 9);
    let whole = is(at, "train-eval", &["eval", "-m", "a", "--data", "images", "-r"]);
    let parts = ["eval", "-m", "a", "--data", "images", "-r", "--scores", "scores", "--skip-existing"];
    for part in ["1/2", "2/2"] {
        is(at, "train-eval", &[&parts[..], &["--shard", part]].concat());
    }
    let merged = is(at, "train-eval", &parts);
    assert_eq!((&merged["scores"], &merged["skipped"]), (&whole["scores"], &Value::from(3)));
    let kept = std::fs::read_to_string(at.join("scores/more/2.png.json")).expect("a score");
    schema::check("train-score", &serde_json::from_str(&kept).expect("JSON"));
    let other =
        run(at, &["eval", "-m", "b", "--data", "images", "-r", "--scores", "scores", "--skip-existing"]);
    let message = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(1) && message.contains("the score of another network"), "{message}");
    let alone = run(at, &["eval", "-m", "a", "--data", "images", "--skip-existing"]);
    assert_eq!(alone.status.code(), Some(2), "--skip-existing needs --scores");
}
