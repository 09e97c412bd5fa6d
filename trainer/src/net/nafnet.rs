//! NAFNet: a U-shaped network for restoration at one size (deblurring, denoising, deraining), without nonlinear
//! activation functions. Its channel attention pools over the whole image, which the streaming engine cannot
//! do in one pass: it trains and evaluates, but has no model file.
//!
//! # Source
//! Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022. Parameters have the names and
//! shapes of the published checkpoints.

use super::named::{Named, Spec, Start, named_network};
use crate::conv::{Epilogue, Precision, conv_in};
use crate::shuffle::pixel_shuffle;
use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::module::{conv2d, layer_norm};
use burn::tensor::ops::{ConvOptions, PadMode};

/// Channels of the image.
pub const CHANNELS: usize = 3;
/// Added to the variance in a layer norm.
const EPS: f64 = 1e-6;

/// Shape of a NAFNet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels at full resolution; each level below has twice as many.
    pub width: u16,
    /// Blocks of each level on the way down, from full resolution.
    pub enc_blk_nums: Vec<u16>,
    /// Blocks at the lowest resolution.
    pub middle_blk_num: u16,
    /// Blocks of each level on the way up, to full resolution.
    pub dec_blk_nums: Vec<u16>,
}

impl Config {
    /// The paper's network for deblurring: 36 blocks, nearly all at an eighth of the resolution.
    pub fn deblur(width: u16) -> Self {
        Self { width, enc_blk_nums: vec![1, 1, 1, 28], middle_blk_num: 1, dec_blk_nums: vec![1; 4] }
    }

    /// For small machines: 12 blocks, on as many levels.
    pub fn small(width: u16) -> Self {
        Self { enc_blk_nums: vec![1, 1, 1, 4], ..Self::deblur(width) }
    }

    /// Sides of an image are extended to a multiple of this.
    pub fn pad_multiple(&self) -> usize {
        1 << self.enc_blk_nums.len()
    }

    /// Channels below `levels` halvings of the resolution.
    fn channels(&self, levels: usize) -> usize {
        usize::from(self.width) << levels
    }

    /// All parameters.
    fn specs(&self) -> Vec<Spec> {
        let mut specs = Vec::new();
        let levels = self.enc_blk_nums.len();
        conv(&mut specs, "intro", [self.channels(0), CHANNELS, 3, 3]);
        for (level, &count) in self.enc_blk_nums.iter().enumerate() {
            let c = self.channels(level);
            (0..count).for_each(|i| block(&mut specs, &format!("encoders.{level}.{i}"), c));
            conv(&mut specs, &format!("downs.{level}"), [2 * c, c, 2, 2]);
        }
        (0..self.middle_blk_num)
            .for_each(|i| block(&mut specs, &format!("middle_blks.{i}"), self.channels(levels)));
        for (k, &count) in self.dec_blk_nums.iter().enumerate() {
            let c = self.channels(levels - k);
            // No bias, as published.
            specs.push(Spec::new(format!("ups.{k}.0.weight"), &[2 * c, c, 1, 1], Start::of_sum(c)));
            (0..count).for_each(|i| block(&mut specs, &format!("decoders.{k}.{i}"), c / 2));
        }
        conv(&mut specs, "ending", [CHANNELS, self.channels(0), 3, 3]);
        specs
    }
}

fn conv(specs: &mut Vec<Spec>, name: &str, shape: [usize; 4]) {
    specs.extend(Spec::conv(name, shape));
}

fn block(specs: &mut Vec<Spec>, name: &str, c: usize) {
    for norm in ["norm1", "norm2"] {
        specs.push(Spec::new(format!("{name}.{norm}.weight"), &[c], Start::Constant(1.0)));
        specs.push(Spec::new(format!("{name}.{norm}.bias"), &[c], Start::Constant(0.0)));
    }
    conv(specs, &format!("{name}.conv1"), [2 * c, c, 1, 1]);
    conv(specs, &format!("{name}.conv2"), [2 * c, 1, 3, 3]);
    conv(specs, &format!("{name}.sca.1"), [c, c, 1, 1]);
    conv(specs, &format!("{name}.conv3"), [c, c, 1, 1]);
    conv(specs, &format!("{name}.conv4"), [2 * c, c, 1, 1]);
    conv(specs, &format!("{name}.conv5"), [c, c, 1, 1]);
    // Every block starts as the identity.
    specs.push(Spec::new(format!("{name}.beta"), &[1, c, 1, 1], Start::Constant(0.0)));
    specs.push(Spec::new(format!("{name}.gamma"), &[1, c, 1, 1], Start::Constant(0.0)));
}

/// A NAFNet.
#[derive(Module, Debug)]
pub struct Nafnet {
    named: Named,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    precision: Precision,
}

named_network!(Nafnet, Config);

impl Nafnet {
    /// The restored image.
    ///
    /// # Shapes
    /// both `[N, 3, H, W]`, any size; zeros are added at the right and at the bottom and cut off again
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = image.dims();
        let multiple = self.config.pad_multiple();
        let missing = |n: usize| n.next_multiple_of(multiple) - n;
        let image = image.pad([(0, missing(h)), (0, missing(w))], PadMode::Constant(0.0));
        let mut x = self.conv("intro", image.clone());
        let mut skips = Vec::new();
        for (level, &count) in self.config.enc_blk_nums.iter().enumerate() {
            x = (0..count).fold(x, |x, i| self.block(&format!("encoders.{level}.{i}"), x));
            skips.push(x.clone());
            x = self.down(&format!("downs.{level}"), x);
        }
        x = (0..self.config.middle_blk_num).fold(x, |x, i| self.block(&format!("middle_blks.{i}"), x));
        for (k, &count) in self.config.dec_blk_nums.iter().enumerate() {
            let weight = self.kernel(&format!("ups.{k}.0.weight"));
            let zero = Tensor::zeros([weight.dims()[0]], &weight.device());
            let y = conv_in(self.precision, x, weight, zero, Epilogue::Linear);
            x = pixel_shuffle(y, 2);
            x = x + skips.pop().expect("as many levels up as down");
            x = (0..count).fold(x, |x, i| self.block(&format!("decoders.{k}.{i}"), x));
        }
        (self.conv("ending", x) + image).narrow(2, 0, h).narrow(3, 0, w)
    }

    /// A block: depthwise convolution with gate and channel attention, then a gated pair of linear layers, each
    /// behind a layer norm and beside a residual connection.
    fn block(&self, name: &str, input: Tensor<4>) -> Tensor<4> {
        let part = |part: &str| format!("{name}.{part}");
        let x = self.norm(&part("norm1"), input.clone());
        let x = gate(self.depthwise(&part("conv2"), self.conv(&part("conv1"), x)));
        let pooled = x.clone().mean_dim(2).mean_dim(3);
        let x = x * self.conv(&part("sca.1"), pooled);
        let y = input + self.conv(&part("conv3"), x) * self.kernel(&part("beta"));
        let x = gate(self.conv(&part("conv4"), self.norm(&part("norm2"), y.clone())));
        y + self.conv(&part("conv5"), x) * self.kernel(&part("gamma"))
    }

    fn conv(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        conv_in(
            self.precision,
            x,
            self.kernel(&format!("{name}.weight")),
            self.vector(&format!("{name}.bias")),
            Epilogue::Linear,
        )
    }

    fn depthwise(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let groups = x.dims()[1];
        let weight = self.kernel(&format!("{name}.weight"));
        let bias = self.vector(&format!("{name}.bias"));
        conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [1, 1], [1, 1], groups))
    }

    /// A 2x2 convolution with stride 2: blocks of pixels become channels, which is a linear layer then.
    fn down(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let x = x.reshape([n, c, h / 2, 2, w / 2, 2]).permute([0, 1, 3, 5, 2, 4]);
        let x = x.reshape([n, 4 * c, h / 2, w / 2]);
        let weight = self.kernel(&format!("{name}.weight")).reshape([2 * c, 4 * c, 1, 1]);
        let bias = self.vector(&format!("{name}.bias"));
        conv_in(self.precision, x, weight, bias, Epilogue::Linear)
    }

    /// Layer norm over the channels of each pixel.
    fn norm(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let [weight, bias] = ["weight", "bias"].map(|part| self.vector(&format!("{name}.{part}")));
        layer_norm(x.permute([0, 2, 3, 1]), weight, Some(bias), EPS).permute([0, 3, 1, 2])
    }

    fn kernel(&self, name: &str) -> Tensor<4> {
        self.named.kernel(name)
    }

    fn vector(&self, name: &str) -> Tensor<1> {
        self.named.vector(name)
    }
}

/// The product of the two halves of the channels.
fn gate(x: Tensor<4>) -> Tensor<4> {
    let half = x.dims()[1] / 2;
    x.clone().narrow(1, 0, half) * x.narrow(1, half, half)
}

#[cfg(test)]
mod tests;
