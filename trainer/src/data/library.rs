//! [`Library`]: the decoded training images, in memory up to a limit, beyond it in a file.
//!
//! Every image is decoded and downscaled once, before the first step, on all cores. What does not fit into
//! `data.memory_mb` is written to a file without a name in the run's folder, from which patches are read row by row: the
//! operating system keeps in memory what it can, and the file is gone with the process, however that ends.

use super::pairs::{Pair, Source};
use super::{DataError, pairs};
use mcir_runtime::image::Image;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// Which image of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The input: low resolution, or degraded.
    Low,
    /// The target.
    High,
    /// What a teacher makes of the input; of the target's size.
    Teacher,
}

/// Where the pixels of an image are.
#[derive(Debug)]
enum Pixels {
    Memory(Image),
    File { offset: u64 },
}

#[derive(Debug)]
struct Stored {
    width: usize,
    height: usize,
    pixels: Pixels,
}

/// An example.
#[derive(Debug)]
struct Example {
    low: Stored,
    high: Stored,
    teacher: Option<Stored>,
}

/// Images to cut patches from.
#[derive(Debug)]
pub struct Library {
    images: Vec<Example>,
    /// What the memory did not hold.
    file: Option<Mutex<File>>,
}

/// Takes images in while they are decoded, from several threads.
struct Shelf<'a> {
    folder: &'a Path,
    /// Bytes of memory that are left.
    left: Mutex<usize>,
    file: OnceLock<Mutex<File>>,
}

impl Shelf<'_> {
    fn put(&self, image: Image) -> std::io::Result<Stored> {
        let (width, height, bytes) = (image.width(), image.height(), image.data().len());
        let fits = {
            let mut left = self.left.lock().expect("nobody panics with it");
            let fits = *left >= bytes;
            *left -= if fits { bytes } else { 0 };
            fits
        };
        if fits {
            return Ok(Stored { width, height, pixels: Pixels::Memory(image) });
        }
        if self.file.get().is_none() {
            // Two threads may both make one; the loser's is never written to and vanishes.
            let _ = self.file.set(Mutex::new(tempfile::tempfile_in(self.folder)?));
        }
        let mut file = self.file.get().expect("set above").lock().expect("nobody panics with it");
        let offset = file.seek(SeekFrom::End(0))?;
        file.write_all(image.data())?;
        Ok(Stored { width, height, pixels: Pixels::File { offset } })
    }
}

impl Library {
    /// Reads all pairs as [`pairs::load`] does, and keeps up to `memory` bytes of pixels in memory, others in a file in
    /// `folder`.
    ///
    /// # Errors
    /// Any [`DataError`], among them [`DataError::SmallerThanPatch`] for the first image that a patch of side `patch` does
    /// not fit into.
    pub fn load(source: &Source, patch: usize, memory: usize, folder: &Path) -> Result<Self, DataError> {
        let shelf = Shelf { folder, left: Mutex::new(memory), file: OnceLock::new() };
        let read = |index: &usize| -> Result<Example, DataError> {
            let pair = source.read(*index)?;
            pairs::check_patch(std::slice::from_ref(&pair), patch)?;
            let put = |image| {
                shelf.put(image).map_err(|source| DataError::Cache { folder: PathBuf::from(folder), source })
            };
            let teacher = source.read_teacher(*index, &pair.hr)?.map(put).transpose()?;
            Ok(Example { low: put(pair.lr)?, high: put(pair.hr)?, teacher })
        };
        let indices: Vec<usize> = (0..source.len()).collect();
        let images = pairs::in_parallel(&indices, read)?;
        Ok(Self { images, file: shelf.file.into_inner() })
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Bytes of pixels that are in the file.
    pub fn bytes_on_disk(&self) -> usize {
        let on_disk = |s: &&Stored| matches!(s.pixels, Pixels::File { .. });
        let all = self.images.iter().flat_map(|i| [&i.low, &i.high].into_iter().chain(&i.teacher));
        all.filter(on_disk).map(|s| 3 * s.width * s.height).sum()
    }

    /// Width and height of the low-resolution image of a pair.
    pub fn size(&self, pair: usize) -> (usize, usize) {
        let low = &self.images[pair].low;
        (low.width, low.height)
    }

    /// Width or height of the smallest low-resolution image.
    pub fn smallest_side(&self) -> usize {
        self.images.iter().map(|i| i.low.width.min(i.low.height)).min().unwrap_or(0)
    }

    /// Whether there is what a teacher makes of the images.
    pub fn has_teacher(&self) -> bool {
        self.images.first().is_some_and(|i| i.teacher.is_some())
    }

    /// The rows of a square part of an image, one after the other, RGB.
    ///
    /// # Errors
    /// The file cannot be read.
    ///
    /// # Panics
    /// If the part leaves the image, or there is no teacher.
    pub fn patch(
        &self,
        pair: usize,
        which: Side,
        corner: (usize, usize),
        side: usize,
    ) -> std::io::Result<Vec<u8>> {
        let example = &self.images[pair];
        let stored = match which {
            Side::Low => &example.low,
            Side::High => &example.high,
            Side::Teacher => example.teacher.as_ref().expect("a library with a teacher"),
        };
        assert!(
            corner.0 + side <= stored.width && corner.1 + side <= stored.height,
            "a patch leaves its image"
        );
        let at = |row: usize| 3 * ((corner.1 + row) * stored.width + corner.0);
        let mut rows = vec![0; 3 * side * side];
        let chunks = rows.chunks_exact_mut(3 * side).enumerate();
        match &stored.pixels {
            Pixels::Memory(image) => {
                chunks.for_each(|(row, out)| out.copy_from_slice(&image.data()[at(row)..at(row) + 3 * side]));
            }
            Pixels::File { offset } => {
                let file = self.file.as_ref().expect("an image in a file has one");
                let mut file = file.lock().expect("nobody panics with it");
                for (row, out) in chunks {
                    file.seek(SeekFrom::Start(offset + at(row) as u64))?;
                    file.read_exact(out)?;
                }
            }
        }
        Ok(rows)
    }
}

impl From<Vec<Pair>> for Library {
    /// All in memory.
    fn from(pairs: Vec<Pair>) -> Self {
        let memory = |image: Image| Stored {
            width: image.width(),
            height: image.height(),
            pixels: Pixels::Memory(image),
        };
        let example = |p: Pair| Example { low: memory(p.lr), high: memory(p.hr), teacher: None };
        Self { images: pairs.into_iter().map(example).collect(), file: None }
    }
}
