//! The systemd service that runs what is current, on boards that have systemd.

use super::Store;
use crate::DeployError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A service to install.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Name of the unit, without `.service`.
    pub name: String,
    /// Verb and options of `mcir-board`; the model of the slot is added as `-m`.
    pub arguments: String,
    /// A service of this user, and not of the system.
    pub user: bool,
}

impl Service {
    /// Starts it anew and waits until it says that it is ready.
    ///
    /// # Errors
    /// [`DeployError::Service`].
    pub fn restart(&self) -> Result<(), DeployError> {
        self.systemctl(&["restart", &self.unit()])
    }

    /// Stops it.
    ///
    /// # Errors
    /// [`DeployError::Service`].
    pub fn stop(&self) -> Result<(), DeployError> {
        self.systemctl(&["stop", &self.unit()])
    }

    fn unit(&self) -> String {
        format!("{}.service", self.name)
    }

    fn systemctl(&self, words: &[&str]) -> Result<(), DeployError> {
        let failed = |reason: String| DeployError::Service { reason };
        let scope: &[&str] = if self.user { &["--user"] } else { &[] };
        let output = Command::new("systemctl").args(scope).args(words).output();
        let output = output.map_err(|e| failed(format!("systemctl cannot be started: {e}")))?;
        if output.status.success() {
            return Ok(());
        }
        let words = words.join(" ");
        Err(failed(format!("systemctl {words}: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Where the unit's file goes.
    fn path(&self) -> Result<PathBuf, DeployError> {
        if !self.user {
            return Ok(PathBuf::from("/etc/systemd/system").join(self.unit()));
        }
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
        let config = config.or_else(home);
        let config = config.ok_or_else(|| DeployError::Service { reason: "HOME is not set".into() })?;
        Ok(config.join("systemd/user").join(self.unit()))
    }

    /// The unit's file. The program tells systemd when it is ready, and again and again that it is alive.
    pub fn text(&self, store: &Store) -> String {
        let root = store.root().display();
        let wrapper = store.run_with.iter().fold(String::new(), |all, word| format!("{all}{word} "));
        let program = format!("{wrapper}{root}/current/slot/mcir-board");
        // What is given is meant as it is written; systemd would put values in place of these.
        let arguments = self.arguments.replace('%', "%%").replace('$', "$$");
        let wanted_by = if self.user { "default.target" } else { "multi-user.target" };
        format!(
            "[Unit]\n\
             Description=Super-resolution of camera frames\n\
             After=network.target\n\
             StartLimitIntervalSec=0\n\
             \n\
             [Service]\n\
             Type=notify\n\
             NotifyAccess=main\n\
             # Undoes a switch that a loss of power has interrupted; does nothing while one is at work.\n\
             ExecStartPre=-{program} slot recover --root {root}\n\
             ExecStart={program} {arguments} -m {root}/current/slot/model.mcir\n\
             WatchdogSec=30\n\
             TimeoutStartSec=60\n\
             Restart=always\n\
             RestartSec=2\n\
             \n\
             [Install]\n\
             WantedBy={wanted_by}\n"
        )
    }

    fn check(&self) -> Result<(), DeployError> {
        let name = !self.name.is_empty()
            && self.name.len() <= 64
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let one_line = !self.arguments.chars().any(char::is_control);
        if name && one_line {
            return Ok(());
        }
        Err(DeployError::Service {
            reason: "its name must be letters, digits, - and _; its arguments one line".into(),
        })
    }
}

/// Writes the unit's file, if it is another one, and tells systemd.
///
/// # Errors
/// [`DeployError::Service`], [`DeployError::Io`].
pub fn install(store: &Store, service: &Service) -> Result<(), DeployError> {
    service.check()?;
    let root = store.root().to_str().unwrap_or("\n");
    if root.chars().any(|c| c.is_whitespace() || c.is_control() || "%\"'\\".contains(c)) {
        return Err(DeployError::Service {
            reason: format!("the folder {root:?} has characters that units cannot name"),
        });
    }
    let (path, text) = (service.path()?, service.text(store));
    if fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return Ok(());
    }
    let folder = path.parent().expect("the path has a folder");
    fs::create_dir_all(folder).map_err(DeployError::io("create", folder))?;
    let temporary = path.with_extension("service.tmp");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(DeployError::io("write", &path))?;
    service.systemctl(&["daemon-reload"])?;
    service.systemctl(&["enable", &service.unit()])
}
