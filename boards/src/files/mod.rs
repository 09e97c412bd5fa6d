//! Image files: reading with limits, writing without ever leaving half a file.

mod atomic;
mod read;
#[cfg(test)]
mod tests;
mod write;

pub use atomic::Pending;
pub use read::{READABLE, read};
pub use write::{Format, encode_png, write};

use crate::error::{Error, Result};
use mcir_runtime::image::{Image, ImageError};
use std::path::{Path, PathBuf};

/// Most pixels of an image that is read or written: 805 MB as RGB.
pub const MAX_PIXELS: u64 = 1 << 28;

/// A decoded image file: what the engine upscales, and what travels beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Grey or RGB, upright.
    pub colour: Image,
    /// Opacity, one channel of the same size.
    pub alpha: Option<Image>,
    /// Colour profile, to be written unchanged.
    pub icc_profile: Option<Vec<u8>>,
    /// What was changed while reading, for the user.
    pub notes: Vec<&'static str>,
}

impl Picture {
    /// A picture of just its pixels.
    pub fn new(colour: Image) -> Self {
        Self { colour, alpha: None, icc_profile: None, notes: Vec::new() }
    }
}

/// The images directly inside a folder, by extension, sorted by name.
///
/// # Errors
/// [`Error::Io`] when it cannot be listed, [`Error::NoImages`] when there are none.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Io { action: "list", path: folder.into(), source };
    let mut images = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let known = |e: &str| READABLE.contains(&e.to_ascii_lowercase().as_str());
        if path.is_file() && path.extension().and_then(|e| e.to_str()).is_some_and(known) {
            images.push(path);
        }
    }
    if images.is_empty() {
        return Err(Error::NoImages { path: folder.into() });
    }
    images.sort();
    Ok(images)
}

/// An empty buffer for this many bytes of an image.
///
/// # Errors
/// [`Error::Memory`] when there is no room for it.
pub fn buffer(name: &str, bytes: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    match buffer.try_reserve_exact(bytes) {
        Ok(()) => Ok(buffer),
        Err(_) => Err(Error::Memory { name: name.into(), bytes }),
    }
}

/// An error about the pixels of a file.
fn image_error(path: &Path) -> impl Fn(ImageError) -> Error + '_ {
    move |source| Error::Image { name: path.display().to_string(), source }
}
