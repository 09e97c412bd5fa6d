//! Fixtures for this crate's tests: random models, and a slow executor that works on whole images and shares
//! no code with the engine beyond the graph.

mod graphs;

use crate::model::{
    Activation, DType, Element, Filter, Graph, Model, NodeId, Op, Role, Statistic, TensorData,
};
use alloc::{format, vec, vec::Vec};
pub use graphs::*;

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
                for (sy, wy) in taps(filter, r, y, h / r, h) {
                    for (sx, wx) in taps(filter, r, xx, w / r, w) {
                        sum += wy * wx * x[(sy * (w / r) + sx) * c + n];
                    }
                }
                sum
            });
        }
        Op::Reduce { factor, filter } => {
            let (f, x) = (usize::from(factor), input(0));
            each(&mut out, &|y, xx, n| {
                let mut sum = 0.0;
                for (sy, wy) in reduced_taps(filter, f, y, in_h) {
                    for (sx, wx) in reduced_taps(filter, f, xx, in_w) {
                        sum += wy * wx * x[(sy * in_w + sx) * c + n];
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
                let centre = match filter {
                    Filter::AlignedBilinear => aligned(at, from, to),
                    _ => ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, from as f64 - 1.0),
                };
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

fn taps(filter: Filter, r: usize, at: usize, size: usize, to: usize) -> Vec<(usize, f64)> {
    match filter {
        Filter::AlignedBilinear => taps_at(Filter::Bilinear, aligned(at, size, to), size),
        _ => taps_at(filter, (at as f64 + 0.5) / r as f64 - 0.5, size),
    }
}

/// Where pixel `at` of `to` lies among `from`, if the first and the last ones lie on each other.
fn aligned(at: usize, from: usize, to: usize) -> f64 {
    if to == 1 { 0.0 } else { at as f64 * (from as f64 - 1.0) / (to as f64 - 1.0) }
}

fn reduced_taps(filter: Filter, factor: usize, at: usize, size: usize) -> Vec<(usize, f64)> {
    match filter {
        Filter::Nearest => vec![(at * factor, 1.0)],
        _ => taps_at(filter, (at as f64 + 0.5) * factor as f64 - 0.5, size),
    }
}

/// The pixels that one at `centre` is made of.
fn taps_at(filter: Filter, centre: f64, size: usize) -> Vec<(usize, f64)> {
    let weight = |d: f64| {
        let d = d.abs();
        match filter {
            Filter::Nearest => f64::from(d <= 0.5),
            Filter::Bilinear | Filter::AlignedBilinear => (1.0 - d).max(0.0),
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
