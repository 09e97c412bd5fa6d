//! Batches prepared in a thread of their own, ahead of the optimizer.

use super::{augment, pairs::Pair};
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
    pub pairs: Arc<Vec<Pair>>,
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
    pub fn batch(&self, step: u64) -> Batch {
        let (mut lr, mut hr) = (Vec::new(), Vec::new());
        for crop in augment::draw(&self.pairs, self.seed, step, self.batch, self.patch, self.augment) {
            let (pair, r) = (&self.pairs[crop.pair], self.upscale);
            augment::cut(&pair.lr, crop.corner, self.patch, crop.symmetry, &mut lr);
            let corner = (crop.corner.0 * r, crop.corner.1 * r);
            augment::cut(&pair.hr, corner, self.patch * r, crop.symmetry, &mut hr);
        }
        Batch { step, lr, hr }
    }

    /// The batches of a range of steps, in order; at most four wait at a time. The thread ends when the
    /// receiver is dropped.
    pub fn ahead(self, steps: Range<u64>) -> mpsc::Receiver<Batch> {
        let (sender, receiver) = mpsc::sync_channel(4);
        std::thread::spawn(move || {
            for step in steps {
                if sender.send(self.batch(step)).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}
