//! The negative models of the SPN loss: earlier states of the network, or what the paper compares them with.

mod others;

pub use others::{Others, OthersError};

use crate::config::{Negative, PerModel, Spn};
use crate::net::Net;
use crate::seed::{Purpose, Stream};
use crate::weights::{Tensors, WeightsError};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

/// K networks that the output is pushed away from. They never see a gradient.
///
/// # Source
/// "Learning from History", arXiv 2309.06023: equation 3 for the update; the initial blend is that of the
/// authors' code.
#[derive(Debug, Clone)]
pub struct Negatives {
    models: Vec<Net>,
    /// Iterations between the updates of each; empty for frozen ones.
    steps: Vec<u64>,
    omega: PerModel,
}

impl Negatives {
    /// The negatives at the start of a run.
    ///
    /// `pretrained` are the weights that [`Negative::Pretrained`] freezes.
    ///
    /// # Errors
    /// The pretrained weights do not fit the network.
    pub fn new(
        spn: &Spn,
        target: &Net,
        seed: u64,
        pretrained: Option<&Tensors>,
    ) -> Result<Self, WeightsError> {
        let target = target.valid();
        let device = target.device();
        let architecture = target.architecture();
        let precision = target.precision();
        let random = |k: usize| {
            let seed = Stream::new(seed, Purpose::Negative, k as u64).bits();
            Ok(Net::random(&architecture, seed, &device)?.with_precision(precision))
        };
        let count = spn.steps.len();
        let (models, steps) = match spn.negative {
            Negative::Latency => {
                let blend = |k: usize| Ok(random(k)?.blend(&target, spn.nu.of(k)));
                ((0..count).map(blend).collect::<Result<_, WeightsError>>()?, spn.steps.clone())
            }
            Negative::Random => ((0..count).map(random).collect::<Result<_, _>>()?, Vec::new()),
            Negative::Pretrained => {
                let tensors = pretrained.ok_or_else(|| WeightsError::Missing {
                    name: "of the pretrained negative model (spn.pretrained)".into(),
                    found: 0,
                })?;
                (
                    vec![Net::from_tensors(&architecture, tensors, &device)?.with_precision(precision)],
                    Vec::new(),
                )
            }
            Negative::None | Negative::Input | Negative::Pcl | Negative::Ccr => (Vec::new(), Vec::new()),
        };
        Ok(Self { models, steps, omega: spn.omega.clone() })
    }

    /// The negatives of a checkpoint.
    ///
    /// # Errors
    /// They are not as many as the configuration says, or of another network.
    pub fn restore(
        spn: &Spn,
        target: &Net,
        saved: &[Tensors],
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let steps = if spn.negative == Negative::Latency { spn.steps.clone() } else { Vec::new() };
        if saved.len() != spn.models() {
            return Err(WeightsError::Count { expected: spn.models(), found: saved.len() });
        }
        let architecture = target.architecture();
        let load = |tensors: &Tensors| {
            let net = Net::from_tensors(&architecture, tensors, device)?;
            Ok(net.with_precision(target.precision()))
        };
        let models = saved.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self { models, steps, omega: spn.omega.clone() })
    }

    /// After the optimizer's step number `step`, counted from one: `θ⁻ ← ω·θ⁻ + (1 − ω)·θ` for each negative
    /// whose turn it is.
    pub fn update(&mut self, step: u64, target: &Net) {
        for (k, (model, every)) in self.models.iter_mut().zip(&self.steps).enumerate() {
            if step.is_multiple_of(*every) {
                *model = model.clone().blend(target, self.omega.of(k));
            }
        }
    }

    /// Outputs of all negatives.
    ///
    /// # Shapes
    /// lr `[N, C, H, W]` without autodiff; outputs as of the network
    pub fn forward(&self, lr: &Tensor<4>) -> Vec<Tensor<4>> {
        self.models.iter().map(|model| model.forward(lr.clone())).collect()
    }

    /// Outputs of `draw` negatives for each patch, which are other ones for the next patch: of `K` negatives in a random
    /// order, patch `p` gets those at `p·draw` and after, around the end. So each is as likely as any other, and a batch
    /// meets as many of them as it can.
    ///
    /// `first` is the number of the first patch in the batch.
    ///
    /// # Shapes
    /// lr `[N, C, H, W]` without autodiff; `draw` outputs as of the network
    pub fn draw(&self, lr: &Tensor<4>, first: usize, draw: usize, mut stream: Stream) -> Vec<Tensor<4>> {
        let (n, count) = (lr.dims()[0], self.models.len());
        let mut order: Vec<usize> = (0..count).collect();
        (1..count).rev().for_each(|i| order.swap(i, stream.below(i + 1)));
        let model = |slot: usize| order[((first + slot % n) * draw + slot / n) % count];
        // Slots are the outputs one after the other. Each model runs once, on the patches of its slots.
        let (mut outputs, mut places) = (Vec::new(), vec![0; n * draw]);
        let mut done = 0;
        for (k, net) in self.models.iter().enumerate() {
            let slots: Vec<usize> = (0..n * draw).filter(|&slot| model(slot) == k).collect();
            if slots.is_empty() {
                continue;
            }
            outputs.push(net.forward(select(lr, slots.iter().map(|slot| slot % n))));
            slots.iter().enumerate().for_each(|(i, &slot)| places[slot] = done + i);
            done += slots.len();
        }
        let outputs = Tensor::cat(outputs, 0);
        (0..draw).map(|j| select(&outputs, places[j * n..(j + 1) * n].iter().copied())).collect()
    }

    /// Copies on another device.
    pub fn fork(self, device: &Device) -> Self {
        Self { models: self.models.into_iter().map(|model| model.fork(device)).collect(), ..self }
    }

    /// All weights, to be saved.
    pub fn to_tensors(&self) -> Vec<Tensors> {
        self.models.iter().map(Net::to_tensors).collect()
    }
}

/// Some images of a batch.
fn select(images: &Tensor<4>, which: impl Iterator<Item = usize>) -> Tensor<4> {
    let one = |i: usize| images.clone().narrow(0, i, 1);
    Tensor::cat(which.map(one).collect(), 0)
}

#[cfg(test)]
mod tests;
