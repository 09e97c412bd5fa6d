//! `mcir-board` on full and read-only disks, with little memory, and ended by signals: no half file, what was there
//! stays, the message says why, and the next start works.

#![cfg(target_os = "linux")]

#[path = "../../tests/src/limits.rs"]
mod limits;
mod support;

use limits::Limit;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::skip;
use support::{Folder, Run, arg, board};

/// A folder `disk` with old outputs in it, and inputs beside it.
struct Place {
    folder: Folder,
    model: PathBuf,
}

/// What a disk holds: every file with its bytes.
type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Place {
    fn new() -> Self {
        let folder = Folder::new();
        let model = folder.named_model("one", 2);
        for name in ["disk", "in"] {
            std::fs::create_dir(folder.path(name)).unwrap();
        }
        noise(96, 80).save(folder.path("in/a.png")).unwrap();
        noise(64, 64).save(folder.path("in/b.png")).unwrap();
        folder.y4m("in.y4m", 96, 80, 12);
        for old in ["disk/out.png", "disk/out.y4m", "disk/x.bundle"] {
            folder.file(old, b"what was there before");
        }
        Self { folder, model }
    }

    fn path(&self, name: &str) -> String {
        arg(&self.folder.path(name)).to_owned()
    }

    /// Everything that writes a file of its own, with the exit code for a failure.
    fn commands(&self) -> Vec<Vec<String>> {
        let (input, folder, model) = (self.path("in/a.png"), self.path("in"), arg(&self.model).to_owned());
        let source = format!("file:{}", self.path("in.y4m"));
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        vec![
            words(&["upscale", "-q", "-i", &input, "-o", &self.path("disk/out.png"), "-m", &model]),
            words(&["upscale", "-q", "-i", &input, "-o", &self.path("disk/new.bmp"), "-m", &model]),
            words(&["camera", "--source", &source, "-m", &model, "-o", &self.path("disk/out.y4m")]),
            words(&["camera", "--source", &source, "-m", &model, "-o", &self.path("disk/new.y4m")]),
            words(&["bundle", "-m", &model, "--data", &folder, "-o", &self.path("disk/x.bundle")]),
        ]
    }

    fn files(&self) -> Files {
        files(&self.folder.path("disk"))
    }

    /// The model that runs on the board in `disk/board`.
    fn runs(&self) -> String {
        let target = format!("local:{}", self.path("disk/board"));
        let json = board(["status", "--verify", "--target", &target, "--json"]).succeeds().json();
        assert_eq!(json["verified"].as_bool(), Some(true));
        json["status"]["current"]["manifest"]["name"].as_str().unwrap().to_owned()
    }

    /// Flashes a bundle of this model to `disk/board`, or says how.
    fn flash(&self, name: &str) -> Vec<String> {
        self.folder.named_model(name, 2);
        let (model, bundle) = (self.path(&format!("{name}.mcir")), self.path(&format!("{name}.bundle")));
        let data = self.path("in");
        board(["bundle", "-m", &model, "-o", &bundle, "--data", &data]).succeeds();
        ["flash", &bundle, "--target", &format!("local:{}", self.path("disk/board"))].map(String::from).into()
    }
}

/// Pixels that no format makes smaller.
fn noise(width: u32, height: u32) -> image::RgbImage {
    let mut state = 1_u32;
    image::RgbImage::from_fn(width, height, |_, _| {
        image::Rgb([0; 3].map(|_: u8| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    })
}

fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files.extend(self::files(&path));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            files.insert(path, bytes);
        }
    }
    files
}

fn limited(limit: Limit<'_>, args: &[String]) -> Run {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Run::of(limits::run(limit, Path::new(env!("CARGO_BIN_EXE_mcir-board")), &args))
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    if !limits::can_mount() {
        return;
    }
    let place = Place::new();
    let (disk, before) = (place.folder.path("disk"), place.files());
    for command in place.commands() {
        // Less than a block, and room for some of it.
        for room in [0, 24] {
            let run = limited(Limit::Disk(&disk, room), &command).fails(1, &["No space left on device"]);
            // Another format would not help.
            assert!(!run.stderr().contains("format"), "{}", run.stderr());
            assert!(place.files() == before, "{command:?} with {room} KiB: {:?}", place.files().keys());
        }
        limited(Limit::FileSize(24), &command).fails(1, &["File too large"]);
        assert!(place.files() == before, "{command:?}: {:?}", place.files().keys());
        board(&command).succeeds();
        place
            .files()
            .keys()
            .filter(|p| !before.contains_key(*p))
            .for_each(|p| std::fs::remove_file(p).unwrap());
        before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }

    // Of a series, what was complete before the disk was full stays.
    let source = format!("file:{}", place.path("in.y4m"));
    let frames = place.path("disk/frames");
    let camera = ["camera", "--source", &source, "-m", arg(&place.model), "-o", &frames, "-f", "bmp"];
    let camera = camera.map(String::from);
    limited(Limit::Disk(&disk, 300), &camera).fails(1, &["No space left on device"]);
    let left: Vec<_> = files(Path::new(&frames)).into_keys().collect();
    assert!((1..12).contains(&left.len()), "{left:?}");
    let count = left.len();
    for path in left {
        let image = image::open(&path).unwrap();
        assert_eq!((image.width(), image.height()), (192, 160), "{}", path.display());
    }
    // The next recording goes on behind them.
    board(&camera).succeeds();
    assert_eq!(files(Path::new(&frames)).len(), 12 + count);
}

#[test]
fn a_full_disk_does_not_change_what_runs_on_a_board() {
    if !limits::can_mount() {
        return;
    }
    let place = Place::new();
    board(place.flash("one")).succeeds();
    let flash = place.flash("two");
    let disk = place.folder.path("disk");
    // Nothing fits; the parts are refused before they are sent; files end in the middle.
    for (limit, message) in [
        (Limit::Disk(&disk, 0), "bytes free, but"),
        (Limit::Disk(&disk, 512), "bytes free, but"),
        (Limit::FileSize(1), "File too large"),
        (Limit::FileSize(8), "File too large"),
    ] {
        let run = limited(limit, &flash);
        println!("{limit:?}: {}", run.stderr());
        run.fails(1, &[message]);
        assert_eq!(place.runs(), "one", "{limit:?}");
    }
    board(&flash).succeeds();
    assert_eq!(place.runs(), "two");
}

#[test]
fn a_read_only_disk_is_named() {
    if !limits::can_mount() {
        return;
    }
    let place = Place::new();
    board(place.flash("one")).succeeds();
    let flash = place.flash("two");
    let (disk, before) = (place.folder.path("disk"), place.files());
    let series =
        ["camera", "--source", &format!("file:{}", place.path("in.y4m")), "-m", arg(&place.model), "-o"];
    let series: Vec<_> = series.into_iter().map(String::from).chain([place.path("disk/frames")]).collect();
    for command in place.commands().into_iter().chain([series, flash]) {
        limited(Limit::ReadOnly(&disk), &command).fails(1, &["Read-only file system"]);
        assert!(place.files() == before, "{command:?}");
    }
    // Looking at a board needs no writing.
    let target = format!("local:{}", place.path("disk/board"));
    let status = ["status", "--verify", "--json", "--target", &target].map(String::from);
    let json = limited(Limit::ReadOnly(&disk), &status).succeeds().json();
    assert_eq!(json["status"]["current"]["manifest"]["name"], "one");
}

#[test]
fn without_memory_nothing_is_half_done() {
    let place = Place::new();
    noise(900, 700).save(place.folder.path("in/a.png")).unwrap();
    let before = place.files();
    let (mut failed, mut told) = (0, 0);
    for command in place.commands() {
        let (mut works, mut aborted) = (false, false);
        // From what the program needs to start at all, before which only the system could say something, to what everything
        // needs.
        let all = [16, 24, 32, 40, 48, 56, 64, 72, 80, 96, 112, 128, 160, 192, 256, 384, 512];
        let version = ["--version".to_owned()];
        let starts = |mib: &u32| limited(Limit::Memory(mib << 10), &version).exit_code() == Some(0);
        for mib in all.into_iter().filter(starts) {
            let run = limited(Limit::Memory(mib << 10), &command);
            if run.exit_code() == Some(0) {
                works = true;
                break;
            }
            let message = run.stderr();
            assert!(
                !message.is_empty() && !message.contains("panicked"),
                "{command:?}, {mib} MiB: {message}"
            );
            failed += 1;
            told += usize::from(message.contains("memory"));
            println!("{} {mib} MiB: {:?} {}", command[0], run.exit_code(), message.trim());
            // The allocator ends the program at once where it cannot say that memory is short, as a signal would: its
            // file of a hidden name stays until a run that writes it again, and what it has recorded is a part. (What the next
            // start makes of that is tried with signals.)
            aborted |= run.exit_code().is_none();
            if run.exit_code().is_none() {
                let parts = place.files().into_keys().filter(|path| is_part(path));
                parts.for_each(|path| std::fs::remove_file(path).unwrap());
            }
            let mut left = place.files();
            left.retain(|path, _| !(aborted && is_hidden(path)));
            assert!(left == before, "{command:?}, {mib} MiB: {:?}", left.keys());
        }
        assert!(works, "{command:?} does not work with 512 MiB");
        let left: Vec<_> = place.files().into_keys().filter(|path| is_hidden(path)).collect();
        assert!(left.is_empty(), "{command:?} did not clear away {left:?}");
        place
            .files()
            .keys()
            .filter(|p| !before.contains_key(*p))
            .for_each(|p| std::fs::remove_file(p).unwrap());
        before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }
    assert!(failed >= 5 && told >= 5, "{told} of {failed} runs said that memory was short");
}

#[test]
fn without_memory_a_board_keeps_what_runs() {
    let place = Place::new();
    board(place.flash("one")).succeeds();
    let flash = place.flash("two");
    let mut failed = 0;
    for mib in [16, 32, 40, 48, 56, 64, 80] {
        let run = limited(Limit::Memory(mib << 10), &flash);
        println!("{mib} MiB: {:?} {}", run.exit_code(), run.stderr().trim());
        if run.exit_code() == Some(0) {
            break;
        }
        failed += 1;
        assert!(!run.stderr().contains("panicked"), "{}", run.stderr());
        assert_eq!(place.runs(), "one", "{mib} MiB");
    }
    assert!(failed > 0, "no limit was low enough");
    board(&flash).succeeds();
    assert_eq!(place.runs(), "two");
}

/// Whether this is a file that was being written.
fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap().as_encoded_bytes().starts_with(b".")
}

/// A recording that has not ended.
fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "part")
}

/// A picture that can be read, or a stream of whole frames.
fn check_whole(path: &Path, bytes: &[u8]) {
    if path.extension().is_some_and(|e| e == "y4m") {
        assert!(bytes.starts_with(b"YUV4MPEG2 W192 H160 "), "{}", path.display());
        let (frames, rest) = bytes.split_at(bytes.iter().position(|&b| b == b'\n').unwrap() + 1);
        assert!(rest.len() % (6 + 192 * 160 * 3 / 2) == 0, "{} bytes, {frames:?}", rest.len());
    } else {
        image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

/// Starts a command, ends it with a signal after a while, and says whether it was still running.
fn ended(command: &[String], signal: &str, after: Duration) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mcir-board"))
        .args(command)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let running = child.try_wait().unwrap().is_none();
    let _ = Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status();
    let _ = child.wait();
    running
}

#[test]
fn signals_leave_whole_files_or_none() {
    let place = Place::new();
    let (folder, model) = (&place.folder, arg(&place.model));
    for n in 0..12 {
        folder.image(&format!("in/{n}.png"), 60 + n, 50);
    }
    let source = format!("file:{}", place.path("in.y4m"));
    let before = place.files();
    let (images, disk) = (place.path("in"), place.path("disk"));
    let (stream, frames) = (place.path("disk/out.y4m"), place.path("disk/frames"));
    let camera = ["camera", "--source", &source, "-m", model, "--loop", "--frames", "90", "-o"];
    let commands = [
        vec!["upscale", "-q", "-i", &images, "-o", &disk, "-m", model, "-j", "1"],
        [&camera[..], &[&stream]].concat(),
        [&camera[..], &[&frames]].concat(),
    ];
    for command in commands {
        let command: Vec<String> = command.into_iter().map(String::from).collect();
        let begin = Instant::now();
        board(&command).succeeds();
        let whole = begin.elapsed();
        let sizes: BTreeMap<_, _> =
            place.files().into_iter().map(|(path, bytes)| (path, bytes.len())).collect();
        for (path, bytes) in &before {
            std::fs::write(path, bytes).unwrap();
        }
        let mut hits = 0;
        for round in 1..=10 {
            let signal = if round % 2 == 0 { "-KILL" } else { "-TERM" };
            hits += usize::from(ended(&command, signal, whole.mul_f64(f64::from(round) / 11.0)));
            for (path, bytes) in place.files() {
                // A stream that was killed is a part until the next start cuts it.
                if is_hidden(&path) || is_part(&path) || before.get(&path) == Some(&bytes) {
                    continue;
                }
                check_whole(&path, &bytes);
            }
        }
        println!("{}: {hits} of 10 signals came in time", command[0]);
        assert!(hits >= 3, "{command:?}: only {hits} signals came in time");
        // The next start makes all of it, and clears away what the killed ones left.
        board(&command).succeeds();
        let now: BTreeMap<_, _> =
            place.files().into_iter().map(|(path, bytes)| (path, bytes.len())).collect();
        if command[0] == "upscale" {
            assert_eq!(now, sizes, "{command:?}");
        }
        // Recordings that were killed are kept beside it, up to their last whole frame.
        for (path, size) in &sizes {
            assert_eq!(now.get(path), Some(size), "{}", path.display());
        }
        for (path, bytes) in place.files().iter().filter(|(path, _)| !before.contains_key(*path)) {
            assert!(!is_part(path) && !is_hidden(path), "{} is left", path.display());
            check_whole(path, bytes);
        }
        place
            .files()
            .keys()
            .filter(|p| !before.contains_key(*p))
            .for_each(|p| std::fs::remove_file(p).unwrap());
        before.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    }
}
