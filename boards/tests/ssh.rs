//! `flash` over ssh to a real sshd on this machine, with a program for another processor under an emulator.

#![cfg(target_os = "linux")]

mod support;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, arg, board};

/// An sshd with keys of its own on a free port of the loopback device.
struct Sshd {
    child: Child,
    port: u16,
    user: String,
    /// The command that logs in.
    ssh: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.map(|f| f.join(name)).find(|p| p.exists())
}

impl Sshd {
    /// `None`, with a note, where there is no sshd or it does not let this user in.
    fn start(folder: &Folder) -> Option<Self> {
        let skip = |why: &str| {
            println!("skipped, because {why}");
            None
        };
        let (Some(sshd), Some(_)) = (program("sshd"), program("ssh-keygen")) else {
            return skip("sshd or ssh-keygen is not installed");
        };
        for key in ["host", "user"] {
            let path = folder.path(key);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", arg(&path)]).status();
            if !made.is_ok_and(|s| s.success()) {
                return skip("ssh-keygen makes no key");
            }
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let authorized = folder.file("authorized_keys", &std::fs::read(folder.path("user.pub")).unwrap());
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nPermitRootLogin yes\n",
            arg(&folder.path("host")),
            arg(&authorized)
        );
        let config = folder.file("sshd_config", config.as_bytes());
        if !Path::new("/run/sshd").exists() {
            // Root's sshd wants it; nobody else's does.
            let _ = std::fs::create_dir("/run/sshd");
        }
        let log = std::fs::File::create(folder.path("sshd.log")).unwrap();
        let child = Command::new(sshd)
            .args(["-D", "-e", "-f", arg(&config)])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .ok()?;
        let known = folder.path("known_hosts");
        let ssh = format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={} -o StrictHostKeyChecking=accept-new \
             -o BatchMode=yes -o LogLevel=ERROR",
            arg(&folder.path("user")),
            arg(&known)
        );
        let id = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(id.stdout).unwrap().trim().to_owned();
        let sshd = Self { child, port, user, ssh };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if begin.elapsed() > Duration::from_secs(20) {
                return skip(&format!(
                    "sshd does not listen: {}",
                    std::fs::read_to_string(folder.path("sshd.log")).unwrap()
                ));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let address = format!("{}@127.0.0.1", sshd.user);
        let mut words = sshd.ssh.split(' ');
        let login = Command::new(words.next().unwrap())
            .args(words)
            .args(["-p", &port.to_string(), &address, "true"])
            .output()
            .unwrap();
        if !login.status.success() {
            return skip(&format!(
                "sshd does not let this user in: {}",
                String::from_utf8_lossy(&login.stderr)
            ));
        }
        Some(sshd)
    }

    fn target(&self, folder: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, arg(folder))
    }
}

/// The static program for aarch64, where it has been built beside this one.
fn for_aarch64() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_BIN_EXE_mcir-board"));
    let target = here.ancestors().nth(2).unwrap().join("aarch64-unknown-linux-musl");
    ["release", "debug"].iter().map(|p| target.join(p).join("mcir-board")).find(|p| p.exists())
}

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
        _ => println!(
            "the emulated half is skipped, because qemu-aarch64 is not installed or no program for it was built: \
             cargo build --release -p mcir-boards --target aarch64-unknown-linux-musl"
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
}
