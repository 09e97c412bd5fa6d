//! Fixtures for this crate's tests: random models, and a slow executor that works on whole images and shares
//! no code with the engine beyond the graph.

use crate::model::{
    Activation, Conv2d, DType, Element, Filter, Graph, Model, NodeId, Op, Pool, Role, Statistic, TensorData,
};
use alloc::{format, vec, vec::Vec};

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
    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// Random parameters with about unit gain for a graph.
pub fn random_model(graph: Graph, seed: u64) -> Model {
    let mut rng = Rng(seed);
    let empty: Vec<Vec<TensorData>> = vec![vec![]; graph.nodes.len()];
    assert!(Model::new(graph.clone(), &empty, vec![]).is_err() || graph.nodes.len() == 1);
    let shapes = crate::model::infer(&graph).unwrap();
    let params: Vec<Vec<TensorData>> = (0..graph.nodes.len() as NodeId)
        .map(|id| {
            let node = graph.node(id);
            let input = node.inputs.first().map(|&i| (graph.node(i).dtype, shapes[usize::from(i)]));
            crate::model::param_specs_of(node, input)
                .iter()
                .map(|spec| {
                    let fan_in = (spec.len() / spec.dims[0]).max(1) as f32;
                    let gain = 1.7 / crate::arithmetic::sqrt(fan_in);
                    match (spec.element, spec.role) {
                        (Element::I8, _) => {
                            TensorData::I8((0..spec.len()).map(|_| (rng.unit() * 127.0) as i8).collect())
                        }
                        (Element::I32, _) => {
                            TensorData::I32((0..spec.len()).map(|_| (rng.unit() * 3000.0) as i32).collect())
                        }
                        (Element::F32, Role::WeightScale) => {
                            TensorData::F32((0..spec.len()).map(|_| 0.002 + 0.001 * rng.unit()).collect())
                        }
                        (Element::F32, Role::Weight) => {
                            TensorData::F32((0..spec.len()).map(|_| gain * rng.unit()).collect())
                        }
                        (Element::F32, _) => {
                            TensorData::F32((0..spec.len()).map(|_| 0.2 * rng.unit()).collect())
                        }
                    }
                })
                .collect()
        })
        .collect();
    Model::new(graph, &params, vec![]).unwrap()
}

/// A quantized graph with every operator and dtype that the engine has: `num_feat` features, x`upscale`.
pub fn quantized_graph(num_feat: u16, upscale: u8, filter: Filter) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let i8 = |scale, zero_point| DType::I8 { scale, zero_point };
    let i16 = |scale| DType::I16 { scale };
    let n = num_feat;
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("conv_first", conv(3, n, 3, None), &[0], i16(0.0003));
    let q = g.push("q0", Op::Convert, &[first], i8(0.02, 7));
    let a = g.push("conv1", conv(n, n, 5, Some(Activation::Relu)), &[q], i8(0.01, -128));
    let b = g.push("conv2", conv(n, n, 1, None), &[a], i16(0.0004));
    let sum = g.push("add", Op::Add { res_scale: 0.5 }, &[first, b], i16(0.0005));
    let q = g.push("q1", Op::Convert, &[sum], i8(0.03, -3));
    let q = g.push("gelu", Op::Activation(Activation::Gelu), &[q], i8(0.02, -100));
    let f = g.push("to_float", Op::Convert, &[q], DType::F32);
    let f = g.push("conv_float", conv(n, n, 3, Some(Activation::LeakyRelu { slope: 0.1 })), &[f], DType::F32);
    let q = g.push("q2", Op::Convert, &[f], i8(0.05, 1));
    let r2 = u16::from(upscale) * u16::from(upscale);
    let last = g.push("conv_last", conv(n, 3 * r2, 3, None), &[q], i16(0.0006));
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[last], i16(0.0006));
    let base = g.push("base", Op::Resize { upscale, filter }, &[0], i16(1.0 / (255.0 * 64.0)));
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], DType::PIXEL);
    g
}

/// A quantized graph whose convolutions read 16 bits wherever that is possible: plain, with the sums that are
/// done along with them, and before a pixel shuffle.
pub fn i16_graph(num_feat: u16, upscale: u8) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let i16 = |scale| DType::I16 { scale };
    let n = num_feat;
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("conv_first", conv(3, n, 3, None), &[0], i16(0.0003));
    let a = g.push("conv1", conv(n, n, 5, Some(Activation::Relu)), &[first], i16(0.0004));
    let b = g.push("conv2", conv(n, n, 3, None), &[a], i16(0.00047));
    let sum = g.push("add", Op::Add { res_scale: 0.5 }, &[first, b], i16(0.0005));
    let q = g.push("q", Op::Convert, &[sum], DType::I8 { scale: 0.04, zero_point: -3 });
    let c = g.push("conv3", conv(n, n, 1, None), &[q], i16(0.0006));
    let d = g.push(
        "conv4",
        conv(n, n, 3, Some(Activation::Relu)),
        &[c],
        DType::I8 { scale: 0.06, zero_point: -128 },
    );
    let e = g.push("conv5", conv(n, n, 1, None), &[d], i16(0.0007));
    let sum = g.push("add2", Op::Add { res_scale: 1.0 }, &[e, sum], i16(0.0007));
    let r2 = u16::from(upscale) * u16::from(upscale);
    let last = g.push("conv_last", conv(n, 3 * r2, 3, None), &[sum], i16(0.0006));
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[last], i16(0.0006));
    let base =
        g.push("base", Op::Resize { upscale, filter: Filter::Bilinear }, &[0], i16(1.0 / (255.0 * 64.0)));
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], DType::PIXEL);
    g
}

/// A quantized graph whose convolutions have fewer channels than a vector has lanes.
pub fn narrow_graph(num_feat: u16) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let i8 = |scale, zero_point| DType::I8 { scale, zero_point };
    let n = num_feat;
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("conv_first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    let x = g.push("to_four", conv(n, 4, 5, None), &[x], i8(0.03, -3));
    let x = g.push("to_two", conv(4, 2, 3, Some(Activation::Relu)), &[x], i8(0.02, -128));
    let x = g.push("from_two", conv(2, n, 3, Some(Activation::Relu)), &[x], i8(0.01, -128));
    let x = g.push("to_one", conv(n, 1, 9, None), &[x], i8(0.03, 0));
    let x = g.push("from_one", conv(1, n, 1, None), &[x], i8(0.01, 0));
    g.push("conv_last", conv(n, 3, 3, None), &[x], DType::PIXEL);
    g
}

/// A quantized network x4 that shuffles twice before its last convolution, as EDSR-light does.
pub fn shuffled_graph(num_feat: u16) -> Graph {
    let conv = |from, to, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation })
    };
    let n = num_feat;
    let (sum, byte) = (DType::I16 { scale: 0.0013 }, DType::I8 { scale: 0.03, zero_point: -9 });
    let mut g = Graph::new(3, DType::PIXEL);
    let x = g.push("conv_first", conv(3, n, None), &[0], DType::I8 { scale: 0.02, zero_point: 7 });
    let x = g.push("upsample.0", conv(n, 4 * n, None), &[x], sum);
    let x = g.push("upsample.1", Op::PixelShuffle { upscale: 2 }, &[x], sum);
    let x = g.push("quantize", Op::Convert, &[x], byte);
    let x = g.push("upsample.2", conv(n, 4 * n, Some(Activation::Relu)), &[x], byte);
    let x = g.push("upsample.3", Op::PixelShuffle { upscale: 2 }, &[x], byte);
    g.push("conv_last", conv(n, 3, None), &[x], DType::PIXEL);
    g
}

/// A network of one channel, as models of the luma have it: an interpolated image and a correction.
pub fn grey_graph(num_feat: u16, upscale: u8, quantized: bool) -> Graph {
    let conv = |from, to, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let r = u16::from(upscale);
    let unit = 255.0 * f32::from(4 * r * r);
    let i16 = dtype(DType::I16 { scale: 1.0 / unit });
    let mut g = Graph::new(1, dtype(DType::PIXEL));
    let narrow = dtype(DType::I8 { scale: 0.02, zero_point: -128 });
    let x = g.push("conv_first", conv(1, num_feat, Some(Activation::Relu)), &[0], narrow);
    let x = g.push("conv_last", conv(num_feat, r * r, None), &[x], i16);
    let x = g.push("shuffle", Op::PixelShuffle { upscale }, &[x], i16);
    let base = g.push("base", Op::Resize { upscale, filter: Filter::Bilinear }, &[0], i16);
    g.push("image_add", Op::Add { res_scale: 1.0 }, &[base, x], dtype(DType::PIXEL));
    g
}

/// A network x2 with PReLUs, as FSRCNN has them: on floats, or between all pairs of quantized types.
pub fn prelu_graph(num_feat: u16, quantized: bool) -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i8 = |scale, zero_point| dtype(DType::I8 { scale, zero_point });
    let i16 = |scale| dtype(DType::I16 { scale });
    let n = num_feat;
    let mut g = Graph::new(3, dtype(DType::PIXEL));
    let x = g.push("feature", conv(3, n, 5), &[0], i8(0.02, 7));
    let x = g.push("feature.prelu", Op::PRelu, &[x], i8(0.013, -20));
    let x = g.push("map", conv(n, n, 3), &[x], i8(0.03, -3));
    let x = g.push("map.prelu", Op::PRelu, &[x], i16(0.0007));
    let x = g.push("expand", conv(n, n, 1), &[x], i16(0.0013));
    let x = g.push("expand.prelu", Op::PRelu, &[x], i16(0.0011));
    let x = g.push("narrow.prelu", Op::PRelu, &[x], i8(0.02, 3));
    let x = g.push("upsample", conv(n, 12, 3), &[x], dtype(DType::PIXEL));
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], dtype(DType::PIXEL));
    g
}

/// A network x2 with an attention on every pixel, as SPAN has it, and the activations of the networks around: on floats, or
/// between all pairs of quantized types.
pub fn attention_graph(num_feat: u16, quantized: bool) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let act = Op::Activation;
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i8 = |scale, zero_point| dtype(DType::I8 { scale, zero_point });
    let i16 = |scale| dtype(DType::I16 { scale });
    let n = num_feat;
    let mut g = Graph::new(3, dtype(DType::PIXEL));
    let first = g.push("conv_first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    let x = g.push("silu", act(Activation::Silu), &[first], i8(0.013, -100));
    let x = g.push("conv1", conv(n, n, 3, None), &[x], i16(0.0003));
    let sum = g.push("add", Op::Add { res_scale: 1.0 }, &[x, first], i16(0.0005));
    let gate = g.push("sigmoid", act(Activation::Sigmoid), &[first], i16(0.00004));
    let gate = g.push("shift", Op::Affine, &[gate], i16(0.00003));
    let x = g.push("mul", Op::Mul, &[sum, gate], i16(0.0002));
    let y = g.push("hard_swish", act(Activation::HardSwish { alpha: 0.2, beta: 0.4 }), &[x], i8(0.01, -90));
    let y = g.push("mul1", Op::Mul, &[y, first], i8(0.02, 3));
    let float = Some(Activation::Silu).filter(|_| !quantized);
    let y = g.push("conv2", conv(n, n, 1, float), &[y], i8(0.02, -3));
    let y = g.push("tanh", act(Activation::Tanh), &[y], i8(1.0 / 127.0, 0));
    let gate =
        g.push("hard_sigmoid", act(Activation::HardSigmoid { alpha: 0.21, beta: 0.5 }), &[x], i16(0.0001));
    let y = g.push("mul2", Op::Mul, &[gate, y], i8(0.006, -9));
    let y = g.push("mul3", Op::Mul, &[y, x], i8(0.004, 11));
    let x = g.push("upsample", conv(n, 12, 3, None), &[y], dtype(DType::PIXEL));
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], dtype(DType::PIXEL));
    g
}

/// A network x2 in which a branch is pooled, as RLFN's attention is, and another looks at the whole image: in three levels.
pub fn pooled_graph(num_feat: u16, quantized: bool) -> Graph {
    let conv = |from, to, kernel, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation })
    };
    let dtype = |dtype| if quantized { dtype } else { DType::F32 };
    let i8 = |scale, zero_point| dtype(DType::I8 { scale, zero_point });
    let n = num_feat;
    let mut g = Graph::new(3, dtype(DType::PIXEL));
    let mut x = g.push("first", conv(3, n, 3, None), &[0], i8(0.02, 7));
    for i in 0..2 {
        let name = |part: &str| format!("{i}.{part}");
        let small = g.push(name("squeeze"), conv(n, 6, 1, None), &[x], i8(0.03, -3));
        // A convolution with stride 2 and without padding, then windows of 7 with stride 3.
        let y = g.push(name("conv"), conv(6, 6, 3, None), &[small], i8(0.02, 9));
        let half = Pool { window: 1, stride: 2, before: -1, after: -1 };
        let y = g.push(name("half"), Op::MaxPool(half), &[y], i8(0.02, 9));
        let third = Pool { window: 7, stride: 3, before: 0, after: 0 };
        let y = g.push(name("third"), Op::MaxPool(third), &[y], i8(0.02, 9));
        let y = g.push(name("low.0"), conv(6, 6, 3, Some(Activation::Relu)), &[y], i8(0.01, -128));
        let z = g.push(name("low.1"), conv(6, 6, 3, None), &[y], i8(0.02, 1));
        let y = g.push(name("low.add"), Op::Add { res_scale: 1.0 }, &[y, z], i8(0.02, -9));
        let bilinear = Op::Interpolate { filter: Filter::Bilinear };
        let y = g.push(name("up"), bilinear, &[y, small], i8(0.015, -4));
        let y = g.push(name("sum"), Op::Add { res_scale: 1.0 }, &[y, small], i8(0.0317, 1));
        let y = g.push(name("expand"), conv(6, n, 3, None), &[y], i8(0.02, 2));
        let statistic = if i == 0 { Statistic::Mean } else { Statistic::Deviation };
        let z = g.push(name("pool"), Op::GlobalPool { statistic }, &[y], DType::F32);
        let z = g.push(name("fc"), conv(n, n, 1, Some(Activation::Relu)), &[z], DType::F32);
        let nearest = Op::Interpolate { filter: Filter::Nearest };
        let z = g.push(name("spread"), nearest, &[z, y], i8(0.02, 0));
        x = g.push(name("add"), Op::Add { res_scale: 0.7 }, &[y, z], i8(0.0413, 3));
    }
    let x = g.push("upsample", conv(n, 12, 3, None), &[x], dtype(DType::PIXEL));
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], dtype(DType::PIXEL));
    g
}

/// A quantized SwinIR x2 with a plain and a shifted layer, `num_heads` heads of `head` channels.
pub fn quantized_swinir(num_heads: u16, head: u16, window_size: u8) -> Graph {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let i8 = |scale, zero_point| DType::I8 { scale, zero_point };
    let i16 = |scale| DType::I16 { scale };
    let norm = Op::LayerNorm { eps: 1e-5 };
    let n = num_heads * head;
    let mut g = Graph::new(3, DType::PIXEL);
    let first = g.push("conv_first", conv(3, n, 3), &[0], i16(0.0003));
    let mut x = g.push("patch_embed.norm", norm, &[first], i16(0.0002));
    for (i, shift) in [0, window_size / 2].into_iter().enumerate() {
        let name = |part: &str| format!("blocks.{i}.{part}");
        let y = g.push(name("norm1"), norm, &[x], i8(0.01, 3));
        let y = g.push(name("qkv"), conv(n, 3 * n, 1), &[y], i8(0.015, -9));
        let attention = Op::WindowAttention { num_heads, window_size, shift };
        let y = g.push(name("attn"), attention, &[y], i8(0.006, 5));
        let y = g.push(name("proj"), conv(n, n, 1), &[y], i16(0.0003));
        x = g.push(name("add1"), Op::Add { res_scale: 1.0 }, &[x, y], i16(0.0003));
        let y = g.push(name("norm2"), norm, &[x], i8(0.01, -5));
        let y = g.push(name("fc1"), conv(n, 2 * n, 1), &[y], i8(0.02, 11));
        let y = g.push(name("gelu"), Op::Activation(Activation::Gelu), &[y], i8(0.015, -115));
        let y = g.push(name("fc2"), conv(2 * n, n, 1), &[y], i16(0.0004));
        x = g.push(name("add2"), Op::Add { res_scale: 1.0 }, &[x, y], i16(0.0005));
    }
    let y = g.push("norm", norm, &[x], i8(0.02, 0));
    let y = g.push("conv_after_body", conv(n, n, 3), &[y], i16(0.0004));
    let y = g.push("body_add", Op::Add { res_scale: 1.0 }, &[y, first], i8(0.03, 1));
    let y = g.push("upsample.0", conv(n, 12, 3), &[y], DType::PIXEL);
    g.push("upsample.1", Op::PixelShuffle { upscale: 2 }, &[y], DType::PIXEL);
    g
}

/// Real values of edge `id` for a whole image, `[H, W, C]`, after rounding to the edge's dtype, from those of
/// the edges before it (or of the pixels, for the input).
pub fn reference_edge(
    model: &Model,
    id: NodeId,
    edges: &[Vec<f64>],
    pixels: &[u8],
    width: usize,
    height: usize,
) -> Vec<f64> {
    let node = model.graph().node(id);
    let shape = model.shape(id);
    let sizes = model.sizes(height, width).expect("the image is large enough");
    let ([h, w], c) = (sizes[usize::from(id)], usize::from(shape.channels));
    let [in_h, in_w] = node.inputs.first().map_or([0, 0], |&i| sizes[usize::from(i)]);
    let input = |k: usize| &edges[usize::from(node.inputs[k])];
    let in_c = node.inputs.first().map_or(0, |&i| usize::from(model.shape(i).channels));
    let mut out = vec![0.0; w * h * c];
    let each = |out: &mut Vec<f64>, f: &dyn Fn(usize, usize, usize) -> f64| {
        for (i, o) in out.iter_mut().enumerate() {
            *o = f(i / c / w, i / c % w, i % c);
        }
    };
    match node.op {
        Op::Input { .. } => out = pixels.iter().map(|&p| f64::from(p) / 255.0).collect(),
        Op::Conv2d(conv) => {
            let k = usize::from(conv.kernel);
            let input_dtype = model.graph().node(node.inputs[0]).dtype;
            let (weights, bias): (Vec<f64>, Vec<f64>) = match input_dtype {
                DType::F32 => (
                    model.f32s(id, Role::Weight).iter().map(|&x| f64::from(x)).collect(),
                    model.f32s(id, Role::Bias).iter().map(|&x| f64::from(x)).collect(),
                ),
                _ => {
                    let unit = f64::from(crate::program::scale_of(input_dtype));
                    let scales = model.f32s(id, Role::WeightScale);
                    let depth = k * k * in_c;
                    let weights = model.i8s(id, Role::Weight).iter().enumerate();
                    let bias = model.i32s(id, Role::Bias);
                    (
                        weights.map(|(i, &q)| f64::from(q) * f64::from(scales[i / depth])).collect(),
                        bias.iter().zip(&scales).map(|(&b, &s)| f64::from(b) * unit * f64::from(s)).collect(),
                    )
                }
            };
            let x = input(0);
            each(&mut out, &|y, xx, n| {
                let mut sum = bias[n];
                for (t, taps) in weights[n * k * k * in_c..(n + 1) * k * k * in_c].chunks(in_c).enumerate() {
                    let (sy, sx) = ((y + t / k).checked_sub(k / 2), (xx + t % k).checked_sub(k / 2));
                    if let (Some(sy), Some(sx)) = (sy, sx)
                        && sy < h
                        && sx < w
                    {
                        let at = (sy * w + sx) * in_c;
                        sum += taps.iter().zip(&x[at..at + in_c]).map(|(w, v)| w * v).sum::<f64>();
                    }
                }
                activate(conv.activation, sum)
            });
        }
        Op::Add { res_scale } => {
            let (a, b) = (input(0), input(1));
            out = a.iter().zip(b).map(|(a, b)| a + f64::from(res_scale) * b).collect();
        }
        Op::Mul => out = input(0).iter().zip(input(1)).map(|(a, b)| a * b).collect(),
        Op::Affine => {
            let (s, b) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
            let x = input(0);
            each(&mut out, &|y, xx, n| x[(y * w + xx) * c + n] * f64::from(s[n]) + f64::from(b[n]));
        }
        Op::Activation(a) => out = input(0).iter().map(|&x| activate(Some(a), x)).collect(),
        Op::Convert => out = input(0).clone(),
        Op::PRelu => {
            let (slopes, x) = (model.f32s(id, Role::Weight), input(0));
            each(&mut out, &|y, xx, n| {
                let x = x[(y * w + xx) * c + n];
                if x > 0.0 { x } else { x * f64::from(slopes[n]) }
            });
        }
        Op::PixelShuffle { upscale } => {
            let (r, x) = (usize::from(upscale), input(0));
            each(&mut out, &|y, xx, n| {
                x[((y / r) * (w / r) + xx / r) * in_c + n * r * r + (y % r) * r + xx % r]
            });
        }
        Op::Resize { upscale, filter } => {
            let (r, x) = (usize::from(upscale), input(0));
            each(&mut out, &|y, xx, n| {
                let mut sum = 0.0;
                for (sy, wy) in taps(filter, r, y, h / r) {
                    for (sx, wx) in taps(filter, r, xx, w / r) {
                        sum += wy * wx * x[(sy * (w / r) + sx) * c + n];
                    }
                }
                sum
            });
        }
        Op::LayerNorm { eps } => {
            let (weight, bias) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
            for (x, out) in input(0).chunks(c).zip(out.chunks_mut(c)) {
                let mean = x.iter().sum::<f64>() / c as f64;
                let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / c as f64;
                for (n, o) in out.iter_mut().enumerate() {
                    let normal = (x[n] - mean) / libm::sqrt(variance + f64::from(eps));
                    *o = normal * f64::from(weight[n]) + f64::from(bias[n]);
                }
            }
        }
        Op::MaxPool(pool) => {
            let x = input(0);
            let window = |at: usize, size: usize| {
                let start = (at * usize::from(pool.stride)) as i64 - i64::from(pool.before);
                (start..start + i64::from(pool.window)).filter(move |&i| i >= 0 && i < size as i64)
            };
            each(&mut out, &|y, xx, n| {
                let values = window(y, in_h).flat_map(|y| window(xx, in_w).map(move |x| (y, x)));
                values.map(|(y, at)| x[(y as usize * in_w + at as usize) * c + n]).fold(f64::MIN, f64::max)
            });
        }
        Op::GlobalPool { statistic } => {
            let (x, pixels) = (input(0), (in_h * in_w) as f64);
            each(&mut out, &|_, _, n| {
                let values = || x.iter().skip(n).step_by(c);
                let mean = values().sum::<f64>() / pixels;
                match statistic {
                    Statistic::Mean => mean,
                    Statistic::Deviation => {
                        libm::sqrt(values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / pixels)
                    }
                }
            });
        }
        Op::Interpolate { filter } => {
            let x = input(0);
            let taps = |at: usize, from: usize, to: usize| {
                let centre =
                    ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, from as f64 - 1.0);
                let first = libm::floor(centre) as usize;
                match filter {
                    Filter::Nearest => [(at * from / to, 1.0), (0, 0.0)],
                    _ => [
                        (first, 1.0 - (centre - first as f64)),
                        ((first + 1).min(from - 1), centre - first as f64),
                    ],
                }
            };
            each(&mut out, &|y, xx, n| {
                let rows = taps(y, in_h, h);
                let pairs = rows.iter().flat_map(|a| taps(xx, in_w, w).map(|b| (*a, b)));
                pairs.map(|((y, v), (at, u))| v * u * x[(y * in_w + at) * c + n]).sum()
            });
        }
        Op::WindowAttention { num_heads, window_size, shift } => {
            // As the published code does it: roll, cut into windows, mask, roll back.
            let (heads, ws, shift) = (usize::from(num_heads), usize::from(window_size), usize::from(shift));
            let (x, table) = (input(0), model.f32s(id, Role::PositionBias));
            let d = c / heads;
            let region = |at: usize, size: usize| match at {
                _ if shift == 0 => 0,
                _ if at < size - ws => 0,
                _ if at < size - shift => 1,
                _ => 2,
            };
            each(&mut out, &|y, xx, n| {
                let head = n / d;
                let (ry, rx) = ((y + h - shift) % h, (xx + w - shift) % w);
                let at =
                    |ry: usize, rx: usize| (((ry + shift) % h) * w + (rx + shift) % w) * 3 * c + head * d;
                let (wy, wx) = (ry / ws * ws, rx / ws * ws);
                let mut scores = vec![];
                for (ky, kx) in (wy..wy + ws).flat_map(|ky| (wx..wx + ws).map(move |kx| (ky, kx))) {
                    let (q, k) = (&x[at(ry, rx)..], &x[at(ky, kx) + c..]);
                    let dot: f64 = (0..d).map(|i| q[i] * k[i]).sum();
                    let index = (ry + ws - 1 - ky) * (2 * ws - 1) + (rx + ws - 1 - kx);
                    let masked = region(ry, h) != region(ky, h) || region(rx, w) != region(kx, w);
                    let bias = f64::from(table[index * heads + head]);
                    let mask = if masked { -100.0 } else { 0.0 };
                    scores.push((dot / libm::sqrt(d as f64) + bias + mask, x[at(ky, kx) + 2 * c + n % d]));
                }
                let largest = scores.iter().fold(f64::MIN, |m, s| m.max(s.0));
                let total: f64 = scores.iter().map(|s| libm::exp(s.0 - largest)).sum();
                scores.iter().map(|s| libm::exp(s.0 - largest) / total * s.1).sum()
            });
        }
    }
    out.iter().map(|&x| round_to(node.dtype, x)).collect()
}

fn activate(activation: Option<Activation>, x: f64) -> f64 {
    match activation {
        None => x,
        Some(Activation::Relu) => x.max(0.0),
        Some(Activation::LeakyRelu { slope }) => {
            if x > 0.0 {
                x
            } else {
                x * f64::from(slope)
            }
        }
        Some(Activation::Tanh) => libm::tanh(x),
        Some(Activation::Sigmoid) => 1.0 / (1.0 + libm::exp(-x)),
        Some(Activation::Silu) => x / (1.0 + libm::exp(-x)),
        Some(Activation::HardSigmoid { alpha, beta }) => hard_sigmoid(x, alpha, beta),
        Some(Activation::HardSwish { alpha, beta }) => x * hard_sigmoid(x, alpha, beta),
        Some(Activation::Gelu) => 0.5 * x * (1.0 + libm::erf(x * core::f64::consts::FRAC_1_SQRT_2)),
    }
}

fn hard_sigmoid(x: f64, alpha: f32, beta: f32) -> f64 {
    (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0)
}

fn taps(filter: Filter, r: usize, at: usize, size: usize) -> Vec<(usize, f64)> {
    let centre = (at as f64 + 0.5) / r as f64 - 0.5;
    let weight = |d: f64| {
        let d = d.abs();
        match filter {
            Filter::Nearest => f64::from(d <= 0.5),
            Filter::Bilinear => (1.0 - d).max(0.0),
            Filter::Bicubic if d <= 1.0 => (1.5 * d - 2.5) * d * d + 1.0,
            Filter::Bicubic if d < 2.0 => ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0,
            Filter::SharpBicubic if d <= 1.0 => (1.25 * d - 2.25) * d * d + 1.0,
            Filter::SharpBicubic if d < 2.0 => ((-0.75 * d + 3.75) * d - 6.0) * d + 3.0,
            Filter::Bicubic | Filter::SharpBicubic => 0.0,
        }
    };
    let first = libm::floor(centre) as isize - 1;
    (first..first + 4)
        .map(|s| (s.clamp(0, size as isize - 1) as usize, weight(centre - s as f64)))
        .filter(|&(_, w)| w != 0.0)
        .collect()
}

fn round_to(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::F32 => x,
        DType::I16 { scale } => {
            (libm::rint(x / f64::from(scale))).clamp(-32767.0, 32767.0) * f64::from(scale)
        }
        DType::I8 { scale, zero_point } => {
            let zero = f64::from(zero_point);
            ((libm::rint(x / f64::from(scale)) + zero).clamp(-128.0, 127.0) - zero) * f64::from(scale)
        }
    }
}

/// Names of cases for messages.
pub fn label(parts: &[(&str, usize)]) -> alloc::string::String {
    parts.iter().map(|(k, v)| format!("{k}={v} ")).collect()
}
