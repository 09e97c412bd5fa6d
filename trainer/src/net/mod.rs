//! [`Net`]: a network that can be trained, whatever describes it.
//!
//! Networks that the engine runs are written down once, in `mcir_runtime::arch`, and lowered from there
//! ([`graph`]). A network that the engine cannot run has no such description; it is written for burn alone
//! ([`nafnet`], [`dehazeformer`], [`idt`]) and everything but export treats it like the others.

pub mod branch;
pub mod dehazeformer;
mod gelu;
pub mod graph;
pub mod idt;
pub mod nafnet;
mod named;
mod norm;
mod pooling;

pub use branch::Branch;
pub use dehazeformer::Dehazeformer;
pub use graph::{GraphNet, TABLE};
pub use idt::Idt;
pub use nafnet::Nafnet;

use crate::conv::Precision;
use crate::weights::{Tensors, WeightsError};
use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use mcir_runtime::model::Graph;

/// What a network computes, without its weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// A layer list that the engine runs, too.
    Graph(Graph),
    /// NAFNet, which only the trainer runs.
    Nafnet(nafnet::Config),
    /// DehazeFormer, which only the trainer runs.
    Dehazeformer(dehazeformer::Config),
    /// IDT, which only the trainer runs.
    Idt(idt::Config),
}

impl From<Graph> for Architecture {
    fn from(graph: Graph) -> Self {
        Self::Graph(graph)
    }
}

impl From<nafnet::Config> for Architecture {
    fn from(config: nafnet::Config) -> Self {
        Self::Nafnet(config)
    }
}

impl From<dehazeformer::Config> for Architecture {
    fn from(config: dehazeformer::Config) -> Self {
        Self::Dehazeformer(config)
    }
}

impl From<idt::Config> for Architecture {
    fn from(config: idt::Config) -> Self {
        Self::Idt(config)
    }
}

/// A network that can be trained.
#[derive(Module, Debug)]
pub enum Net {
    /// A lowered layer list.
    Graph(GraphNet),
    /// NAFNet.
    Nafnet(Nafnet),
    /// DehazeFormer.
    Dehazeformer(Dehazeformer),
    /// IDT.
    Idt(Idt),
}

impl Net {
    /// A network with the given values, named and laid out as in PyTorch.
    ///
    /// # Errors
    /// A tensor that is missing, left over, of the wrong shape or not finite.
    pub fn from_tensors(
        architecture: &Architecture,
        tensors: &Tensors,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        Ok(match architecture {
            Architecture::Graph(graph) => Self::Graph(GraphNet::from_tensors(graph, tensors, device)?),
            Architecture::Nafnet(config) => Self::Nafnet(Nafnet::from_tensors(config, tensors, device)?),
            Architecture::Dehazeformer(config) => {
                Self::Dehazeformer(Dehazeformer::from_tensors(config, tensors, device)?)
            }
            Architecture::Idt(config) => Self::Idt(Idt::from_tensors(config, tensors, device)?),
        })
    }

    /// A network with random initial weights, as its kind is usually started.
    ///
    /// # Errors
    /// The layer list is not valid.
    pub fn random(architecture: &Architecture, seed: u64, device: &Device) -> Result<Self, WeightsError> {
        Ok(match architecture {
            Architecture::Graph(graph) => Self::Graph(GraphNet::random(graph, seed, device)?),
            Architecture::Nafnet(config) => Self::Nafnet(Nafnet::random(config, seed, device)?),
            Architecture::Dehazeformer(config) => {
                Self::Dehazeformer(Dehazeformer::random(config, seed, device)?)
            }
            Architecture::Idt(config) => Self::Idt(Idt::random(config, seed, device)?),
        })
    }

    /// The same network with convolutions in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        match self {
            Self::Graph(net) => Self::Graph(net.with_precision(precision)),
            Self::Nafnet(net) => Self::Nafnet(net.with_precision(precision)),
            Self::Dehazeformer(net) => Self::Dehazeformer(net.with_precision(precision)),
            Self::Idt(net) => Self::Idt(net.with_precision(precision)),
        }
    }

    /// What its convolutions compute in.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Graph(net) => net.precision(),
            Self::Nafnet(net) => net.precision(),
            Self::Dehazeformer(net) => net.precision(),
            Self::Idt(net) => net.precision(),
        }
    }

    /// What it computes.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::Graph(net) => Architecture::Graph(net.graph().clone()),
            Self::Nafnet(net) => Architecture::Nafnet(net.config().clone()),
            Self::Dehazeformer(net) => Architecture::Dehazeformer(net.config().clone()),
            Self::Idt(net) => Architecture::Idt(net.config().clone()),
        }
    }

    /// Upscaling factor from input to output.
    pub fn upscale(&self) -> usize {
        match self {
            Self::Graph(net) => net.upscale(),
            Self::Nafnet(_) | Self::Dehazeformer(_) | Self::Idt(_) => 1,
        }
    }

    /// Channels of the image that it reads.
    pub fn in_channels(&self) -> usize {
        match self {
            Self::Graph(net) => net.in_channels(),
            Self::Nafnet(_) => nafnet::CHANNELS,
            Self::Dehazeformer(_) => dehazeformer::CHANNELS,
            Self::Idt(_) => idt::CHANNELS,
        }
    }

    /// Where the parameters live.
    pub fn device(&self) -> Device {
        self.devices().pop().unwrap_or_default()
    }

    /// All values, as [`Net::from_tensors`] takes them.
    pub fn to_tensors(&self) -> Tensors {
        match self {
            Self::Graph(net) => net.to_tensors(),
            Self::Nafnet(net) => net.to_tensors(),
            Self::Dehazeformer(net) => net.to_tensors(),
            Self::Idt(net) => net.to_tensors(),
        }
    }

    /// The network's output.
    ///
    /// # Shapes
    /// input `[N, C, H, W]` in 0..1; output `[N, C', H·upscale, W·upscale]`, not clipped
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Graph(net) => net.forward(image),
            Self::Nafnet(net) => net.forward(image),
            Self::Dehazeformer(net) => net.forward(image),
            Self::Idt(net) => net.forward(image),
        }
    }

    /// The same function without branches, which are added to the weights.
    pub fn folded(&self) -> Self {
        match self {
            Self::Graph(net) => Self::Graph(net.folded()),
            Self::Nafnet(_) | Self::Dehazeformer(_) | Self::Idt(_) => self.clone(),
        }
    }

    /// `keep · self + (1 − keep) · newer`, parameter by parameter: a step of an exponential moving average.
    /// The result lives where `self` lives.
    ///
    /// # Panics
    /// If the two networks have different architectures.
    pub fn blend(self, newer: &Self, keep: f64) -> Self {
        match (self, newer) {
            (Self::Graph(old), Self::Graph(new)) => Self::Graph(old.blend(new, keep)),
            (Self::Nafnet(old), Self::Nafnet(new)) => Self::Nafnet(old.blend(new, keep)),
            (Self::Dehazeformer(old), Self::Dehazeformer(new)) => Self::Dehazeformer(old.blend(new, keep)),
            (Self::Idt(old), Self::Idt(new)) => Self::Idt(old.blend(new, keep)),
            (Self::Graph(_) | Self::Nafnet(_) | Self::Dehazeformer(_) | Self::Idt(_), _) => {
                panic!("only networks of one architecture can be blended")
            }
        }
    }
}

fn blend<const D: usize>(old: Param<Tensor<D>>, new: &Param<Tensor<D>>, keep: f64) -> Param<Tensor<D>> {
    let new = new.val().detach();
    let new = if old.val().is_autodiff() { new } else { new.inner() };
    old.map(|old| old * keep + new * (1.0 - keep))
}

/// A parameter with an identity that follows from its place, so that saved optimizer state finds it again.
fn param<const D: usize>(
    place: usize,
    values: Vec<f32>,
    shape: [usize; D],
    trained: bool,
    device: &Device,
) -> Param<Tensor<D>> {
    let value = Tensor::from_data(TensorData::new(values, shape), device);
    Param::initialized(ParamId::from(place as u64 + 1), value)
        .set_require_grad(trained && device.is_autodiff())
}
