//! SwinIR (Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCVW 2021).
//!
//! Node names are the parameter prefixes of the published checkpoints. A linear layer is a 1x1 convolution;
//! window partition, shift and mask are inside [`Op::WindowAttention`].

use crate::model::{Activation, Conv2d, DType, Graph, NodeId, Op};
use alloc::{format, string::String, vec, vec::Vec};

/// How the network gets from features to the upscaled image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// `pixelshuffledirect`: one convolution to `channels·r²` and one pixel shuffle; the lightweight models'.
    Direct,
    /// `pixelshuffle`: a convolution to this many features with a leaky ReLU, convolution and pixel shuffle
    /// for every factor of two (or one of three), and a last convolution; the larger models'.
    Classical(u16),
    /// None: one convolution, and its result is added to the image; networks that remove noise or the traces of JPEG.
    Restoration,
}

/// Shape of a SwinIR.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// Upscaling factor: 2, 3 or 4 (8 with [`Tail::Classical`]), 1 with [`Tail::Restoration`].
    pub upscale: u8,
    /// Feature channels.
    pub embed_dim: u16,
    /// Attention layers of every residual group.
    pub depths: Vec<u16>,
    /// Attention heads of every residual group; divide `embed_dim`.
    pub num_heads: Vec<u16>,
    /// Window side in pixels; every second layer is shifted by half of it.
    pub window_size: u8,
    /// Hidden channels of the MLP as a multiple of `embed_dim`.
    pub mlp_ratio: u16,
    /// Tail.
    pub tail: Tail,
    /// Channels of the image, 3 for RGB.
    pub channels: u16,
    /// Subtract the mean of DIV2K at the input and add it at the output, as published checkpoints do.
    pub mean_shift: bool,
}

impl Config {
    /// The paper's lightweight model: 4 groups of 6 layers, 60 channels, 6 heads.
    pub fn light(upscale: u8) -> Self {
        Self {
            upscale,
            embed_dim: 60,
            depths: vec![6; 4],
            num_heads: vec![6; 4],
            window_size: 8,
            mlp_ratio: 2,
            tail: Tail::Direct,
            channels: 3,
            mean_shift: false,
        }
    }

    /// The paper's network for classical super-resolution: 6 groups of 6 layers, 180 channels, 6 heads, 64 channels in the tail.
    pub fn classical(upscale: u8) -> Self {
        Self {
            embed_dim: 180,
            depths: vec![6; 6],
            num_heads: vec![6; 6],
            tail: Tail::Classical(64),
            ..Self::light(upscale)
        }
    }

    /// The paper's network for colour images that keep their size: noise with windows of 8 pixels; JPEG, whose blocks have 8,
    /// with windows of 7.
    pub fn restoration(window_size: u8) -> Self {
        Self { upscale: 1, window_size, tail: Tail::Restoration, ..Self::classical(2) }
    }

    /// A smaller relative for boards: 2 groups of 4 layers, 32 channels, 4 heads.
    pub fn edge(upscale: u8) -> Self {
        Self { embed_dim: 32, depths: vec![4; 2], num_heads: vec![4; 2], ..Self::light(upscale) }
    }
}

/// Added to the variance in every layer norm.
const EPS: f32 = 1e-5;
/// Slope of the leaky ReLU in [`Tail::Classical`].
const SLOPE: f32 = 0.01;

/// The graph of a configuration, all edges f32.
///
/// # Panics
/// If `depths` and `num_heads` differ in length, or the upscaling factor is not a supported one.
pub fn graph(config: &Config) -> Graph {
    assert_eq!(config.depths.len(), config.num_heads.len(), "one number of heads for every group");
    let mut b = Builder { graph: Graph::new(config.channels, DType::F32), embed_dim: config.embed_dim };
    let (c, image) = (config.channels, config.embed_dim);
    let shifted = if config.mean_shift { b.push("sub_mean", Op::Affine, &[0]) } else { 0 };
    let first = b.conv("conv_first", shifted, c, image, 3, None);
    let mut x = b.norm("patch_embed.norm", first);
    for (i, (&depth, &heads)) in config.depths.iter().zip(&config.num_heads).enumerate() {
        let group = x;
        for j in 0..depth {
            let shift = if j % 2 == 0 { 0 } else { config.window_size / 2 };
            let attention = Op::WindowAttention { num_heads: heads, window_size: config.window_size, shift };
            x = b.layer(&format!("layers.{i}.residual_group.blocks.{j}"), x, attention, config.mlp_ratio);
        }
        let y = b.conv(&format!("layers.{i}.conv"), x, image, image, 3, None);
        x = b.add(format!("layers.{i}.add"), y, group);
    }
    let x = b.norm("norm", x);
    let x = b.conv("conv_after_body", x, image, image, 3, None);
    let x = b.add("body_add".into(), x, first);
    let r = config.upscale;
    let x = match config.tail {
        Tail::Direct => {
            let y = b.conv("upsample.0", x, image, c * u16::from(r) * u16::from(r), 3, None);
            b.push("upsample.1", Op::PixelShuffle { upscale: r }, &[y])
        }
        Tail::Classical(n) => {
            let leaky = Activation::LeakyRelu { slope: SLOPE };
            let mut x = b.conv("conv_before_upsample.0", x, image, n, 3, Some(leaky));
            let (steps, r) = match r {
                3 => (1, 3),
                u if u.is_power_of_two() && u > 1 => (u.trailing_zeros(), 2_u8),
                other => panic!("upscale {other} is not 2, 3, 4 or 8"),
            };
            for i in 0..steps {
                let to = n * u16::from(r) * u16::from(r);
                let y = b.conv(&format!("upsample.{}", 2 * i), x, n, to, 3, None);
                x = b.push(&format!("upsample.{}", 2 * i + 1), Op::PixelShuffle { upscale: r }, &[y]);
            }
            b.conv("conv_last", x, n, c, 3, None)
        }
        Tail::Restoration => {
            assert_eq!(r, 1, "the image keeps its size");
            let y = b.conv("conv_last", x, image, c, 3, None);
            b.add("image_add".into(), y, shifted)
        }
    };
    if config.mean_shift {
        b.push("add_mean", Op::Affine, &[x]);
    }
    b.graph
}

struct Builder {
    graph: Graph,
    embed_dim: u16,
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
        a: Option<Activation>,
    ) -> NodeId {
        let conv = Conv2d { in_channels: from, out_channels: to, kernel, activation: a };
        self.push(name, Op::Conv2d(conv), &[x])
    }

    fn norm(&mut self, name: &str, x: NodeId) -> NodeId {
        self.push(name, Op::LayerNorm { eps: EPS }, &[x])
    }

    fn add(&mut self, name: String, x: NodeId, y: NodeId) -> NodeId {
        self.push(&name, Op::Add { res_scale: 1.0 }, &[x, y])
    }

    /// A Swin transformer layer: attention and MLP, each with a norm before and a residual around.
    fn layer(&mut self, name: &str, x: NodeId, attention: Op, mlp_ratio: u16) -> NodeId {
        let n = self.embed_dim;
        let y = self.norm(&format!("{name}.norm1"), x);
        let y = self.conv(&format!("{name}.attn.qkv"), y, n, 3 * n, 1, None);
        let y = self.push(&format!("{name}.attn"), attention, &[y]);
        let y = self.conv(&format!("{name}.attn.proj"), y, n, n, 1, None);
        let x = self.add(format!("{name}.add1"), x, y);
        let y = self.norm(&format!("{name}.norm2"), x);
        let y = self.conv(&format!("{name}.mlp.fc1"), y, n, n * mlp_ratio, 1, Some(Activation::Gelu));
        let y = self.conv(&format!("{name}.mlp.fc2"), y, n * mlp_ratio, n, 1, None);
        self.add(format!("{name}.add2"), x, y)
    }
}
