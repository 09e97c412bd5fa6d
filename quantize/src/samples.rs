//! The images to calibrate on. They are looked at again and again, so they are decoded and shrunk once; they wait in a
//! temporary file, so memory does not grow with their number.

use crate::error::{QuantizeError, Skipped};
use crate::images::{self, Task};
use crate::parallel::{self, Progress};
use mcir_runtime::image::Image;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A low-resolution image to calibrate on.
#[derive(Debug, Clone)]
pub struct Sample {
    /// File name without the folder.
    pub name: String,
    /// The image, or the middle of it.
    pub lr: Image,
}

/// Where an image is.
#[derive(Debug, Clone)]
pub struct Entry {
    name: String,
    width: usize,
    height: usize,
    channels: usize,
    offset: u64,
}

/// Images in a temporary file without a name, which is gone with the value or the program.
#[derive(Debug)]
pub struct Samples {
    entries: Vec<Entry>,
    file: Mutex<File>,
    end: u64,
}

impl Samples {
    /// No images yet.
    ///
    /// # Errors
    /// [`QuantizeError::Spool`] when there is no place for temporary files.
    pub fn new() -> Result<Self, QuantizeError> {
        let file = tempfile::tempfile().map_err(spool)?;
        Ok(Self { entries: Vec::new(), file: Mutex::new(file), end: 0 })
    }

    /// The usable ones of the files, and the others.
    ///
    /// # Errors
    /// [`QuantizeError::TooFewImages`] when less than [`MIN_CALIBRATION`](images::MIN_CALIBRATION) are left,
    /// [`QuantizeError::Spool`].
    pub fn gather(
        folder: &Path,
        files: &[PathBuf],
        task: Task,
        threads: usize,
        progress: &dyn Progress,
    ) -> Result<(Self, Vec<Skipped>), QuantizeError> {
        progress.begin("reading images", files.len());
        let (mut samples, mut skipped, mut failed) = (Self::new()?, Vec::new(), None);
        let load = |(): &mut (), path: &PathBuf| {
            let (name, pair) = (images::name_of(path), images::load(path, task));
            progress.step();
            let sample = pair.map(|pair| Sample { name: name.clone(), lr: images::middle(pair.lr) });
            Ok::<_, QuantizeError>(sample.map_err(|reason| Skipped { name, reason }))
        };
        parallel::in_order(
            files,
            threads,
            || (),
            load,
            |loaded| match loaded {
                Ok(sample) => failed = failed.take().or(samples.push(&sample).err()),
                Err(reason) => skipped.push(reason),
            },
        )?;
        progress.end();
        if let Some(error) = failed {
            return Err(error);
        }
        images::enough(folder, samples.len(), images::MIN_CALIBRATION, &skipped)?;
        Ok((samples, skipped))
    }

    /// Adds an image.
    ///
    /// # Errors
    /// [`QuantizeError::Spool`] when it cannot be written.
    pub fn push(&mut self, Sample { name, lr }: &Sample) -> Result<(), QuantizeError> {
        let (width, height, channels) = (lr.width(), lr.height(), lr.channels());
        let file = self.file.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.end)).and_then(|_| file.write_all(lr.data())).map_err(spool)?;
        self.entries.push(Entry { name: name.clone(), width, height, channels, offset: self.end });
        self.end += lr.data().len() as u64;
        Ok(())
    }

    /// What there is to [`read`](Self::read), in the order of the files.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// At most `most` of them, spread evenly.
    pub fn few(&self, most: usize) -> Vec<Entry> {
        let (all, taken) = (self.entries.len(), self.entries.len().min(most));
        (0..taken).map(|i| self.entries[i * all / taken].clone()).collect()
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Pixels of all images.
    pub fn pixels(&self) -> usize {
        self.entries.iter().map(|entry| entry.width * entry.height).sum()
    }

    /// The image of one of [`entries`](Self::entries).
    ///
    /// # Errors
    /// [`QuantizeError::Spool`] when it cannot be read.
    pub fn read(&self, entry: &Entry) -> Result<Sample, QuantizeError> {
        let Entry { name, width, height, channels, offset } = entry;
        let mut data = vec![0; width * height * channels];
        {
            let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            file.seek(SeekFrom::Start(*offset)).and_then(|_| file.read_exact(&mut data)).map_err(spool)?;
        }
        Ok(Sample { name: name.clone(), lr: Image::new(*width, *height, *channels, data)? })
    }
}

fn spool(source: std::io::Error) -> QuantizeError {
    QuantizeError::Spool { folder: std::env::temp_dir(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_back_as_they_were() {
        let mut samples = Samples::new().unwrap();
        let sample = |i: usize| {
            let (width, height) = (3 + i, 20 - i);
            let data = (0..width * height * 3).map(|k| (k * (i + 3)) as u8).collect();
            Sample { name: format!("{i}.png"), lr: Image::new(width, height, 3, data).unwrap() }
        };
        assert!(samples.is_empty());
        (0..10).for_each(|i| samples.push(&sample(i)).unwrap());
        assert_eq!((samples.len(), samples.pixels()), (10, (0..10).map(|i| (3 + i) * (20 - i)).sum()));
        for i in [9, 0, 4, 4, 8] {
            let back = samples.read(&samples.entries()[i]).unwrap();
            assert_eq!((back.name, back.lr), (sample(i).name, sample(i).lr));
        }
    }
}
