//! `mcir-quantize` on full and read-only disks, with little memory, and ended by signals: the model that was there
//! stays whole, nothing is left beside it, and the next start works.

#![cfg(target_os = "linux")]

#[path = "../../tests/src/limits.rs"]
mod limits;
#[path = "../../tests/src/skip.rs"]
mod skip;
mod support;

use limits::Limit;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{sharpener, write_pictures};

const OLD: &[u8] = b"the model of yesterday";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.f32"), sharpener(2, 0.5, 0.0).to_bytes()).unwrap();
        write_pictures(&folder.path().join("photos"), 6, 72, 64);
        std::fs::create_dir(folder.path().join("disk")).unwrap();
        let place = Self { folder };
        place.again();
        place
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Every verb that writes a file.
    fn commands(&self) -> Vec<Vec<String>> {
        let (model, photos) = (self.path("model.f32"), self.path("photos"));
        let (int8, page) = (self.path("disk/model.int8"), self.path("disk/page.html"));
        let (onnx, prepared) = (self.path("disk/model.onnx"), self.path("disk/prepared.f32"));
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        vec![
            words(&["run", &model, "-c", &photos, "-o", &int8]),
            words(&["run", &model, "-c", &photos, "-o", &int8, "--report", &page]),
            words(&["prepare", &model, "-c", &photos, "-o", &prepared]),
            words(&["export-onnx", &model, "-o", &onnx]),
        ]
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = std::fs::read_dir(self.folder.path().join("disk")).unwrap();
        entries.map(|e| e.unwrap().path()).map(|p| (p.clone(), std::fs::read(p).unwrap())).collect()
    }

    /// Only the old files.
    fn again(&self) {
        self.files().keys().for_each(|path| std::fs::remove_file(path).unwrap());
        for name in ["model.int8", "model.onnx", "prepared.f32"] {
            std::fs::write(self.path(&format!("disk/{name}")), OLD).unwrap();
        }
    }

    fn is_as_before(&self) -> bool {
        self.files().len() == 3 && self.files().values().all(|bytes| bytes == OLD)
    }
}

/// Exit code and messages under a limit.
fn limited(limit: Limit<'_>, args: &[String]) -> (Option<i32>, String) {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = limits::run(limit, Path::new(env!("CARGO_BIN_EXE_mcir-quantize")), &args);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!message.contains("panicked"), "{args:?} with {limit:?}: {message}");
    (output.status.code(), message)
}

fn start(args: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-quantize"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn full_and_read_only_disks() {
    if !limits::can_mount() {
        return;
    }
    let place = Place::new();
    let disk = place.folder.path().join("disk");
    for command in place.commands() {
        for (limit, message) in [
            (Limit::Disk(&disk, 0), "No space left on device"),
            (Limit::FileSize(1), "File too large"),
            (Limit::ReadOnly(&disk), "Read-only file system"),
        ] {
            let (code, text) = limited(limit, &command);
            assert_eq!(code, Some(1), "{command:?} with {limit:?}: {text}");
            assert!(text.contains(message), "{command:?} with {limit:?}: {text}");
            assert!(place.is_as_before(), "{command:?} with {limit:?}: {:?}", place.files().keys());
        }
        assert!(start(&command).status().unwrap().success());
        place.again();
    }
}

#[test]
fn without_memory_nothing_is_half_done() {
    let place = Place::new();
    let (mut failed, mut told) = (0, 0);
    for command in place.commands() {
        let command =
            if command[0] == "run" { [&command[..], &["-j".into(), "2".into()]].concat() } else { command };
        let mut works = false;
        for mib in [12, 16, 20, 24, 28, 32, 36, 40, 48, 64, 96, 128, 256, 512] {
            let (code, text) = limited(Limit::Memory(mib << 10), &command);
            if code == Some(0) {
                works = true;
                break;
            }
            println!("{} {mib} MiB: {code:?} {}", command[0], text.trim());
            failed += 1;
            told += usize::from(text.contains("memory"));
            assert!(!text.is_empty() && place.is_as_before(), "{command:?}, {mib} MiB: {text}");
        }
        assert!(works, "{command:?} does not work with 512 MiB");
        place.again();
    }
    assert!(failed >= 4 && told >= 4, "{told} of {failed} runs said that memory was short");
}

#[test]
fn signals_leave_the_old_model_or_the_new_one() {
    let place = Place::new();
    let command = place.commands().swap_remove(0);
    let begin = Instant::now();
    assert!(start(&command).status().unwrap().success());
    let whole = begin.elapsed();
    let new = std::fs::read(place.path("disk/model.int8")).unwrap();
    place.again();
    let mut hits = 0;
    for round in 1..=20 {
        let mut child = start(&command).spawn().unwrap();
        std::thread::sleep(whole.mul_f64(f64::from(round) / 20.0).max(Duration::from_millis(1)));
        hits += u32::from(child.try_wait().unwrap().is_none());
        let signal = if round % 2 == 0 { "-KILL" } else { "-TERM" };
        let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
        let _ = child.wait();
        let found = std::fs::read(place.path("disk/model.int8")).unwrap();
        assert!(found == OLD || found == new, "after {round}/20 of {whole:?}");
        if found == new {
            place.again();
        }
    }
    println!("{hits} of 20 signals came in time");
    assert!(hits >= 5, "only {hits} of 20 signals came in time");
    assert!(start(&command).status().unwrap().success());
    assert!(std::fs::read(place.path("disk/model.int8")).unwrap() == new);
}
