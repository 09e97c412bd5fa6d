//! Networks and pictures for the tests: all made here, the same on every machine.
#![allow(dead_code, reason = "each test file uses its part")]

use image::{Rgb, RgbImage};
use mcir_quantize::samples::{Sample, Samples};
use mcir_runtime::arch::edsr::{Config, graph};
use mcir_runtime::image::Image;
use mcir_runtime::model::{
    Activation, Conv2d, DType, Filter, Graph, Model, NodeId, Op, PadMode, ParamSpec, Pool, Role, Statistic,
    TensorData, infer, param_specs_of,
};
use std::path::Path;

/// A small generator with a fixed sequence (SplitMix64).
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In −1..1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A model with the tensors that `fill` makes for each node and tensor.
pub fn model(graph: Graph, mut fill: impl FnMut(&str, &ParamSpec) -> Vec<f32>) -> Model {
    let shapes = infer(&graph).unwrap();
    let params: Vec<Vec<TensorData>> = graph
        .nodes
        .iter()
        .map(|node| {
            let input = node.inputs.first().map(|&i| (graph.node(i).dtype, shapes[usize::from(i)]));
            let specs = param_specs_of(node, input);
            specs.iter().map(|spec| TensorData::F32(fill(&node.name, spec))).collect()
        })
        .collect();
    Model::new(graph, &params, vec![("name".into(), "test".into())]).unwrap()
}

/// Random weights with about unit gain; channels differ in size by up to 3, as in trained networks.
pub fn random(graph: Graph, seed: u64) -> Model {
    let mut rng = Rng(seed);
    let affine: Vec<String> =
        graph.nodes.iter().filter(|n| n.op == Op::Affine).map(|n| n.name.clone()).collect();
    model(graph, |name, spec| {
        if affine.iter().any(|a| a == name) {
            // A mean shift to 0..255 at the front and back at the end.
            let mean = [0.4488, 0.4371, 0.4040];
            let front = name == "sub_mean";
            return match (spec.role, front) {
                (Role::Weight, true) => vec![255.0; spec.len()],
                (Role::Weight, false) => vec![1.0 / 255.0; spec.len()],
                (_, true) => mean[..spec.len()].iter().map(|m| -255.0 * m).collect(),
                (_, false) => mean[..spec.len()].to_vec(),
            };
        }
        let fan_in = (spec.len() / spec.dims[0]).max(1);
        let gain = if spec.role == Role::Weight { 1.5 / (fan_in as f32).sqrt() } else { 0.1 };
        (0..spec.len())
            .map(|i| {
                let channel = 1.0 + 2.0 * ((i / fan_in) % 5) as f32 / 4.0;
                gain * channel / 2.0 * rng.unit()
            })
            .collect()
    })
}

/// A network x2 with an attention on every pixel, as SPAN has it, and with the activations that imported networks have.
pub fn attention() -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let mut push = |name: &str, op, inputs: &[NodeId]| g.push(name, op, inputs, DType::F32);
    let first = push("first", conv(3, 12, 3), &[0]);
    let mut x = first;
    for block in ["1", "2"] {
        let name = |part: &str| format!("block{block}.{part}");
        let y = push(&name("a"), conv(12, 12, 3), &[x]);
        let y = push(&name("silu"), Op::Activation(Activation::Silu), &[y]);
        let y = push(&name("b"), conv(12, 12, 3), &[y]);
        let gate = push(&name("sigmoid"), Op::Activation(Activation::Sigmoid), &[y]);
        let sum = push(&name("sum"), Op::Add { res_scale: 1.0 }, &[y, x]);
        x = push(&name("mul"), Op::Mul, &[sum, gate]);
    }
    let y = push("tanh", Op::Activation(Activation::Tanh), &[x]);
    let gate =
        push("hard_sigmoid", Op::Activation(Activation::HardSigmoid { alpha: 0.2, beta: 0.4 }), &[first]);
    let y = push("gate", Op::Mul, &[gate, y]);
    let y = push("c", conv(12, 12, 1), &[y]);
    let y = push("hard_swish", Op::Activation(Activation::HardSwish { alpha: 0.25, beta: 0.5 }), &[y]);
    let y = push("upsample", conv(12, 12, 3), &[y]);
    let y = push("shuffle", Op::PixelShuffle { upscale: 2 }, &[y]);
    let base = push("base", Op::Resize { upscale: 2, filter: Filter::Bilinear }, &[0]);
    push("image", Op::Add { res_scale: 1.0 }, &[base, y]);
    g
}

/// A network x2 with a pooled branch, as RLFN has it, and an attention of the whole image's mean or deviation on every channel.
pub fn pooled() -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let mut push = |name: &str, op, inputs: &[NodeId]| g.push(name, op, inputs, DType::F32);
    let mut x = push("first", conv(3, 12, 3), &[0]);
    for (block, statistic) in [Statistic::Mean, Statistic::Deviation].into_iter().enumerate() {
        let name = |part: &str| format!("block{block}.{part}");
        let y = push(&name("a"), conv(12, 12, 3), &[x]);
        let half = Pool { window: 1, stride: 2, before: -1, after: -1 };
        let z = push(&name("half"), Op::MaxPool(half), &[y]);
        let z = push(&name("pool"), Op::MaxPool(Pool { window: 3, stride: 2, before: 1, after: 0 }), &[z]);
        let z = push(&name("low"), conv(12, 12, 3), &[z]);
        let z = push(&name("up"), Op::Interpolate { filter: Filter::Bilinear }, &[z, y]);
        let z = push(&name("sum"), Op::Add { res_scale: 1.0 }, &[z, y]);
        let gate = push(&name("sigmoid"), Op::Activation(Activation::Sigmoid), &[z]);
        let y = push(&name("mul"), Op::Mul, &[y, gate]);
        let z = push(&name("global"), Op::GlobalPool { statistic }, &[y]);
        let z = push(&name("squeeze"), conv(12, 4, 1), &[z]);
        let z = push(&name("relu"), Op::Activation(Activation::Relu), &[z]);
        let z = push(&name("excite"), conv(4, 12, 1), &[z]);
        let z = push(&name("gate"), Op::Activation(Activation::Sigmoid), &[z]);
        let z = push(&name("spread"), Op::Interpolate { filter: Filter::Nearest }, &[z, y]);
        let y = push(&name("channels"), Op::Mul, &[y, z]);
        x = push(&name("add"), Op::Add { res_scale: 1.0 }, &[x, y]);
    }
    let y = push("upsample", conv(12, 12, 3), &[x]);
    let y = push("shuffle", Op::PixelShuffle { upscale: 2 }, &[y]);
    let base = push("base", Op::Resize { upscale: 2, filter: Filter::Bilinear }, &[0]);
    push("image", Op::Add { res_scale: 1.0 }, &[base, y]);
    g
}

/// A network x4 whose image is made smaller again, as animevideov3 x2 has it.
pub fn reduced(filter: Filter) -> Graph {
    let conv =
        |from, to| Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation: None });
    let mut g = Graph::new(3, DType::F32);
    let x = g.push("first", conv(3, 12), &[0], DType::F32);
    let x = g.push("prelu", Op::PRelu, &[x], DType::F32);
    let x = g.push("last", conv(12, 48), &[x], DType::F32);
    let x = g.push("shuffle", Op::PixelShuffle { upscale: 4 }, &[x], DType::F32);
    let base = g.push("base", Op::Resize { upscale: 4, filter: Filter::Nearest }, &[0], DType::F32);
    let x = g.push("image", Op::Add { res_scale: 1.0 }, &[base, x], DType::F32);
    g.push("reduce", Op::Reduce { factor: 2, filter }, &[x], DType::F32);
    g
}

/// A network that does something sensible, in closed form: it adds `strength` times the image's Laplacian to
/// the interpolated image, which sharpens it. A feature that nothing reads is `spoiled` times
/// larger than those that matter: at a million no integers hold them all, at some thousands 16 bits do.
pub fn sharpener(upscale: u8, strength: f32, spoiled: f32) -> Model {
    let r2 = usize::from(upscale) * usize::from(upscale);
    model(graph(&Config::edge(upscale, 4, 1)), |name, spec| {
        let [_, kernel, _, inputs] = spec.dims;
        let mut weights = vec![0.0; spec.len()];
        let mut set = |out: usize, ky: usize, kx: usize, input: usize, value: f32| {
            weights[((out * kernel + ky) * kernel + kx) * inputs + input] = value;
        };
        match (name, spec.role) {
            ("conv_first", Role::Weight) => {
                for c in 0..3 {
                    set(c, 1, 1, c, 1.0);
                    for (ky, kx) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
                        set(c, ky, kx, c, -0.25);
                    }
                }
                set(3, 1, 1, 0, spoiled);
            }
            ("conv_last", Role::Weight) => {
                (0..3 * r2).for_each(|out| set(out, 1, 1, out / r2, strength));
            }
            _ => {}
        }
        weights
    })
}

/// A picture with gradients, hard edges, texture and noise.
pub fn picture(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = Rng(seed);
    let slope: [[f32; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| rng.unit()));
    let mut picture = RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
        Rgb(slope.map(|[a, b, c]| (128.0 + 90.0 * (a * x + b * y + 0.3 * (c * 40.0 * x * y).sin())) as u8))
    });
    for _ in 0..12 {
        let colour = Rgb([rng.next() as u8, rng.next() as u8, rng.next() as u8]);
        let (cx, cy) = (rng.below(width.into()) as f32, rng.below(height.into()) as f32);
        let size = 3.0 + rng.below(u64::from(width.min(height)) / 4) as f32;
        let round = rng.below(2) == 0;
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            let (dx, dy) = ((x as f32 - cx).abs(), (y as f32 - cy).abs());
            if if round { dx * dx + dy * dy < size * size } else { dx.max(0.4 * dy) < size / 2.0 } {
                *pixel = colour;
            }
        }
    }
    for pixel in picture.pixels_mut() {
        pixel.0 = pixel.0.map(|v| (f32::from(v) + 4.0 * rng.unit()) as u8);
    }
    picture
}

/// Writes `n` pictures into a folder.
pub fn write_pictures(folder: &Path, n: u64, width: u32, height: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for i in 0..n {
        picture(1000 + i, width, height).save(folder.join(format!("{i:03}.png"))).unwrap();
    }
}

/// Low-resolution images to calibrate on.
pub fn samples(n: u64, width: u32, height: u32, channels: usize) -> Samples {
    let mut samples = Samples::new().unwrap();
    for i in 0..n {
        samples.push(&Sample { name: format!("{i}"), lr: lr_image(i, width, height, channels) }).unwrap();
    }
    samples
}

/// A picture as the engine takes it.
pub fn lr_image(seed: u64, width: u32, height: u32, channels: usize) -> Image {
    let rgb = picture(seed, width, height);
    let data = rgb.pixels().flat_map(|p| p.0[..channels].to_vec()).collect();
    Image::new(width as usize, height as usize, channels, data).unwrap()
}

/// Number of the node with this name.
pub fn node(model: &Model, name: &str) -> NodeId {
    let found = model.graph().nodes.iter().position(|n| n.name == name);
    found.unwrap_or_else(|| panic!("no node {name}")) as NodeId
}

/// A U-Net x2 on floats at a half and a quarter of the image, whose levels are enlarged by a pixel shuffle and with aligned corners.
#[allow(dead_code)]
pub fn fractions(pad_mode: PadMode) -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let mut g = Graph { multiple: 4, pad_mode, ..Graph::new(3, DType::F32) };
    let mut push = |name: &str, op, inputs: &[NodeId]| g.push(name, op, inputs, DType::F32);
    let first = push("first", conv(3, 12, 3), &[0]);
    let x = push("down", conv(12, 12, 3), &[first]);
    let half = push("half", Op::MaxPool(Pool { window: 1, stride: 2, before: -1, after: 0 }), &[x]);
    let x = push("quarter", Op::MaxPool(Pool { window: 3, stride: 2, before: 1, after: 0 }), &[half]);
    let x = push("middle", conv(12, 12, 3), &[x]);
    let x = push("relu", Op::Activation(Activation::Relu), &[x]);
    let x = push("up", conv(12, 48, 1), &[x]);
    let x = push("up.shuffle", Op::PixelShuffle { upscale: 2 }, &[x]);
    let x = push("skip", Op::Add { res_scale: 1.0 }, &[x, half]);
    let x = push("aligned", Op::Resize { upscale: 2, filter: Filter::AlignedBilinear }, &[x]);
    let x = push("sum", Op::Add { res_scale: 0.5 }, &[first, x]);
    let x = push("upsample", conv(12, 12, 3), &[x]);
    push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x]);
    g
}
