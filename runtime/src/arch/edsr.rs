//! EDSR (Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017) without
//! batch norm, and its real-time relatives.
//!
//! Node names are BasicSR's parameter prefixes, so that published weights import by name.

use crate::model::{Activation, Conv2d, DType, Filter, Graph, NodeId, Op};
use alloc::format;

/// How the network gets from features to the upscaled image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// The paper's: convolution and pixel shuffle at full feature width (twice for x4), then a convolution
    /// at the output resolution.
    Paper,
    /// One convolution straight to `3·r²` channels at the input resolution and one pixel shuffle.
    Direct,
}

/// Shape of an EDSR.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// Upscaling factor: 2, 3 or 4 (8 with [`Tail::Paper`]).
    pub upscale: u8,
    /// Feature channels.
    pub num_feat: u16,
    /// Residual blocks.
    pub num_block: u16,
    /// Factor on each block's residual; 1 for EDSR-light, 0.1 for the large model.
    pub res_scale: f32,
    /// Tail.
    pub tail: Tail,
    /// The network predicts a correction that is added to the interpolated image.
    pub image_residual: Option<Filter>,
    /// Channels of the image, 3 for RGB.
    pub channels: u16,
    /// Mean that is subtracted from the input and the range it is multiplied with, undone at the output;
    /// published weights need it, own presets train without so that zero padding stays exact.
    pub mean_shift: bool,
}

impl Config {
    /// EDSR-light (EDSR-baseline of the paper): 16 blocks x 64 channels, without mean shift.
    pub const fn light(upscale: u8) -> Self {
        Self {
            upscale,
            num_feat: 64,
            num_block: 16,
            res_scale: 1.0,
            tail: Tail::Paper,
            image_residual: None,
            channels: 3,
            mean_shift: false,
        }
    }

    /// The real-time family: `num_block` blocks of `num_feat` channels, one pixel shuffle straight from the
    /// input resolution, image-space residual.
    pub const fn edge(upscale: u8, num_feat: u16, num_block: u16) -> Self {
        Self {
            num_feat,
            num_block,
            tail: Tail::Direct,
            image_residual: Some(Filter::Bilinear),
            ..Self::light(upscale)
        }
    }
}

/// Mean of DIV2K in RGB, as published checkpoints subtract it.
pub const RGB_MEAN: [f32; 3] = [0.4488, 0.4371, 0.4040];
/// Range that published EDSR checkpoints work in.
pub const IMG_RANGE: f32 = 255.0;

/// The graph of a configuration, all edges f32.
///
/// # Panics
/// If the upscaling factor is not a supported one (`Tail::Paper` needs 2, 3 or a power of two).
pub fn graph(config: &Config) -> Graph {
    let mut b = Builder { graph: Graph::new(config.channels, DType::F32) };
    let (n, c) = (config.num_feat, config.channels);
    let image = if config.mean_shift { b.push("sub_mean", Op::Affine, &[0]) } else { 0 };
    let first = b.conv("conv_first", image, c, n, None);
    let mut x = first;
    for i in 0..config.num_block {
        let y = b.conv(&format!("body.{i}.conv1"), x, n, n, Some(Activation::Relu));
        let y = b.conv(&format!("body.{i}.conv2"), y, n, n, None);
        x = b.push(&format!("body.{i}.add"), Op::Add { res_scale: config.res_scale }, &[x, y]);
    }
    let y = b.conv("conv_after_body", x, n, n, None);
    x = b.push("body_add", Op::Add { res_scale: 1.0 }, &[y, first]);
    x = match config.tail {
        Tail::Direct => {
            let r = config.upscale;
            let y = b.conv("conv_last", x, n, c * u16::from(r) * u16::from(r), None);
            b.push("shuffle", Op::PixelShuffle { upscale: r }, &[y])
        }
        Tail::Paper => {
            let y = b.upsample(x, n, config.upscale);
            b.conv("conv_last", y, n, c, None)
        }
    };
    if let Some(filter) = config.image_residual {
        let base = b.push("base", Op::Resize { upscale: config.upscale, filter }, &[image]);
        x = b.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x]);
    }
    if config.mean_shift {
        b.push("add_mean", Op::Affine, &[x]);
    }
    b.graph
}

struct Builder {
    graph: Graph,
}

impl Builder {
    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        self.graph.push(name, op, inputs, DType::F32)
    }

    fn conv(&mut self, name: &str, x: NodeId, from: u16, to: u16, activation: Option<Activation>) -> NodeId {
        let conv = Conv2d { in_channels: from, out_channels: to, kernel: 3, activation };
        self.push(name, Op::Conv2d(conv), &[x])
    }

    /// BasicSR's `Upsample`: convolution and pixel shuffle by 2 for every factor of two, or one by 3. The
    /// names count its layers: convolutions have even numbers.
    fn upsample(&mut self, mut x: NodeId, n: u16, upscale: u8) -> NodeId {
        let (steps, r) = match upscale {
            3 => (1, 3),
            u if u.is_power_of_two() && u > 1 => (u.trailing_zeros(), 2u8),
            other => panic!("upscale {other} is not 2, 3, 4 or 8"),
        };
        for i in 0..steps {
            let y = self.conv(&format!("upsample.{}", 2 * i), x, n, n * u16::from(r) * u16::from(r), None);
            x = self.push(&format!("upsample.{}", 2 * i + 1), Op::PixelShuffle { upscale: r }, &[y]);
        }
        x
    }
}
