//! Boards that can be reached: over the user's own ssh, or a folder of this machine.
//!
//! Both are a shell that is given a command and speaks through its standard input and output; so everything
//! but the words before the command is the same.

mod connection;
mod ears;
pub mod shell;
#[cfg(test)]
mod tests;

pub use connection::Connection;

use super::DeployError;
use ears::{Ears, Heard};
use mcir_files::name::escaped;
use mcir_report::machine::Snapshot;
use std::fmt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Folder with the slots, below the home folder, when a target names none.
const DEFAULT_FOLDER: &str = "mcir";

/// How a board is reached.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Board: ssh://user@host:port/folder (port and folder may be left out), or local:FOLDER
    #[arg(long, value_name = "TARGET", env = "MCIR_TARGET", value_parser = Target::parse)]
    pub target: Target,

    /// The way there.
    #[command(flatten)]
    pub reach: Reach,
}

/// The programs between here and the board's own.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Reach {
    /// Program for ssh targets, with its options
    #[arg(long, value_name = "COMMAND", env = "MCIR_SSH", default_value = "ssh")]
    pub ssh: String,

    /// Words before the board's program, for an emulator: `qemu-aarch64 -cpu cortex-a76`
    #[arg(long, value_name = "COMMAND", env = "MCIR_RUN_WITH", default_value = "")]
    pub run_with: String,

    /// Give up on a board that says nothing for this many seconds
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub patience: u64,
}

impl Reach {
    fn idle(&self) -> Duration {
        Duration::from_secs(if self.patience == 0 { 300 } else { self.patience })
    }
}

/// Where a board is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Behind ssh.
    Ssh {
        /// `user@host` or `host`, as ssh takes it.
        host: String,
        /// Port, unless ssh's configuration knows it.
        port: Option<u16>,
        /// Folder with the slots: absolute, or none for the usual one.
        folder: Option<String>,
    },
    /// A folder of this machine.
    Local {
        /// The folder with the slots.
        folder: PathBuf,
    },
}

impl std::str::FromStr for Target {
    type Err = DeployError;

    fn from_str(text: &str) -> Result<Self, DeployError> {
        let wrong = |reason| DeployError::Target { text: text.into(), reason };
        if let Some(folder) = text.strip_prefix("local:") {
            if folder.is_empty() {
                return Err(wrong("the folder is missing"));
            }
            let folder = std::path::absolute(folder).map_err(|_| wrong("the folder has no absolute path"))?;
            return Ok(Self::Local { folder });
        }
        let rest =
            text.strip_prefix("ssh://").ok_or_else(|| wrong("it begins with neither ssh:// nor local:"))?;
        let (address, folder) = match rest.split_once('/') {
            Some((address, folder)) if !folder.is_empty() => (address, Some(format!("/{folder}"))),
            Some((address, _)) => (address, None),
            None => (rest, None),
        };
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().ok().filter(|&p| p != 0);
                (host, Some(port.ok_or_else(|| wrong("the port is no number from 1 to 65535"))?))
            }
            _ => (address, None),
        };
        let host: String = host.chars().filter(|c| !"[]".contains(*c)).collect();
        // A name that begins with a dash would be an option of ssh.
        let name = host.rsplit('@').next().unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if name.is_empty() || host.starts_with('-') || name.starts_with('-') || host.contains(odd) {
            return Err(wrong("the host's name is missing or no name"));
        }
        Ok(Self::Ssh { host, port, folder })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { folder } => write!(f, "local:{}", folder.display()),
            Self::Ssh { host, port, folder } => {
                // The colons of an IPv6 address are not those before a port.
                match host.rsplit_once('@').unwrap_or(("", host)) {
                    (_, name) if !name.contains(':') => write!(f, "ssh://{host}")?,
                    ("", name) => write!(f, "ssh://[{name}]")?,
                    (user, name) => write!(f, "ssh://{user}@[{name}]")?,
                }
                port.map_or(Ok(()), |port| write!(f, ":{port}"))?;
                f.write_str(folder.as_deref().unwrap_or_default())
            }
        }
    }
}

impl Target {
    /// From the command line, whose parser shows one text only.
    ///
    /// # Errors
    /// What is wrong, with the next thing to try.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: DeployError| format!("{error}\n  help: {}", error.help()))
    }

    /// Starts a command in the board's shell.
    ///
    /// # Errors
    /// [`DeployError::Connect`] when ssh or the shell cannot be started.
    pub fn start(&self, reach: &Reach, command: &str) -> Result<Child, DeployError> {
        let mut process = match self {
            Self::Local { .. } => {
                let mut process = Command::new("sh");
                process.args(["-c", command]);
                process
            }
            Self::Ssh { host, port, .. } => {
                let mut words = reach.ssh.split_whitespace();
                let mut process = Command::new(words.next().unwrap_or("ssh"));
                process.args(words).args(["-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=10", "-T"]);
                if let Some(port) = port {
                    process.args(["-p", &port.to_string()]);
                }
                // The user's shell may be any; it is only asked for a POSIX one.
                process.args(["--", host, &format!("exec sh -c {}", shell::quote(command))]);
                process
            }
        };
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        process.spawn().map_err(|e| DeployError::Connect {
            target: self.to_string(),
            reason: format!("{} cannot be started: {e}", process.get_program().display()),
        })
    }

    /// The folder with the slots, as a word of a shell script.
    pub fn root_word(&self) -> String {
        match self {
            Self::Local { folder } => shell::quote(&folder.to_string_lossy()),
            Self::Ssh { folder: Some(folder), .. } => shell::quote(folder),
            Self::Ssh { folder: None, .. } => format!("\"$HOME\"/{DEFAULT_FOLDER}"),
        }
    }

    /// Reads what the board is, without any program of ours there.
    ///
    /// # Errors
    /// [`DeployError::Connect`].
    pub fn snapshot(&self, reach: &Reach) -> Result<Snapshot, DeployError> {
        let failed = |reason: String| DeployError::Connect { target: self.to_string(), reason };
        let child = self.start(reach, &Snapshot::script())?;
        let mut ears = Ears::new(child).map_err(|e| failed(e.to_string()))?;
        ears.stop_talking();
        let (mut text, begin) = (String::new(), Instant::now());
        loop {
            match ears.line(reach.idle()) {
                Heard::Line(line)
                    if text.len() + line.len() <= MAX_SNAPSHOT && begin.elapsed() <= reach.idle() =>
                {
                    text += &line;
                }
                Heard::End => break,
                Heard::Line(_) | Heard::TooLong => return Err(failed("it does not stop talking".into())),
                Heard::Nothing => return Err(failed(silence(reach.idle()))),
            }
        }
        match ears.end() {
            Some(status) if status.success() && !text.is_empty() => Ok(Snapshot::parse(&text)),
            status => Err(failed(ears.last_words(status))),
        }
    }
}

/// Longest description of a board in bytes.
const MAX_SNAPSHOT: usize = 1 << 20;

/// Why a board is given up.
fn silence(idle: Duration) -> String {
    format!("it said nothing for {} s", idle.as_secs())
}

/// The last lines of what a program wrote to its standard error, or how it ended when it wrote nothing.
fn last_words(stderr: &str, status: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    match lines.as_slice() {
        [] => status.to_owned(),
        lines => {
            let last = &lines[lines.len().saturating_sub(3)..];
            last.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("; ")
        }
    }
}
