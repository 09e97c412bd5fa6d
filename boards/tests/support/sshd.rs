//! An sshd of the tests' own, and what an emulated board needs.

use super::support::{Folder, arg};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An sshd with keys of its own on a free port of the loopback device.
pub struct Sshd {
    child: Child,
    port: u16,
    user: String,
    /// The command that logs in.
    pub ssh: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the system, where it is installed.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.map(|f| f.join(name)).find(|p| p.exists())
}

impl Sshd {
    /// `None`, with a note, where there is no sshd or it does not let this user in.
    pub fn start(folder: &Folder) -> Option<Self> {
        let skip = |why: &str| {
            crate::support::skip::skip(why);
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

    /// As `--target` has it.
    pub fn target(&self, folder: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, arg(folder))
    }
}

/// The static program for aarch64, where it has been built beside this one.
pub fn for_aarch64() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_BIN_EXE_mcir-board"));
    let target = here.ancestors().nth(2).unwrap().join("aarch64-unknown-linux-musl");
    ["release", "debug"].iter().map(|p| target.join(p).join("mcir-board")).find(|p| p.exists())
}
