//! Small models that have every operator the GPU has a kernel for, between all types of edges: for tests and for
//! `mcir-board gpu-check`, which hold a GPU's bytes against the CPU's.

use mcir_runtime::model::{
    Activation, Conv2d, DType, Element, Filter, Graph, Model, NodeId, Op, Role, TensorData, infer,
    param_specs_of,
};

/// Sizes of pictures, width and height, that cases are run on: a pixel, odd ones, and more than a workgroup.
pub const SIZES: [[usize; 2]; 5] = [[1, 1], [13, 9], [72, 5], [40, 24], [33, 70]];

/// A model with its name.
pub struct Case {
    /// What it is about.
    pub name: String,
    /// The model, with drawn weights.
    pub model: Model,
}

/// All cases.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, graph: Graph| {
        let model = drawn(graph, cases.len() as u64 + 1);
        cases.push(Case { name, model });
    };
    for (channels, kernel) in [(16, 3), (7, 5), (32, 3), (64, 3), (3, 9), (24, 1), (20, 7)] {
        add(format!("convolutions {kernel}x{kernel} of {channels} channels"), convolutions(channels, kernel));
    }
    for (channels, upscale) in [(16, 4), (9, 2), (32, 3)] {
        add(format!("residual blocks of {channels} channels x{upscale}"), residual(channels, upscale));
    }
    for filter in [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::SharpBicubic] {
        add(format!("resizing by {filter:?}"), resizing(filter));
    }
    for channels in [16, 10] {
        add(format!("two pixel shuffles of {channels} channels"), shuffles(channels));
    }
    add("slopes of channels".into(), slopes(14));
    add("products, activations, offsets".into(), pointwise(11));
    add("brightness".into(), brightness(8));
    let mut margin = residual(8, 2);
    margin.margin = 5;
    add("a margin".into(), margin);
    cases
}

/// The case that every device has to pass before it is used.
pub(crate) fn residual_blocks() -> Case {
    Case { name: "residual blocks of 16 channels x2".into(), model: drawn(residual(16, 2), 1) }
}

/// Bytes of a picture that is not smooth.
pub fn picture(width: usize, height: usize, channels: usize) -> Vec<u8> {
    let mut numbers = Numbers(width as u64 * 31 + height as u64);
    (0..width * height * channels).map(|_| numbers.next() as u8).collect()
}

const fn conv(from: u16, to: u16, kernel: u8, activation: Option<Activation>) -> Op {
    Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
}

const fn i8(scale: f32, zero_point: i8) -> DType {
    DType::I8 { scale, zero_point }
}

const fn i16(scale: f32) -> DType {
    DType::I16 { scale }
}

/// Between all types of edges, with ReLU and without.
fn convolutions(n: u16, kernel: u8) -> Graph {
    let relu = Some(Activation::Relu);
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("first", conv(3, n, kernel, None), &[0], i8(0.02, 7));
    let x = g.push("bytes", conv(n, n, kernel, relu), &[x], i8(0.01, -128));
    let x = g.push("wide", conv(n, n + 1, kernel, relu), &[x], i16(0.0003));
    let x = g.push("from_wide", conv(n + 1, n, kernel, None), &[x], i16(0.0004));
    let x = g.push("narrow", conv(n, n, kernel, None), &[x], i8(0.03, 127));
    g.push("last", conv(n, 3, kernel, None), &[x], DType::PIXEL);
    g
}

/// As in EDSR, with the interpolated image added.
fn residual(n: u16, upscale: u8) -> Graph {
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("first", conv(3, n, 3, None), &[0], i16(0.0003));
    let mut sum = first;
    for i in 0..2 {
        let q = g.push(format!("q{i}"), Op::Convert, &[sum], i8(0.02, 7 - 40 * i as i8));
        let x = g.push(format!("{i}.conv1"), conv(n, n, 3, Some(Activation::Relu)), &[q], i8(0.01, -128));
        let x = g.push(format!("{i}.conv2"), conv(n, n, 3, None), &[x], i16(0.0004));
        sum = g.push(format!("{i}.add"), Op::Add { res_scale: 0.5 }, &[sum, x], i16(0.0005));
    }
    let body = g.push("body", Op::Add { res_scale: 1.0 }, &[first, sum], i8(0.03, -3));
    let r = u16::from(upscale);
    let x = g.push("last", conv(n, 3 * r * r, 3, None), &[body], i16(0.0006));
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[x], i16(0.0006));
    let scale = 1.0 / (255.0 * 4.0 * f32::from(r * r));
    let base = g.push("base", Op::Resize { upscale, filter: Filter::Bilinear }, &[0], i16(scale));
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], DType::PIXEL);
    g
}

/// Each filter from bytes and from 16 bits.
fn resizing(filter: Filter) -> Graph {
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("first", conv(3, 6, 3, None), &[0], i8(0.02, 7));
    let x = g.push("wide", Op::Resize { upscale: 2, filter }, &[x], i16(0.0004));
    let x = g.push("narrow", Op::Resize { upscale: 2, filter }, &[x], i8(0.021, -7));
    let x = g.push("to_image", conv(6, 3, 1, None), &[x], i16(0.001));
    let base = g.push("base", Op::Resize { upscale: 4, filter }, &[0], i16(1.0 / 30000.0));
    let x = g.push("sum", Op::Add { res_scale: 0.7 }, &[x, base], DType::PIXEL);
    let x = g.push("thrice", Op::Resize { upscale: 3, filter }, &[x], i16(0.0001));
    let x = g.push("third", Op::Reduce { factor: 3, filter }, &[x], i8(0.004, -128));
    g.push("half", Op::Reduce { factor: 2, filter }, &[x], DType::PIXEL);
    g
}

/// As in EDSR-light: convolutions that store shuffled, or a shuffle of its own.
fn shuffles(n: u16) -> Graph {
    let (sum, byte) = (i16(0.0013), i8(0.03, -9));
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    let x = g.push("0", conv(n, 4 * n, 3, None), &[x], sum);
    let x = g.push("1", Op::PixelShuffle { upscale: 2 }, &[x], sum);
    let x = g.push("quantize", Op::Convert, &[x], byte);
    let up = g.push("2", conv(n, 9 * n, 3, Some(Activation::Relu)), &[x], byte);
    let x = g.push("3", Op::PixelShuffle { upscale: 3 }, &[up], byte);
    let y = g.push("again", conv(9 * n, 9 * n, 1, None), &[up], byte);
    let y = g.push("4", Op::PixelShuffle { upscale: 3 }, &[y], byte);
    let x = g.push("both", Op::Add { res_scale: 1.0 }, &[x, y], byte);
    g.push("last", conv(n, 3, 3, None), &[x], DType::PIXEL);
    g
}

/// PReLU between all types.
fn slopes(n: u16) -> Graph {
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("feature", conv(3, n, 5, None), &[0], i8(0.02, 7));
    let x = g.push("feature.prelu", Op::PRelu, &[x], i8(0.013, -20));
    let x = g.push("map", conv(n, n, 3, None), &[x], i8(0.03, -3));
    let x = g.push("map.prelu", Op::PRelu, &[x], i16(0.0007));
    let x = g.push("expand", conv(n, n, 1, None), &[x], i16(0.0013));
    let x = g.push("expand.prelu", Op::PRelu, &[x], i16(0.0011));
    let x = g.push("narrow.prelu", Op::PRelu, &[x], i8(0.02, 3));
    g.push("last", conv(n, 3, 3, None), &[x], DType::PIXEL);
    g
}

/// The other operators of one place.
fn pointwise(n: u16) -> Graph {
    let act = Op::Activation;
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    let x = g.push("silu", act(Activation::Silu), &[first], i8(0.013, -100));
    let wide = g.push("wide", conv(n, n, 3, None), &[x], i16(0.0003));
    let sum = g.push("add", Op::Add { res_scale: 1.0 }, &[wide, first], i16(0.0005));
    let gate = g.push("sigmoid", act(Activation::Sigmoid), &[first], i16(0.00004));
    let gate = g.push("shift", Op::Affine, &[gate], i16(0.00003));
    let x = g.push("mul", Op::Mul, &[sum, gate], i16(0.0002));
    let y = g.push("hard_swish", act(Activation::HardSwish { alpha: 0.2, beta: 0.4 }), &[x], i8(0.01, -90));
    let y = g.push("mul1", Op::Mul, &[y, first], i8(0.02, 3));
    let y = g.push("tanh", act(Activation::Tanh), &[y], i8(1.0 / 127.0, 0));
    let y = g.push("gelu", act(Activation::Gelu), &[y], i8(0.006, -30));
    let y = g.push("leaky", act(Activation::LeakyRelu { slope: 0.1 }), &[y], i16(0.0001));
    let y = g.push("relu", act(Activation::Relu), &[y], i8(0.006, -128));
    let gate = g.push("hard", act(Activation::HardSigmoid { alpha: 0.21, beta: 0.5 }), &[x], i16(0.0001));
    let y = g.push("mul2", Op::Mul, &[gate, y], i8(0.006, -9));
    let y = g.push("affine", Op::Affine, &[y], i8(0.02, 9));
    let y = g.push("mul3", Op::Mul, &[y, x], i8(0.004, 11));
    let y = g.push("convert", Op::Convert, &[y], i8(0.0043, -11));
    g.push("last", conv(n, 3, 3, None), &[y], DType::PIXEL);
    g
}

/// A network of one channel.
fn brightness(n: u16) -> Graph {
    let byte = i16(1.0 / (255.0 * 36.0));
    let mut g = Graph::new(1, DType::PIXEL);
    let x = g.push("first", conv(1, n, 3, Some(Activation::Relu)), &[0], i8(0.02, -128));
    let x = g.push("last", conv(n, 9, 3, None), &[x], byte);
    let x = g.push("shuffle", Op::PixelShuffle { upscale: 3 }, &[x], byte);
    let base = g.push("base", Op::Resize { upscale: 3, filter: Filter::Bilinear }, &[0], byte);
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], DType::PIXEL);
    g
}

/// Numbers of a fixed sequence (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In −1..1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// A model of this graph with drawn parameters.
///
/// # Panics
/// For a graph that is none of the above: those are valid.
pub(crate) fn drawn(graph: Graph, seed: u64) -> Model {
    let mut numbers = Numbers(seed);
    fn floats(numbers: &mut Numbers, n: usize, middle: f32, spread: f32) -> TensorData {
        TensorData::F32((0..n).map(|_| middle + spread * numbers.unit()).collect())
    }
    let shapes = infer(&graph).expect("the graph is valid");
    let mut tensors = |id: NodeId| -> Vec<TensorData> {
        let node = graph.node(id);
        let input = node.inputs.first().map(|&i| (graph.node(i).dtype, shapes[usize::from(i)]));
        param_specs_of(node, input)
            .iter()
            .map(|spec| {
                let n = spec.len();
                // Sums of many products are not larger than those of few.
                let fan_in = (n / spec.dims[0]).max(1) as f32;
                match (spec.element, spec.role) {
                    (Element::I8, _) => {
                        // Sums of 16-bit values have to fit 31 bits.
                        let wide = matches!(input, Some((DType::I16 { .. }, _)));
                        let most = if wide { (1e5 / fan_in).min(127.0) } else { 127.0 };
                        TensorData::I8((0..n).map(|_| (numbers.unit() * most) as i8).collect())
                    }
                    (Element::I32, _) => {
                        TensorData::I32((0..n).map(|_| (numbers.unit() * 3000.0) as i32).collect())
                    }
                    (Element::F32, Role::WeightScale) => floats(&mut numbers, n, 0.002, 0.001),
                    (Element::F32, Role::Weight) => floats(&mut numbers, n, 0.0, 1.7 / fan_in.sqrt()),
                    (Element::F32, _) => floats(&mut numbers, n, 0.0, 0.2),
                }
            })
            .collect()
    };
    let params: Vec<_> = (0..graph.nodes.len() as NodeId).map(&mut tensors).collect();
    Model::new(graph, &params, vec![]).expect("the model is valid")
}
