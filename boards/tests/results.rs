//! `mcir-board results`: pairs of runs with and without SPN.

mod support;

use std::path::{Path, PathBuf};
use support::{Folder, arg, board, model, picture};

/// A run's folder as the trainer leaves it, with an untrained model of a number of blocks.
fn run(folder: &Path, name: &str, seed: u64, spn: &str, blocks: u16) {
    let run = folder.join(name);
    std::fs::create_dir_all(&run).unwrap();
    let config = format!(
        "name = \"tiny\"\nseed = {seed}\n[data]\nhr = \"photos\"\npatch = 8\n[train]\nsteps = 10\n{spn}\n"
    );
    std::fs::write(run.join("config.toml"), config).unwrap();
    std::fs::write(run.join("log.csv"), "step,lr,loss,seconds\n10,0.1,0.2,120.0\n").unwrap();
    let network = model(&mcir_runtime::arch::edsr::Config::edge(2, 8, blocks));
    std::fs::write(run.join("model.mcir"), network.to_bytes()).unwrap();
}

fn setup(folder: &Folder) -> (PathBuf, PathBuf) {
    let (runs, data) = (folder.path("runs"), folder.path("Set2"));
    std::fs::create_dir_all(&data).unwrap();
    picture(51, 46).save(data.join("disc.png")).unwrap();
    picture(64, 64).save(data.join("square.png")).unwrap();
    for seed in [1, 2, 3] {
        run(&runs, &format!("plain-{seed}"), seed, "", 1);
        run(&runs, &format!("spn-{seed}"), seed, "[spn]\nlambda = 0.01", 2);
    }
    run(&runs, "spn-4", 4, "[spn]\nlambda = 0.01", 2);
    (runs, data)
}

#[test]
fn a_gain_is_the_difference_of_twins() {
    let folder = Folder::new();
    let (runs, data) = setup(&folder);
    let json = board(["results", arg(&runs), "--data", arg(&data), "--json"]).succeeds().json();
    assert_eq!(json["schema"], 2);
    assert_eq!(json["sets"], serde_json::json!(["Set2"]));
    let group = &json["groups"][0];
    assert_eq!(group["runs"].as_array().unwrap().len(), 7);
    let pairs = group["variants"][0]["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 3, "the fourth seed has no twin");
    let psnr = |i: usize| group["runs"][i]["scores"]["f32"][0]["psnr_y_db"].as_f64().unwrap();
    let gain = pairs[0]["f32_db"][0].as_f64().unwrap();
    assert!((gain - (psnr(3) - psnr(0))).abs() < 1e-9 && gain != 0.0, "{gain}");
    assert_eq!(pairs[0]["int8_db"], serde_json::Value::Null, "nothing was quantized");
    // The same figures as those of `compare`.
    let file = runs.join("plain-1/model.mcir");
    let compare = board(["compare", "-m", arg(&file), "--data", arg(&data), "--seconds=0.05", "--json"])
        .succeeds()
        .json();
    let expected = compare["sections"][0]["rows"][1]["psnr_y_db"].as_f64().unwrap();
    assert!((psnr(0) - expected).abs() < 1e-9);
}

#[test]
fn writes_tables_with_notes_and_plots() {
    let folder = Folder::new();
    let (runs, data) = setup(&folder);
    let notes = folder.file("notes.md", "what we think of it".as_bytes());
    let out = folder.path("RESULTS.md");
    board(["results", arg(&runs), "--data", arg(&data), "-o", arg(&out), "--notes", arg(&notes)]).succeeds();
    let text = std::fs::read_to_string(&out).unwrap();
    // Every seed has the same pair of networks: the interval has no width.
    assert!(text.contains("| **a gain** |") || text.contains("| a loss |"), "{text}");
    for part in ["what we think of it", "](RESULTS.svg)", "| plain-1 | 0 | 1 |", "λ = 0.01", "2 min"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let svg = std::fs::read_to_string(folder.path("RESULTS.svg")).unwrap();
    assert_eq!(svg.matches("<circle").count(), 3, "two of the legend, one gain: {svg}");
    assert!(svg.starts_with("<svg") && !svg.contains("NaN"));
}

#[test]
fn tables_are_made_again_from_scores_alone() {
    let folder = Folder::new();
    let (runs, data) = setup(&folder);
    let (first, again, scores) = (folder.path("A.md"), folder.path("B.md"), folder.path("scores.json"));
    board(["results", arg(&runs), "--data", arg(&data), "-o", arg(&first), "--save-scores", arg(&scores)])
        .succeeds();
    std::fs::remove_dir_all(&runs).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    board(["results", "--scores", arg(&scores), "-o", arg(&again)]).succeeds();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(text(&first).replace("A.svg", "B.svg"), text(&again));
    assert_eq!(text(&folder.path("A.svg")), text(&folder.path("B.svg")));
    let whole = text(&scores);
    std::fs::write(
        &scores,
        whole.replace("\"sets\": [\n    \"Set2\"", "\"sets\": [\n    \"Set2\", \"Set3\""),
    )
    .unwrap();
    board(["results", "--scores", arg(&scores)]).fails(1, &["its lists do not fit each other", "help:"]);
    std::fs::write(&scores, "{}").unwrap();
    board(["results", "--scores", arg(&scores)]).fails(1, &["holds no scores"]);
}

#[test]
fn says_what_is_wrong_with_runs() {
    let folder = Folder::new();
    let (runs, data) = setup(&folder);
    let empty = folder.path("empty");
    std::fs::create_dir(&empty).unwrap();
    board(["results", arg(&empty), "--data", arg(&data)])
        .fails(1, &["there is no training run in the folder"]);
    std::fs::write(runs.join("spn-2/config.toml"), "seed = = 2").unwrap();
    board(["results", arg(&runs), "--data", arg(&data)]).fails(1, &["config.toml cannot be read", "help:"]);
}

/// The page in the repository is what its command makes of the scores beside it.
#[test]
fn the_page_of_the_evidence_is_made_from_its_scores() {
    let evidence = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/evidence");
    let folder = Folder::new();
    let out = folder.path("RESULTS.md");
    let (scores, notes) = (evidence.join("scores.json"), evidence.join("NOTES.md"));
    board(["results", "--scores", arg(&scores), "--notes", arg(&notes), "-o", arg(&out)]).succeeds();
    for name in ["RESULTS.md", "RESULTS.svg"] {
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert!(
            read(&evidence.join(name)) == read(&folder.path(name)),
            "{name} is not what the command writes"
        );
    }
}
