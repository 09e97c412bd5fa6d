//! Files that appear under their name only when they are complete.

use crate::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// A file that is being written under a temporary name in the folder of its final one.
///
/// [`Pending::finish`] gives it its name; dropped before that, it is removed. One that a killed program left behind
/// is removed by the next that writes the same file. A symbolic link stays one: the file that it leads to is replaced.
/// A file that is replaced hands down its permissions.
#[derive(Debug)]
pub struct Pending {
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
    target: PathBuf,
    /// As the user wrote it, for messages.
    asked: PathBuf,
}

impl Pending {
    /// Creates the temporary file.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder is not there or cannot be written to, or the target is a folder.
    pub fn create(target: &Path) -> Result<Self> {
        Self::begin(target).map_err(Error::io("write", target))
    }

    fn begin(asked: &Path) -> io::Result<Self> {
        let target = behind_links(asked)?;
        let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
        let replaced = fs::metadata(&target).ok();
        if replaced.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // A name that the system refuses is found out before any work.
        if name.len() > MAX_NAME {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        let prefix = hidden(name);
        remove_left_behind(&target, &prefix);
        let (file, temporary) = create_new(&target, &prefix, replaced.is_some())?;
        // Tells others that the file is in work. File systems without locks only keep what is left behind.
        let _ = file.try_lock();
        let pending =
            Self { file: Some(BufWriter::new(file)), temporary, target: target.clone(), asked: asked.into() };
        if let Some(replaced) = replaced {
            hand_down(&replaced, pending.file.as_ref().expect("just opened").get_ref())?;
        }
        Ok(pending)
    }

    /// Completes the file, waits until the disk has it, and gives it its name, replacing a file that has it.
    ///
    /// # Errors
    /// [`Error::Io`] when the last bytes cannot be written or the name cannot be taken.
    pub fn finish(self) -> Result<()> {
        self.complete(true)
    }

    /// The same without waiting for the disk: for series of files that come faster than a disk answers. After a loss of
    /// power the newest of them may be empty.
    ///
    /// # Errors
    /// As [`Pending::finish`].
    pub fn finish_without_sync(self) -> Result<()> {
        self.complete(false)
    }

    fn complete(mut self, sync: bool) -> Result<()> {
        let file = self.file.take().expect("a pending file is open until it is finished");
        let named = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| {
            if sync {
                file.sync_all()?;
            }
            // Closed before it is renamed: some systems refuse to rename an open file.
            drop(file);
            fs::rename(&self.temporary, &self.target)
        });
        named.map_err(Error::io("write", &self.asked))?;
        if sync && let Ok(folder) = File::open(folder_of(&self.target)) {
            // The name is in the folder, which is a file of its own; not every file system can sync one.
            let _ = folder.sync_all();
        }
        Ok(())
    }

    fn writer(&mut self) -> &mut BufWriter<File> {
        self.file.as_mut().expect("a pending file is open until it is finished")
    }
}

/// End of the names of files that are being written.
const EXTENSION: &str = ".tmp";
/// Longest name of a file, in bytes, on every file system that is in use.
const MAX_NAME: usize = 255;
/// Bytes of a temporary name that are left for process, attempt, dots and extension.
const MAX_STEM: usize = 200;

/// The beginning of the temporary names of a file. Long names are cut, and a checksum keeps them apart.
fn hidden(name: &OsStr) -> OsString {
    let mut hidden = OsString::from(".");
    if name.len() <= MAX_STEM {
        hidden.push(name);
    } else {
        let text = name.to_string_lossy();
        hidden.push(&text[..text.floor_char_boundary(MAX_STEM / 4)]);
        hidden.push(format!("-{:08x}", crc32fast::hash(name.as_encoded_bytes())));
    }
    hidden.push(".");
    hidden
}

/// A new file that nobody else has, not even through a link that was laid there.
fn create_new(target: &Path, prefix: &OsStr, private: bool) -> io::Result<(File, PathBuf)> {
    for attempt in 0_u32.. {
        let mut name = prefix.to_owned();
        // Digits only: that is how those left behind are known.
        name.push(format!("{}{attempt:02}{EXTENSION}", std::process::id()));
        let temporary = target.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if private {
            // Until it has the permissions of the file that it replaces.
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = private;
        match options.open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 99 => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last attempt returns")
}

/// Gives a file the permissions, and where this user may set them owner and group, of one that it replaces.
///
/// # Errors
/// What the system says about the permissions.
pub fn hand_down(from: &fs::Metadata, to: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
        let now = to.metadata()?;
        if (now.uid(), now.gid()) != (from.uid(), from.gid()) {
            let _ = fchown(to, Some(from.uid()), Some(from.gid()));
        }
        to.set_permissions(fs::Permissions::from_mode(from.mode() & 0o777))
    }
    #[cfg(not(unix))]
    to.set_permissions(from.permissions())
}

/// The file that a path leads to in the end, through symbolic links; it need not exist.
///
/// # Errors
/// When links lead in a circle.
pub fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(to) => path = folder_of(&path).join(to),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes the temporary files of `target` that nobody has open. What cannot be removed does no harm.
fn remove_left_behind(target: &Path, prefix: &OsStr) {
    let is_one = |name: &OsStr| {
        let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let number = rest.and_then(|r| r.strip_suffix(EXTENSION.as_bytes()));
        number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
    };
    for entry in fs::read_dir(folder_of(target)).into_iter().flatten().flatten() {
        if is_one(&entry.file_name())
            && entry.file_type().is_ok_and(|kind| kind.is_file())
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

impl Seek for Pending {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.writer().seek(to)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Unwritten bytes of a file that is given up need not reach the disk.
        if let Some(file) = self.file.take() {
            drop(file.into_parts());
        }
        // After a successful rename there is nothing under this name; nothing else can be done here anyway.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Copies everything from the beginning of `from` to `to`.
pub(crate) fn copy_all(from: &mut (impl Read + Seek), to: &mut impl Write) -> io::Result<()> {
    from.rewind()?;
    io::copy(from, to)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    }

    fn replace(path: &Path, bytes: &[u8]) {
        let mut file = Pending::create(path).unwrap();
        file.write_all(bytes).unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(path).unwrap(), bytes);
    }

    #[test]
    fn a_pending_file_appears_when_it_is_finished_and_never_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let mut file = Pending::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert!(names(folder.path()).is_empty());
        replace(&path, b"whole");
        assert_eq!(names(folder.path()), ["a.txt"]);
        assert!(Pending::create(folder.path()).is_err());
        assert!(Pending::create(&folder.path().join("nowhere/a.txt")).is_err());
    }

    #[test]
    fn names_of_every_length() {
        let folder = tempfile::tempdir().unwrap();
        for length in [1, 199, 200, 201, 245, 250, 255] {
            replace(&folder.path().join("n".repeat(length)), b"bytes");
        }
        // Two bytes a letter, so that a cut may not fall anywhere.
        replace(&folder.path().join("ä".repeat(127)), b"bytes");
        assert_eq!(names(folder.path()).len(), 8);
        let error = Pending::create(&folder.path().join("n".repeat(256))).unwrap_err();
        assert_eq!(error.help(), "give a shorter name");
        assert_eq!(names(folder.path()).len(), 8);
    }

    #[test]
    fn what_others_left_behind_goes_and_what_is_in_work_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(folder.path().join(".a.99999901.tmp"), b"left").unwrap();
        fs::write(folder.path().join(".a.b.tmp"), b"another's").unwrap();
        let first = Pending::create(&path).unwrap();
        let second = Pending::create(&path).unwrap();
        assert_eq!(names(folder.path()).len(), 3);
        drop((first, second));
        assert_eq!(names(folder.path()), [".a.b.tmp"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        fs::write(at("sub/real"), b"old").unwrap();
        for mode in [0o600, 0o640, 0o444, 0o755] {
            fs::set_permissions(at("sub/real"), fs::Permissions::from_mode(mode)).unwrap();
            let _ = fs::remove_file(at("link"));
            let _ = fs::remove_file(at("link-to-link"));
            symlink("sub/real", at("link")).unwrap();
            symlink(at("link"), at("link-to-link")).unwrap();
            for name in ["sub/real", "link", "link-to-link"] {
                replace(&at(name), name.as_bytes());
                assert_eq!(fs::read(at("sub/real")).unwrap(), name.as_bytes());
                assert_eq!(fs::metadata(at("sub/real")).unwrap().permissions().mode() & 0o777, mode);
            }
            assert!(at("link").is_symlink() && at("link-to-link").is_symlink());
        }
        // A link to what is not there yet makes it; one to itself is an error.
        symlink("sub/new", at("ahead")).unwrap();
        replace(&at("ahead"), b"new");
        assert!(at("sub/new").is_file() && at("ahead").is_symlink());
        symlink("circle", at("circle")).unwrap();
        assert!(Pending::create(&at("circle")).is_err());
        assert_eq!(names(&at("sub")), ["new", "real"]);
    }
}
