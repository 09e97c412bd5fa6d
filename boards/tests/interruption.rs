//! `flash` killed or asked to end at 50 random points: whatever the moment, what runs on the board is whole.

#![cfg(target_os = "linux")]

mod support;

use mcir_boards::deploy::bundle::{Bundle, write};
use mcir_boards::deploy::manifest::{PROGRAM, sha256};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, arg, board};

const KILLS: u32 = 50;

/// The same bundle with another program: the same with a few bytes behind its end, so that all of it is sent.
fn variant(base: &Bundle, path: &Path, number: u32) {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut manifest = base.manifest.clone();
    for part in &mut manifest.parts {
        let mut bytes = Vec::new();
        base.part(&part.name).unwrap().read_to_end(&mut bytes).unwrap();
        if part.name == PROGRAM {
            bytes.extend(number.to_le_bytes());
        }
        (part.size, part.sha256) = (bytes.len() as u64, sha256(&bytes));
        parts.push(bytes);
    }
    manifest.name = format!("variant-{number}");
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    write(path, &manifest, None, &parts).unwrap();
}

fn start(bundle: &Path, target: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_mcir-board"))
        .args(["flash", arg(bundle), "--target", target])
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_at_any_point_the_board_runs_something_whole() {
    let folder = Folder::new();
    let model = folder.model("m.mcir", 2);
    std::fs::create_dir(folder.path("data")).unwrap();
    folder.image("data/a.png", 48, 48);
    let (data, base) = (folder.path("data"), folder.path("base.bundle"));
    board(["bundle", "-m", arg(&model), "-o", arg(&base), "--data", arg(&data)]).succeeds();
    let base = Bundle::open(&base).unwrap();
    let target = format!("local:{}", arg(&folder.path("board")));
    let (bundle, mut seed) = (folder.path("x.bundle"), 20_u32);
    variant(&base, &bundle, 0);
    let begin = Instant::now();
    assert!(start(&bundle, &target).wait().unwrap().success());
    let whole = begin.elapsed();

    let (mut runs, mut switched) = ("variant-0".to_owned(), 0);
    for number in 1..=KILLS {
        variant(&base, &bundle, number);
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wait = whole.mul_f64(f64::from(seed >> 16) / 65536.0 * 1.1);
        let mut child = start(&bundle, &target);
        std::thread::sleep(wait.max(Duration::from_millis(1)));
        // The workstation's program, the shell and the board's program: all that is in the group.
        let group = format!("-{}", child.id());
        let signal = if number % 2 == 0 { "-KILL" } else { "-TERM" };
        let _ = Command::new("kill").args([signal, "--", &group]).stderr(Stdio::null()).status();
        let _ = child.wait();

        let json = board(["status", "--verify", "--target", &target, "--json"]).succeeds().json();
        let now = json["status"]["current"]["manifest"]["name"].as_str().unwrap().to_owned();
        let new = format!("variant-{number}");
        assert!(now == runs || now == new, "kill {number}: {now} runs, but {runs} ran");
        switched += u32::from(now == new);
        runs = now;
        if number % 10 == 0 {
            board(["prune", "--target", &target]).succeeds();
        }
    }
    println!("{KILLS} kills within {whole:?} each; {switched} came after the switch");
    // And afterwards everything works.
    variant(&base, &bundle, 999);
    board(["flash", arg(&bundle), "--target", &target]).succeeds();
    board(["rollback", "--target", &target]).succeeds();
    let json = board(["status", "--verify", "--target", &target, "--json"]).succeeds().json();
    assert_eq!(json["status"]["current"]["manifest"]["name"].as_str(), Some(runs.as_str()));
}
