//! Where a picture comes from.

use crate::name::{escaped, text};
use crate::{Error, Result};
use image::ImageFormat;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::SpooledTempFile;

/// Bytes of a pipe that are kept in memory; more go to a temporary file.
const IN_MEMORY: usize = 1 << 23;
/// Most bytes of a pipe that are kept: more than the largest picture takes without compression.
const MAX_KEPT: u64 = 1 << 31;

/// A file, a pipe or the standard input.
#[derive(Debug, Clone)]
pub struct Input(Place);

#[derive(Debug, Clone)]
enum Place {
    StandardInput,
    Path(PathBuf),
    /// An open file, and what to call it.
    Open(Arc<File>, String),
}

/// What decoders read from.
pub(super) enum Source {
    File(BufReader<File>),
    Kept(BufReader<SpooledTempFile>),
}

impl Input {
    /// What `-i` names: `-` is the standard input, everything else a path.
    pub fn new(path: &Path) -> Self {
        if path == Path::new("-") { Self(Place::StandardInput) } else { Self::from(path) }
    }

    /// A path, whatever its name is.
    pub fn from(path: &Path) -> Self {
        Self(Place::Path(path.into()))
    }

    /// A file that is open for reading, from its beginning; it need not have a name in any folder. `name` is what to call it, whose
    /// extension tells the format where the content does not.
    ///
    /// Reading moves the position of the file, which whoever else has it shares.
    pub fn open_file(file: File, name: &str) -> Self {
        Self(Place::Open(Arc::new(file), name.into()))
    }

    /// The path; `None` for the standard input and for an open file.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Path(path) => Some(path),
            Place::StandardInput | Place::Open(..) => None,
        }
    }

    /// What to call it in messages.
    pub fn name(&self) -> String {
        match &self.0 {
            Place::StandardInput => "the standard input".into(),
            Place::Path(path) => text(path),
            Place::Open(_, name) => escaped(name),
        }
    }

    /// What the extension says, for formats that have no mark of their own.
    pub(super) fn format_by_extension(&self) -> Option<ImageFormat> {
        let path = match &self.0 {
            Place::StandardInput => return None,
            Place::Path(path) => path.as_path(),
            Place::Open(_, name) => Path::new(name),
        };
        ImageFormat::from_path(path).ok()
    }

    pub(super) fn failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { name: self.name() },
            _ => Error::Io { action: "read", name: self.name(), source },
        }
    }

    pub(super) fn open(&self) -> Result<Source> {
        let file = match &self.0 {
            Place::StandardInput => return self.keep(io::stdin().lock()),
            Place::Path(path) => File::open(path),
            Place::Open(file, _) => file.try_clone().and_then(|mut file| file.rewind().map(|()| file)),
        };
        let file = file.map_err(|e| self.failed(e))?;
        let kind = file.metadata().map_err(|e| self.failed(e))?;
        if kind.is_dir() {
            return Err(self.failed(io::ErrorKind::IsADirectory.into()));
        }
        if kind.is_file() {
            // Wherever /dev/stdin stands; its position may be anywhere.
            let mut file = file;
            if file.stream_position().is_ok_and(|at| at == 0) {
                return Ok(Source::File(BufReader::new(file)));
            }
            return self.keep(file);
        }
        self.keep(file)
    }

    fn keep(&self, from: impl Read) -> Result<Source> {
        let mut kept = tempfile::spooled_tempfile(IN_MEMORY);
        let failed = |e: io::Error| self.failed(e);
        let bytes = io::copy(&mut from.take(MAX_KEPT + 1), &mut kept).map_err(failed)?;
        if bytes > MAX_KEPT {
            return Err(Error::Endless { name: self.name(), limit: MAX_KEPT });
        }
        kept.flush().and_then(|()| kept.rewind()).map_err(failed)?;
        Ok(Source::Kept(BufReader::new(kept)))
    }
}
