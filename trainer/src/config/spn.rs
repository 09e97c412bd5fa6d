//! Settings of the contrastive losses.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The self-prior guided negative loss: `L = L_rec − λ·L_neg`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spn {
    /// Weight of the negative loss. The paper's 1e-4 for super-resolution; 1e-3 collapses.
    pub lambda: f64,
    /// What the negative models are.
    pub negative: Negative,
    /// One negative model for each number: the steps between its updates.
    pub steps: Vec<u64>,
    /// Weight of the old negative model in an update: one number for all, or a list of one for each.
    pub omega: PerModel,
    /// Weight of a random network in a negative model's start: one number for all, or a list of one for each.
    pub nu: PerModel,
    /// Sharpened and blurred copies of each original for [`Negative::Pcl`].
    pub copies: usize,
    /// Temperature of [`Negative::Pcl`]; 1 in the authors' code.
    pub temperature: f64,
    /// Trained networks of the same task for [`Negative::Ccr`], each a model file, checkpoint, run folder or PyTorch file; of any
    /// architecture, worse and better ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<PathBuf>,
    /// Part by which [`Negative::Ccr`] raises the weight of a network that is worse than the one being trained and lowers
    /// that of a better one; 0.25 in the authors' code.
    pub gamma: f64,
    /// Weights of [`Negative::Pretrained`]: a model file, checkpoint, run folder or PyTorch file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PathBuf>,
    /// Side of the random part of each output patch that features are taken from, in output pixels; the
    /// whole patch without it. The feature network costs far more than a small network itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop: Option<usize>,
    /// Patches of a batch, the first so many, that the negative loss is computed on; all without it. They come
    /// in random order: fewer make the loss noisier, not another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Negative models that each patch is compared with, drawn anew at every step; all without it. The mean over steps is
    /// the same, at a part of the cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<usize>,
    /// Feature network.
    pub features: Features,
}

/// A number that all negative models share, or one for each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a list of one for each of spn.steps")]
pub enum PerModel {
    /// The same for all.
    All(f64),
    /// In the order of `spn.steps`.
    Each(Vec<f64>),
}

impl PerModel {
    /// The number of model `k`.
    ///
    /// # Panics
    /// If there is none; the configuration is checked for that.
    pub fn of(&self, k: usize) -> f64 {
        match self {
            Self::All(value) => *value,
            Self::Each(values) => values[k],
        }
    }

    /// Whether there is a number from 0 to 1 for each of `count` models.
    pub(super) fn fits(&self, count: usize) -> bool {
        let unit = |v: &f64| (0.0..=1.0).contains(v);
        match self {
            Self::All(value) => unit(value),
            Self::Each(values) => values.len() == count && values.iter().all(unit),
        }
    }
}

impl std::fmt::Display for PerModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(value) => write!(f, "{value}"),
            Self::Each(values) => write!(f, "{values:?}"),
        }
    }
}

impl Spn {
    /// Whether there is a contrastive loss at all: without one, nothing of it is loaded or computed.
    pub fn is_active(&self) -> bool {
        self.lambda > 0.0 && self.negative != Negative::None
    }

    /// Negative models that it has.
    pub fn models(&self) -> usize {
        match self.negative {
            Negative::Latency | Negative::Random => self.steps.len(),
            Negative::Pretrained => 1,
            Negative::None | Negative::Input | Negative::Pcl | Negative::Ccr => 0,
        }
    }
}

/// What the output is pushed away from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negative {
    /// Nothing: the plain reconstruction loss, as with λ = 0. A name for it lets a grid vary the kind alone.
    None,
    /// Earlier states of the network itself; the method.
    Latency,
    /// Random networks, frozen.
    Random,
    /// One trained network, frozen.
    Pretrained,
    /// No model: the interpolated low-quality input, in the ratio of the contrastive regularization
    /// `L = L_rec + λ·Σ_l a_l · |φ_l(sr) − φ_l(hr)| / |φ_l(sr) − φ_l(input)|`. Its λ is near 0.1.
    Input,
    /// No model: blurred copies of the original and the interpolated input, with sharpened copies as positives, in
    /// the loss of PCL-SR, which is added: `L = L_rec + λ·L_pcl`. Its λ is of the order of 1.
    Pcl,
    /// The interpolated input and the outputs of other networks, in the ratio of the curricular contrastive regularization:
    /// as [`Negative::Input`], with the weighted mean of the distances to all negatives below the line. A network that
    /// the one being trained has overtaken counts more than one that is still ahead. Its λ is near 0.2.
    Ccr,
}

impl Negative {
    /// Whether the loss is added, and not subtracted as that of the negative models is.
    pub fn is_added(self) -> bool {
        matches!(self, Self::Input | Self::Pcl | Self::Ccr)
    }
}

/// The feature network and its layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Features {
    /// Which one.
    pub net: FeatureKind,
    /// torchvision's weights, `.pth` or `.safetensors`; a random stand-in without them. For [`FeatureKind::Model`] a model
    /// file, checkpoint, run folder or PyTorch file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Activations compared: `relu1_2` and the like, or nodes of the model, such as `body.3.conv1`.
    pub layers: Vec<String>,
    /// Weight of each.
    pub weights: Vec<f64>,
}

/// Kind of feature network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureKind {
    /// VGG16; the method's.
    Vgg16,
    /// VGG19.
    Vgg19,
    /// A trained network for restoration: an extension of ours, not the paper's. Its activations are scaled to a size of
    /// about one.
    Model,
    /// No network: outputs are compared pixel by pixel, whatever the layers. The control that tells whether features are
    /// what helps.
    Pixels,
}

impl Default for Spn {
    fn default() -> Self {
        Self {
            lambda: 1e-4,
            negative: Negative::Latency,
            steps: vec![100, 500, 1000, 2000],
            omega: PerModel::All(0.1),
            nu: PerModel::All(0.01),
            copies: 4,
            temperature: 1.0,
            others: Vec::new(),
            gamma: 0.25,
            pretrained: None,
            crop: None,
            batch: None,
            draw: None,
            features: Features::default(),
        }
    }
}

impl Default for Features {
    fn default() -> Self {
        Self {
            net: FeatureKind::Vgg16,
            path: None,
            layers: ["relu1_2", "relu2_2", "relu3_3"].map(String::from).to_vec(),
            weights: vec![0.2, 0.3, 0.5],
        }
    }
}
