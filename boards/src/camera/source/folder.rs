//! Frames from a folder of images.

use super::{Pixels, Shot, Source};
use crate::error::Result;
use crate::files;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Images in the order of their names.
pub(super) struct Folder {
    rest: std::vec::IntoIter<PathBuf>,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(crate::error::Error::Missing { path: path.into() });
        }
        Ok(Self { rest: files::list(path)?.into_iter() })
    }
}

impl Source for Folder {
    fn next(&mut self) -> Result<Option<Shot>> {
        let Some(path) = self.rest.next() else { return Ok(None) };
        let began = Instant::now();
        // Whether the result fits is checked with the model's factor, as for every other source.
        let picture = files::read(&path, 1)?;
        Ok(Some(Shot { pixels: Pixels::Image(picture.colour), began, capture: began.elapsed() }))
    }
}
