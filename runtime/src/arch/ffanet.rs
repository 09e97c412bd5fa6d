//! FFA-Net (Qin et al., "FFA-Net: Feature Fusion Attention Network for Single Image Dehazing", AAAI 2020).
//!
//! Node names are the parameter prefixes of the published checkpoints, and [`published`] brings such a checkpoint to this
//! graph. Two of its layers are written here as several, because an edge holds the channels of one image: the convolution
//! over the means of all groups, laid beside each other, is the sum of one for each group, and the last one makes the weights
//! of each group apart. A map of one channel becomes one of all channels by a convolution whose weights are ones
//! ([`is_constant`]).

use crate::model::{Activation, Conv2d, DType, Filter, Graph, Node, NodeId, Op, Statistic};
use alloc::{format, vec, vec::Vec};

mod published;

pub use published::{Misfit, published};

/// Shape of an FFA-Net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// Groups, whose outputs are weighted and added.
    pub num_group: u16,
    /// Blocks of every group.
    pub num_block: u16,
    /// Feature channels.
    pub num_feat: u16,
    /// The image is normalised with [`MEAN`] and [`STD`] first, as published checkpoints expect it. Own presets train
    /// without, so that zero padding stays exact.
    pub normalize: bool,
}

impl Config {
    /// The paper's: 3 groups of 19 blocks, 64 channels; without normalisation.
    pub const fn paper() -> Self {
        Self { num_group: 3, num_block: 19, num_feat: 64, normalize: false }
    }

    /// A small one for boards: 2 groups of 3 blocks, 16 channels.
    pub const fn edge() -> Self {
        Self { num_group: 2, num_block: 3, num_feat: 16, normalize: false }
    }
}

/// Mean in RGB that is subtracted from the input of published checkpoints.
pub const MEAN: [f32; 3] = [0.64, 0.6, 0.58];
/// What it is divided by then.
pub const STD: [f32; 3] = [0.14, 0.15, 0.152];
/// Name of the node that does so.
pub const NORMALIZE: &str = "normalize";

/// Channels of the image.
const IMAGE: u16 = 3;
/// Feature channels for each channel between the two convolutions of an attention.
const REDUCTION: u16 = 8;
/// The same of the attention over groups.
const FUSION: u16 = 16;

/// Whether a node is a convolution that only repeats a channel: its weights are ones and its biases zeros, and training leaves
/// them so.
pub fn is_constant(node: &Node) -> bool {
    let repeats = |conv: Conv2d| conv.in_channels == 1 && conv.kernel == 1 && conv.activation.is_none();
    matches!(node.op, Op::Conv2d(conv) if repeats(conv)) && node.name.ends_with(".spread")
}

/// The graph of a configuration, all edges f32.
///
/// # Panics
/// If there is no group.
pub fn graph(config: &Config) -> Graph {
    assert!(config.num_group > 0, "a network of at least one group");
    let mut b = Builder { graph: Graph::new(IMAGE, DType::F32), num_feat: config.num_feat };
    let n = config.num_feat;
    let image = if config.normalize { b.push(NORMALIZE, Op::Affine, &[0]) } else { 0 };
    let mut x = b.conv("pre.0", image, IMAGE, n, 3, None);
    let mut groups = Vec::new();
    for g in 1..=config.num_group {
        let group = x;
        for i in 0..config.num_block {
            x = b.block(&format!("g{g}.gp.{i}"), x);
        }
        let y = b.conv(&format!("g{g}.gp.{}", config.num_block), x, n, n, 3, None);
        x = b.add(&format!("g{g}.add"), group, y);
        groups.push(x);
    }
    let x = b.fusion(&groups);
    let x = b.pixel_attention("palayer", x);
    let x = b.conv("post.0", x, n, n, 3, None);
    let x = b.conv("post.1", x, n, IMAGE, 3, None);
    b.add("image_add", image, x);
    b.graph
}

struct Builder {
    graph: Graph,
    num_feat: u16,
}

impl Builder {
    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.graph.push(name, op, inputs, DType::F32)
    }

    fn conv(
        &mut self,
        name: &str,
        x: NodeId,
        from: u16,
        to: u16,
        kernel: u8,
        activation: Option<Activation>,
    ) -> NodeId {
        let conv = Conv2d { in_channels: from, out_channels: to, kernel, activation };
        self.push(name, Op::Conv2d(conv), &[x])
    }

    fn add(&mut self, name: &str, x: NodeId, y: NodeId) -> NodeId {
        self.push(name, Op::Add { res_scale: 1.0 }, &[x, y])
    }

    fn mean(&mut self, name: &str, x: NodeId) -> NodeId {
        self.push(name, Op::GlobalPool { statistic: Statistic::Mean }, &[x])
    }

    /// `x` times the weight of each of its channels.
    fn weighted(&mut self, name: &str, x: NodeId, weights: NodeId) -> NodeId {
        let spread = Op::Interpolate { filter: Filter::Nearest };
        let weights = self.push(&format!("{name}.spread"), spread, &[weights, x]);
        self.push(&format!("{name}.mul"), Op::Mul, &[x, weights])
    }

    /// Two convolutions, then attention to channels and to pixels, and the residual around all.
    fn block(&mut self, name: &str, x: NodeId) -> NodeId {
        let n = self.num_feat;
        let y = self.conv(&format!("{name}.conv1"), x, n, n, 3, Some(Activation::Relu));
        let y = self.add(&format!("{name}.add1"), x, y);
        let y = self.conv(&format!("{name}.conv2"), y, n, n, 3, None);
        let y = self.channel_attention(&format!("{name}.calayer"), y);
        let y = self.pixel_attention(&format!("{name}.palayer"), y);
        self.add(&format!("{name}.add2"), x, y)
    }

    fn channel_attention(&mut self, name: &str, x: NodeId) -> NodeId {
        let (n, few) = (self.num_feat, between(self.num_feat, REDUCTION));
        let y = self.mean(&format!("{name}.avg_pool"), x);
        let y = self.conv(&format!("{name}.ca.0"), y, n, few, 1, Some(Activation::Relu));
        let y = self.conv(&format!("{name}.ca.2"), y, few, n, 1, Some(Activation::Sigmoid));
        self.weighted(name, x, y)
    }

    fn pixel_attention(&mut self, name: &str, x: NodeId) -> NodeId {
        let (n, few) = (self.num_feat, between(self.num_feat, REDUCTION));
        let y = self.conv(&format!("{name}.pa.0"), x, n, few, 1, Some(Activation::Relu));
        let y = self.conv(&format!("{name}.pa.2"), y, few, 1, 1, Some(Activation::Sigmoid));
        let y = self.conv(&format!("{name}.spread"), y, 1, n, 1, None);
        self.push(&format!("{name}.mul"), Op::Mul, &[x, y])
    }

    /// The sum of the groups' outputs, each channel of each with a weight that follows from the means of all.
    fn fusion(&mut self, groups: &[NodeId]) -> NodeId {
        let (n, few) = (self.num_feat, between(self.num_feat, FUSION));
        let mut sum = None;
        for (g, &x) in groups.iter().enumerate() {
            let mean = self.mean(&format!("ca.0.{g}"), x);
            let part = self.conv(&format!("ca.1.{g}"), mean, n, few, 1, None);
            sum = Some(sum.map_or(part, |sum| self.add(&format!("ca.1.{g}.add"), sum, part)));
        }
        let sum = sum.expect("at least one group");
        let hidden = self.push("ca.2", Op::Activation(Activation::Relu), &[sum]);
        let mut sum = None;
        for (g, &x) in groups.iter().enumerate() {
            let weights = self.conv(&format!("ca.3.{g}"), hidden, few, n, 1, Some(Activation::Sigmoid));
            let part = self.weighted(&format!("fusion.{g}"), x, weights);
            sum = Some(sum.map_or(part, |sum| self.add(&format!("fusion.{g}.add"), sum, part)));
        }
        sum.expect("at least one group")
    }
}

/// Channels between two convolutions of an attention.
fn between(channels: u16, reduction: u16) -> u16 {
    (channels / reduction).max(1)
}

/// The tensors of [`is_constant`] nodes and of the normalisation, which no published checkpoint has: their names, shapes and
/// values.
pub fn constants(config: &Config) -> Vec<published::Tensor> {
    let n = usize::from(config.num_feat);
    let mut all = Vec::new();
    for node in graph(config).nodes.iter().filter(|node| is_constant(node)) {
        all.push((format!("{}.weight", node.name), vec![n, 1, 1, 1], vec![1.0; n]));
        all.push((format!("{}.bias", node.name), vec![n], vec![0.0; n]));
    }
    if config.normalize {
        let (scale, shift) = normalization();
        all.push((format!("{NORMALIZE}.weight"), vec![3], scale.to_vec()));
        all.push((format!("{NORMALIZE}.bias"), vec![3], shift.to_vec()));
    }
    all
}

/// Scale and shift of the node [`NORMALIZE`].
pub fn normalization() -> ([f32; 3], [f32; 3]) {
    (STD.map(|s| 1.0 / s), [0, 1, 2].map(|c| -MEAN[c] / STD[c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Extent, infer};

    #[test]
    fn every_shape_is_a_sound_graph_of_one_size() {
        let shapes = [
            Config::paper(),
            Config { normalize: true, ..Config::paper() },
            Config::edge(),
            Config { num_group: 1, num_block: 0, num_feat: 3, normalize: false },
        ];
        for config in shapes {
            let graph = graph(&config);
            let last = infer(&graph).expect("sound").pop().expect("an output");
            assert_eq!((last.channels, last.extent), (3, Extent::Times(1)), "{config:?}");
            let blocks = usize::from(config.num_group * config.num_block);
            assert_eq!(graph.nodes.iter().filter(|node| is_constant(node)).count(), blocks + 1);
        }
    }
}
