//! Files that appear under their name only when they are complete.

use crate::error::{Error, Result};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// A file that is being written under a temporary name in the folder of its final one.
///
/// [`Pending::finish`] gives it its name; dropped before that, it is removed. One that a killed program left behind
/// is removed by the next that writes the same file.
#[derive(Debug)]
pub struct Pending {
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
    target: PathBuf,
}

impl Pending {
    /// Creates the temporary file.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder is not there or cannot be written to, or the target is a folder.
    pub fn create(target: &Path) -> Result<Self> {
        let failed = |source| Error::Io { action: "write", path: target.into(), source };
        let name = target.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        if target.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".");
        remove_left_behind(target, &hidden);
        hidden.push(format!("{}{EXTENSION}", std::process::id()));
        let temporary = target.with_file_name(hidden);
        let file = File::create(&temporary).map_err(failed)?;
        // Tells others that the file is in work. File systems without locks only keep what is left behind.
        let _ = file.try_lock();
        Ok(Self { file: Some(BufWriter::new(file)), temporary, target: target.into() })
    }

    /// Completes the file and gives it its name, replacing a file that has it.
    ///
    /// # Errors
    /// [`Error::Io`] when the last bytes cannot be written or the name cannot be taken.
    pub fn finish(mut self) -> Result<()> {
        let file = self.file.take().expect("a pending file is open until it is finished");
        file.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| {
                // Closed before it is renamed: some systems refuse to rename an open file.
                drop(file);
                fs::rename(&self.temporary, &self.target)
            })
            .map_err(|source| Error::Io { action: "write", path: self.target.clone(), source })
    }

    fn writer(&mut self) -> &mut BufWriter<File> {
        self.file.as_mut().expect("a pending file is open until it is finished")
    }
}

/// End of the names of files that are being written.
const EXTENSION: &str = ".tmp";

/// Removes the temporary files of `target` that nobody has open. What cannot be removed does no harm.
fn remove_left_behind(target: &Path, prefix: &OsStr) {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_one = |name: &OsStr| {
        let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let number = rest.and_then(|r| r.strip_suffix(EXTENSION.as_bytes()));
        number.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_one(&entry.file_name())
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
        self.file = None;
        // After a successful rename there is nothing under this name; nothing else can be done here anyway.
        let _ = fs::remove_file(&self.temporary);
    }
}
