//! The web page of a comparison: one file with everything in it.

mod html;
mod plate;
mod plot;
mod text;

pub use plate::Plate;

use crate::report::Report;
use mcir_files::Pending;
use mcir_upscale::error::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes the page into a file that was begun before anything was measured.
///
/// # Errors
/// [`mcir_files::Error::Io`]; a file that had the name before is then unchanged.
pub fn write(mut file: Pending, path: &Path, report: &Report, plates: &[Plate]) -> Result<()> {
    let failed = Error::io("write", path);
    write!(file, "{}", html::Page { report, plates }).map_err(&failed)?;
    Ok(file.finish()?)
}
