//! Frames from a folder of images.

use super::{Pixels, Shot, Source};
use mcir_files as files;
use mcir_upscale::error::Result;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Images in the order of their names.
pub(super) struct Folder {
    rest: std::vec::IntoIter<PathBuf>,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { rest: files::images(path)?.into_iter() })
    }
}

impl Source for Folder {
    fn next(&mut self) -> Result<Option<Shot>> {
        let Some(path) = self.rest.next() else { return Ok(None) };
        let began = Instant::now();
        // Whether the result fits is checked with the model's factor, as for every other source.
        let image = files::read(&path)?.into_image(&files::name::text(&path))?;
        Ok(Some(Shot { pixels: Pixels::Image(image), began, capture: began.elapsed() }))
    }
}
