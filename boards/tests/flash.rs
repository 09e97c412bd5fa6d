//! `mcir-board bundle`, `flash`, `status`, `rollback`, `prune` on a folder of this machine as the board, and what they
//! say when something is wrong.

#![cfg(target_os = "linux")]

mod support;

use support::{Folder, arg, board};

/// A board in a folder, bundles of two models for it, and keys.
struct Desk {
    folder: Folder,
    target: String,
}

impl Desk {
    fn new() -> Self {
        let folder = Folder::new();
        folder.named_model("one", 2);
        folder.named_model("two", 3);
        // Quality is not what is tested here: one small picture.
        std::fs::create_dir(folder.path("data")).unwrap();
        folder.image("data/a.png", 48, 48);
        let target = format!("local:{}", arg(&folder.path("board")));
        Self { folder, target }
    }

    fn bundle(&self, model: &str, more: &[&str]) -> String {
        let output = self.folder.path(&format!("{model}.bundle"));
        let (model, data) = (self.folder.path(&format!("{model}.mcir")), self.folder.path("data"));
        let args = ["bundle", "-m", arg(&model), "-o", arg(&output), "--data", arg(&data)];
        board(args.iter().chain(more)).succeeds();
        arg(&output).to_owned()
    }

    fn run(&self, verb: &str, more: &[&str]) -> support::Run {
        board([verb, "--target", &self.target].iter().chain(more))
    }

    /// Name of the model that runs.
    fn runs(&self) -> String {
        let json = self.run("status", &["--verify", "--json"]).succeeds().json();
        assert_eq!((json["schema"].as_u64(), json["verified"].as_bool()), (Some(1), Some(true)));
        json["status"]["current"]["manifest"]["name"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_model_goes_there_and_back() {
    let desk = Desk::new();
    let (one, two) = (desk.bundle("one", &[]), desk.bundle("two", &[]));
    let dry = desk.run("flash", &[&one, "--dry-run"]).succeeds();
    assert!(dry.stdout().contains("nothing has been flashed there yet"), "{}", dry.stdout());
    assert!(!desk.folder.path("board").exists(), "a dry run changes nothing");

    let json = desk.run("flash", &[&one, "--json"]).succeeds().json();
    assert_eq!((json["schema"].as_u64(), json["dry_run"].as_bool()), (Some(1), Some(false)));
    assert_eq!(json["self_test"]["crc32"], json["manifest"]["self_test"]["crc32"]);
    let first = json["sent_bytes"].as_u64().unwrap();
    assert_eq!(desk.runs(), "one");
    // The program is there already.
    let json = desk.run("flash", &[&two, "--json"]).succeeds().json();
    assert!(json["sent_bytes"].as_u64().unwrap() < first / 10);
    assert_eq!(desk.runs(), "two");
    desk.run("rollback", &["--dry-run"]).succeeds();
    assert_eq!(desk.runs(), "two");
    desk.run("rollback", &[]).succeeds();
    assert_eq!(desk.runs(), "one");
    desk.run("flash", &[&two, "--health", "false"]).fails(1, &["health check failed", "rolled back"]);
    assert_eq!(desk.runs(), "one");
    let json = desk.run("prune", &["--json"]).succeeds().json();
    assert_eq!(json["slots"].as_array().unwrap().len(), 0);

    // What is flashed is what the workstation computes.
    let program = desk.folder.path("board/current/slot/mcir-board");
    let model = desk.folder.path("board/current/slot/model.mcir");
    let (input, there, here) =
        (desk.folder.image("in.png", 40, 30), desk.folder.path("there.png"), desk.folder.path("here.png"));
    let status = std::process::Command::new(program)
        .args(["upscale", "-q", "-i", arg(&input), "-o", arg(&there), "-m", arg(&model)])
        .status()
        .unwrap();
    assert!(status.success());
    let own = desk.folder.path("one.mcir");
    board(["upscale", "-i", arg(&input), "-o", arg(&here), "-m", arg(&own)]).succeeds();
    assert_eq!(std::fs::read(there).unwrap(), std::fs::read(here).unwrap());
}

/// The bundle is made on the way: for what the board is, of the program that fits it.
#[test]
fn a_model_needs_no_bundle() {
    let desk = Desk::new();
    let (model, data) = (desk.folder.path("one.mcir"), desk.folder.path("data"));
    let flash = |more: &[&str]| {
        let words = ["-m", arg(&model), "--data", arg(&data)];
        desk.run("flash", &words.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let dry = flash(&["--dry-run"]).succeeds().stdout();
    let architecture = std::env::consts::ARCH;
    for part in [
        "board: ",
        architecture,
        "this program itself",
        "model: one f32 x2, ",
        "would get slot",
        "nothing has been flashed there yet",
        "--service would install `camera --source",
    ] {
        assert!(dry.contains(part), "{part} is not in:\n{dry}");
    }
    assert!(!desk.folder.path("board").exists(), "a dry run changes nothing");
    let served = flash(&["--dry-run", "--service"]).succeeds().stdout();
    assert!(served.contains("service mcir: camera --source"), "{served}");
    let served = flash(&["--dry-run", "--service", "camera --source -", "--json"]).succeeds().json();
    assert_eq!(served["service"], "camera --source -");
    assert_eq!(served["prepared"]["found"], "own", "{served}");
    assert!(served["prepared"]["machine"]["processors"].as_u64().unwrap() > 0);

    let run = flash(&[]).succeeds();
    assert!(run.stderr().contains("--service would also start"), "{}", run.stderr());
    assert_eq!(desk.runs(), "one");
    // The same as with a bundle, and the same bundle: nothing but the manifest is new on its way.
    let status = desk.run("status", &["--json"]).succeeds().json();
    assert_eq!(status["status"]["current"]["id"], served["slot"], "{status}");
    let bundle = desk.bundle("one", &[]);
    let again = desk.run("flash", &[&bundle, "--dry-run", "--json"]).succeeds().json();
    let parts = |json: &serde_json::Value| json["manifest"]["parts"].clone();
    assert_eq!(parts(&again), parts(&served));

    // Signed on the way, and checked like any other.
    let key = desk.folder.path("key");
    board(["keygen", "-o", arg(&key)]).succeeds();
    let (secret, public) = (format!("{}.key", arg(&key)), format!("{}.pub", arg(&key)));
    flash(&["--verify-key", &public]).fails(1, &["is not signed"]);
    let signed = flash(&["--sign", &secret, "--verify-key", &public, "--json"]).succeeds().json();
    assert_eq!(signed["verified"], true);

    // A release is a folder: the program for the board lies beside the one that runs.
    let release = desk.folder.path("release");
    std::fs::create_dir(&release).unwrap();
    let program = |name: &str| {
        let path = release.join(name);
        std::fs::copy(env!("CARGO_BIN_EXE_mcir-board"), &path).unwrap();
        path
    };
    let (own, released) =
        (program("mcir-board"), program(&format!("mcir-board-{architecture}-unknown-linux-musl")));
    let fresh = format!("local:{}", arg(&release.join("board")));
    let output = std::process::Command::new(own)
        .args(["flash", "--dry-run", "--json", "--target", &fresh, "-m", arg(&model), "--data", arg(&data)])
        .output()
        .unwrap();
    let json = support::Run::of(output).succeeds().json();
    assert_eq!(
        (json["prepared"]["found"].as_str(), json["prepared"]["program"].as_str()),
        (Some("release"), released.to_str())
    );

    // What cannot be meant.
    flash(&["--program", arg(&model)]).fails(1, &["not an ELF file"]);
    desk.run("flash", &[&bundle, "-m", arg(&model)]).fails_plainly(2, &["cannot be used with"]);
    desk.run("flash", &[&bundle, "--counter", "3"]).fails_plainly(2, &["cannot be used with"]);
    desk.run("flash", &[]).fails(2, &["name a bundle, or a model with -m"]);
    desk.run("flash", &["-m", "no-such-model"]).fails(2, &["no-such-model"]);
}

#[test]
fn signatures() {
    let desk = Desk::new();
    let keys = [desk.folder.path("mine"), desk.folder.path("other")];
    for key in &keys {
        board(["keygen", "-o", arg(key)]).succeeds();
    }
    board(["keygen", "-o", arg(&keys[0])]).fails(1, &["mine.key", "will not be replaced"]);
    let public = |i: usize| format!("{}.pub", arg(&keys[i]));
    let secret = format!("{}.key", arg(&keys[0]));
    let unsigned = desk.bundle("one", &[]);
    desk.run("flash", &[&unsigned, "--verify-key", &public(0)]).fails(1, &["is not signed", "--sign"]);
    let signed = desk.bundle("two", &["--sign", &secret]);
    desk.run("flash", &[&signed, "--verify-key", &public(1)]).fails(1, &["signature", "is not good"]);
    desk.run("flash", &[&signed, "--verify-key", "nonsense"]).fails(1, &["nonsense", "no file", "keygen"]);
    // One key of the pair for the other.
    desk.run("flash", &[&signed, "--verify-key", &secret]).fails(1, &["mine.key", "secret key", "NAME.pub"]);
    let (model, output) = (desk.folder.path("one.mcir"), desk.folder.path("y.bundle"));
    board(["bundle", "-m", arg(&model), "-o", arg(&output), "--sign", &public(0)])
        .fails(1, &["mine.pub", "public key", "NAME.key"]);
    let again = format!("mcir-board flash X.bundle --target {}", desk.target);
    desk.run("status", &[]).fails(1, &["nothing has been flashed", &again]);
    // The key's line is what counts, in whatever way it was copied.
    let text = std::fs::read_to_string(public(0)).unwrap();
    let line = text.lines().nth(1).unwrap();
    let copies =
        [line.to_owned(), format!("{line}\n"), format!("\u{feff}{line}\r\n"), text.replace('\n', "\r\n")];
    for (n, copy) in copies.iter().enumerate() {
        let copy = desk.folder.file(&format!("copy-{n}.pub"), copy.as_bytes());
        desk.run("flash", &[&signed, "--dry-run", "--verify-key", arg(&copy)]).succeeds();
    }
    desk.run("flash", &[&signed, "--verify-key", &public(0)]).succeeds();
    assert_eq!(desk.runs(), "two");
    assert!(desk.folder.path("board/current/slot/manifest.json.minisig").exists());
    // Tampered with: one byte of the model.
    let mut bytes = std::fs::read(&signed).unwrap();
    let at = bytes.len() - 20_000;
    bytes[at] ^= 1;
    let tampered = desk.folder.file("tampered.bundle", &bytes);
    desk.run("flash", &[arg(&tampered), "--verify-key", &public(0)])
        .fails(1, &["SHA-256", "mcir-board bundle"]);
    assert_eq!(desk.runs(), "two");
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let desk = Desk::new();
    let one = desk.bundle("one", &[]);
    let model = desk.folder.path("one.mcir");
    let output = desk.folder.path("x.bundle");
    let bundle = |more: &[&str]| board(["bundle", "-m", arg(&model), "-o", arg(&output)].iter().chain(more));
    bundle(&["--board", "raspberry-pi-6"]).fails(2, &["raspberry-pi-6", "raspberry-pi-5"]);
    bundle(&["--board", "missing.toml"]).fails(1, &["missing.toml", "not a board profile"]);
    bundle(&["--binary", arg(&model)]).fails(1, &["not an ELF file", "--target aarch64-unknown-linux-musl"]);
    bundle(&["--binary", "/nowhere"]).fails(1, &["/nowhere"]);
    bundle(&["--sign", arg(&model)]).fails(1, &["one.mcir"]);
    if std::env::consts::ARCH == "x86_64" {
        bundle(&["--board", "raspberry-pi-5", "--binary", env!("CARGO_BIN_EXE_mcir-board")])
            .fails(1, &["the program is for x86_64", "Raspberry Pi 5 is aarch64", "--binary"]);
    }
    assert!(!output.exists());

    desk.run("flash", &["/nowhere.bundle"]).fails(1, &["/nowhere.bundle does not exist"]);
    desk.run("flash", &[arg(&model)]).fails(1, &["one.mcir", "not a usable bundle"]);
    desk.run("rollback", &[]).fails(1, &["nothing has been flashed"]);
    board(["flash", &one, "--target", "ssh://pi@board.invalid"])
        .fails(1, &["cannot reach ssh://pi@board.invalid"]);
    board(["flash", &one, "--target", "local:/proc/nowhere"]).fails(1, &["cannot reach local:/proc/nowhere"]);
    board(["flash", &one, "--target", &desk.target, "--ssh", "no-such-ssh"]).succeeds();
    board(["flash", &one, "--target", "ssh://board", "--ssh", "no-such-ssh"]).fails(1, &["no-such-ssh"]);
    desk.run("rollback", &[]).fails(1, &["no previous slot"]);
    // What the parser of the command line refuses has a next thing to try, too.
    board(["flash", &one, "--target", "pi@board"])
        .fails(2, &["`pi@board` is not a target", "say ssh://user@host"]);
    // Another program is at work.
    let lock = std::fs::File::options().write(true).open(desk.folder.path("board/lock")).unwrap();
    lock.lock().unwrap();
    desk.run("flash", &[&one]).fails(1, &["in use", "wait"]);
    drop(lock);
    // A board whose program is damaged tells so, and flashing repairs it.
    let programs = std::fs::read_dir(desk.folder.path("board/bin")).unwrap().flatten().next().unwrap().path();
    std::fs::remove_file(programs.join("mcir-board")).unwrap();
    std::fs::write(programs.join("mcir-board"), b"\x7fELF no").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(programs.join("mcir-board"), mode).unwrap();
    desk.run("flash", &[&one]).succeeds();
    assert_eq!(desk.runs(), "one");
    let slot = std::fs::canonicalize(desk.folder.path("board/current/slot")).unwrap();
    std::fs::write(slot.join("model.mcir"), b"x").unwrap();
    desk.run("status", &["--verify"]).fails(1, &["model.mcir", "SHA-256"]);
    desk.run("flash", &[&one]).succeeds();
    assert_eq!(desk.runs(), "one");
}

/// A wrong program for the machine: told before anything is sent.
#[test]
fn a_program_for_another_processor_is_not_sent() {
    let desk = Desk::new();
    let other = if std::env::consts::ARCH == "x86_64" { 183_u16 } else { 62 };
    let mut program = std::fs::read(env!("CARGO_BIN_EXE_mcir-board")).unwrap();
    program[18..20].copy_from_slice(&other.to_le_bytes());
    let program = desk.folder.file("program", &program);
    let bundle = desk.bundle("one", &["--binary", arg(&program)]);
    for more in [&[][..], &["--dry-run"]] {
        let args: Vec<&str> = [bundle.as_str()].into_iter().chain(more.iter().copied()).collect();
        desk.run("flash", &args).fails(1, &["the program is for", "--binary"]);
    }
    assert!(!desk.folder.path("board/current").exists());
}

/// A service is installed for systemd, restarted, and its failure undoes the switch.
#[test]
fn services() {
    let desk = Desk::new();
    let (one, two) = (desk.bundle("one", &[]), desk.bundle("two", &[]));
    // A systemctl that records its words and fails when told to.
    std::fs::create_dir(desk.folder.path("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>{0}/words\n[ \"$2\" != restart ] || [ ! -e {0}/broken ] || {{ rm {0}/broken; exit 1; }}\n",
        arg(&desk.folder.path("."))
    );
    let systemctl = desk.folder.file("bin/systemctl", script.as_bytes());
    std::fs::set_permissions(systemctl, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", arg(&desk.folder.path("bin")), std::env::var("PATH").unwrap());
    let flash = |bundle: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcir-board"))
            .args([
                "flash",
                bundle,
                "--target",
                &desk.target,
                "--user-service",
                "--service",
                "camera --source -",
            ])
            .env("PATH", &path)
            .env("XDG_CONFIG_HOME", desk.folder.path("config"))
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(flash(&one).0, Some(0));
    let unit = std::fs::read_to_string(desk.folder.path("config/systemd/user/mcir.service")).unwrap();
    assert!(unit.contains("camera --source - -m") && unit.contains("Type=notify"), "{unit}");
    let words = std::fs::read_to_string(desk.folder.path("words")).unwrap();
    let expected = "--user daemon-reload\n--user enable mcir.service\n--user restart mcir.service\n";
    assert_eq!(words, expected);
    desk.folder.file("broken", b"");
    let (code, message) = flash(&two);
    let unit_path = desk.folder.path("config/systemd/user/mcir.service");
    assert_eq!(std::fs::read_to_string(&unit_path).unwrap(), unit, "a unit that was there is what it was");
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("systemctl restart") && message.contains("rolled back"), "{message}");
    assert_eq!(desk.runs(), "one");
    // One that was not there before is removed again.
    std::fs::remove_file(&unit_path).unwrap();
    std::fs::remove_file(desk.folder.path("words")).unwrap();
    desk.folder.file("broken", b"");
    let (code, message) = flash(&two);
    assert!(code == Some(1) && message.contains("is removed") && !unit_path.exists(), "{message}");
    let words = std::fs::read_to_string(desk.folder.path("words")).unwrap();
    let expected = "--user daemon-reload\n--user enable mcir.service\n--user restart mcir.service\n\
                    --user stop mcir.service\n--user disable mcir.service\n--user daemon-reload\n";
    assert_eq!((words.as_str(), desk.runs().as_str()), (expected, "one"));
}

/// A signed bundle that was superseded is refused, by its counter, and can be asked for.
#[test]
fn older_bundles() {
    let desk = Desk::new();
    let key = desk.folder.path("mine");
    board(["keygen", "-o", arg(&key)]).succeeds();
    let (secret, public) = (format!("{}.key", arg(&key)), format!("{}.pub", arg(&key)));
    let old = desk.bundle("one", &["--sign", &secret, "--counter", "7"]);
    // By default the time of signing, which is later.
    let new = desk.bundle("two", &["--sign", &secret]);
    let verify = ["--verify-key", public.as_str()];
    desk.run("flash", &[&[old.as_str()], &verify[..]].concat()).succeeds();
    let json = desk.run("flash", &[&[new.as_str(), "--json"], &verify[..]].concat()).succeeds().json();
    assert!(json["manifest"]["counter"].as_u64().unwrap() > 1_700_000_000, "{json}");
    let refused = ["older than what runs", "counter is 7", "--allow-downgrade", "rollback"];
    for more in [&[][..], &["--dry-run"]] {
        desk.run("flash", &[&[old.as_str()], &verify[..], more].concat()).fails(1, &refused);
    }
    assert_eq!(desk.runs(), "two");
    desk.run("rollback", &[]).succeeds();
    assert_eq!(desk.runs(), "one");
    desk.run("flash", &[&[new.as_str()], &verify[..]].concat()).succeeds();
    desk.run("flash", &[&[old.as_str(), "--allow-downgrade"], &verify[..]].concat()).succeeds();
    assert_eq!(desk.runs(), "one");
    // The same input gives the same bytes where the time is given.
    let (model, data) = (desk.folder.path("one.mcir"), desk.folder.path("data"));
    let made = |name: &str, epoch: &str| {
        let output = desk.folder.path(name);
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_mcir-board"))
            .args(["bundle", "-m", arg(&model), "-o", arg(&output), "--data", arg(&data), "--sign", &secret])
            .env("SOURCE_DATE_EPOCH", epoch)
            .output()
            .unwrap();
        (run.status.code(), std::fs::read(output).unwrap_or_default())
    };
    // All but the signature, which has something random in it.
    let manifest = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..1024]).into_owned();
    let (a, b) = (made("a.bundle", "1234"), made("b.bundle", "1234"));
    assert!(a.0 == Some(0) && manifest(&a.1).contains("\"counter\": 1234"), "{}", manifest(&a.1));
    assert_eq!(manifest(&a.1), manifest(&b.1));
    assert_eq!(made("c.bundle", "yesterday").0, Some(2));
    // A password that a script has failed to read.
    let empty = std::process::Command::new(env!("CARGO_BIN_EXE_mcir-board"))
        .args(["keygen", "-o", arg(&desk.folder.path("empty"))])
        .env("MCIR_KEY_PASSWORD", "")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert!(empty.status.code() == Some(2) && words.contains("password is empty"), "{words}");
    assert!(!desk.folder.path("empty.key").exists());
}

/// What is on the board is for all to read and only for its owner to change, whatever the umask is.
#[test]
fn modes_on_the_board() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new();
    let (one, two) = (desk.bundle("one", &[]), desk.bundle("two", &[]));
    for umask in ["000", "077"] {
        for words in [&["flash", &one][..], &["flash", &two], &["rollback"], &["status"], &["prune"]] {
            let script = format!("umask {umask}; exec \"$0\" \"$@\" --target '{}'", desk.target);
            let run = std::process::Command::new("sh")
                .args(["-c", &script, env!("CARGO_BIN_EXE_mcir-board")])
                .args(words)
                .output()
                .unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        }
        let mut folders = vec![desk.folder.path("board")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                if kind.is_symlink() {
                    continue;
                }
                let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
                let program = path.file_name().is_some_and(|n| n == "mcir-board");
                let expected = if kind.is_dir() || program { 0o755 } else { 0o644 };
                assert_eq!(mode, expected, "{} is {mode:o} under {umask}", path.display());
                if kind.is_dir() {
                    folders.push(path);
                }
            }
        }
        std::fs::remove_dir_all(desk.folder.path("board")).unwrap();
    }
}

#[test]
fn the_same_bundle_twice_keeps_the_way_back() {
    let desk = Desk::new();
    let (one, two) = (desk.bundle("one", &[]), desk.bundle("two", &[]));
    for bundle in [&one, &two, &two] {
        desk.run("flash", &[bundle]).succeeds();
    }
    desk.run("prune", &[]).succeeds();
    desk.run("rollback", &[]).succeeds();
    assert_eq!(desk.runs(), "one");
}

#[test]
fn raw_partitions() {
    let desk = Desk::new();
    let (one, two) = (desk.bundle("one", &[]), desk.bundle("two", &[]));
    let device = desk.folder.file("partition", &vec![0xa5; 1 << 20]);
    let raw = |words: &[&str]| board(["raw"].iter().chain(words).chain(&["--device", arg(&device)]));
    let output = desk.folder.path("read.mcir");
    raw(&["read", "-o", arg(&output)]).fails(1, &["nothing has been flashed"]);
    raw(&["rollback"]).fails(1, &["no good slot to go back to"]);
    for (bundle, model) in [(&one, "one.mcir"), (&two, "two.mcir")] {
        raw(&["flash", bundle]).succeeds();
        raw(&["read", "-o", arg(&output)]).succeeds();
        assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(desk.folder.path(model)).unwrap());
    }
    raw(&["rollback"]).succeeds();
    raw(&["read", "-o", arg(&output)]).succeeds();
    assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(desk.folder.path("one.mcir")).unwrap());
    let json = raw(&["status", "--json"]).succeeds().json();
    assert_eq!(
        (json["current"]["sequence"].as_u64(), json["previous"]["sequence"].as_u64()),
        (Some(3), Some(2))
    );
    assert_eq!(std::fs::metadata(&device).unwrap().len(), 1 << 20);
    let small = desk.folder.file("small", &[0; 4096]);
    board(["raw", "flash", &one, "--device", arg(&small)]).fails(1, &["no place for two slots", "larger"]);
}

#[test]
fn completions_and_lists() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(board(["completions", shell]).succeeds().stdout().contains("rollback"), "{shell}");
    }
    assert!(board(["list"]).succeeds().stdout().contains("jetson-orin-nano"));
    let json = board(["list", "--json"]).succeeds().json();
    assert_eq!(json["boards"].as_array().unwrap().len(), 8);
    let folder = Folder::new();
    let toml = board(["list", "--toml", "raspberry-pi-4"]).succeeds().stdout();
    let mine = folder.file("mine.toml", toml.replace("clock_mhz = 1800", "clock_mhz = 900").as_bytes());
    let latency = |name: &str| {
        let args = ["estimate", "-m", "edsr-edge-x4", "--board", name, "--size", "160x90", "--json"];
        board(args).succeeds().json()["latency_ms"].as_f64().unwrap()
    };
    assert!((latency(arg(&mine)) / latency("raspberry-pi-4") - 2.0).abs() < 1e-6);
    let json = board(["info", "--json"]).succeeds().json();
    assert_eq!(json["machine"]["isa"].as_str(), Some(mcir_runtime::Isa::best().name()));
}
