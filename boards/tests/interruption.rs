//! `flash` killed or asked to end at 50 random points, to a folder and over ssh: whatever the moment, what runs on the
//! board is whole.

#![cfg(target_os = "linux")]

mod support;

// Nothing is emulated here.
#[allow(dead_code, reason = "shared with the test of flashing over ssh")]
#[path = "support/sshd.rs"]
mod sshd;

use mcir_boards::deploy::bundle::{Bundle, write};
use mcir_boards::deploy::manifest::{PROGRAM, sha256};
use sshd::Sshd;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, Run, arg, board};

const KILLS: u32 = 50;
/// How long a board may go on after its workstation was killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// The same bundle with another program: the same with a few bytes behind its end, so that all of it is sent.
fn variant(base: &Bundle, path: &Path, number: u32) {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut manifest = base.manifest.clone();
    for part in &mut manifest.parts {
        let mut bytes = Vec::new();
        base.part(&part.name).read_to_end(&mut bytes).unwrap();
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

/// The way to the board, and where it lies on this machine, for it to be cut off.
struct Board {
    /// Target and options of every command.
    words: Vec<String>,
    root: PathBuf,
    far: bool,
}

impl Board {
    fn run(&self, verb: &str, more: &[&str]) -> Run {
        board([verb].into_iter().chain(self.words.iter().map(String::as_str)).chain(more.iter().copied()))
    }

    fn start(&self, bundle: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_mcir-board"))
            .args(["flash", arg(bundle)])
            .args(&self.words)
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Name of what runs, after all of it has been checked. What a killed workstation has left at work on the board
    /// is waited for.
    fn runs(&self) -> String {
        let begin = Instant::now();
        loop {
            let run = self.run("status", &["--verify", "--json"]);
            if run.exit_code() != Some(0) && run.stderr().contains("is in use") && begin.elapsed() < PATIENCE
            {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let json = run.succeeds().json();
            return json["status"]["current"]["manifest"]["name"].as_str().unwrap().to_owned();
        }
    }

    /// Ends what is at work: at the workstation, on the board, or in both places as on a loss of power.
    fn interrupt(&self, child: &Child, number: u32) {
        let signal = if number.is_multiple_of(2) { "-KILL" } else { "-TERM" };
        // The workstation's program and ssh; with a folder also the shell and the board's program.
        let near = [format!("-{}", child.id())];
        let far = if self.far { on_board(&self.root) } else { Vec::new() };
        let all = match number % 3 {
            0 if self.far => [far.as_slice(), &[]],
            1 => [near.as_slice(), &[]],
            _ => [near.as_slice(), far.as_slice()],
        };
        let _ = Command::new("kill").args([signal, "--"]).args(all.concat()).stderr(Stdio::null()).status();
    }
}

/// The programs that work in the board's folder, but not what leads there.
fn on_board(root: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let of_board = |id: &String| {
        let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).into_owned();
        words.contains(arg(root)) && !words.contains("--target") && !words.contains("ssh")
    };
    let ids = processes.map(|p| p.file_name().to_string_lossy().into_owned());
    ids.filter(|id| id.bytes().all(|b| b.is_ascii_digit())).filter(of_board).collect()
}

fn interrupted(folder: &Folder, there: &Board) {
    let model = folder.model("m.mcir", 2);
    std::fs::create_dir(folder.path("data")).unwrap();
    folder.image("data/a.png", 48, 48);
    let (data, base) = (folder.path("data"), folder.path("base.bundle"));
    board(["bundle", "-m", arg(&model), "-o", arg(&base), "--data", arg(&data)]).succeeds();
    let base = Bundle::open(&base).unwrap();
    let (bundle, mut seed) = (folder.path("x.bundle"), 20_u32);
    variant(&base, &bundle, 0);
    let begin = Instant::now();
    assert!(there.start(&bundle).wait().unwrap().success());
    let whole = begin.elapsed();

    let (mut runs, mut switched) = ("variant-0".to_owned(), 0);
    for number in 1..=KILLS {
        variant(&base, &bundle, number);
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let wait = whole.mul_f64(f64::from(seed >> 16) / 65536.0 * 1.1);
        let mut child = there.start(&bundle);
        std::thread::sleep(wait.max(Duration::from_millis(1)));
        there.interrupt(&child, number);
        let _ = child.wait();

        let (now, new) = (there.runs(), format!("variant-{number}"));
        assert!(now == runs || now == new, "kill {number}: {now} runs, but {runs} ran");
        switched += u32::from(now == new);
        runs = now;
        if number % 10 == 0 {
            there.run("prune", &[]).succeeds();
        }
    }
    println!("{KILLS} kills within {whole:?} each; {switched} came after the switch");
    // And afterwards everything works.
    variant(&base, &bundle, 999);
    there.run("flash", &[arg(&bundle)]).succeeds();
    there.run("rollback", &[]).succeeds();
    assert_eq!(there.runs(), runs);
}

#[test]
fn killed_at_any_point_the_board_runs_something_whole() {
    let folder = Folder::new();
    let root = folder.path("board");
    let words = vec!["--target".into(), format!("local:{}", arg(&root))];
    interrupted(&folder, &Board { words, root, far: false });
}

#[test]
fn killed_at_any_point_over_ssh_too() {
    let folder = Folder::new();
    let Some(sshd) = Sshd::start(&folder) else { return };
    let root = folder.path("board");
    let words = vec!["--ssh".into(), sshd.ssh.clone(), "--target".into(), sshd.target(&root)];
    interrupted(&folder, &Board { words, root, far: true });
}
