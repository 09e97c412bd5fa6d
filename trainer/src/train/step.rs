//! One optimizer step: losses and gradients of the parts of a batch, on one device or several.
//!
//! Each device gets a copy of the weights for every step (burn's `Module::fork`), computes its parts in a thread of its own, and
//! the first device collects the gradients, makes the optimizer's step and holds all state. That is what
//! `ExecutionStrategy::MultiDevice` with `OptimMainDevice` does in burn-train 0.22, made of the same parts of burn. The strategy
//! itself only runs inside burn-train's `Learner`, which owns the loop (by epochs, with a checkpoint after each) and does not
//! know negative models that follow the weights at their own steps, the alarm for divergence, or resuming to the bit. Its worker
//! (`MultiDevicesTrainStep`) hands gradients over in the order in which devices finish, so that the sums of three do not repeat,
//! and a step can tell it of an error only by a panic. The other strategy (`DistributedContext`) reduces gradients inside
//! `backward`, which saves the copies, and keeps an optimizer on every device; of the backends here only CUDA has the reduction
//! (through NCCL). It is the thing to try next where two GPUs are at hand. The tests run several devices as the CPU several
//! times over.

use super::{TrainError, Trainer};
use crate::config::{Negative, Spn, Train};
use crate::data::batches::Batch;
use crate::loss::contrastive::Contrast;
use crate::loss::pixel::{self, Loss};
use crate::negatives::{Negatives, Others};
use crate::net::Net;
use crate::resize::resize;
use crate::seed::{Purpose, Stream};
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use mcir_runtime::model::Filter;
use std::ops::Range;

/// What the contrastive losses need beside the network.
pub(super) struct SpnState {
    spn: Spn,
    contrast: Contrast,
    pub(super) negatives: Negatives,
    /// Networks of [`Negative::Ccr`].
    others: Others,
    /// Of the run.
    seed: u64,
}

/// Losses of a step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Losses {
    /// Reconstruction, by the configured loss.
    pub reconstruction: f32,
    /// Reconstruction by L1, whatever the configured loss: it has a zero, so a run that diverges shows in it.
    pub l1: f32,
    /// Contrastive part, if the run has one: the negative loss `L_neg`, and then the total is
    /// `reconstruction − λ·negative`, or a loss that is added ([`Negative::is_added`]).
    pub negative: Option<f32>,
}

/// A further device, with what does not change from step to step.
pub(super) struct Replica {
    /// Without autodiff.
    pub(super) device: Device,
    pub(super) contrast: Option<Contrast>,
}

/// What is computed at once: some patches of a batch.
struct Part<'a> {
    batch: &'a Batch,
    /// Patches of the batch.
    patches: Range<usize>,
    /// How many of them the contrastive loss is computed on, and their share of all that it is computed on.
    contrasted: (usize, f64),
    /// Share of the batch.
    share: f64,
    step: u64,
    patch: usize,
    upscale: usize,
    loss: Loss,
    /// Weight of the teacher's output.
    teacher: f64,
}

impl SpnState {
    pub(super) fn new(
        spn: &Spn,
        contrast: Contrast,
        negatives: Negatives,
        others: Others,
        seed: u64,
    ) -> Self {
        Self { spn: spn.clone(), contrast, negatives, others, seed }
    }

    /// What is added to the reconstruction loss, before λ, and its size without sign. `first` is the number of the first patch
    /// in the batch.
    fn loss(
        &self,
        sr: Tensor<4>,
        lr: Tensor<4>,
        hr: Tensor<4>,
        upscale: usize,
        (first, step): (usize, u64),
    ) -> (Tensor<1>, f32) {
        let input = |lr| if upscale == 1 { lr } else { resize(lr, upscale, Filter::Bicubic) };
        match self.spn.negative {
            Negative::None => unreachable!("a loss without negatives has no state"),
            Negative::Latency | Negative::Random | Negative::Pretrained => {
                let negatives = match self.spn.draw {
                    Some(draw) if draw < self.spn.models() => {
                        let stream = Stream::new(self.seed, Purpose::NegativeDraw, step);
                        self.negatives.draw(&lr, first, draw, stream)
                    }
                    _ => self.negatives.forward(&lr),
                };
                let negative = self.contrast.negative_loss(sr, negatives, step);
                let size = number(&negative);
                (negative.neg(), size)
            }
            Negative::Input => {
                let ratio = self.contrast.regularization(sr, hr, input(lr), step);
                let size = number(&ratio);
                (ratio, size)
            }
            Negative::Pcl => {
                let Spn { copies, temperature, .. } = self.spn;
                let loss = self.contrast.info_nce(sr, hr, input(lr), copies, temperature, step);
                let size = number(&loss);
                (loss, size)
            }
            Negative::Ccr => {
                let others = self.others.forward(&lr);
                let loss = self.contrast.curricular(sr, hr, input(lr), others, self.spn.gamma, step);
                let size = number(&loss);
                (loss, size)
            }
        }
    }

    /// The same on another device.
    fn on(&self, replica: &Replica) -> Option<Self> {
        let contrast = replica.contrast.clone()?;
        Some(Self {
            spn: self.spn.clone(),
            contrast,
            negatives: self.negatives.clone().fork(&replica.device),
            others: self.others.clone().fork(&replica.device),
            seed: self.seed,
        })
    }
}

impl Part<'_> {
    /// Losses and gradients, both weighted by the part's share.
    fn gradients(
        &self,
        net: &Net,
        spn: Option<&SpnState>,
        device: &Device,
    ) -> Result<(Losses, GradientsParams), TrainError> {
        let n = self.patches.len();
        let tensor = |values: &[f32], side: usize| {
            let one = 3 * side * side;
            let values = values[self.patches.start * one..self.patches.end * one].to_vec();
            Tensor::<4>::from_data(TensorData::new(values, [n, 3, side, side]), device)
        };
        let lr = tensor(&self.batch.lr, self.patch);
        let hr = tensor(&self.batch.hr, self.patch * self.upscale);
        let sr = net.forward(lr.clone());
        let mut total = self.loss.of(sr.clone(), hr.clone());
        if !self.batch.teacher.is_empty() {
            let teacher = tensor(&self.batch.teacher, self.patch * self.upscale);
            total = total * (1.0 - self.teacher) + self.loss.of(sr.clone(), teacher) * self.teacher;
        }
        let reconstruction = number(&total);
        let l1 = match self.loss {
            Loss::L1 => reconstruction,
            Loss::Charbonnier | Loss::L2 | Loss::Psnr => {
                number(&pixel::l1(sr.clone().inner(), hr.clone().inner()))
            }
        };
        let share = self.share as f32;
        let mut losses = Losses { reconstruction: reconstruction * share, l1: l1 * share, negative: None };
        if self.share != 1.0 {
            total = total * self.share;
        }
        let (m, contrast_share) = self.contrasted;
        if let Some(spn) = spn.filter(|_| m > 0) {
            let [lr, hr] = [lr.inner(), hr.inner()].map(|x| x.narrow(0, 0, m));
            let (signed, size) =
                spn.loss(sr.narrow(0, 0, m), lr, hr, self.upscale, (self.patches.start, self.step));
            losses.negative = Some(size * contrast_share as f32);
            total = total + signed * (spn.spn.lambda * contrast_share);
        }
        let loss = number(&total);
        if !loss.is_finite() {
            return Err(TrainError::NotFinite { loss, step: self.step, kept: None });
        }
        Ok((losses, GradientsParams::from_grads(total.backward(), net)))
    }
}

impl Trainer {
    /// One optimizer step; returns the losses before it.
    ///
    /// The batch is computed in `train.accumulate` parts on each device, and their gradients are added in the
    /// order of the patches.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the state is then as before the step.
    pub fn step(&mut self, batch: Batch) -> Result<Losses, TrainError> {
        let threads = self.threads.clone();
        threads.install(|| self.step_here(&batch))
    }

    fn step_here(&mut self, batch: &Batch) -> Result<Losses, TrainError> {
        let parts = self.parts(batch);
        let (losses, grads) = match &parts[..] {
            [one] => one.gradients(&self.net, self.spn.as_ref(), &self.device)?,
            _ => {
                let mut accumulator = GradientsAccumulator::new();
                let mut sum = Losses::default();
                for result in self.compute(&parts) {
                    let (losses, grads) = result?;
                    sum.add(&losses);
                    accumulator.accumulate(&self.net, grads);
                }
                (sum, accumulator.grads())
            }
        };
        let rate = self.config.train.lr_at(self.step);
        self.net = self.optimizer.step(rate, self.net.clone(), grads);
        let folded = self.net.folded();
        self.ema = self.ema.clone().blend(&folded, self.config.train.ema);
        self.step += 1;
        if let Some(spn) = &mut self.spn {
            spn.negatives.update(self.step, &folded);
        }
        Ok(losses)
    }

    /// The parts of a batch.
    fn parts<'a>(&self, batch: &'a Batch) -> Vec<Part<'a>> {
        let Train { batch: n, accumulate, loss, teacher_weight: teacher, .. } = self.config.train;
        let count = accumulate * (1 + self.replicas.len());
        let contrasted = self.config.spn.as_ref().and_then(|spn| spn.batch).unwrap_or(n).min(n);
        let part = |i: usize| {
            let patches = i * n / count..(i + 1) * n / count;
            let here = contrasted.saturating_sub(patches.start).min(patches.len());
            Part {
                batch,
                share: patches.len() as f64 / n as f64,
                patches,
                contrasted: (here, here as f64 / contrasted as f64),
                step: self.step,
                patch: self.config.data.patch,
                upscale: self.config.model.upscale(),
                loss,
                teacher,
            }
        };
        (0..count).map(part).collect()
    }

    /// Losses and gradients of the parts, in their order; the gradients on the first device.
    fn compute(&self, parts: &[Part<'_>]) -> Vec<Result<(Losses, GradientsParams), TrainError>> {
        let mut chunks = parts.chunks(self.config.train.accumulate);
        let first = chunks.next().unwrap_or_default();
        std::thread::scope(|scope| {
            let workers: Vec<_> = chunks
                .zip(&self.replicas)
                .map(|(parts, replica)| {
                    let device = replica.device.clone().autodiff();
                    let net = self.net.clone().fork(&device);
                    let spn = self.spn.as_ref().and_then(|spn| spn.on(replica));
                    let work = move || {
                        let one = |part: &Part<'_>| part.gradients(&net, spn.as_ref(), &device);
                        parts.iter().map(one).collect::<Vec<_>>()
                    };
                    scope.spawn(work)
                })
                .collect();
            let one = |part: &Part<'_>| part.gradients(&self.net, self.spn.as_ref(), &self.device);
            let mut results: Vec<_> = first.iter().map(one).collect();
            let home = self.device.clone().inner();
            for worker in workers {
                let theirs = worker.join().expect("a device's thread does not panic");
                let here =
                    |(losses, grads): (Losses, GradientsParams)| (losses, grads.to_device(&home, &self.net));
                results.extend(theirs.into_iter().map(|result| result.map(here)));
            }
            results
        })
    }
}

impl Losses {
    fn add(&mut self, part: &Self) {
        self.reconstruction += part.reconstruction;
        self.l1 += part.l1;
        if let Some(negative) = part.negative {
            *self.negative.get_or_insert(0.0) += negative;
        }
    }
}

fn number(loss: &Tensor<1>) -> f32 {
    loss.clone().into_scalar::<f32>()
}

#[cfg(test)]
mod tests;
