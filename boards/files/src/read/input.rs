//! Where a picture comes from.

use crate::name::text;
use crate::{Error, Result};
use image::ImageFormat;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use tempfile::SpooledTempFile;

/// Bytes of a pipe that are kept in memory; more go to a temporary file.
const IN_MEMORY: usize = 1 << 23;
/// Most bytes of a pipe that are kept: more than the largest picture takes without compression.
const MAX_KEPT: u64 = 1 << 31;

/// A file, a pipe or the standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `None` for the standard input.
    path: Option<PathBuf>,
}

/// What decoders read from.
pub(super) enum Source {
    File(BufReader<File>),
    Kept(BufReader<SpooledTempFile>),
}

impl Input {
    /// What `-i` names: `-` is the standard input, everything else a path.
    pub fn new(path: &Path) -> Self {
        Self { path: (path != Path::new("-")).then(|| path.into()) }
    }

    /// A path, whatever its name is.
    pub fn from(path: &Path) -> Self {
        Self { path: Some(path.into()) }
    }

    /// The path; `None` for the standard input.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What to call it in messages.
    pub fn name(&self) -> String {
        self.path.as_deref().map_or_else(|| "the standard input".into(), text)
    }

    /// What the extension says, for formats that have no mark of their own.
    pub(super) fn format_by_extension(&self) -> Option<ImageFormat> {
        self.path.as_deref().and_then(|path| ImageFormat::from_path(path).ok())
    }

    pub(super) fn failed(&self, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => Error::Missing { name: self.name() },
            _ => Error::Io { action: "read", name: self.name(), source },
        }
    }

    pub(super) fn open(&self) -> Result<Source> {
        let Some(path) = &self.path else { return self.keep(io::stdin().lock()) };
        let file = File::open(path).map_err(|e| self.failed(e))?;
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
