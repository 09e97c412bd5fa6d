//! Batches prepared in threads of their own, ahead of the optimizer.

use super::augment;
use super::library::{Library, Side};
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
}

impl Recipe {
    /// The batch of a step.
    ///
    /// # Errors
    /// Images that memory does not hold cannot be read.
    pub fn batch(&self, step: u64) -> std::io::Result<Batch> {
        let (mut lr, mut hr) = (Vec::new(), Vec::new());
        for crop in augment::draw(&self.images, self.seed, step, self.batch, self.patch, self.augment) {
            let (r, (x, y)) = (self.upscale, crop.corner);
            let rows = self.images.patch(crop.pair, Side::Low, (x, y), self.patch)?;
            augment::turn(&rows, self.patch, crop.symmetry, &mut lr);
            let rows = self.images.patch(crop.pair, Side::High, (x * r, y * r), self.patch * r)?;
            augment::turn(&rows, self.patch * r, crop.symmetry, &mut hr);
        }
        Ok(Batch { step, lr, hr })
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
