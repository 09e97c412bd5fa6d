//! The paper's feature network of the contrastive losses: the convolutional part of VGG16 or VGG19, frozen.
//!
//! Weights are torchvision's (`features.N.weight`), read from a local file. Without one, a random network from
//! a fixed seed stands in: its features still tell textures apart, but results then do not compare with
//! published ones, and the caller must say so.

use super::pool::max_pool;
use crate::conv::{Epilogue, Frozen, Precision};
use crate::import::{self, ImportError};
use crate::seed::{Purpose, Stream};
use crate::weights::{Tensors, WeightsError};
use burn::tensor::{Device, Tensor, TensorData};
use std::path::Path;

/// Mean of ImageNet, RGB in 0..1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet.
const STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Seed of the stand-in; part of its definition, so not a setting.
const STAND_IN_SEED: u64 = 0x5650;

/// Which network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// 2, 2, 3, 3, 3 convolutions.
    Vgg16,
    /// 2, 2, 4, 4, 4 convolutions.
    Vgg19,
}

/// Why a feature network cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VggError {
    /// The file cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It does not hold the network.
    #[error("the feature network cannot be used: {0}; torchvision's vgg16 or vgg19 weights are needed")]
    Weights(#[from] WeightsError),
    /// No layer has this name.
    #[error("{found:?} is no layer of the feature network; name it like relu1_2, up to relu5_{last}")]
    Layer {
        /// The name.
        found: String,
        /// Last layer of the fifth block.
        last: usize,
    },
}

impl Depth {
    const fn convolutions(self) -> [usize; 5] {
        match self {
            Self::Vgg16 => [2, 2, 3, 3, 3],
            Self::Vgg19 => [2, 2, 4, 4, 4],
        }
    }

    /// The layers in order: name of the activation, torchvision's number, channels in and out, and whether a
    /// pooling comes first.
    fn layers(self) -> Vec<Layer> {
        let (mut layers, mut inputs, mut number) = (Vec::new(), 3, 0);
        for (block, (count, outputs)) in
            self.convolutions().into_iter().zip([64, 128, 256, 512, 512]).enumerate()
        {
            for i in 0..count {
                let name = format!("relu{}_{}", block + 1, i + 1);
                layers.push(Layer { name, number, inputs, outputs, pooled: block > 0 && i == 0 });
                (inputs, number) = (outputs, number + 2);
            }
            number += 1;
        }
        layers
    }
}

struct Layer {
    name: String,
    number: usize,
    inputs: usize,
    outputs: usize,
    pooled: bool,
}

#[derive(Debug, Clone)]
struct Step {
    pooled: bool,
    conv: Frozen,
    /// Whether the activation is one of those asked for.
    wanted: bool,
}

/// A feature network, cut after the last layer that is asked for.
#[derive(Debug, Clone)]
pub struct Vgg {
    steps: Vec<Step>,
    mean: Tensor<4>,
    std: Tensor<4>,
    precision: Precision,
}

impl Vgg {
    /// A network with weights of a `.pth` or `.safetensors` file, or the stand-in.
    ///
    /// # Errors
    /// The file is not there or holds another network; a layer does not exist.
    pub fn load(
        depth: Depth,
        path: Option<&Path>,
        wanted: &[String],
        device: &Device,
    ) -> Result<Self, VggError> {
        Self::from_tensors(depth, &tensors(depth, path)?, wanted, device)
    }

    /// A network with the given weights, named as torchvision names them; others are ignored.
    ///
    /// # Errors
    /// A tensor is missing or of the wrong shape; a layer does not exist.
    pub fn from_tensors(
        depth: Depth,
        tensors: &Tensors,
        wanted: &[String],
        device: &Device,
    ) -> Result<Self, VggError> {
        let mut layers = depth.layers();
        let place = |name: &String| layers.iter().position(|l| l.name == *name);
        let unknown = |name: &String| VggError::Layer { found: name.clone(), last: depth.convolutions()[4] };
        let places: Vec<usize> =
            wanted.iter().map(|n| place(n).ok_or_else(|| unknown(n))).collect::<Result<_, _>>()?;
        layers.truncate(places.iter().max().map_or(0, |last| last + 1));
        let mut steps = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            let name = |part: &str| format!("features.{}.{part}", layer.number);
            let shape = [layer.outputs, layer.inputs, 3, 3];
            let weight = tensors.get(&name("weight"), &shape)?.to_vec();
            let bias = tensors.get(&name("bias"), &shape[..1])?.to_vec();
            let weight = Tensor::from_data(TensorData::new(weight, shape), device);
            let bias = Tensor::from_data(TensorData::new(bias, [layer.outputs]), device);
            let conv = Frozen::new(weight, bias);
            steps.push(Step { pooled: layer.pooled, conv, wanted: places.contains(&i) });
        }
        let row = |v: [f32; 3]| Tensor::from_data(TensorData::new(v.to_vec(), [1, 3, 1, 1]), device);
        Ok(Self { steps, mean: row(MEAN), std: row(STD), precision: Precision::F32 })
    }

    /// The same network with convolutions in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Takes from the same network on another device what is computed from its weights.
    pub fn share(&mut self, other: &Self) {
        self.steps.iter_mut().zip(&other.steps).for_each(|(step, other)| step.conv.share(&other.conv));
    }

    /// The activations asked for, in the order of the network.
    ///
    /// # Shapes
    /// image `[N, 3, H, W]`, RGB in 0..1, not clamped; outputs `[N, 64·…, H/2^b, W/2^b]`
    pub fn forward(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = (image - self.mean.clone()) / self.std.clone();
        let mut features = Vec::new();
        for step in &self.steps {
            if step.pooled {
                x = max_pool(x);
            }
            x = step.conv.conv(self.precision, x, Epilogue::Relu);
            if step.wanted {
                features.push(x.clone());
            }
        }
        features
    }
}

/// The weights in a `.pth` or `.safetensors` file, or those of the stand-in.
///
/// # Errors
/// The file cannot be read.
pub fn tensors(depth: Depth, path: Option<&Path>) -> Result<Tensors, VggError> {
    let convolution = |name: &str| name.starts_with("features.");
    path.map_or_else(|| Ok(stand_in(depth)), |path| Ok(import::read_where(path, &convolution)?))
}

/// Random weights of the variance that keeps activations at their size through ReLUs (He), zero biases.
fn stand_in(depth: Depth) -> Tensors {
    let mut tensors = Tensors::default();
    for layer in depth.layers() {
        let mut stream = Stream::new(STAND_IN_SEED, Purpose::Features, layer.number as u64);
        let n = layer.outputs * layer.inputs * 9;
        let bound = (6.0 / (layer.inputs * 9) as f32).sqrt();
        let weight = (0..n).map(|_| stream.symmetric(bound)).collect();
        let name = |part: &str| format!("features.{}.{part}", layer.number);
        tensors.insert(name("weight"), vec![layer.outputs, layer.inputs, 3, 3], weight);
        tensors.insert(name("bias"), vec![layer.outputs], vec![0.0; layer.outputs]);
    }
    tensors
}
