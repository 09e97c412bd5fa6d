//! The systemd service that runs what is current, on boards that have systemd.

use super::Store;
use super::change::write_synced;
use crate::DeployError;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
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
    /// User that a service of the system runs as; one of its own without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as: Option<String>,
}

/// In a generation: the unit's file as it was before this one.
const RECORD: &str = "service.json";

/// What puts a unit back.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    service: Service,
    /// None where there was no such unit.
    before: Option<String>,
}

/// Groups whose devices the program needs: cameras, the hardware that scales and converts, pins.
const GROUPS: [&str; 3] = ["video", "render", "gpio"];

/// What every service is kept from. System calls that are refused give an error and do not end the program.
const KEPT_FROM: &str = "\
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0022
";

/// What else one of the system is kept from. Devices stay, as far as the groups may use them: a camera is several, and
/// which ones differs from board to board.
const SYSTEM_KEPT_FROM: &str = "\
CapabilityBoundingSet=
AmbientCapabilities=
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectProc=invisible
RemoveIPC=yes
KeyringMode=private
";

impl Service {
    /// What its words say after `--device`, if they do and it is not the processor: the self-test runs there, too.
    pub fn device(&self) -> Option<String> {
        let words: Vec<&str> = self.arguments.split_whitespace().collect();
        let at = |i: usize| words.get(i + 1).map(|word| (*word).to_owned());
        let found = words.iter().enumerate().find_map(|(i, word)| match word.strip_prefix("--device") {
            Some("") => at(i),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        });
        found.filter(|device| device != "cpu")
    }

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

    /// Replaces the unit's file by one rename.
    fn write(&self, text: &str) -> Result<(), DeployError> {
        let path = self.path()?;
        let folder = path.parent().expect("the path has a folder");
        fs::create_dir_all(folder).map_err(DeployError::io("create", folder))?;
        let temporary = path.with_extension("service.tmp");
        write_synced(&temporary, text.as_bytes())?;
        fs::rename(&temporary, &path).map_err(DeployError::io("write", &path))
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

    /// The unit's file. The program tells systemd when it is ready, and again and again that it is alive. `groups` are those
    /// of the board.
    pub fn text(&self, store: &Store, groups: &[&str]) -> String {
        let root = store.root().display();
        let wrapper = store.run_with.iter().fold(String::new(), |all, word| format!("{all}{word} "));
        let program = format!("{wrapper}{root}/current/slot/mcir-board");
        // What is given is meant as it is written; systemd would put values in place of these.
        let arguments = self.arguments.replace('%', "%%").replace('$', "$$");
        let wanted_by = if self.user { "default.target" } else { "multi-user.target" };
        // Going back changes links that only the one who flashes may change.
        let recover = if self.user { "-" } else { "-+" };
        let exec = format!(
            "# Undoes a switch that a loss of power has interrupted; does nothing while one is at work.\n\
             ExecStartPre={recover}{program} slot recover --root {root}\n\
             ExecStart={program} {arguments} -m {root}/current/slot/model.mcir\n"
        );
        unit(&exec, &self.rights(store, groups), wanted_by)
    }

    /// Who runs it, and what it may not do.
    fn rights(&self, store: &Store, groups: &[&str]) -> String {
        if self.user {
            // The manager of a user cannot do more without rights of an administrator.
            return KEPT_FROM.into();
        }
        let (root, name) = (store.root().display(), &self.name);
        let who = match &self.run_as {
            Some(user) => format!("User={user}\nProtectSystem=full\n"),
            // Nobody else has this number, and it owns no files but those in its folder.
            None => format!(
                "User=mcir\nDynamicUser=yes\nProtectSystem=strict\nProtectHome=tmpfs\nBindReadOnlyPaths={root}\n\
                 # Files that are named without a folder are written here: /var/lib/{name}.\n\
                 StateDirectory={name}\nWorkingDirectory=%S/{name}\n"
            ),
        };
        let groups: Vec<_> = GROUPS.into_iter().filter(|group| groups.contains(group)).collect();
        let groups = match groups.is_empty() {
            true => String::new(),
            false => format!("SupplementaryGroups={}\n", groups.join(" ")),
        };
        format!("{who}{groups}{SYSTEM_KEPT_FROM}{KEPT_FROM}")
    }

    fn check(&self) -> Result<(), DeployError> {
        let name = is_name(&self.name);
        let one_line = !self.arguments.chars().any(char::is_control);
        let user = self.run_as.as_ref().is_none_or(|user| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            !user.is_empty() && user.len() <= 32 && !user.starts_with('-') && user.bytes().all(plain)
        });
        if name && one_line && user {
            return Ok(());
        }
        Err(DeployError::Service {
            reason:
                "its name must be letters, digits, - and _; its arguments one line; its user a user's name"
                    .into(),
        })
    }
}

/// Whether a service can be called so: it is part of a path and of commands.
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// The file of a unit: what it starts, with which rights, and what starts it.
fn unit(exec: &str, rights: &str, wanted_by: &str) -> String {
    format!(
        "[Unit]\n\
         Description=Super-resolution of camera frames\n\
         After=network.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=main\n\
         {exec}\
         WatchdogSec=30\n\
         TimeoutStartSec=60\n\
         Restart=always\n\
         RestartSec=2\n\
         {rights}\
         \n\
         [Install]\n\
         WantedBy={wanted_by}\n"
    )
}

/// Name of the service that packages bring: another than the one of `flash`, which may come later.
const PACKAGED: &str = "mcir-camera";

/// What a package brings for the service: its unit with the same rights as that of `flash`, but for a user that stays; the
/// user with its groups for systemd-sysusers; a rule for pins where the system gives them to root alone; and the settings.
/// Paths are those below the root of the file system.
pub fn packaged() -> Vec<(PathBuf, Vec<u8>)> {
    let rights = format!(
        "User=mcir\nProtectSystem=strict\nProtectHome=yes\n\
         # Files that are named without a folder are written here: /var/lib/{PACKAGED}.\n\
         StateDirectory={PACKAGED}\nWorkingDirectory=%S/{PACKAGED}\n\
         SupplementaryGroups={}\n{SYSTEM_KEPT_FROM}{KEPT_FROM}",
        GROUPS.join(" ")
    );
    let exec = format!(
        "EnvironmentFile=/etc/default/{PACKAGED}\nExecStart=/usr/bin/mcir-board camera $MCIR_CAMERA\n"
    );
    let groups: String = GROUPS.iter().map(|group| format!("g {group} -\nm mcir {group}\n")).collect();
    let users = format!("u mcir - \"Super-resolution of camera frames\"\n{groups}");
    let pins = "# Pins for the group gpio, as Raspberry Pi OS has it, also on systems that give them to root alone.\n\
                SUBSYSTEM==\"gpio\", KERNEL==\"gpiochip[0-9]*\", GROUP=\"gpio\", MODE=\"0660\"\n";
    let settings = format!(
        "# What `mcir-board camera` is told when it runs as a service: `mcir-board camera --help` has all of it.\n\
         # Start it with `systemctl enable --now {PACKAGED}`; then http://127.0.0.1:8080/ shows the pictures.\n\
         # Raspberry Pi with a camera on the ribbon cable: --source rpicam: --size 320x180 --http 8080\n\
         # `--http 0.0.0.0:8080` shows them to the whole network; there is no password.\n\
         MCIR_CAMERA=\"--source v4l2:/dev/video0 --size 320x240 --http 8080\"\n"
    );
    [
        (format!("usr/lib/systemd/system/{PACKAGED}.service"), unit(&exec, &rights, "multi-user.target")),
        ("usr/lib/sysusers.d/mcir.conf".into(), users),
        ("usr/lib/udev/rules.d/60-mcir-gpio.rules".into(), pins.into()),
        (format!("etc/default/{PACKAGED}"), settings),
    ]
    .map(|(path, text)| (path.into(), text.into_bytes()))
    .into()
}

/// Names of the groups of this machine.
fn groups() -> Vec<String> {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

/// Writes the unit's file, if it is another one, and tells systemd. `generation` is the folder that keeps how it was
/// before, for [`restore`].
///
/// # Errors
/// [`DeployError::Service`], [`DeployError::Io`].
pub fn install(store: &Store, service: &Service, generation: &Path) -> Result<(), DeployError> {
    service.check()?;
    let root = store.root().to_str().unwrap_or("\n");
    if root.chars().any(|c| c.is_whitespace() || c.is_control() || "%\"'\\:".contains(c)) {
        return Err(DeployError::Service {
            reason: format!("the folder {root:?} has characters that units cannot name"),
        });
    }
    let groups = groups();
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    let (path, text) = (service.path()?, service.text(store, &groups));
    let before = fs::read_to_string(&path).ok();
    if before.as_ref() == Some(&text) {
        return Ok(());
    }
    let record = Record { service: service.clone(), before };
    write_synced(&generation.join(RECORD), &serde_json::to_vec(&record).expect("a record is plain data"))?;
    service.write(&text)?;
    service.systemctl(&["daemon-reload"])?;
    service.systemctl(&["enable", &service.unit()])
}

/// What [`restore`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// The unit was not changed.
    Unchanged,
    /// It is what it was before.
    Back,
    /// There was none, and there is none.
    Removed,
}

/// Puts the unit back that a generation has changed. One that was not there before is removed, and with `stop` stopped first:
/// the unit itself cannot wait for its own end.
///
/// # Errors
/// [`DeployError::Service`], [`DeployError::Io`]; what can be done without what failed is done.
pub fn restore(generation: &Path, stop: bool) -> Result<Restored, DeployError> {
    let Some(record) = fs::read(generation.join(RECORD)).ok() else { return Ok(Restored::Unchanged) };
    let Ok(Record { service, before }) = serde_json::from_slice(&record) else {
        return Ok(Restored::Unchanged);
    };
    service.check()?;
    match before {
        Some(text) => {
            service.write(&text)?;
            service.systemctl(&["daemon-reload"])?;
            Ok(Restored::Back)
        }
        None => {
            let stopped = if stop { service.stop() } else { Ok(()) };
            let disabled = service.systemctl(&["disable", &service.unit()]);
            let path = service.path()?;
            let removed = match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    Err(DeployError::io("remove", &path)(e))
                }
                _ => Ok(()),
            };
            let told = service.systemctl(&["daemon-reload"]);
            removed.and(told).and(stopped).and(disabled).map(|()| Restored::Removed)
        }
    }
}
