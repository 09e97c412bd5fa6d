//! Recordings of `mcir-board camera`: whatever ends them, they end at their last whole frame.

#![cfg(unix)]

mod support;

// Neither a disk that cannot be written to nor little memory is tried here.
#[allow(dead_code, reason = "shared by several test programs")]
#[path = "../../tests/src/limits.rs"]
mod limits;

#[allow(dead_code, reason = "shared with the test of everything else about cameras")]
#[path = "support/camera.rs"]
mod helpers;

use helpers::{Guard, header_and_frames, run, wait, yuv};
use limits::Limit;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, Run, arg, camera, skip};

/// Frames of a recording, which must be whole.
fn frames_of(path: &Path) -> usize {
    header_and_frames(&std::fs::read(path).unwrap()).1
}

/// Starts a camera that waits for ever after some frames, and waits until these are recorded.
fn recording(folder: &Folder, frames: usize, output: &Path) -> Guard {
    folder.script("rpicam-vid", &yuv(frames, "exec sleep 600"));
    let model = folder.model("m", 2);
    let args =
        ["--source", "rpicam:", "--size", "64x4", "--drop", "never", "-m", arg(&model), "-o", arg(output)];
    let child = camera(folder, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let part = output.with_extension("y4m.part");
    let whole = (frames * (6 + 128 * 8 * 3 / 2)) as u64;
    let start = Instant::now();
    // And not what an earlier one has left.
    while !part.metadata().is_ok_and(|m| (whole..whole + 1000).contains(&m.len())) {
        assert!(start.elapsed() < Duration::from_secs(60), "the frames are recorded");
        std::thread::sleep(Duration::from_millis(20));
    }
    Guard(child)
}

#[test]
fn a_recording_ends_at_its_last_whole_frame_whatever_ends_it() {
    let folder = Folder::new();
    let output = folder.path("o.y4m");
    for (frames, signal) in [(3, "-HUP"), (4, "-INT"), (5, "-TERM")] {
        let mut child = recording(&folder, frames, &output);
        Command::new("kill").args([signal, &child.0.id().to_string()]).status().unwrap();
        assert_eq!(wait(&mut child.0), Some(0), "{signal}");
        assert_eq!(frames_of(&output), frames, "{signal}");
    }
    // Killed, and started again under the same name.
    let mut child = recording(&folder, 6, &output);
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    let part = std::fs::OpenOptions::new().append(true).open(folder.path("o.y4m.part"));
    part.unwrap().write_all(b"FRAME\nhalf of one").unwrap();
    let mut child = recording(&folder, 2, &output);
    Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().unwrap();
    assert_eq!(wait(&mut child.0), Some(0));
    assert_eq!((frames_of(&folder.path("o-1.y4m")), frames_of(&output)), (6, 2));
    assert!(!folder.path("o.y4m.part").exists());
}

#[test]
fn a_full_disk_ends_a_recording_and_not_what_is_in_it() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let source = format!("file:{}", arg(&folder.y4m("in.y4m", 160, 120, 20)));
    std::fs::create_dir(folder.path("disk")).unwrap();
    let output = folder.path("disk/o.y4m");
    let program = Path::new(env!("CARGO_BIN_EXE_mcir-board"));
    let args = ["camera", "--source", &source, "-m", arg(&model), "-o", arg(&output)];
    let disk = folder.path("disk");
    let mut limits = vec![(Limit::FileSize(500), "File too large")];
    if limits::can_mount() {
        limits.push((Limit::Disk(&disk, 500), "make room there"));
    }
    for (limit, part) in limits {
        let run = Run::of(limits::run(limit, program, &args));
        run.fails(1, &["o.y4m", part]);
        // A frame has 115 kB.
        assert_eq!(frames_of(&output), 4, "{limit:?}");
        std::fs::remove_file(&output).unwrap();
    }
    // As numbered files, too, and the next recording leaves them what they are.
    let args = ["camera", "--source", &source, "-m", arg(&model), "-o", arg(&disk), "-f", "bmp"];
    Run::of(limits::run(Limit::FileSize(500), program, &args)).succeeds();
    run(&folder, &args[1..]).succeeds();
    assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 40);
}

#[test]
fn a_camera_that_comes_back_with_another_size_goes_on_in_another_file() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    folder.y4m("first", 16, 8, 3);
    folder.y4m("second", 24, 8, 2);
    let script = "cd \"$(dirname \"$0\")\"; f=first; [ -e once ] && f=second; : >once; cat $f >&3; \
                  [ $f = first ] || exec sleep 600";
    folder.script("gst-launch-1.0", script);
    let output = folder.path("o.y4m");
    let args =
        ["--source", "gst:x", "-m", arg(&model), "--frames", "5", "--drop", "never", "-o", arg(&output)];
    let run = run(&folder, &args).succeeds();
    assert!(run.stderr().contains("changed from 32x16 to 48x16"), "{}", run.stderr());
    assert_eq!((frames_of(&output), frames_of(&folder.path("o-2.y4m"))), (3, 2));
}
