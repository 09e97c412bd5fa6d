//! The negative models of the SPN loss: earlier states of the network, or what the paper compares them with.

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
            Negative::None | Negative::Input | Negative::Pcl => (Vec::new(), Vec::new()),
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

    /// Copies on another device.
    pub fn fork(self, device: &Device) -> Self {
        Self { models: self.models.into_iter().map(|model| model.fork(device)).collect(), ..self }
    }

    /// All weights, to be saved.
    pub fn to_tensors(&self) -> Vec<Tensors> {
        self.models.iter().map(Net::to_tensors).collect()
    }
}

#[cfg(test)]
mod tests;
