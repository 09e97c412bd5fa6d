//! Batches prepared in threads of their own, ahead of the optimizer.

use super::augment::{self, Crop};
use super::degrade::{Degradation, Degrade, MARGIN, Planes};
use super::library::{Library, Side};
use crate::seed::{Purpose, Stream};
use std::ops::Range;
use std::sync::{Arc, mpsc};

/// The patches of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Step it belongs to.
    pub step: u64,
    /// `[batch, 3, patch, patch]` in 0..1.
    pub lr: Vec<f32>,
    /// `[batch, 3, patch·upscale, patch·upscale]` in 0..1.
    pub hr: Vec<f32>,
    /// What a teacher makes of `lr`, as `hr`; empty without one.
    pub teacher: Vec<f32>,
}

/// What batches are made of.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Images.
    pub images: Arc<Library>,
    /// Seed of the run.
    pub seed: u64,
    /// Patches in a batch.
    pub batch: usize,
    /// Side of a low-resolution patch.
    pub patch: usize,
    /// Upscaling factor.
    pub upscale: usize,
    /// Flips and rotations.
    pub augment: bool,
    /// How low-resolution patches are made from high-resolution ones, if not cut from the low-resolution images.
    pub degrade: Option<Degrade>,
}

impl Recipe {
    /// The batch of a step.
    ///
    /// # Errors
    /// Images that memory does not hold cannot be read.
    pub fn batch(&self, step: u64) -> std::io::Result<Batch> {
        let mut batch = Batch { step, lr: Vec::new(), hr: Vec::new(), teacher: Vec::new() };
        let side = self.cut();
        let crops = augment::draw(&self.images, self.seed, step, self.batch, side, self.augment);
        for (i, crop) in (0..).zip(crops) {
            match &self.degrade {
                None => self.cut_pair(&crop, &mut batch)?,
                Some(settings) => {
                    let stream = Stream::new(self.seed, Purpose::Degrade, step * self.batch as u64 + i);
                    self.degrade_pair(&crop, side, settings, stream, &mut batch)?;
                }
            }
        }
        Ok(batch)
    }

    /// Side of what is cut from an image: the patch, and what is degraded around it as far as every image has it.
    fn cut(&self) -> usize {
        match self.degrade {
            None => self.patch,
            Some(_) => (self.patch + 2 * MARGIN).min(self.images.smallest_side()),
        }
    }

    fn cut_pair(&self, crop: &Crop, batch: &mut Batch) -> std::io::Result<()> {
        let (r, (x, y)) = (self.upscale, crop.corner);
        let rows = self.images.patch(crop.pair, Side::Low, (x, y), self.patch)?;
        augment::turn(&rows, self.patch, crop.symmetry, &mut batch.lr);
        let rows = self.images.patch(crop.pair, Side::High, (x * r, y * r), self.patch * r)?;
        augment::turn(&rows, self.patch * r, crop.symmetry, &mut batch.hr);
        if self.images.has_teacher() {
            let rows = self.images.patch(crop.pair, Side::Teacher, (x * r, y * r), self.patch * r)?;
            augment::turn(&rows, self.patch * r, crop.symmetry, &mut batch.teacher);
        }
        Ok(())
    }

    /// Turned first and then degraded, because a camera's blocks and chroma are never turned.
    fn degrade_pair(
        &self,
        crop: &Crop,
        side: usize,
        settings: &Degrade,
        mut stream: Stream,
        batch: &mut Batch,
    ) -> std::io::Result<()> {
        let (r, (x, y)) = (self.upscale, crop.corner);
        let rows = self.images.patch(crop.pair, Side::High, (x * r, y * r), side * r)?;
        let mut data = Vec::new();
        augment::turn(&rows, side * r, crop.symmetry, &mut data);
        let hr = Planes { width: side * r, height: side * r, data };
        // The border that blurs have invented stays outside where there is room for that.
        let slack = side - self.patch;
        let least = slack.min(MARGIN) / 2;
        let (x, y) =
            (least + stream.below(slack - 2 * least + 1), least + stream.below(slack - 2 * least + 1));
        let lr = Degradation::draw_for_training(settings, &mut stream).apply(&hr, r, &mut stream);
        batch.lr.extend(lr.crop((x, y), (self.patch, self.patch)).data);
        batch.hr.extend(hr.crop((x * r, y * r), (self.patch * r, self.patch * r)).data);
        Ok(())
    }

    /// The batches of a range of steps, in order, prepared by some of the machine's cores. Each has one waiting at most:
    /// large batches have 50 MB. The threads end when the iterator is dropped.
    pub fn ahead(self, steps: Range<u64>) -> Batches {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.ahead_in(steps, (cores / 2).clamp(1, 4))
    }

    /// [`Recipe::ahead`] with a number of threads. What it gives does not depend on it.
    pub fn ahead_in(self, steps: Range<u64>, threads: usize) -> Batches {
        let worker = |i: usize| {
            let (recipe, mine) = (self.clone(), steps.clone().skip(i).step_by(threads));
            let (sender, receiver) = mpsc::sync_channel(1);
            std::thread::spawn(move || {
                for step in mine {
                    if sender.send(recipe.batch(step)).is_err() {
                        return;
                    }
                }
            });
            receiver
        };
        Batches { workers: (0..threads).map(worker).collect(), first: steps.start, steps }
    }
}

/// Batches in the order of their steps.
#[derive(Debug)]
pub struct Batches {
    /// Each prepares one step of as many as there are workers.
    workers: Vec<mpsc::Receiver<std::io::Result<Batch>>>,
    first: u64,
    steps: Range<u64>,
}

impl Iterator for Batches {
    type Item = std::io::Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.steps.next()?;
        let worker = &self.workers[((step - self.first) % self.workers.len() as u64) as usize];
        // A thread that panicked must not look like the end of the training.
        Some(
            worker
                .recv()
                .unwrap_or_else(|_| Err(std::io::Error::other("a thread that prepares batches has died"))),
        )
    }
}
