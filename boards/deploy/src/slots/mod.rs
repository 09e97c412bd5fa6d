//! Slots: what a board has of bundles, and the one link that says which of them runs.
//!
//! ```text
//! ROOT/current ─► generations/7           the only thing that is ever replaced, by one rename
//! ROOT/generations/7/slot ─► ../../slots/ID
//!                    previous ─► ../6     what `rollback` goes to
//!                    confirmed            written when the health check has passed
//! ROOT/slots/ID/                          manifest, program, model, self-test; ID is the manifest's hash
//! ROOT/bin/SHA256/mcir-board              programs, hard-linked into the slots
//! ROOT/incoming/ID/                       a slot that is being received
//! ```
//!
//! Everything that `current` will lead to is complete and on the disk (files and folders synced) before the
//! rename; so an interruption, also of power, leaves either the old link or the new one, and both are good.
//! A new generation whose health check was interrupted is not `confirmed`: `Store::recover` goes back.

mod change;
mod cmd;
pub mod protocol;
mod serve;
pub mod service;
#[cfg(test)]
mod tests;

pub use cmd::{Cmd, run};

use super::DeployError;
use super::manifest::{self, Manifest, check_file, slot_id};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Names in the root folder.
const CURRENT: &str = "current";
const GENERATIONS: &str = "generations";
const SLOTS: &str = "slots";
const PROGRAMS: &str = "bin";
const INCOMING: &str = "incoming";
const LOCK: &str = "lock";
/// Names in a generation.
const SLOT: &str = "slot";
const PREVIOUS: &str = "previous";
const CONFIRMED: &str = "confirmed";

/// How long a lock is waited for.
const LOCK_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

/// The folder with the slots of a board.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Words before the command line of a slot's program: an emulator with its options.
    run_with: Vec<String>,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The folder.
    pub root: PathBuf,
    /// What runs.
    pub current: Option<Slot>,
    /// What `rollback` goes to.
    pub previous: Option<Slot>,
    /// All other slots.
    pub others: Vec<Slot>,
    /// Bytes free on the file system.
    pub free_bytes: u64,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub id: String,
    /// Number of the switch that made it run, where one did.
    pub generation: Option<u64>,
    /// Whether its health check has passed.
    pub confirmed: bool,
    /// What it promises.
    pub manifest: Manifest,
}

/// The right to change the slots, until it is dropped.
#[derive(Debug)]
pub struct Locked<'a> {
    store: &'a Store,
    /// None where nobody can change anything.
    _file: Option<File>,
}

impl Store {
    /// The slots in a folder, which need not exist yet.
    pub fn new(root: &Path, run_with: &str) -> Self {
        Self { root: root.into(), run_with: run_with.split_whitespace().map(Into::into).collect() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a slot.
    pub fn slot_path(&self, id: &str) -> PathBuf {
        self.root.join(SLOTS).join(id)
    }

    /// Takes the right to change the slots, and makes the folder if there is none.
    ///
    /// # Errors
    /// [`DeployError::Locked`] when another program has it, [`DeployError::Io`].
    pub fn lock(&self) -> Result<Locked<'_>, DeployError> {
        for folder in [SLOTS, GENERATIONS, INCOMING, PROGRAMS] {
            let path = self.root.join(folder);
            fs::create_dir_all(&path).map_err(DeployError::io("create", &path))?;
        }
        let path = self.root.join(LOCK);
        let file = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(file) => file,
            // A disk with errors is often mounted anew without writing: what is on it runs on, and can be looked at.
            Err(error) if error.kind() == std::io::ErrorKind::ReadOnlyFilesystem => {
                return Ok(Locked { store: self, _file: None });
            }
            Err(error) => return Err(DeployError::io("create", &path)(error)),
        };
        // A process that a program with this lock has just started holds it until it has become another program.
        let begin = std::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Locked { store: self, _file: Some(file) }),
                Err(fs::TryLockError::WouldBlock) if begin.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_PATIENCE / 50);
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(DeployError::Locked { path: self.root.clone() });
                }
                Err(fs::TryLockError::Error(source)) => return Err(DeployError::io("lock", &path)(source)),
            }
        }
    }

    /// What is there.
    ///
    /// # Errors
    /// [`DeployError::Io`], [`DeployError::Manifest`] when a slot in use is damaged.
    pub fn status(&self) -> Result<Status, DeployError> {
        let current = self.current()?;
        let previous = current.map(|n| self.previous(n)).transpose()?.flatten();
        let slot = |generation: Option<u64>| generation.map(|n| self.slot_of(n)).transpose();
        let (current, previous) = (slot(current)?, slot(previous)?);
        let mut others = Vec::new();
        for id in names(&self.root.join(SLOTS))? {
            let taken = [&current, &previous].into_iter().flatten().any(|slot| slot.id == id);
            if !taken && let Ok(manifest) = self.manifest(&id) {
                others.push(Slot { id, generation: None, confirmed: false, manifest });
            }
        }
        Ok(Status { root: self.root.clone(), current, previous, others, free_bytes: self.free_bytes() })
    }

    /// The generation that runs.
    fn current(&self) -> Result<Option<u64>, DeployError> {
        read_number(&self.root.join(CURRENT))
    }

    /// The last generation before one that has another slot: what `rollback` goes to.
    fn previous(&self, generation: u64) -> Result<Option<u64>, DeployError> {
        let slot = |n: u64| fs::read_link(self.generation_path(n).join(SLOT)).ok();
        let (own, mut at) = (slot(generation), generation);
        loop {
            let before = read_number(&self.generation_path(at).join(PREVIOUS))?;
            match before.filter(|&n| n < at && self.generation_path(n).exists()) {
                Some(before) if slot(before) == own => at = before,
                before => return Ok(before),
            }
        }
    }

    fn generation_path(&self, generation: u64) -> PathBuf {
        self.root.join(GENERATIONS).join(generation.to_string())
    }

    fn slot_of(&self, generation: u64) -> Result<Slot, DeployError> {
        let path = self.generation_path(generation);
        let link = path.join(SLOT);
        let target = fs::read_link(&link).map_err(DeployError::io("read", &link))?;
        let id = target.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        let manifest = self.manifest(&id)?;
        Ok(Slot { id, generation: Some(generation), confirmed: path.join(CONFIRMED).exists(), manifest })
    }

    fn manifest(&self, id: &str) -> Result<Manifest, DeployError> {
        let path = self.slot_path(id).join(manifest::MANIFEST);
        let file = File::open(&path).map_err(DeployError::io("read", &path))?;
        let mut bytes = Vec::new();
        file.take(manifest::MAX_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(DeployError::io("read", &path))?;
        let found = slot_id(&bytes);
        if found != id {
            return Err(DeployError::Hash { part: path.display().to_string(), expected: id.into(), found });
        }
        Manifest::parse(&bytes)
    }

    /// Checks all files of a slot against its manifest.
    ///
    /// # Errors
    /// [`DeployError::Hash`], [`DeployError::Manifest`], [`DeployError::Io`].
    pub fn verify(&self, id: &str) -> Result<(), DeployError> {
        let manifest = self.manifest(id)?;
        verify_folder(&self.slot_path(id), &manifest)
    }

    /// Bytes that are free for this user; all, where the system does not tell.
    pub fn free_bytes(&self) -> u64 {
        let there = self.root.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
        rustix::fs::statvfs(there).map_or(u64::MAX, |s| s.f_bavail.saturating_mul(s.f_frsize))
    }
}

fn verify_folder(folder: &Path, manifest: &Manifest) -> Result<(), DeployError> {
    manifest.parts.iter().try_for_each(|part| check_file(&folder.join(&part.name), part))
}

/// The number that ends the target of a link; `None` without a link.
fn read_number(link: &Path) -> Result<Option<u64>, DeployError> {
    match fs::read_link(link) {
        Ok(target) => Ok(target.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(DeployError::io("read", link)(e)),
    }
}

/// Names of the entries of a folder, in order; none without the folder.
fn names(folder: &Path) -> Result<Vec<String>, DeployError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(DeployError::io("list", folder)(e)),
    };
    let mut names: Vec<_> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}
