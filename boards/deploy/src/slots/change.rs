//! Everything that changes slots: receiving, switching, going back, clearing away.

use super::{
    CONFIRMED, CURRENT, GENERATIONS, INCOMING, Locked, PREVIOUS, PROGRAMS, SLOT, SLOTS, names, service,
    verify_folder,
};
use crate::DeployError;
use crate::manifest::{self, Manifest, PROGRAM, Part, check_file, slot_id};
use crate::self_test::Outcome;
use crate::target::shell;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes that must stay free beside the parts.
const SPARE_BYTES: u64 = 1 << 20;

/// A slot that is being received.
#[derive(Debug)]
pub struct Incoming {
    /// Its name.
    pub id: String,
    /// What it promises.
    pub manifest: Manifest,
    folder: PathBuf,
}

/// What a switch has done.
#[derive(Debug, Clone, Copy)]
pub struct Switched {
    /// The generation that now runs.
    pub generation: u64,
    /// The one that ran before.
    pub before: Option<u64>,
}

impl Locked<'_> {
    /// Begins to receive a slot; parts that are there already need not be sent. Returns those that do.
    ///
    /// # Errors
    /// [`DeployError::Manifest`], [`DeployError::Downgrade`], [`DeployError::NoSpace`], [`DeployError::Io`].
    pub fn begin(
        &self,
        bytes: &[u8],
        signature: Option<&str>,
        allow_downgrade: bool,
    ) -> Result<(Incoming, Vec<String>), DeployError> {
        let manifest = Manifest::parse(bytes)?;
        if !allow_downgrade {
            // Where what runs is damaged, its counter is not known, and flashing repairs it.
            let current = self.store.current()?.and_then(|n| self.store.slot_of(n).ok());
            let counter = current.map_or(0, |slot| slot.manifest.counter());
            manifest.follows(counter, &self.store.root.to_string_lossy())?;
        }
        let id = slot_id(bytes);
        let folder = self.store.root.join(INCOMING).join(&id);
        fs::create_dir_all(&folder).map_err(DeployError::io("create", &folder))?;
        self.take_what_is_there(&folder, &manifest);
        let missing: Vec<&Part> =
            manifest.parts.iter().filter(|p| check_file(&folder.join(&p.name), p).is_err()).collect();
        let needed = missing.iter().map(|p| p.size).sum::<u64>().saturating_add(SPARE_BYTES);
        let free = self.store.free_bytes();
        if free < needed {
            return Err(DeployError::NoSpace { path: self.store.root.clone(), free, needed });
        }
        let missing = missing.into_iter().map(|p| p.name.clone()).collect();
        write_synced(&folder.join(manifest::MANIFEST), bytes)?;
        if let Some(signature) = signature {
            write_synced(&folder.join(manifest::SIGNATURE), signature.as_bytes())?;
        }
        Ok((Incoming { id, manifest, folder }, missing))
    }

    /// Links parts of other slots, and the program that runs this, into the folder.
    fn take_what_is_there(&self, folder: &Path, manifest: &Manifest) {
        let root = &self.store.root;
        let slots = names(&root.join(SLOTS)).unwrap_or_default();
        for part in &manifest.parts {
            let to = folder.join(&part.name);
            if check_file(&to, part).is_ok() {
                continue;
            }
            let mut from: Vec<_> =
                slots.iter().map(|id| root.join(SLOTS).join(id).join(&part.name)).collect();
            if part.name == PROGRAM {
                from.insert(0, root.join(PROGRAMS).join(&part.sha256).join(PROGRAM));
            }
            let same = from.iter().find(|path| {
                fs::metadata(path).is_ok_and(|m| m.len() == part.size) && check_file(path, part).is_ok()
            });
            if let Some(from) = same {
                // Whatever fails here is a part that will be sent.
                let _ = fs::remove_file(&to);
                if fs::hard_link(from, &to).is_err() {
                    let _ = fs::copy(from, &to);
                }
            }
        }
    }

    /// Receives a part.
    ///
    /// # Errors
    /// [`DeployError::Hash`] when other bytes come, [`DeployError::Io`].
    pub fn receive(&self, incoming: &Incoming, name: &str, reader: &mut dyn Read) -> Result<(), DeployError> {
        let part = incoming.manifest.parts.iter().find(|p| p.name == name);
        let part =
            part.ok_or_else(|| DeployError::Manifest { reason: format!("it has no part {name:.64}") })?;
        let path = incoming.folder.join(&part.name);
        // Removed first: it may be a hard link to a file of another slot.
        let _ = fs::remove_file(&path);
        let mut file = File::create(&path).map_err(DeployError::io("write", &path))?;
        let copied =
            std::io::copy(&mut reader.take(part.size), &mut file).map_err(DeployError::io("write", &path))?;
        if copied < part.size {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(DeployError::Io { action: "receive", path, source });
        }
        file.sync_all().map_err(DeployError::io("write", &path))?;
        check_file(&path, part)
    }

    /// Checks what was received, runs its self-test, on the device of this name if there is one, and gives it its place. Nothing
    /// runs it yet.
    ///
    /// # Errors
    /// [`DeployError::Hash`], [`DeployError::SelfTest`], [`DeployError::ProgramFails`], [`DeployError::Io`].
    pub fn complete(&self, incoming: &Incoming, device: Option<&str>) -> Result<Outcome, DeployError> {
        let Incoming { id, manifest, folder } = incoming;
        let program = folder.join(PROGRAM);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&program, executable).map_err(DeployError::io("write", &program))?;
        verify_folder(folder, manifest)?;
        let outcome = self.self_test(folder, device)?;
        for name in names(folder)? {
            sync(&folder.join(name))?;
        }
        sync(folder)?;
        let place = self.store.slot_path(id);
        if self.store.verify(id).is_err() {
            // A slot of this name that is damaged; it is moved away, never changed in place.
            if place.exists() {
                let damaged = self.store.root.join(INCOMING).join(format!("damaged-{id}"));
                remove(&damaged)?;
                fs::rename(&place, &damaged).map_err(DeployError::io("write", &place))?;
            }
            fs::rename(folder, &place).map_err(DeployError::io("write", &place))?;
            sync(&self.store.root.join(SLOTS))?;
        }
        Ok(outcome)
    }

    /// Runs the self-test of a slot with the slot's own program; on a GPU where a service says `--device` with one.
    ///
    /// # Errors
    /// [`DeployError::SelfTest`] or what the program says, [`DeployError::ProgramFails`].
    pub fn self_test(&self, folder: &Path, device: Option<&str>) -> Result<Outcome, DeployError> {
        let program = folder.join(PROGRAM);
        let mut words = self.store.run_with.iter().map(PathBuf::from).chain([program.clone()]);
        let mut command = Command::new(words.next().expect("the program is one of the words"));
        command.args(words).args(["slot", "self-test", "--json", "--dir"]).arg(folder);
        // Not said without need: programs that were flashed earlier do not know the option.
        command.args(device.into_iter().flat_map(|device| ["--device", device]));
        let fails = |reason: String| DeployError::ProgramFails { path: program.clone(), reason };
        let output = command.output().map_err(|e| fails(e.to_string()))?;
        if output.status.success() {
            return serde_json::from_slice(&output.stdout).map_err(|e| fails(e.to_string()));
        }
        let words = String::from_utf8_lossy(&output.stderr);
        Err(match words.trim().strip_prefix("error: ").and_then(|w| w.split_once("\n  help: ")) {
            Some((message, help)) => {
                DeployError::Board { target: "self-test".into(), message: message.into(), help: help.into() }
            }
            None => fails(format!("{}; {}", output.status, words.trim())),
        })
    }

    /// Makes a slot the one that runs.
    ///
    /// # Errors
    /// [`DeployError::Io`].
    pub fn switch(&self, id: &str) -> Result<Switched, DeployError> {
        let store = self.store;
        let before = store.current()?;
        // Where the same slot is switched to once more, what can be gone back to stays what it was.
        let runs = before.and_then(|n| store.slot_of(n).ok()).is_some_and(|slot| slot.id == id);
        let previous = if runs { before.map(|n| store.previous(n)).transpose()?.flatten() } else { before };
        let generations = store.root.join(GENERATIONS);
        let last = names(&generations)?.iter().filter_map(|n| n.parse::<u64>().ok()).max();
        let generation = last.unwrap_or(0) + 1;
        let building = generations.join(format!(".{generation}"));
        remove(&building)?;
        let made = || -> std::io::Result<()> {
            fs::create_dir(&building)?;
            symlink(Path::new("../..").join(SLOTS).join(id), building.join(SLOT))?;
            if let Some(previous) = previous {
                symlink(Path::new("..").join(previous.to_string()), building.join(PREVIOUS))?;
            }
            Ok(())
        };
        made().map_err(DeployError::io("create", &building))?;
        sync(&building)?;
        let path = store.generation_path(generation);
        fs::rename(&building, &path).map_err(DeployError::io("create", &path))?;
        sync(&generations)?;
        self.point_to(Some(generation))?;
        Ok(Switched { generation, before })
    }

    /// Remembers that the health check of a generation has passed.
    ///
    /// # Errors
    /// [`DeployError::Io`].
    pub fn confirm(&self, generation: u64) -> Result<(), DeployError> {
        let path = self.store.generation_path(generation);
        write_synced(&path.join(CONFIRMED), b"")?;
        sync(&path)
    }

    /// Undoes a switch.
    ///
    /// # Errors
    /// [`DeployError::Io`].
    pub fn undo(&self, switched: Switched) -> Result<(), DeployError> {
        self.point_to(switched.before)?;
        remove(&self.store.generation_path(switched.generation))
    }

    /// Undoes a switch whose health check was interrupted; returns whether there was one.
    ///
    /// # Errors
    /// [`DeployError::Io`].
    pub fn recover(&self) -> Result<bool, DeployError> {
        let Some(generation) = self.store.current()? else { return Ok(false) };
        if self.store.generation_path(generation).join(CONFIRMED).exists() {
            return Ok(false);
        }
        // What ran before is the last generation whose health was found good, also where that has the same slot.
        let generations = names(&self.store.root.join(GENERATIONS))?;
        let earlier =
            generations.iter().filter_map(|name| name.parse::<u64>().ok()).filter(|&n| n < generation);
        let confirmed = earlier.filter(|&n| self.store.generation_path(n).join(CONFIRMED).exists());
        let before = confirmed.max().or(self.store.previous(generation)?);
        // What fails here is a unit that cannot be put back; what runs is put back all the same.
        let _ = service::restore(&self.store.generation_path(generation), false);
        self.undo(Switched { generation, before })?;
        Ok(true)
    }

    /// The slot to go back to, checked and tested.
    ///
    /// # Errors
    /// [`DeployError::NoPrevious`], or what is wrong with it.
    pub fn previous(&self) -> Result<String, DeployError> {
        let current = self.store.current()?;
        let previous = current.map(|n| self.store.previous(n)).transpose()?.flatten();
        let previous = previous.ok_or_else(|| DeployError::NoPrevious { path: self.store.root.clone() })?;
        let slot = self.store.slot_of(previous)?;
        self.store.verify(&slot.id)?;
        self.self_test(&self.store.slot_path(&slot.id), None)?;
        Ok(slot.id)
    }

    /// Removes everything but the slot that runs, the one before it, and their programs. Returns the names of the
    /// slots removed.
    ///
    /// # Errors
    /// [`DeployError::Io`].
    pub fn prune(&self) -> Result<Vec<String>, DeployError> {
        let store = self.store;
        let current = store.current()?;
        let previous = current.map(|n| store.previous(n)).transpose()?.flatten();
        let kept: Vec<u64> = [current, previous].into_iter().flatten().collect();
        let slots: Vec<_> = kept.iter().map(|&n| store.slot_of(n)).collect::<Result<_, _>>()?;
        let generations = store.root.join(GENERATIONS);
        // Generations first: none may be left that leads to a slot that is gone.
        for name in names(&generations)? {
            if !name.parse().is_ok_and(|n| kept.contains(&n)) {
                remove(&generations.join(name))?;
            }
        }
        for (at, &generation) in kept.iter().enumerate() {
            // A link to what is gone now is laid to what is kept, or removed.
            let link = store.generation_path(generation).join(PREVIOUS);
            if !link.exists() {
                remove(&link)?;
                if let Some(before) = kept.get(at + 1) {
                    let to = Path::new("..").join(before.to_string());
                    symlink(to, &link).map_err(DeployError::io("create", &link))?;
                    sync(&store.generation_path(generation))?;
                }
            }
        }
        sync(&generations)?;
        let mut removed = Vec::new();
        for id in names(&store.root.join(SLOTS))? {
            if !slots.iter().any(|s| s.id == id) {
                remove(&store.slot_path(&id))?;
                removed.push(id);
            }
        }
        let programs = store.root.join(PROGRAMS);
        for name in names(&programs)? {
            if !slots.iter().any(|s| s.manifest.part(PROGRAM).sha256 == name) {
                remove(&programs.join(name))?;
                continue;
            }
            // What uploads that were killed have left there.
            let uploads = names(&programs.join(&name))?;
            for upload in
                uploads.iter().filter(|upload| upload.starts_with('.') && !shell::is_uploading(upload))
            {
                remove(&programs.join(&name).join(upload))?;
            }
        }
        let incoming = store.root.join(INCOMING);
        for name in names(&incoming)? {
            remove(&incoming.join(name))?;
        }
        Ok(removed)
    }

    /// Replaces the link that says what runs, by one rename.
    fn point_to(&self, generation: Option<u64>) -> Result<(), DeployError> {
        let root = &self.store.root;
        let link = root.join(CURRENT);
        match generation {
            Some(generation) => {
                let next = root.join(".current");
                remove(&next)?;
                symlink(Path::new(GENERATIONS).join(generation.to_string()), &next)
                    .map_err(DeployError::io("create", &next))?;
                fs::rename(&next, &link).map_err(DeployError::io("write", &link))?;
            }
            None => remove(&link)?,
        }
        sync(root)
    }
}

pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), DeployError> {
    let _ = fs::remove_file(path);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(DeployError::io("write", path))
}

/// Brings a file or folder to the disk.
fn sync(path: &Path) -> Result<(), DeployError> {
    let done = File::open(path).and_then(|file| file.sync_all());
    done.map_err(DeployError::io("write", path))
}

/// Removes a file, link or folder, if there is one.
fn remove(path: &Path) -> Result<(), DeployError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(DeployError::io("remove", path)(e)),
        _ => Ok(()),
    }
}
