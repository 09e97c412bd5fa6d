//! A run that is killed, interrupted or that finds the disk full goes on as if nothing had happened: no step is lost
//! or done twice, and the result is the same to the bit.
#![cfg(unix)]

use mcir_trainer::checkpoint::Checkpoint;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// More steps than a run does between two looks at it.
const STEPS: usize = 400;

struct Runs {
    root: tempfile::TempDir,
}

impl Runs {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let images = root.path().join("images");
        std::fs::create_dir(&images).expect("made");
        for k in 0..2u32 {
            let pixel = |x: u32, y: u32| image::Rgb([(x * (5 + k) + y) as u8, (y * 7) as u8, (x * y) as u8]);
            image::RgbImage::from_fn(40, 36, pixel).save(images.join(format!("{k}.png"))).expect("saved");
        }
        Self { root }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The small SPN run, begun or continued.
    fn command(&self, name: &str) -> Command {
        let folder = self.folder(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-train"));
        command.args(["train", "--no-progress", "-o"]).arg(&folder);
        if folder.join("checkpoint.bpk").exists() || folder.join("checkpoint.prev.bpk").exists() {
            command.arg("--resume");
        } else {
            command.args(["-p", "edsr-edge-x2", "--seed", "3", "--lambda", "0.003"]);
            command.arg("--steps").arg(STEPS.to_string()).arg("--data").arg(self.folder("images"));
            for setting in [
                "train.batch=2",
                "train.warmup=3",
                "train.save_every=4",
                "train.log_every=1",
                "data.patch=12",
                "model.num_feat=8",
                "model.num_block=1",
                "spn.steps=[3,5]",
                "spn.features.layers=['relu1_1']",
                "spn.features.weights=[1.0]",
            ] {
                command.args(["--set", setting]);
            }
        }
        command.env("RAYON_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end; what it wrote to its standard error.
    fn finish(&self, name: &str) -> String {
        let output = self.command(name).output().expect("started");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        text
    }

    /// Starts it and waits until the log has `rows` rows, or the run is over.
    fn start(&self, name: &str, rows: usize) -> Child {
        let mut child = self.command(name).spawn().expect("started");
        while self.rows(name).len() < rows && child.try_wait().expect("its state").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child
    }

    /// The log without the times.
    fn rows(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder(name).join("log.csv")).unwrap_or_default();
        let row = |line: &str| line.rsplit_once(',').map_or(String::new(), |(row, _)| row.to_string());
        text.lines().skip(1).map(row).collect()
    }

    fn assert_same(&self, name: &str, whole: &str) {
        assert_eq!(self.rows(name), self.rows(whole));
        // The optimizer's record has no fixed order; that it was restored shows in the weights after it.
        let state = |name: &str| {
            let Checkpoint { step, net, ema, negatives, .. } =
                Checkpoint::load(&self.folder(name)).expect("loaded");
            (step, net, ema, negatives)
        };
        assert!(state(name) == state(whole), "the weights of {name} differ from those of {whole}");
        for file in ["model.mcir", "config.toml"] {
            let read = |name: &str| std::fs::read(self.folder(name).join(file)).expect("read");
            assert!(read(name) == read(whole), "{file} of {name} differs from that of {whole}");
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn killed_interrupted_or_out_of_disk_it_goes_on_as_if_nothing_had_happened() {
    let runs = Runs::new();
    runs.finish("whole");
    let steps: Vec<String> = (1..=STEPS).map(|s| s.to_string()).collect();
    let logged = runs.rows("whole");
    let logged: Vec<&str> = logged.iter().filter_map(|row| row.split(',').next()).collect();
    assert_eq!(logged, steps);

    // Before the first checkpoint, soon after one, and further on; the last kills come wherever the run is by then.
    let mut killed = 0;
    for rows in [1, 5, 40, 80, 120, 170, 220, 270] {
        let mut child = runs.start("killed", rows);
        child.kill().expect("killed");
        killed += usize::from(child.wait().expect("ended").code().is_none());
    }
    assert!(killed >= 3, "only {killed} runs were still alive to be killed: raise STEPS");
    runs.finish("killed");
    runs.assert_same("killed", "whole");

    // Ctrl-C saves first, so that the next run begins at the very step.
    let child = runs.start("interrupted", 10);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("sent");
    assert!(sent.success());
    let output = child.wait_with_output().expect("ended");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some(), "it ends by itself: {text}");
    let done = runs.rows("interrupted").len();
    assert!((10..STEPS).contains(&done), "{done} steps before it stopped: {text}");
    copy(&runs.folder("interrupted"), &runs.folder("full"));
    let text = runs.finish("interrupted");
    assert!(text.contains(&format!("steps {done} to {STEPS}")), "{text}");
    runs.assert_same("interrupted", "whole");

    // So does what a job scheduler sends.
    let child = runs.start("ended", 10);
    let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("sent");
    assert!(sent.success());
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let saved = Checkpoint::load(&runs.folder("ended")).expect("saved").step;
    assert_eq!(saved as usize, runs.rows("ended").len());

    // A disk without space, which Linux has as a device.
    if !Path::new("/dev/full").exists() {
        eprintln!("the full disk is not tested: this system has no /dev/full");
        return;
    }
    let folder = runs.folder("full");
    let before = std::fs::read(folder.join("checkpoint.bpk")).expect("read");
    std::os::unix::fs::symlink("/dev/full", folder.join("checkpoint.bpk.tmp")).expect("linked");
    let output = runs.command("full").output().expect("started");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("No space left") && text.contains("earlier checkpoint is still there"), "{text}");
    assert!(std::fs::read(folder.join("checkpoint.bpk")).expect("read") == before);
    runs.finish("full");
    runs.assert_same("full", "whole");
}
