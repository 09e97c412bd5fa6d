//! [`FeatureNet`]: the frozen network whose activations the contrastive losses compare.
//!
//! The paper's is a VGG. As an extension of ours it may be any trained network that the engine has, such as an earlier
//! run's: pretrained classifiers cannot always be had, and a network for images of the same kind has learnt features of them,
//! which a random one has not.

use super::vgg::{self, Depth, Vgg, VggError};
use crate::config::{FeatureKind, Features};
use crate::conv::Precision;
use crate::net::{Architecture, GraphNet};
use crate::trained::{self, TrainedError};
use crate::weights::WeightsError;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use mcir_runtime::model::{NodeId, Op};
use std::path::PathBuf;

/// Why there is no feature network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeaturesError {
    /// A VGG cannot be loaded.
    #[error(transparent)]
    Vgg(#[from] VggError),
    /// The trained network cannot be loaded.
    #[error("the feature network cannot be used: {0}")]
    Trained(#[from] TrainedError),
    /// Its weights do not fit.
    #[error("the feature network cannot be used: {0}")]
    Weights(#[from] WeightsError),
    /// No file is named.
    #[error(
        "spn.features.net = \"model\" needs a trained network; name a model file, checkpoint or run folder with --features"
    )]
    NoPath,
    /// It is of a kind that has no nodes.
    #[error("{path} is a NAFNet; take features of a network of the engine's, such as an EDSR")]
    NoGraph {
        /// The file.
        path: PathBuf,
    },
    /// No node has this name.
    #[error("{found:?} is no node of {path}; name some of: {names}")]
    Layer {
        /// The name.
        found: String,
        /// The file.
        path: PathBuf,
        /// Names of the nodes.
        names: String,
    },
}

/// A frozen feature network.
#[derive(Debug, Clone)]
pub enum FeatureNet {
    /// The paper's.
    Vgg(Box<Vgg>),
    /// A trained network's own.
    Model(ModelFeatures),
    /// The pixels themselves, of weight one.
    Pixels,
}

/// Activations of a trained network.
#[derive(Debug, Clone)]
pub struct ModelFeatures {
    net: GraphNet,
    /// In ascending order.
    nodes: Vec<NodeId>,
    /// What each is multiplied by, so that it is of size one for a picture: layers, and networks that work on 0..1 or
    /// on 0..255, then weigh the same.
    factors: Vec<f64>,
}

impl FeatureNet {
    /// The feature network of a configuration on each of several devices, and the weight of each activation in the order
    /// in which [`FeatureNet::forward`] gives them. The file is read once: torchvision's have half a gigabyte.
    ///
    /// # Errors
    /// Any [`FeaturesError`].
    pub fn load<const N: usize>(
        features: &Features,
        precision: Precision,
        devices: [&Device; N],
    ) -> Result<([Self; N], Vec<f64>), FeaturesError> {
        let Features { net, path, layers, weights } = features;
        let depth = match net {
            FeatureKind::Vgg16 => Depth::Vgg16,
            FeatureKind::Vgg19 => Depth::Vgg19,
            FeatureKind::Model => return ModelFeatures::load(features, precision, devices),
            FeatureKind::Pixels => return Ok((devices.map(|_| Self::Pixels), vec![1.0])),
        };
        let tensors = vgg::tensors(depth, path.as_deref())?;
        let mut first: Option<Vgg> = None;
        let on = |device: &Device| {
            let mut vgg = Vgg::from_tensors(depth, &tensors, layers, device)?.with_precision(precision);
            vgg.share(first.get_or_insert(vgg.clone()));
            Ok(Self::Vgg(Box::new(vgg)))
        };
        // The network returns its layers in its own order, whatever the order of the configuration.
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|&i| layers[i].clone());
        Ok((each(devices, on)?, order.iter().map(|&i| weights[i]).collect()))
    }

    /// The activations, in the order of the network.
    ///
    /// # Shapes
    /// image `[N, 3, H, W]`, RGB in 0..1, not clamped; outputs `[N, C, H', W']`
    pub fn forward(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        match self {
            Self::Vgg(vgg) => vgg.forward(image),
            Self::Model(model) => model.forward(image),
            Self::Pixels => vec![image],
        }
    }
}

/// One for each device, or the first error.
fn each<const N: usize>(
    devices: [&Device; N],
    mut on: impl FnMut(&Device) -> Result<FeatureNet, FeaturesError>,
) -> Result<[FeatureNet; N], FeaturesError> {
    let all = devices.iter().map(|&device| on(device)).collect::<Result<Vec<_>, _>>()?;
    Ok(all.try_into().expect("one for each device"))
}

impl ModelFeatures {
    fn load<const N: usize>(
        features: &Features,
        precision: Precision,
        devices: [&Device; N],
    ) -> Result<([FeatureNet; N], Vec<f64>), FeaturesError> {
        let path = features.path.as_ref().ok_or(FeaturesError::NoPath)?;
        let trained = trained::load(path)?;
        let Architecture::Graph(graph) = &trained.architecture else {
            return Err(FeaturesError::NoGraph { path: path.clone() });
        };
        let find = |name: &String| {
            let ids = (0..).zip(&graph.nodes).filter(|(_, node)| node.op != Op::Input { channels: 3 });
            let found = ids.clone().find(|(_, node)| node.name == *name).map(|(id, _)| id);
            found.ok_or_else(|| {
                let names: Vec<&str> = ids.map(|(_, node)| node.name.as_str()).collect();
                FeaturesError::Layer { found: name.clone(), path: path.clone(), names: names.join(", ") }
            })
        };
        let mut wanted: Vec<(NodeId, f64)> = Vec::new();
        for (name, weight) in features.layers.iter().zip(&features.weights) {
            wanted.push((find(name)?, *weight));
        }
        wanted.sort_by_key(|(id, _)| *id);
        let (nodes, weights): (Vec<NodeId>, Vec<f64>) = wanted.into_iter().unzip();
        let size = |x: Tensor<4>| f64::from(x.abs().mean().into_scalar::<f32>());
        let on = |device: &Device| {
            let net = GraphNet::from_tensors(graph, &trained.tensors, device)?.no_grad();
            let net = net.with_precision(precision);
            let found = net.activations(picture(device), &nodes);
            let factors = found.into_iter().map(|x| 1.0 / size(x).max(1e-6)).collect();
            Ok(FeatureNet::Model(Self { net, nodes: nodes.clone(), factors }))
        };
        Ok((each(devices, on)?, weights))
    }

    fn forward(&self, image: Tensor<4>) -> Vec<Tensor<4>> {
        let found = self.net.activations(image, &self.nodes);
        found.into_iter().zip(&self.factors).map(|(x, factor)| x * *factor).collect()
    }
}

/// What sizes are measured on: waves of several lengths and directions over each other, always the same.
fn picture(device: &Device) -> Tensor<4> {
    const SIDE: usize = 48;
    let value = |i: usize| {
        let (x, y, c) = ((i % SIDE) as f32, (i / SIDE % SIDE) as f32, (i / (SIDE * SIDE)) as f32);
        let wave = |k: i32| {
            let length = 2.5 * 1.7f32.powi(k);
            let (sin, cos) = (1.3 * k as f32 + 0.2 * c).sin_cos();
            (std::f32::consts::TAU * (x * cos + y * sin) / length + c).sin()
        };
        0.5 + 0.08 * (0..6).map(wave).sum::<f32>()
    };
    let values: Vec<f32> = (0..3 * SIDE * SIDE).map(value).collect();
    Tensor::from_data(TensorData::new(values, [1, 3, SIDE, SIDE]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::export;
    use crate::net::Net;
    use crate::seed::{Purpose, Stream};

    /// A model file of a random network.
    fn file(preset: &str, settings: &[&str], folder: &std::path::Path) -> PathBuf {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let config = Config::resolve(Some(preset), "", &settings).expect("valid");
        let net = Net::random(&config.model.architecture(), 5, &Device::flex()).expect("valid");
        let path = folder.join("net.mcir");
        export::write(&export::model(&net, Vec::new()).expect("exported"), &path).expect("written");
        path
    }

    fn features(path: Option<PathBuf>, layers: &[&str]) -> Features {
        let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
        let weights = (1..=layers.len()).map(|i| i as f64).collect();
        Features { net: FeatureKind::Model, path, layers, weights }
    }

    fn image(device: &Device, index: u64) -> Tensor<4> {
        let mut stream = Stream::new(8, Purpose::Weights, index);
        let values = (0..3 * 9 * 10).map(|_| 0.5 + stream.symmetric(0.5)).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, [1, 3, 9, 10]), device)
    }

    #[test]
    fn layers_come_in_the_order_of_the_network_with_their_weights_and_of_one_size() {
        let folder = tempfile::tempdir().expect("a folder");
        let device = Device::flex();
        for (preset, settings) in [
            ("edsr-light-x2", &["model.num_feat=8", "model.num_block=2", "model.mean_shift=true"][..]),
            ("swinir-light-x2", &["model.embed_dim=12", "model.depths=[2]", "model.num_heads=[2]"]),
        ] {
            let path = file(preset, settings, folder.path());
            let names = ["conv_after_body", "conv_first"];
            let ([net], weights) =
                FeatureNet::load(&features(Some(path), &names), Precision::F32, [&device]).expect("loads");
            assert_eq!(weights, [2.0, 1.0], "conv_first comes first");
            for x in net.forward(picture(&device)) {
                let size = x.abs().mean().into_scalar::<f32>();
                assert!((size - 1.0).abs() < 1e-4, "{preset}: {size}");
            }
        }
    }

    #[test]
    fn the_gradient_reaches_the_image_and_agrees_with_finite_differences() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file("edsr-light-x2", &["model.num_feat=8", "model.num_block=2"], folder.path());
        let device = Device::flex();
        let features = features(Some(path), &["body.0.conv1", "conv_after_body"]);
        let devices = [&device.clone().autodiff(), &device];
        let ([tracked, plain], _) = FeatureNet::load(&features, Precision::F32, devices).expect("loads");
        let sum = |x: Vec<Tensor<4>>| {
            x.into_iter().map(|x| (x.clone() * x).mean()).reduce(|a, b| a + b).expect("two")
        };
        let x = image(&device.clone().autodiff(), 0).require_grad();
        let grad = x.grad(&sum(tracked.forward(x.clone())).backward()).expect("a gradient");
        let number = |v: Tensor<1>| f64::from(v.into_scalar::<f32>());
        let length = number((grad.clone() * grad.clone()).sum()).sqrt();
        let direction = grad / length;
        let at = |t: f64| number(sum(plain.forward(image(&device, 0) + direction.clone() * t)));
        let slope = (at(1e-2) - at(-1e-2)) / 2e-2;
        assert!((slope - length).abs() < 0.01 * length, "{slope} for {length}");
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = |features: Features| {
            FeatureNet::load(&features, Precision::F32, [&Device::flex()]).expect_err("refused").to_string()
        };
        assert!(error(features(None, &["conv_first"])).contains("--features"));
        let path = file("edsr-light-x2", &["model.num_feat=8", "model.num_block=1"], folder.path());
        let text = error(features(Some(path), &["relu1_2"]));
        assert!(text.contains("\"relu1_2\" is no node") && text.contains("body.0.conv1"), "{text}");
        let text = error(features(Some(folder.path().join("none.mcir")), &["conv_first"]));
        assert!(text.contains("cannot read") && text.contains("none.mcir"), "{text}");
    }
}
