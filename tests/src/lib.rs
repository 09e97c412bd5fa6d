//! Fixtures for the tests of whole pipelines: where the shared reference data is, and how to load it.
//!
//! The reference data (images, published weights, expected outputs) is too large for the repository. Tests
//! that need it look for it with [`shared_data`] and say that they were skipped when it is absent; the same
//! behaviour is then still covered by the small vectors in the crates themselves.

mod skip;

use anyhow::{Context as _, Result};
use mcir_runtime::image::Image;
use std::path::{Path, PathBuf};

/// Name of the environment variable that points to the shared data, when it is not beside the workspace.
pub const SHARED_DATA_VAR: &str = "MCIR_SHARED_DATA";

/// `path` inside the shared data: below `$MCIR_SHARED_DATA`, or below `shared/data` beside the workspace.
///
/// `None` when it is not there; a note then tells that a test was skipped.
pub fn shared_data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os(SHARED_DATA_VAR)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    skip::skip(format_args!("{} does not exist; set {SHARED_DATA_VAR} to the shared data", found.display()));
    None
}

/// An image file as 8-bit grey or RGB, whichever it holds.
///
/// # Errors
/// When the file cannot be read or is not an image.
pub fn load_image(path: &Path) -> Result<Image> {
    let name = || path.display().to_string();
    let decoded = image::open(path).with_context(name)?;
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let image = if decoded.color().has_color() {
        Image::new(width, height, 3, decoded.into_rgb8().into_raw())
    } else {
        Image::new(width, height, 1, decoded.into_luma8().into_raw())
    };
    image.with_context(name)
}

/// Shape and values of a little-endian f32 `.npy` file.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn npy(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    anyhow::ensure!(bytes.len() > 10 && bytes.starts_with(b"\x93NUMPY\x01"), "{}: not .npy", path.display());
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[10..header]);
    anyhow::ensure!(
        text.contains("'<f4'") && text.contains("'fortran_order': False"),
        "{text}: not f32 in C order"
    );
    let shape = text.split('(').nth(1).and_then(|s| s.split(')').next()).context("no shape")?;
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let values = bytes[header..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    Ok((shape, values.collect()))
}
