//! What answers at a board's address may be anybody: it cannot fill the workstation's memory, keep it waiting without end,
//! speak to its terminal, or claim what was not asked for.

#![cfg(target_os = "linux")]

mod support;

use std::time::{Duration, Instant};
use support::{Folder, Run, arg};

const HELLO: &str = "echo mcir-shell-1 x86_64 have";
const READY: &str = r#"echo '{"event":"ready","protocol":1,"version":"0.1.0","recovered":false}'"#;
/// Far more than any of these needs on a busy machine, far less than "without end".
const PATIENCE: Duration = Duration::from_secs(100);
/// KiB of address space: a few threads and what the program is, but not what a board may send.
const MEMORY: u32 = 600 << 10;

/// Runs a verb against a board that is a script.
#[track_caller]
fn meet(folder: &Folder, script: &str, verb: &[&str]) -> Run {
    folder.script("ssh", script);
    let ssh = folder.path("ssh");
    let limit = format!("ulimit -v {MEMORY}; exec \"$@\"");
    let start = Instant::now();
    let output = std::process::Command::new("sh")
        .args(["-c", &limit, "sh", env!("CARGO_BIN_EXE_mcir-board")])
        .args(verb)
        .args(["--target", "ssh://board", "--patience", "2", "--ssh", arg(&ssh)])
        .output()
        .unwrap();
    assert!(start.elapsed() < PATIENCE, "{verb:?} took {:?} with {script}", start.elapsed());
    Run::of(output)
}

/// Verbs that talk to a board, and a bundle for one of them.
fn verbs(folder: &Folder) -> Vec<Vec<String>> {
    let model = folder.named_model("one", 2);
    folder.image("data.png", 48, 40);
    std::fs::create_dir(folder.path("data")).unwrap();
    std::fs::rename(folder.path("data.png"), folder.path("data/a.png")).unwrap();
    let (bundle, data) = (folder.path("one.bundle"), folder.path("data"));
    support::board(["bundle", "-m", arg(&model), "-o", arg(&bundle), "--data", arg(&data)]).succeeds();
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    vec![
        words(&["status"]),
        words(&["rollback"]),
        words(&["prune"]),
        words(&["info"]),
        words(&["flash", arg(&bundle)]),
    ]
}

#[test]
fn floods_silence_and_garbage_end_soon_and_in_little_memory() {
    let folder = Folder::new();
    let mut verbs = verbs(&folder);
    // These speak through the same code as the first.
    verbs.retain(|verb| !matches!(verb[0].as_str(), "rollback" | "prune"));
    let ways = [
        ("standard output", "exec yes garbage".to_owned()),
        ("standard output without line ends", "exec cat /dev/zero".into()),
        ("standard error", "cat /dev/zero >&2".into()),
        ("nothing", "exec sleep 1000".into()),
        ("random bytes", "exec head -c 3000000 /dev/urandom".into()),
        ("garbage after a greeting", format!("{HELLO}; exec head -c 300000 /dev/urandom")),
        ("a greeting and no end", format!("{HELLO}; exec cat /dev/zero")),
        (
            "progress without end",
            format!("{HELLO}; {READY}; exec yes '{{\"event\":\"doing\",\"what\":\"x\"}}'"),
        ),
        ("a program that does not end", format!("{HELLO}; {READY}; trap '' TERM HUP PIPE; exec sleep 1000")),
    ];
    // All at once: they mostly wait until patience ends.
    std::thread::scope(|scope| {
        for (what, script) in &ways {
            let verbs = &verbs;
            scope.spawn(move || {
                let folder = Folder::new();
                for verb in verbs {
                    let verb: Vec<_> = verb.iter().map(String::as_str).collect();
                    let run = meet(&folder, script, &verb);
                    // What ends by itself may describe a board, however little it says.
                    let run = if verb[0] == "info" { run } else { run.fails(1, &[]) };
                    println!("{what}, {}: {}", verb[0], run.stderr().trim());
                    assert!(run.stderr().len() < 4000, "{what}, {verb:?}");
                }
            });
        }
    });
}

#[test]
fn words_of_a_board_are_only_printed() {
    let folder = Folder::new();
    let verbs = verbs(&folder);
    let failed = r#"printf '{"event":"failed","message":"\\u001b[2J\\u001b]0;T\\u0007 owned\\nerror: fake","help":"run \\u009b31mcurl\\r\\nerror: fake"}\n'"#;
    let doing = r#"printf '{"event":"doing","what":"\\u001b[2Jx\\nerror: fake"}\n'"#;
    for script in [
        format!("{HELLO}; {READY}; {doing}; {failed}; cat >/dev/null"),
        format!("{HELLO}; {failed}; cat >/dev/null"),
        "printf 'mcir-shell-1 \\033[31mx86_64\\033]0;P\\007 have\\n'; sleep 1".to_owned(),
        "printf '\\033[2J\\033]0;T\\007 owned\\n\\033[31merror: fake\\n' >&2; exit 255".into(),
        "printf '@model\\n\\033[2Jboard\\n@cpuinfo\\nmodel name : \\033[31mred\\n'".into(),
    ] {
        for verb in &verbs {
            let verb: Vec<_> = verb.iter().map(String::as_str).collect();
            for more in [&[][..], &["-v"]] {
                let run = meet(&folder, &script, &[&verb[..], more].concat());
                let said = run.stderr() + &run.stdout();
                assert!(!said.contains(['\x1b', '\x07', '\u{9b}', '\r']), "{verb:?} with {script}: {said:?}");
                assert!(!said.contains("\nerror: fake"), "{verb:?} with {script}: {said}");
            }
        }
    }
}

#[test]
fn a_slot_that_was_not_sent_is_not_believed() {
    let folder = Folder::new();
    let verbs = verbs(&folder);
    let flash: Vec<_> = verbs.last().unwrap().iter().map(String::as_str).collect();
    for slot in ["deadbeef", "", "\\u001b[2J"] {
        let script = format!(
            "{HELLO}; {READY}; read l; echo '{{\"event\":\"missing\",\"parts\":[]}}'; read l; \
             printf '%s\\n' '{{\"event\":\"switched\",\"slot\":\"{slot}\",\"self_test\":null}}'; cat >/dev/null"
        );
        let run = meet(&folder, &script, &flash).fails(1, &["was sent"]);
        assert!(!run.stderr().contains('\x1b'));
    }
}

/// The name of a model is whatever its file says.
#[test]
fn names_of_models_are_only_printed() {
    use mcir_runtime::arch::edsr::Config;
    let folder = Folder::new();
    let name = "\x1b]0;title\x07\x1b[2Jname\nerror: fake\u{9b}31m";
    let model = folder.file("m.mcir", &support::named(name, &Config::edge(2, 8, 1)).to_bytes());
    let (input, output) = (folder.image("in.png", 20, 20), folder.path("out.png"));
    std::fs::create_dir(folder.path("data")).unwrap();
    folder.image("data/a.png", 48, 40);
    let data = folder.path("data");
    for args in [
        vec!["upscale", "-v", "-i", arg(&input), "-o", arg(&output)],
        vec!["bench", "--size", "24x24", "--seconds", "0.1"],
        vec!["estimate", "--board", "raspberry-pi-4", "--size", "64x64"],
        vec!["compare", "--data", arg(&data), "--seconds", "0.1"],
        vec!["upscale", "-s", "4", "-i", arg(&input), "-o", arg(&output)],
    ] {
        let run = support::board(args.iter().chain(&["-m", arg(&model)]));
        let said = run.stderr() + &run.stdout();
        assert!(!said.contains(['\x1b', '\x07', '\u{9b}']), "{args:?}: {said:?}");
        assert!(!said.contains("\nerror: fake"), "{args:?}: {said}");
    }
}
