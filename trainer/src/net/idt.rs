//! IDT: a U-shaped transformer for removing rain. Beside windows, it attends between windows over the whole of its square input,
//! whose side is part of the weights: it trains and evaluates, larger images in overlapping squares, but is no graph of the engine's.
//!
//! # Source
//! Xiao, Fu, Liu, Wu, Zha, "Image De-Raining Transformer", TPAMI 2022, and the authors' public code for what the publication leaves
//! open. Parameters have the names and shapes of the published checkpoints.

use super::gelu::gelu;
use super::named::{Named, Spec, Start, named_network};
use super::norm::channel_norm;
use crate::attention::{Window, attend};
use crate::conv::{Epilogue, Precision, conv_in};
use crate::shuffle::pixel_shuffle;
use burn::module::Module;
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

/// Channels of the image.
pub const CHANNELS: usize = 3;
/// Levels: down four times, the bottom, and up four times.
pub const LEVELS: usize = 9;
/// The level at the bottom, the only one that does not attend between windows.
const BOTTOM: usize = 4;
/// Windows of the image in each direction, on the first level.
const WINDOWS: usize = 16;
/// Side of the part of a table that a window may use.
const BOUND: usize = 8;
/// Side of the convolution over positions, for three or more of them.
const POSITIONS: usize = 5;
/// Added to the variance in a norm.
const EPS: f32 = 1e-5;
const SLOPE: f64 = 0.01;
/// Part of a square that it shares with the next one, of an image that is larger.
const OVERLAP: (usize, usize) = (20, 128);

/// Shape of an IDT; lists have a number for each of the [`LEVELS`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels of the first level.
    pub embed_dim: u16,
    /// Blocks that attend in windows.
    pub depths: [u16; LEVELS],
    /// Attention heads; divide the channels of the level and the pixels of a window.
    pub num_heads: [u16; LEVELS],
    /// Window side in pixels, 1 to 8. The side of the input is 16 times as large.
    pub win_size: u8,
    /// Hidden channels of the MLPs as a multiple of the channels.
    pub mlp_ratio: u16,
}

impl Config {
    /// The published one: squares of 128 pixels.
    pub const fn paper() -> Self {
        Self {
            embed_dim: 32,
            depths: [3, 3, 2, 2, 1, 1, 2, 2, 3],
            num_heads: [1, 2, 4, 8, 16, 16, 8, 4, 2],
            win_size: 8,
            mlp_ratio: 4,
        }
    }

    /// A setting that is out of its range, with its value and the range.
    pub fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let pixels = self.window().pow(2);
        let divides = |level: usize| {
            let heads = self.heads(level);
            let between = level == BOTTOM || pixels.is_multiple_of(heads);
            heads > 0 && between && self.dim(level).is_multiple_of(heads)
        };
        let divisors = "divisors of the channels of their level and of the pixels of a window";
        let list = |list: &[u16]| format!("{list:?}");
        [
            ((1..=256).contains(&self.embed_dim), "model.embed_dim", self.embed_dim.to_string(), "1 to 256"),
            ((1..=8).contains(&self.win_size), "model.win_size", self.win_size.to_string(), "1 to 8"),
            ((1..=8).contains(&self.mlp_ratio), "model.mlp_ratio", self.mlp_ratio.to_string(), "1 to 8"),
            (self.depths.iter().all(|n| *n <= 64), "model.depths", list(&self.depths), "numbers up to 64"),
            ((0..LEVELS).all(divides), "model.num_heads", list(&self.num_heads), divisors),
        ]
        .into_iter()
        .find_map(|(fits, key, found, range)| (!fits).then_some((key, found, range)))
    }

    /// Side of the square that it is made for, in pixels.
    pub fn side(&self) -> usize {
        WINDOWS * self.window()
    }

    fn window(&self) -> usize {
        self.win_size.into()
    }

    /// Channels of a level: going up, those from below and from the other side.
    pub(crate) fn dim(&self, level: usize) -> usize {
        let times = if level <= BOTTOM { 1 << level } else { 1 << (LEVELS - level) };
        usize::from(self.embed_dim) * times
    }

    /// By how much the resolution of a level is smaller.
    fn shrink(level: usize) -> usize {
        1 << if level <= BOTTOM { level } else { LEVELS - 1 - level }
    }

    /// Windows in each direction.
    fn windows(level: usize) -> usize {
        WINDOWS / Self::shrink(level)
    }

    /// Attention heads of a level.
    fn heads(&self, level: usize) -> usize {
        self.num_heads[level].into()
    }

    /// All parameters.
    fn specs(&self) -> Vec<Spec> {
        let mut specs = Vec::new();
        let d = |level| self.dim(level);
        specs.extend(Spec::conv("input_proj.proj.0", [d(0), CHANNELS, 3, 3]));
        specs.extend(Spec::conv("output_proj.proj.0", [CHANNELS, d(LEVELS - 1), 3, 3]));
        for level in 0..LEVELS {
            let name = name(level);
            let (c, heads) = (d(level), self.heads(level));
            for i in 0..self.depths[level] {
                let name = format!("{name}.blocks.{i}");
                norm(&mut specs, &format!("{name}.norm1"), c);
                self.attention(&mut specs, &format!("{name}.attn"), [c, heads, self.window(), BOUND]);
                self.mlp(&mut specs, &name, c, c);
            }
            if level != BOTTOM {
                let name = format!("{name}.blocks.{}", self.depths[level]);
                let (pixels, windows) = (self.window().pow(2), Self::windows(level));
                self.attention(&mut specs, &format!("{name}.attn"), [pixels, heads, windows, windows]);
                self.mlp(&mut specs, &name, c, pixels);
            }
            if level < BOTTOM {
                specs.extend(Spec::conv(&format!("dowsample_{level}.conv.0"), [d(level + 1), c, 4, 4]));
            } else if level + 1 < LEVELS {
                // A transposed convolution: from these channels to half of the next level's.
                let (name, out) = (format!("upsample_{}.deconv.0", level - BOTTOM), d(level + 1) / 2);
                let start = Start::of_sum(4 * out);
                specs.push(Spec::new(format!("{name}.weight"), &[c, out, 2, 2], start));
                specs.push(Spec::new(format!("{name}.bias"), &[out], start));
            }
        }
        specs
    }

    /// An attention of `c` values for each of `side` by `side` places.
    fn attention(&self, specs: &mut Vec<Spec>, name: &str, [c, heads, side, bound]: [usize; 4]) {
        let table = [(2 * bound - 1).pow(2), heads];
        let start = Start::Normal(0.02);
        specs.push(Spec::new(format!("{name}.relative_position_bias_table"), &table, start));
        let k = POSITIONS.min(2 * side - 1);
        specs.extend(Spec::conv(&format!("{name}.Position_Extract.0"), [c, 1, k, k]));
        specs.extend(Spec::conv(&format!("{name}.Position_Extract.1"), [c, c / heads, 1, 1]));
        linear(specs, &format!("{name}.qkv.to_q"), c, c);
        linear(specs, &format!("{name}.qkv.to_kv"), 3 * c, c);
        linear(specs, &format!("{name}.proj"), c, c);
    }

    /// The norm and the MLP of a block; `basis` times the ratio are its hidden channels.
    fn mlp(&self, specs: &mut Vec<Spec>, name: &str, c: usize, basis: usize) {
        let hidden = basis * usize::from(self.mlp_ratio);
        norm(specs, &format!("{name}.norm2"), c);
        linear(specs, &format!("{name}.mlp.linear1.0"), hidden, c);
        specs.extend(Spec::conv(&format!("{name}.mlp.dwconv.0"), [hidden, 1, 3, 3]));
        linear(specs, &format!("{name}.mlp.linear2.0"), c, hidden);
    }
}

/// What a level is called.
pub(crate) fn name(level: usize) -> String {
    match level {
        BOTTOM => "bottle".into(),
        0..BOTTOM => format!("encoderlayer_{level}"),
        _ => format!("decoderlayer_{}", level - BOTTOM - 1),
    }
}

fn linear(specs: &mut Vec<Spec>, name: &str, out: usize, input: usize) {
    specs.push(Spec::new(format!("{name}.weight"), &[out, input], Start::Normal(0.02)));
    specs.push(Spec::new(format!("{name}.bias"), &[out], Start::Constant(0.0)));
}

fn norm(specs: &mut Vec<Spec>, name: &str, c: usize) {
    specs.push(Spec::new(format!("{name}.weight"), &[c], Start::Constant(1.0)));
    specs.push(Spec::new(format!("{name}.bias"), &[c], Start::Constant(0.0)));
}

/// An IDT.
#[derive(Module, Debug)]
pub struct Idt {
    named: Named,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    precision: Precision,
}

named_network!(Idt, Config);

impl Idt {
    /// The image without rain.
    ///
    /// A larger image is done in squares that overlap, whose results are averaged, more of one nearer to its centre (the
    /// authors' evaluation of whole images); a smaller one is extended by its last row and column.
    ///
    /// # Shapes
    /// both `[N, 3, H, W]` in 0..1, any size
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        let side = self.config.side();
        let [_, _, h, w] = image.dims();
        let image = repeat_last(repeat_last(image, 2, side), 3, side);
        let [n, c, rows, columns] = image.dims();
        if [rows, columns] == [side; 2] {
            return self.square(image).narrow(2, 0, h).narrow(3, 0, w);
        }
        let weight = closeness(side, &image.device());
        let mut sum = Tensor::zeros([n, c, rows, columns], &image.device());
        let mut weights = Tensor::zeros([1, 1, rows, columns], &image.device());
        for y in starts(rows, side) {
            for x in starts(columns, side) {
                let part = self.square(image.clone().narrow(2, y, side).narrow(3, x, side)) * weight.clone();
                let place = [0..n, 0..c, y..y + side, x..x + side];
                let there = sum.clone().slice(place.clone());
                sum = sum.slice_assign(place, there + part);
                let place = [0..1, 0..1, y..y + side, x..x + side];
                let there = weights.clone().slice(place.clone());
                weights = weights.slice_assign(place, there + weight.clone());
            }
        }
        (sum / weights).narrow(2, 0, h).narrow(3, 0, w)
    }

    /// The network itself.
    fn square(&self, image: Tensor<4>) -> Tensor<4> {
        let mut x = leaky_relu(self.conv("input_proj.proj.0", image.clone()), SLOPE);
        let mut others = Vec::new();
        for level in 0..LEVELS {
            if level > BOTTOM {
                x = self.up(&format!("upsample_{}.deconv.0", level - BOTTOM - 1), x);
                x = Tensor::cat(vec![x, others.pop().expect("as many levels up as down")], 1);
            }
            x = self.level(level, x);
            if level < BOTTOM {
                others.push(x.clone());
                x = self.down(&format!("dowsample_{level}.conv.0"), x);
            }
        }
        image + self.conv("output_proj.proj.0", x)
    }

    fn level(&self, level: usize, mut x: Tensor<4>) -> Tensor<4> {
        let (name, depth) = (name(level), self.config.depths[level]);
        let heads = self.config.heads(level);
        for i in 0..depth {
            let name = format!("{name}.blocks.{i}");
            let y = self.norm(&format!("{name}.norm1"), x.clone());
            x = x + self.attention(&format!("{name}.attn"), y, heads, self.config.window());
            x = self.mlp(&name, x);
        }
        if level == BOTTOM {
            return x;
        }
        let name = format!("{name}.blocks.{depth}");
        x = x.clone() + self.between_windows(&format!("{name}.attn"), x, heads);
        self.mlp(&name, x)
    }

    /// Attention between windows, for each channel: a window is a token, and its pixels are the token's values.
    fn between_windows(&self, name: &str, x: Tensor<4>, heads: usize) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let s = self.config.window();
        let (rows, columns) = (h / s, w / s);
        let x = x.reshape([n, c, rows, s, columns, s]).permute([0, 1, 3, 5, 2, 4]);
        let y = self.attention(name, x.reshape([n * c, s * s, rows, columns]), heads, rows);
        // As published, pixels stay one window after the other here, while those they are added to are row after row.
        y.reshape([n, c, s * s, rows * columns]).swap_dims(2, 3).reshape([n, c, h, w])
    }

    /// Attention among `side` by `side` places, beside a convolution over the positions of a second set of values.
    fn attention(&self, name: &str, x: Tensor<4>, heads: usize, side: usize) -> Tensor<4> {
        let c = x.dims()[1];
        let q = self.linear(&format!("{name}.qkv.to_q"), x.clone());
        let kv = self.linear(&format!("{name}.qkv.to_kv"), x);
        let qkv = Tensor::cat(vec![q, kv.clone().narrow(1, 0, 2 * c)], 1);
        let table = inner(self.named.matrix(&format!("{name}.relative_position_bias_table")), side);
        let y = attend(qkv, table, Window { heads, side, shift: 0 });
        let positions = self.positions(name, kv.narrow(1, 2 * c, c), heads, side);
        self.linear(&format!("{name}.proj"), y + positions)
    }

    /// A depthwise convolution and one in groups, in every window by itself.
    fn positions(&self, name: &str, x: Tensor<4>, heads: usize, side: usize) -> Tensor<4> {
        let [n, c, h, w] = x.dims();
        let (rows, columns) = (h / side, w / side);
        let x = x.reshape([n, c, rows, side, columns, side]).permute([0, 2, 4, 1, 3, 5]);
        let x = x.reshape([n * rows * columns, c, side, side]);
        let x = self.grouped(&format!("{name}.Position_Extract.0"), x, c);
        let x = self.grouped(&format!("{name}.Position_Extract.1"), x, heads);
        let x = x.reshape([n, rows, columns, c, side, side]).permute([0, 3, 1, 4, 2, 5]);
        x.reshape([n, c, h, w])
    }

    /// The MLP of a block, with a depthwise convolution in it, around a residual.
    fn mlp(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let y = self.norm(&format!("{name}.norm2"), x.clone());
        let y = gelu(self.linear(&format!("{name}.mlp.linear1.0"), y));
        let hidden = y.dims()[1];
        let y = gelu(self.grouped(&format!("{name}.mlp.dwconv.0"), y.clone(), hidden)) + y;
        x + self.linear(&format!("{name}.mlp.linear2.0"), y)
    }

    fn norm(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let [weight, bias] = ["weight", "bias"].map(|part| self.named.vector(&format!("{name}.{part}")));
        channel_norm(x, weight, bias, EPS)
    }

    fn parameters(&self, name: &str) -> (Tensor<4>, Tensor<1>) {
        (self.named.kernel(&format!("{name}.weight")), self.named.vector(&format!("{name}.bias")))
    }

    fn conv(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.parameters(name);
        conv_in(self.precision, x, weight, bias, Epilogue::Linear)
    }

    fn linear(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let weight = self.named.matrix(&format!("{name}.weight"));
        let [out, input] = weight.dims();
        let bias = self.named.vector(&format!("{name}.bias"));
        conv_in(self.precision, x, weight.reshape([out, input, 1, 1]), bias, Epilogue::Linear)
    }

    fn grouped(&self, name: &str, x: Tensor<4>, groups: usize) -> Tensor<4> {
        let (weight, bias) = self.parameters(name);
        let pad = weight.dims()[2] / 2;
        conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [pad, pad], [1, 1], groups))
    }

    /// Half the resolution.
    fn down(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.parameters(name);
        conv2d(x, weight, Some(bias), ConvOptions::new([2, 2], [1, 1], [1, 1], 1))
    }

    /// Twice the resolution: a transposed convolution whose steps are as long as its kernel.
    fn up(&self, name: &str, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = self.parameters(name);
        let [input, out, ..] = weight.dims();
        let weight = weight.permute([1, 2, 3, 0]).reshape([4 * out, input, 1, 1]);
        let bias = bias.reshape([out, 1]).repeat_dim(1, 4).reshape([4 * out]);
        pixel_shuffle(conv_in(self.precision, x, weight, bias, Epilogue::Linear), 2)
    }
}

/// The part of a table of position biases that windows of this side use: distances below it.
fn inner(table: Tensor<2>, side: usize) -> Tensor<2> {
    let [places, heads] = table.dims();
    let (row, used) = (places.isqrt(), 2 * side - 1);
    let first = (row - used) / 2;
    let table = table.reshape([row, row, heads]).narrow(0, first, used).narrow(1, first, used);
    table.reshape([used * used, heads])
}

/// Where the squares of an image begin, so that each but the last shares as much with the next.
fn starts(length: usize, side: usize) -> Vec<usize> {
    let step = side - side * OVERLAP.0 / OVERLAP.1;
    let mut starts: Vec<usize> =
        (0..length).step_by(step).take_while(|start| start + side < length).collect();
    starts.push(length - side);
    starts
}

/// `1/distance` of each pixel to the centre of a square.
fn closeness(side: usize, device: &Device) -> Tensor<4> {
    let from_centre = |i: usize| (i as f32 - side as f32 / 2.0).powi(2);
    let pixel = |i: usize| 1.0 / (from_centre(i / side) + from_centre(i % side) + 1e-3).sqrt();
    let values: Vec<f32> = (0..side * side).map(pixel).collect();
    Tensor::from_data(TensorData::new(values, [1, 1, side, side]), device)
}

/// Extended to this length by repeating what comes last.
fn repeat_last(x: Tensor<4>, dim: usize, length: usize) -> Tensor<4> {
    let n = x.dims()[dim];
    if n >= length {
        return x;
    }
    let last = x.clone().narrow(dim, n - 1, 1).repeat_dim(dim, length - n);
    Tensor::cat(vec![x, last], dim)
}

#[cfg(test)]
mod tests;
