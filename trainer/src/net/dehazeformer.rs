//! DehazeFormer: a U-shaped transformer for dehazing. Its norms look at all of the image, its windows are shifted over an image
//! that is reflected at all edges: it trains and evaluates, but is no graph of the engine's.
//!
//! # Source
//! Song, He, Qian, Du, "Vision Transformers for Single Image Dehazing", TIP 2023. Parameters have the names and shapes of the
//! published checkpoints.

use super::named::{Named, Spec, Start, named_network};
use crate::attention::{Window, attend};
use crate::conv::{Epilogue, Precision, conv_in};
use crate::shuffle::pixel_shuffle;
use burn::module::Module;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Int, Tensor, TensorData};

/// Channels of the image.
pub const CHANNELS: usize = 3;
/// Levels: down twice and up twice.
pub const LEVELS: usize = 5;
/// Added to the variance in a norm.
const EPS: f64 = 1e-5;
/// Hidden features of the network that makes position biases.
const META: usize = 256;
/// Side of the depthwise convolution beside the attention.
const BESIDE: usize = 5;
/// Halvings of the resolution make its sides multiples of this.
const PAD_MULTIPLE: usize = 4;

/// Shape of a DehazeFormer; lists have a number for each of the [`LEVELS`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels.
    pub embed_dims: [u16; LEVELS],
    /// Hidden channels of the MLPs as a multiple of the channels.
    pub mlp_ratios: [u16; LEVELS],
    /// Blocks.
    pub depths: [u16; LEVELS],
    /// Attention heads; divide the channels.
    pub num_heads: [u16; LEVELS],
    /// Share of the blocks, the last ones, that attend.
    pub attn_ratio: [f32; LEVELS],
    /// Window side in pixels; every second block is shifted by half of it.
    pub window_size: u8,
}

impl Config {
    /// The smallest published, 12 to 16 blocks.
    pub const fn tiny() -> Self {
        Self {
            embed_dims: [24, 48, 96, 48, 24],
            mlp_ratios: [2, 4, 4, 2, 2],
            depths: [4, 4, 4, 2, 2],
            num_heads: [2, 4, 6, 1, 1],
            attn_ratio: [0.0, 0.5, 1.0, 0.0, 0.0],
            window_size: 8,
        }
    }

    /// The next larger one.
    pub const fn small() -> Self {
        Self { depths: [8, 8, 8, 4, 4], attn_ratio: [0.25, 0.5, 0.75, 0.0, 0.0], ..Self::tiny() }
    }

    /// The one after that.
    pub const fn base() -> Self {
        Self { depths: [16, 16, 16, 8, 8], ..Self::small() }
    }

    /// Whether block `i` of a level attends.
    fn attends(&self, level: usize, i: u16) -> bool {
        let depth = f32::from(self.depths[level]);
        f32::from(i) >= depth - self.attn_ratio[level] * depth
    }

    fn dim(&self, level: usize) -> usize {
        self.embed_dims[level].into()
    }

    /// All parameters.
    fn specs(&self) -> Vec<Spec> {
        let mut specs = Vec::new();
        let d = |level| self.dim(level);
        specs.extend(Spec::conv("patch_embed.proj", [d(0), CHANNELS, 3, 3]));
        for level in 0..LEVELS {
            (0..self.depths[level]).for_each(|i| self.block(&mut specs, level, i));
        }
        for (k, level) in [(1, 0), (2, 1)] {
            specs.extend(Spec::conv(&format!("patch_merge{k}.proj"), [d(level + 1), d(level), 2, 2]));
            specs.extend(Spec::conv(&format!("skip{k}"), [d(level), d(level), 1, 1]));
        }
        for (k, level) in [(1, 3), (2, 4)] {
            specs.extend(Spec::conv(&format!("patch_split{k}.proj.0"), [4 * d(level), d(level - 1), 1, 1]));
            let (c, few) = (d(level), (d(level) / 8).max(4));
            for (layer, shape) in [(0, [few, c, 1, 1]), (2, [2 * c, few, 1, 1])] {
                let name = format!("fusion{k}.mlp.{layer}.weight");
                specs.push(Spec::new(name, &shape, Start::of_sum(shape[1])));
            }
        }
        specs.extend(Spec::conv("patch_unembed.proj.0", [CHANNELS + 1, d(4), 3, 3]));
        specs
    }

    fn block(&self, specs: &mut Vec<Spec>, level: usize, i: u16) {
        let (name, c) = (format!("layer{}.blocks.{i}", level + 1), self.dim(level));
        let depth: u16 = self.depths.iter().sum();
        // As published: smaller the deeper the network is.
        let gain = (8.0 * f32::from(depth)).powf(-0.25);
        let mut linear = |name: String, [o, i, k]: [usize; 3], gain: f32| {
            // Of a depthwise convolution each output reads one channel.
            let std = gain * (2.0 / ((i + o) * k * k) as f32).sqrt();
            specs.push(Spec::new(format!("{name}.weight"), &[o, i, k, k], Start::Normal(std)));
            specs.push(Spec::new(format!("{name}.bias"), &[o], Start::Constant(0.0)));
        };
        let hidden = c * usize::from(self.mlp_ratios[level]);
        linear(format!("{name}.attn.conv"), [c, 1, BESIDE], gain);
        linear(format!("{name}.attn.V"), [c, c, 1], gain);
        linear(format!("{name}.attn.proj"), [c, c, 1], gain);
        linear(format!("{name}.mlp.mlp.0"), [hidden, c, 1], gain);
        linear(format!("{name}.mlp.mlp.2"), [c, hidden, 1], gain);
        if !self.attends(level, i) {
            return;
        }
        linear(format!("{name}.attn.QK"), [2 * c, c, 1], 1.0);
        let heads = usize::from(self.num_heads[level]);
        for (layer, [o, i]) in [(0, [META, 2]), (2, [heads, META])] {
            let name = format!("{name}.attn.attn.meta.{layer}");
            specs.push(Spec::new(format!("{name}.weight"), &[o, i], Start::of_sum(i)));
            specs.push(Spec::new(format!("{name}.bias"), &[o], Start::of_sum(i)));
        }
        let norm = format!("{name}.norm1");
        specs.push(Spec::new(format!("{norm}.weight"), &[1, c, 1, 1], Start::Constant(1.0)));
        specs.push(Spec::new(format!("{norm}.bias"), &[1, c, 1, 1], Start::Constant(0.0)));
        for (meta, bias) in [("meta1", 1.0), ("meta2", 0.0)] {
            specs.push(Spec::new(format!("{norm}.{meta}.weight"), &[c, 1, 1, 1], Start::Normal(0.02)));
            specs.push(Spec::new(format!("{norm}.{meta}.bias"), &[c], Start::Constant(bias)));
        }
    }
}

/// A DehazeFormer.
#[derive(Module, Debug)]
pub struct Dehazeformer {
    named: Named,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    precision: Precision,
}

named_network!(Dehazeformer, Config);

impl Dehazeformer {
    /// The image without haze. The network works on −1..1 and predicts a factor `k` and a shift `b` of the image, `k·x − b + x`
    /// (soft reconstruction).
    ///
    /// # Shapes
    /// both `[N, 3, H, W]` in 0..1, any size; it is extended by reflection at the right and at the bottom, and cut again
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = image.dims();
        let missing = |n: usize| n.next_multiple_of(PAD_MULTIPLE) - n;
        let image = reflect(reflect(image, 2, 0, missing(h)), 3, 0, missing(w)) * 2.0 - 1.0;
        let x = self.conv_reflected("patch_embed.proj", image.clone());
        let first = self.level(0, x);
        let x = self.down("patch_merge1.proj", first.clone());
        let second = self.level(1, x);
        let x = self.down("patch_merge2.proj", second.clone());
        let x = self.level(2, x);
        let x = self.up("patch_split1.proj.0", x);
        let x = self.fusion("fusion1", x, self.conv("skip2", second));
        let x = self.level(3, x);
        let x = self.up("patch_split2.proj.0", x);
        let x = self.fusion("fusion2", x, self.conv("skip1", first));
        let x = self.conv_reflected("patch_unembed.proj.0", self.level(4, x));
        let (k, b) = (x.clone().narrow(1, 0, 1), x.narrow(1, 1, CHANNELS));
        let y = k * image.clone() - b + image;
        ((y + 1.0) * 0.5).narrow(2, 0, h).narrow(3, 0, w)
    }

    fn level(&self, level: usize, x: Tensor<4>) -> Tensor<4> {
        (0..self.config.depths[level]).fold(x, |x, i| self.block(level, i, x))
    }

    fn block(&self, level: usize, i: u16, x: Tensor<4>) -> Tensor<4> {
        let name = format!("layer{}.blocks.{i}", level + 1);
        let shift = if i.is_multiple_of(2) { 0 } else { usize::from(self.config.window_size) / 2 };
        let x = match self.config.attends(level, i) {
            true => {
                let (y, rescale, rebias) = self.norm(&format!("{name}.norm1"), x.clone());
                x + self.attention(&format!("{name}.attn"), y, level, shift) * rescale + rebias
            }
            false => {
                let attn = format!("{name}.attn");
                let v = self.conv(&format!("{attn}.V"), x.clone());
                x + self.conv(&format!("{attn}.proj"), self.beside(&attn, v))
            }
        };
        let y = relu(self.conv(&format!("{name}.mlp.mlp.0"), x.clone()));
        x + self.conv(&format!("{name}.mlp.mlp.2"), y)
    }

    /// Rescaled layer norm: mean and deviation of all pixels and channels; what it took away, for behind the attention.
    fn norm(&self, name: &str, x: Tensor<4>) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let of_all = |x: Tensor<4>| x.mean_dim(1).mean_dim(2).mean_dim(3);
        let mean = of_all(x.clone());
        let centred = x - mean.clone();
        let deviation = (of_all(centred.clone().square()) + EPS).sqrt();
        let y = centred / deviation.clone();
        let y = y * self.named.kernel(&format!("{name}.weight")) + self.named.kernel(&format!("{name}.bias"));
        let row = |meta: &str, x: Tensor<4>| {
            let weight = self.named.kernel(&format!("{name}.{meta}.weight"));
            let c = weight.dims()[0];
            let bias = self.named.vector(&format!("{name}.{meta}.bias"));
            x * weight.reshape([1, c, 1, 1]) + bias.reshape([1, c, 1, 1])
        };
        (y, row("meta1", deviation), row("meta2", mean))
    }

    /// Attention in windows beside a depthwise convolution of the values. Instead of rolling, shifted windows see the image
    /// extended by reflection on all sides.
    fn attention(&self, name: &str, x: Tensor<4>, level: usize, shift: usize) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        let side = usize::from(self.config.window_size);
        let v = self.conv(&format!("{name}.V"), x.clone());
        let qk = self.conv(&format!("{name}.QK"), x);
        let qkv = Tensor::cat(vec![qk, v.clone()], 1);
        let behind = |n: usize| (n + shift).next_multiple_of(side) - n - shift;
        let qkv = reflect(reflect(qkv, 2, shift, behind(h)), 3, shift, behind(w));
        let window = Window { heads: self.config.num_heads[level].into(), side, shift: 0 };
        let y = attend(qkv, self.table(&format!("{name}.attn.meta"), side), window);
        let y = y.narrow(2, shift, h).narrow(3, shift, w);
        self.conv(&format!("{name}.proj"), self.beside(name, v) + y)
    }

    /// Position biases, `[(2·side − 1)², heads]`: a small network of the logarithms of distances.
    fn table(&self, name: &str, side: usize) -> Tensor<2> {
        let row = 2 * side - 1;
        let log = |place: usize| {
            let distance = place as f32 - (side as f32 - 1.0);
            distance.signum() * distance.abs().ln_1p()
        };
        let places: Vec<f32> = (0..row * row).flat_map(|i| [log(i / row), log(i % row)]).collect();
        let weight = self.named.matrix(&format!("{name}.0.weight"));
        let places = Tensor::from_data(TensorData::new(places, [row * row, 2]), &weight.device());
        let bias = |layer: usize| self.named.vector(&format!("{name}.{layer}.bias")).unsqueeze::<2>();
        let hidden = relu(Tensor::matmul(places, weight.transpose()) + bias(0));
        hidden.matmul(self.named.matrix(&format!("{name}.2.weight")).transpose()) + bias(2)
    }

    /// The depthwise convolution of the values.
    fn beside(&self, attention: &str, v: Tensor<4>) -> Tensor<4> {
        let (pad, groups) = (BESIDE / 2, v.dims()[1]);
        let v = reflect(reflect(v, 2, pad, pad), 3, pad, pad);
        let weight = self.named.kernel(&format!("{attention}.conv.weight"));
        let bias = self.named.vector(&format!("{attention}.conv.bias"));
        conv2d(v, weight, Some(bias), ConvOptions::new([1, 1], [0, 0], [1, 1], groups))
    }

    /// Half the resolution: blocks of 2x2 pixels become channels, which is a linear layer then.
    fn down(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let x = x.reshape([n, c, h / 2, 2, w / 2, 2]).permute([0, 1, 3, 5, 2, 4]);
        let x = x.reshape([n, 4 * c, h / 2, w / 2]);
        let weight = self.named.kernel(&format!("{name}.weight"));
        let out = weight.dims()[0];
        let bias = self.named.vector(&format!("{name}.bias"));
        conv_in(self.precision, x, weight.reshape([out, 4 * c, 1, 1]), bias, Epilogue::Linear)
    }

    fn up(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        pixel_shuffle(self.conv(name, x), 2)
    }

    /// Selective kernel fusion: a weighted sum of both, with weights for each channel that add up to one; and the first again.
    fn fusion(&self, name: &str, x: Tensor<4>, skip: Tensor<4>) -> Tensor<4> {
        let c = x.dims()[1];
        let pooled = (x.clone() + skip.clone()).mean_dim(2).mean_dim(3);
        let y = relu(self.conv(&format!("{name}.mlp.0"), pooled));
        let y = self.conv(&format!("{name}.mlp.2"), y);
        // Softmax of two.
        let share = sigmoid(y.clone().narrow(1, 0, c) - y.narrow(1, c, c));
        x.clone() * share.clone() + skip * (-share + 1.0) + x
    }

    /// A convolution that keeps the size; those without a bias have none.
    fn conv(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let weight = self.named.kernel(&format!("{name}.weight"));
        let bias = format!("{name}.bias");
        let bias = match self.named.has(&bias) {
            true => self.named.vector(&bias),
            false => Tensor::zeros([weight.dims()[0]], &weight.device()),
        };
        conv_in(self.precision, x, weight, bias, Epilogue::Linear)
    }

    /// A convolution of three rows that sees the image reflected at its edges.
    fn conv_reflected(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let [_, _, h, w] = x.dims();
        self.conv(name, reflect(reflect(x, 2, 1, 1), 3, 1, 1)).narrow(2, 1, h).narrow(3, 1, w)
    }
}

/// Extends a dimension by mirroring at its ends, the first and the last element not repeated; more than once if there is
/// little to mirror.
fn reflect(x: Tensor<4>, dim: usize, before: usize, after: usize) -> Tensor<4> {
    if before + after == 0 {
        return x;
    }
    let n = x.dims()[dim] as i64;
    let period = (2 * (n - 1)).max(1);
    let place = |i: i64| {
        let i = i.rem_euclid(period);
        if n == 1 { 0 } else { i.min(period - i) }
    };
    let places: Vec<i64> = (-(before as i64)..n + after as i64).map(place).collect();
    let count = places.len();
    let index = Tensor::<1, Int>::from_data(TensorData::new(places, [count]), &x.device());
    x.select(dim, index)
}

#[cfg(test)]
mod tests;
