//! A picture that is read while it is still being made: the engine hands out rows from the top, and encoders
//! take them as they come.

use super::raw::Space;
use mcir_runtime::image::Image;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Rows that become readable together; fewer would only cost more locking.
const BAND: usize = 16;

/// The readers' end.
#[derive(Debug)]
pub struct Rows {
    width: usize,
    height: usize,
    space: Space,
    bands: Box<[OnceLock<Box<[u8]>>]>,
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    bands: usize,
    /// The writer is gone before the last row.
    broken: bool,
    /// Set with the last row.
    spent: Option<Duration>,
}

/// The writer's end.
#[derive(Debug)]
pub struct RowsWriter {
    rows: Arc<Rows>,
    band: Vec<u8>,
    next: usize,
}

impl Rows {
    /// A picture without any rows yet.
    pub fn new((width, height): (usize, usize), space: Space) -> (Arc<Self>, RowsWriter) {
        let bands = (0..height.div_ceil(BAND)).map(|_| OnceLock::new()).collect();
        let (progress, changed) = (Mutex::default(), Condvar::new());
        let rows = Arc::new(Self { width, height, space, bands, progress, changed });
        let writer = RowsWriter { rows: Arc::clone(&rows), band: Vec::new(), next: 0 };
        (rows, writer)
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// What the samples are.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Row `y`; waits until it is there. `None` when it will never be. Time spent waiting is added to `waited`.
    ///
    /// # Shapes
    /// `[width, channels]`
    ///
    /// # Panics
    /// If `y` is not below the height.
    pub fn row(&self, y: usize, waited: &mut Duration) -> Option<&[u8]> {
        let index = y / BAND;
        let band = match self.bands[index].get() {
            Some(band) => band,
            None => {
                let start = Instant::now();
                let found = self.wait(|progress| progress.bands > index);
                *waited += start.elapsed();
                if !found {
                    return None;
                }
                self.bands[index].get()?
            }
        };
        let stride = self.width * self.space.channels();
        Some(&band[(y % BAND) * stride..][..stride])
    }

    /// How long the picture took to make; waits for its end. `None` when it has none.
    pub fn spent(&self) -> Option<Duration> {
        self.wait(|progress| progress.spent.is_some());
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).spent
    }

    fn wait(&self, done: impl Fn(&Progress) -> bool) -> bool {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |p: &mut Progress| !done(p) && !p.broken;
        let progress = self.changed.wait_while(progress, waits).unwrap_or_else(PoisonError::into_inner);
        done(&progress)
    }

    /// The whole picture; waits for its end.
    pub fn image(&self) -> Option<Image> {
        let mut data = Vec::with_capacity(self.width * self.height * self.space.channels());
        for y in 0..self.height {
            data.extend_from_slice(self.row(y, &mut Duration::default())?);
        }
        Image::new(self.width, self.height, self.space.channels(), data).ok()
    }
}

impl RowsWriter {
    /// The next row.
    ///
    /// # Panics
    /// If it has another length than a row, or there are more rows than the height.
    pub fn push(&mut self, row: &[u8]) {
        let rows = &*self.rows;
        let stride = rows.width * rows.space.channels();
        assert_eq!(row.len(), stride, "a row has the picture's width");
        assert!(self.next < rows.height, "the picture is complete");
        if self.band.capacity() == 0 {
            self.band.reserve_exact(BAND * stride);
        }
        self.band.extend_from_slice(row);
        self.next += 1;
        // The last band waits for `finish`, so that nobody sees an end without its time.
        if self.next.is_multiple_of(BAND) && self.next < rows.height {
            self.publish(None);
        }
    }

    /// The picture is complete; `spent` is what making it took.
    ///
    /// # Panics
    /// If rows are missing.
    pub fn finish(mut self, spent: Duration) {
        assert_eq!(self.next, self.rows.height, "all rows were pushed");
        self.publish(Some(spent));
    }

    fn publish(&mut self, spent: Option<Duration>) {
        let index = (self.next - 1) / BAND;
        let band = std::mem::take(&mut self.band).into_boxed_slice();
        self.rows.bands[index].set(band).expect("a band is made once");
        let mut progress = self.rows.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.bands = index + 1;
        progress.spent = spent;
        drop(progress);
        self.rows.changed.notify_all();
    }
}

impl Drop for RowsWriter {
    fn drop(&mut self) {
        let mut progress = self.rows.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.broken = progress.spent.is_none();
        drop(progress);
        self.rows.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_can_be_read_while_others_are_made() {
        for height in [1, 15, 16, 17, 32, 50] {
            let (rows, mut writer) = Rows::new((3, height), Space::Grey);
            let reader = Arc::clone(&rows);
            let thread = std::thread::spawn(move || reader.image());
            for y in 0..height {
                writer.push(&[y as u8; 3]);
            }
            writer.finish(Duration::from_millis(7));
            let image = thread.join().unwrap().unwrap();
            assert!((0..height).all(|y| image.row(y) == [y as u8; 3]), "{height} rows");
            assert_eq!(rows.spent(), Some(Duration::from_millis(7)));
        }
    }

    #[test]
    fn readers_of_a_picture_that_is_given_up_do_not_wait_for_ever() {
        let (rows, mut writer) = Rows::new((2, 40), Space::Grey);
        let reader = Arc::clone(&rows);
        let thread = std::thread::spawn(move || reader.image().is_none() && reader.spent().is_none());
        (0..20).for_each(|_| writer.push(&[0; 2]));
        drop(writer);
        assert!(thread.join().unwrap());
        assert!(rows.row(0, &mut Duration::default()).is_some());
        assert!(rows.row(30, &mut Duration::default()).is_none());
    }
}
