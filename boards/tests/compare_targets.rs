//! `mcir-board compare` on boards: folders of this machine, and a real sshd with a program for another processor.

#![cfg(target_os = "linux")]

mod support;

// Nothing is dragged here.
#[allow(dead_code, reason = "shared with the test of the live page")]
#[path = "support/browser.rs"]
mod browser;
#[path = "support/sshd.rs"]
mod sshd;

use browser::Browser;
use serde_json::Value;
use sshd::{Sshd, for_aarch64, program};
use support::{Folder, arg, board};

/// Two pictures, a model, and words that measure them quickly.
struct Desk {
    folder: Folder,
    model: String,
    data: String,
}

impl Desk {
    fn new() -> Self {
        let folder = Folder::new();
        let model = arg(&folder.named_model("one", 2)).to_owned();
        std::fs::create_dir(folder.path("data")).unwrap();
        folder.image("data/a.png", 48, 40);
        folder.image("data/b.png", 41, 52);
        let data = arg(&folder.path("data")).to_owned();
        Self { folder, model, data }
    }

    fn compare(&self, more: &[&str]) -> support::Run {
        let args =
            ["compare", "-m", &self.model, "--data", &self.data, "--size", "40x24", "--seconds", "0.05"];
        board(args.iter().chain(more))
    }

    fn local(&self, name: &str) -> String {
        format!("local:{}", arg(&self.folder.path(name)))
    }
}

fn rows(json: &Value) -> &Vec<Value> {
    json["sections"][0]["rows"].as_array().unwrap()
}

fn target<'a>(json: &'a Value, name: &str) -> &'a Value {
    json["targets"].as_array().unwrap().iter().find(|t| t["target"] == name).unwrap()
}

#[test]
fn a_folder_is_measured_and_left_as_it_was() {
    let desk = Desk::new();
    let name = desk.local("board");
    let json = desk.compare(&["--target", &name, "--json"]).succeeds().json();
    assert_eq!((json["schema"].as_u64(), json["data"].as_str()), (Some(2), Some("data")));
    assert_eq!((json["latency"]["width"].as_u64(), json["latency"]["height"].as_u64()), (Some(40), Some(24)));
    let here = desk.compare(&["--json"]).succeeds().json();
    assert_eq!(json["sections"][0]["images"], here["sections"][0]["images"]);
    for (there, here) in rows(&json).iter().zip(rows(&here)) {
        assert_eq!(
            (there["target"].as_str(), here["target"].as_str()),
            (Some(name.as_str()), Some("this machine"))
        );
        assert_eq!((&there["images"], &there["crc32"]), (&here["images"], &here["crc32"]));
        assert_eq!((there["same_bits"].as_bool(), here["same_bits"].as_bool()), (Some(true), None));
        let latency = &there["latency"];
        assert_eq!(
            latency["samples"].as_u64().unwrap() as usize,
            there["samples_ms"].as_array().unwrap().len()
        );
        assert_eq!(latency["p50_ms"], there["latency_ms"]);
    }
    let machine = target(&json, &name);
    assert!(machine["program"].as_str().unwrap().ends_with(", uploaded"), "{machine}");
    assert_eq!(machine["architecture"], std::env::consts::ARCH);
    assert!(!desk.folder.path("board").exists(), "what was not there before is gone");
    // The flashed program is taken where there is one, and nothing that is flashed changes.
    let bundle = desk.folder.path("one.bundle");
    board(["bundle", "-m", &desk.model, "-o", arg(&bundle), "--data", &desk.data]).succeeds();
    board(["flash", arg(&bundle), "--target", &name]).succeeds();
    let before = names(&desk.folder, "board");
    let json = desk.compare(&["--target", &name, "--json"]).succeeds().json();
    assert!(target(&json, &name)["program"].as_str().unwrap().ends_with(", flashed"), "{json}");
    assert_eq!(names(&desk.folder, "board"), before);
    board(["status", "--verify", "--target", &name]).succeeds();
}

fn names(folder: &Folder, inside: &str) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path(inside)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_board_that_fails_is_a_line_with_its_cause() {
    let desk = Desk::new();
    let (good, bad) = (desk.local("board"), "local:/proc/nowhere");
    let page = desk.folder.path("page.html");
    let run = desk.compare(&[
        "--target",
        bad,
        "--target",
        &good,
        "--target",
        "ssh://pi@board.invalid",
        "--report",
        arg(&page),
        "--json",
    ]);
    let run = run.fails(1, &["2 of 3 targets could not be measured", "cannot create directory", "ssh"]);
    let json = run.json();
    assert_eq!(rows(&json).len(), 2);
    let failed = &target(&json, bad)["failed"];
    assert!(failed["message"].as_str().unwrap().contains("cannot reach local:/proc/nowhere"), "{failed}");
    assert!(failed["help"].as_str().unwrap().contains("local:FOLDER"), "{failed}");
    assert!(target(&json, &good)["failed"].is_null());
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("Not measured:") && html.contains("local:/proc/nowhere"));
    let run = desk.compare(&["--target", bad]).fails(1, &["1 of 1 targets"]);
    assert!(run.stdout().contains("local:/proc/nowhere: failed: cannot reach"), "{}", run.stdout());
    // A program that is none, one that is for no board here, and one that does not run.
    let text = desk.folder.file("text", b"no program");
    desk.compare(&["--target", &good, "--binary", arg(&text)]).fails(1, &["not an ELF file"]);
    desk.compare(&["--binary", arg(&text)]).fails_plainly(2, &["--target"]);
    let mut program = std::fs::read(env!("CARGO_BIN_EXE_mcir-board")).unwrap();
    program.truncate(5000);
    let broken = desk.folder.file("broken", &program);
    desk.compare(&["--target", &good, "--binary", arg(&broken)])
        .fails(1, &["ended while it was to start its program", "1 of 1 targets"]);
    assert!(!desk.folder.path("board").exists());
    // What no board can do is told before any is asked, and what one cannot do by this one.
    board(["compare", "--target", &good, "--size", "0x4"]).fails_plainly(2, &["WIDTHxHEIGHT"]);
    board(["compare", "--target", &good, "--size", "4096x4096"]).fails_plainly(2, &["the limit is 4194304"]);
    desk.compare(&["--target", &good, "--isa", "mmx"]).fails(1, &["no instruction set `mmx`"]);
}

#[test]
fn boards_behind_ssh_and_folders_in_one_report() {
    let desk = Desk::new();
    let folder = Folder::new();
    let Some(sshd) = Sshd::start(&folder) else { return };
    let (emulated, fresh) =
        (sshd.target(&folder.path("it's a $(board)")), sshd.target(&folder.path("fresh")));
    let local = desk.local("local");
    let mut targets = vec!["--ssh", sshd.ssh.as_str(), "--target", &fresh, "--target", &local];
    let mut expected = vec![(fresh.clone(), std::env::consts::ARCH), (local.clone(), std::env::consts::ARCH)];
    let run_with = ["--run-with", "qemu-aarch64 -cpu cortex-a76"];
    match (for_aarch64(), program("qemu-aarch64")) {
        (Some(binary), Some(_)) => {
            let bundle = desk.folder.path("one.bundle");
            board([
                "bundle",
                "-m",
                &desk.model,
                "-o",
                arg(&bundle),
                "--data",
                &desk.data,
                "--binary",
                arg(&binary),
                "--board",
                "raspberry-pi-5",
            ])
            .succeeds();
            let flash = ["flash", arg(&bundle), "--ssh", &sshd.ssh, "--target", &emulated];
            board(flash.iter().chain(&run_with)).succeeds();
            targets.extend(run_with);
            targets.extend(["--target", &emulated]);
            expected.push((emulated.clone(), "neon_dot"));
        }
        _ => support::skip::skip(
            "qemu-aarch64 is not installed or no program for it was built: \
             cargo build --release -p mcir-boards --target aarch64-unknown-linux-musl",
        ),
    }
    let page = desk.folder.path("page.html");
    targets.extend(["--report", arg(&page), "--json"]);
    let json = desk.compare(&targets).succeeds().json();
    assert_eq!(rows(&json).len(), 2 * expected.len());
    // The same bits everywhere, whatever the processor.
    for row in rows(&json) {
        assert_eq!(row["same_bits"], true, "{row}");
        assert!(row["latency_ms"].as_f64().unwrap() > 0.0);
    }
    for (name, kind) in &expected {
        let machine = target(&json, name);
        assert!(machine["failed"].is_null(), "{machine}");
        match *kind {
            "neon_dot" => {
                assert_eq!(machine["isa"], "neon_dot");
                assert!(machine["program"].as_str().unwrap().ends_with(", flashed"), "{machine}");
            }
            architecture => assert_eq!(machine["architecture"], architecture),
        }
    }
    assert!(!folder.path("fresh").exists());
    if expected.len() == 3 {
        assert!(
            !names(&folder, "it's a $(board)").iter().any(|n| n.to_string_lossy().starts_with("compare."))
        );
    }
    in_a_browser(&page, &expected);
}

/// The page draws both plots and its pictures, on a screen of a desk and on that of a phone.
fn in_a_browser(page: &std::path::Path, expected: &[(String, &str)]) {
    for (width, height) in [(1280, 1600), (390, 844)] {
        let Some(mut browser) = Browser::open(&format!("file://{}", arg(page)), width, height) else {
            return;
        };
        browser.wait_for("document.readyState === 'complete'");
        assert_eq!(browser.value("document.querySelectorAll('.machine').length"), expected.len());
        assert_eq!(browser.value("document.querySelectorAll('.plots svg').length"), 2);
        assert_eq!(browser.value("document.querySelectorAll('.mark').length"), 2 * expected.len());
        // Drawn, and nothing stands out of the page.
        let drawn =
            "[...document.querySelectorAll('.plots svg')].every(s => s.getBoundingClientRect().height > 60)";
        assert_eq!(browser.value(drawn), true);
        assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true);
        let inside = "[...document.querySelectorAll('.plots svg text')].every(t => { const a = t.getBoundingClientRect(), \
                      b = t.closest('svg').getBoundingClientRect(); return a.left >= b.left - 1 && a.right <= b.right + 1; })";
        assert_eq!(browser.value(inside), true, "a label is cut off at {width} pixels");
        assert_eq!(browser.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), true);
        let screenshot = browser.screenshot();
        if let Some(folder) = std::env::var_os("MCIR_SCREENSHOTS") {
            std::fs::write(std::path::Path::new(&folder).join(format!("compare-{width}.png")), &screenshot)
                .unwrap();
        }
        assert!(screenshot.len() > 10_000);
    }
}
