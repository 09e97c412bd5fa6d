//! `flash` over ssh to a real sshd on this machine, with a program for another processor under an emulator.

#![cfg(target_os = "linux")]

mod support;

#[path = "support/sshd.rs"]
mod sshd;

use sshd::{Sshd, for_aarch64, program};
use std::net::TcpListener;
use std::path::Path;
use support::{Folder, arg, board};

#[test]
fn flash_over_ssh() {
    let folder = Folder::new();
    let Some(sshd) = Sshd::start(&folder) else { return };
    let (one, two) = (folder.named_model("one", 2), folder.named_model("two", 3));
    std::fs::create_dir(folder.path("data")).unwrap();
    folder.image("data/a.png", 48, 48);
    let data = folder.path("data");
    // A folder whose name a shell must not read.
    let slots = folder.path("it's a $(board)");
    let target = sshd.target(&slots);
    let mut words = vec!["--ssh", sshd.ssh.as_str(), "--target", &target];
    let mut bundling = vec!["--data", arg(&data)];
    let binary = for_aarch64();
    match (&binary, program("qemu-aarch64")) {
        (Some(binary), Some(_)) => {
            words.extend(["--run-with", "qemu-aarch64 -cpu cortex-a76"]);
            bundling.extend(["--binary", arg(binary), "--board", "raspberry-pi-5"]);
        }
        _ => support::skip::skip(
            "qemu-aarch64 is not installed or no program for it was built: \
             cargo build --release -p mcir-boards --target aarch64-unknown-linux-musl",
        ),
    }
    let bundle = |model: &Path| {
        let output = model.with_extension("bundle");
        board(["bundle", "-m", arg(model), "-o", arg(&output)].iter().chain(&bundling)).succeeds();
        output
    };
    let (one, two) = (bundle(&one), bundle(&two));
    let run = |verb: &str, more: &[&str]| board([verb].iter().chain(&words).chain(more));
    let name = || {
        let json = run("status", &["--verify", "--json"]).succeeds().json();
        json["status"]["current"]["manifest"]["name"].as_str().unwrap().to_owned()
    };
    let dry = run("flash", &[arg(&one), "--dry-run"]).succeeds();
    assert!(dry.stdout().contains("nothing has been flashed"), "{}", dry.stdout());
    let json = run("flash", &[arg(&one), "--json"]).succeeds().json();
    if binary.is_some() && words.contains(&"--run-with") {
        assert_eq!(json["self_test"]["isa"].as_str(), Some("neon_dot"), "{json}");
    }
    assert_eq!(name(), "one");
    run("flash", &[arg(&two), "--health", "test -e current/slot/model.mcir"]).succeeds();
    assert_eq!(name(), "two");
    run("rollback", &[]).succeeds();
    assert_eq!(name(), "one");
    run("prune", &[]).succeeds();
    let info = board(["info", "--ssh", &sshd.ssh, "--target", &target, "--json"]).succeeds().json();
    assert!(info["machine"]["processors"].as_u64().unwrap() > 0);

    // Without a bundle, to a board on which nothing is yet: what it is comes through the same shell.
    let bare = folder.path("bare");
    let there = sshd.target(&bare);
    let mut words =
        vec!["flash", "-m", "edsr-edge-x4", "--data", arg(&data), "--ssh", &sshd.ssh, "--target", &there];
    if let (Some(binary), Some(_)) = (&binary, program("qemu-aarch64")) {
        words.extend(["--run-with", "qemu-aarch64 -cpu cortex-a76", "--program", arg(binary)]);
    }
    let dry = board(words.iter().chain(&["--dry-run"])).succeeds().stdout();
    assert!(dry.contains("board: ") && dry.contains("--service would install `camera "), "{dry}");
    assert!(!bare.exists(), "a dry run changes nothing");
    let json = board(words.iter().chain(&["--json"])).succeeds().json();
    assert_eq!(json["manifest"]["name"], "edsr-edge-x4");
    let expected = if words.contains(&"--run-with") { "aarch64" } else { std::env::consts::ARCH };
    assert_eq!(json["prepared"]["architecture"], expected, "{json}");
    assert_eq!(json["self_test"]["crc32"], json["manifest"]["self_test"]["crc32"]);
    assert!(bare.join("current/slot/model.mcir").exists());

    // What can be wrong with the way.
    let wrong = |target: &str, ssh: &str, parts: &[&str]| {
        board(["status", "--ssh", ssh, "--target", target]).fails(1, parts);
    };
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    wrong(&format!("ssh://127.0.0.1:{nobody}"), &sshd.ssh, &["refused", "ssh is enabled"]);
    wrong("ssh://no-such-host.invalid", &sshd.ssh, &["Could not resolve", "name of the board"]);
    let stranger = sshd.ssh.replace(arg(&folder.path("user")), arg(&folder.path("host")));
    wrong(&target, &stranger, &["Permission denied", "ssh-copy-id"]);
    let strict = sshd.ssh.replace("accept-new", "yes").replace("known_hosts", "other_hosts");
    wrong(&target, &strict, &["Host key verification failed", "log in once"]);
    // A board that was set up anew has another key.
    let known = folder.path("changed_hosts");
    let port = target.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let key = std::fs::read_to_string(folder.path("user.pub")).unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{port} {key}")).unwrap();
    let changed = sshd.ssh.replace("known_hosts", "changed_hosts");
    let forget = format!("ssh-keygen -R '[127.0.0.1]:{port}'");
    wrong(&target, &changed, &["has changed", &forget]);
}
