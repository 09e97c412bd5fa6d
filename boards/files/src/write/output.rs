//! Where a picture goes.

use super::EncodeError;
use crate::atomic::copy_all;
use crate::name::{escaped, text};
use crate::{Error, Pending, Result};
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::SpooledTempFile;

/// Bytes for a pipe that are kept in memory; more go to a temporary file.
const IN_MEMORY: usize = 1 << 23;

/// A file, a pipe or the standard output.
#[derive(Debug, Clone)]
pub struct Output {
    place: Place,
    sync: bool,
}

#[derive(Debug, Clone)]
enum Place {
    StandardOutput,
    Path(PathBuf),
    /// An open file, and what to call it.
    Open(Arc<fs::File>, String),
}

impl Output {
    /// What `-o` names: `-` is the standard output, everything else a path.
    pub fn new(path: &Path) -> Self {
        let place = if path == Path::new("-") { Place::StandardOutput } else { Place::Path(path.into()) };
        Self { place, sync: true }
    }

    /// An empty file that is open for writing, called so; it need not have a name in any folder. What was written when an error
    /// comes stays in it.
    pub fn open_file(file: fs::File, name: &str) -> Self {
        Self { place: Place::Open(Arc::new(file), name.into()), sync: false }
    }

    /// The same without waiting until the disk has it, as [`Pending::finish_without_sync`] does.
    #[must_use]
    pub fn unsynced(self) -> Self {
        Self { sync: false, ..self }
    }

    /// The path; `None` for the standard output and for an open file.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Path(path) => Some(path),
            Place::StandardOutput | Place::Open(..) => None,
        }
    }

    /// What to call it in messages.
    pub fn name(&self) -> String {
        match &self.place {
            Place::StandardOutput => "the standard output".into(),
            Place::Path(path) => text(path),
            Place::Open(_, name) => escaped(name),
        }
    }

    /// Files are written beside their place. What is no file, a pipe or a device, gets everything at the end: some
    /// formats go back to their header.
    pub(super) fn create(&self) -> Result<File> {
        let is_file = |path: &Path| fs::metadata(path).map_or(true, |m| m.is_file() || m.is_dir());
        match &self.place {
            Place::Path(path) if is_file(path) => Ok(File::Pending(Pending::create(path)?)),
            Place::Open(file, _) => {
                let file = file.try_clone().map_err(self.failed())?;
                Ok(File::Open(BufWriter::new(file)))
            }
            Place::Path(_) | Place::StandardOutput => Ok(File::Kept(tempfile::spooled_tempfile(IN_MEMORY))),
        }
    }

    fn failed(&self) -> impl Fn(io::Error) -> Error {
        let name = self.name();
        move |source| Error::Io { action: "write", name: name.clone(), source }
    }

    pub(super) fn encode_error(&self, error: EncodeError) -> Error {
        match error {
            EncodeError::Io(source) => self.failed()(source),
            EncodeError::Refused(reason) => Error::Encode { name: self.name(), reason },
        }
    }
}

/// What encoders write to.
pub(super) enum File {
    Pending(Pending),
    Open(BufWriter<fs::File>),
    Kept(SpooledTempFile),
}

impl File {
    pub(super) fn finish(self, to: &Output) -> Result<()> {
        match (self, to.path()) {
            (Self::Pending(pending), _) if to.sync => pending.finish(),
            (Self::Pending(pending), _) => pending.finish_without_sync(),
            (Self::Open(mut file), _) => file.flush().map_err(to.failed()),
            (Self::Kept(mut kept), None) => match copy_all(&mut kept, &mut io::stdout().lock()) {
                // A reader that has seen enough, as `head` does, is no error.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                result => result.map_err(to.failed()),
            },
            (Self::Kept(mut kept), Some(path)) => {
                let mut pipe = OpenOptions::new().write(true).open(path).map_err(to.failed())?;
                copy_all(&mut kept, &mut pipe).map_err(to.failed())
            }
        }
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Pending(file) => file.write(bytes),
            Self::Open(file) => file.write(bytes),
            Self::Kept(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Pending(file) => file.flush(),
            Self::Open(file) => file.flush(),
            Self::Kept(file) => file.flush(),
        }
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Pending(file) => file.seek(to),
            Self::Open(file) => file.seek(to),
            Self::Kept(file) => file.seek(to),
        }
    }
}
