//! A model computed by its definition, in f64, and NumPy's files.

use mcir_runtime::model::{Activation, Filter, Graph, Model, NodeId, Op, PadMode, Role, Statistic};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::path::Path;

/// A tensor of NumPy.
pub struct Npy {
    dims: Vec<usize>,
    values: Vec<f64>,
    /// Whether it is made of bytes.
    #[allow(dead_code)]
    pub bytes: bool,
}

/// An image, `[C, H, W]`.
#[derive(Debug, Clone)]
pub struct Planes {
    pub dims: [usize; 3],
    pub values: Vec<f64>,
}

impl Planes {
    fn largest(&self) -> f64 {
        self.values.iter().fold(0.0f64, |m, v| m.max(v.abs()))
    }

    /// How another differs, if by more than so much.
    pub fn differs(&self, other: &Self, most: f64) -> Option<String> {
        if self.dims != other.dims {
            return Some(format!("sizes {:?} for {:?}", self.dims, other.dims));
        }
        let worst = self.values.iter().zip(&other.values).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        (worst.is_nan() || worst > most).then(|| format!("off by {worst:e}"))
    }

    #[allow(dead_code)]
    pub fn scaled(&self, by: f32) -> Self {
        Self { dims: self.dims, values: self.values.iter().map(|v| v * f64::from(by)).collect() }
    }

    /// Without so many pixels on every side.
    pub fn cropped(&self, by: usize) -> Self {
        let [c, h, w] = self.dims;
        let at = |at: usize| (at + by) as i64;
        Self::make([c, h - 2 * by, w - 2 * by], |c, y, x| self.at(c, at(y), at(x)))
    }

    fn at(&self, c: usize, y: i64, x: i64) -> f64 {
        let [_, h, w] = self.dims;
        let inside = (0..h as i64).contains(&y) && (0..w as i64).contains(&x);
        if inside { self.values[(c * h + y as usize) * w + x as usize] } else { 0.0 }
    }

    /// The nearest pixel of the image.
    fn clamped(&self, c: usize, y: i64, x: i64) -> f64 {
        let [_, h, w] = self.dims;
        self.at(c, y.clamp(0, h as i64 - 1), x.clamp(0, w as i64 - 1))
    }

    fn make(dims: [usize; 3], value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let [c, h, w] = dims;
        let places = (0..c).flat_map(|c| (0..h).flat_map(move |y| (0..w).map(move |x| (c, y, x))));
        Self { dims, values: places.map(|(c, y, x)| value(c, y, x)).collect() }
    }
}

/// Reads a file of format version 1 or 2: little-endian f32 or bytes.
pub fn npy(path: &Path) -> Npy {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..10 + length]).into_owned();
    let body = &bytes[10 + length..];
    let shape = header.split("'shape': (").nth(1).and_then(|s| s.split(')').next()).expect("a shape");
    let dims = shape.split(',').filter_map(|d| d.trim().parse().ok()).collect();
    let values = if header.contains("<f4") {
        body.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()
    } else {
        assert!(header.contains("u1"), "{header}");
        body.iter().map(|b| f64::from(*b)).collect()
    };
    Npy { dims, values, bytes: header.contains("u1") }
}

impl Npy {
    /// One image, from either order of axes.
    pub fn channels_first(self) -> Planes {
        let dims: Vec<usize> = match self.dims[..] {
            [1, a, b, c] | [a, b, c] => vec![a, b, c],
            ref other => panic!("{other:?}"),
        };
        if matches!(dims[0], 1 | 3) {
            return Planes { dims: [dims[0], dims[1], dims[2]], values: self.values };
        }
        let [h, w, c] = [dims[0], dims[1], dims[2]];
        Planes::make([c, h, w], |ch, y, x| self.values[(y * w + x) * c + ch])
    }
}

/// Whether a model makes of an input what a framework made of it, to a part of the largest value; `pair` is a path without
/// `_in.npy` and `_out.npy`.
#[allow(dead_code)]
pub fn same(model: &Model, pair: &Path, range: f32, tolerance: f64) -> Result<(), String> {
    let load = |end: &str| npy(Path::new(&format!("{}_{end}.npy", pair.display())));
    let (x, expected) = (load("in"), load("out"));
    // Where the network rounds, so does the engine, but later.
    let rounding = if expected.bytes { 0.501 } else { 0.0 };
    let (x, expected) = (x.channels_first(), expected.channels_first());
    let x = x.scaled(1.0 / range);
    // A network of unpadded convolutions gives less of the image: what it makes of one that has its margin already.
    let margin = usize::from(model.graph().margin) * usize::from(model.upscale());
    let less = (x.dims[1] * usize::from(model.upscale())).saturating_sub(expected.dims[1]);
    let found = match less > 0 && less == 2 * margin {
        true => run(&without_margin(model), &x)?.cropped(margin),
        false => run(model, &x)?,
    };
    let found = found.scaled(range);
    let size = expected.largest().max(f64::from(range));
    found.differs(&expected, (tolerance * size).max(rounding)).map_or(Ok(()), |why| {
        Err(format!("{}: {why} of {size}", pair.file_name().unwrap_or_default().to_string_lossy()))
    })
}

/// The same network for images that have its margin already.
pub fn without_margin(model: &Model) -> Model {
    let params: Vec<_> = (0..model.graph().nodes.len() as NodeId).map(|id| model.params(id)).collect();
    let graph = Graph { margin: 0, ..model.graph().clone() };
    Model::new(graph, &params, Vec::new()).expect("nothing else depends on it")
}

/// What the engine makes of an image, the same bits whatever number of rows it takes at a time.
pub fn run(model: &Model, x: &Planes) -> Result<Planes, String> {
    let ([channels, height, width], r) = (x.dims, usize::from(model.upscale()));
    let place = |y: usize, x_: usize, c: usize| x.at(c, y as i64, x_ as i64) as f32;
    let places =
        (0..height).flat_map(|y| (0..width).flat_map(move |x| (0..channels).map(move |c| (y, x, c))));
    let image: Vec<f32> = places.map(|(y, x, c)| place(y, x, c)).collect();
    let out = |options: PlanOptions| {
        let plan = Plan::new(model, width, &options).map_err(|e| e.to_string())?;
        let mut out = vec![0.0; height * r * plan.out_row_bytes()];
        plan.run_image_f32(&mut plan.workspace(), &image, height, &mut out).map_err(|e| e.to_string())?;
        Ok::<Vec<f32>, String>(out)
    };
    let [found, by_row] = [out(PlanOptions::default())?, out(PlanOptions::default().band(1))?];
    if found.iter().zip(&by_row).any(|(a, b)| a.to_bits() != b.to_bits()) {
        return Err("other bits row by row".into());
    }
    let c = model.out_channels();
    let at = |ch: usize, y: usize, x: usize| f64::from(found[(y * width * r + x) * c + ch]);
    Ok(Planes::make([c, height * r, width * r], at))
}

/// Whether a model computes this, to a part of the largest value.
#[allow(dead_code)]
pub fn near(model: &Model, x: &Planes, expected: &Planes, tolerance: f64) -> Result<(), String> {
    evaluate(model, x).differs(expected, tolerance * expected.largest().max(1.0)).map_or(Ok(()), Err)
}

/// Whether the engine makes of an image the pixels that a framework made of it, to one level.
#[allow(dead_code)]
pub fn same_pixels(model: &Model, x: &Path, expected: &Path) -> Result<(), String> {
    let (x, expected) = (npy(x).channels_first(), npy(expected).channels_first());
    let [channels, height, width] = x.dims;
    let pixel = |planes: &Planes, c: usize, at: usize| {
        let [_, h, w] = planes.dims;
        (planes.values[c * h * w + at] * 255.0).round().clamp(0.0, 255.0) as u8
    };
    let image = |planes: &Planes| -> Vec<u8> {
        let area = planes.dims[1] * planes.dims[2];
        (0..area).flat_map(|at| (0..channels).map(move |c| pixel(planes, c, at))).collect()
    };
    let plan = Plan::new(model, width, &PlanOptions::default()).map_err(|e| e.to_string())?;
    let wanted = image(&expected);
    let mut found = vec![0; wanted.len()];
    plan.run_image(&mut plan.workspace(), &image(&x), height, &mut found).map_err(|e| e.to_string())?;
    let worst = found.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max();
    if worst > Some(1) { Err(format!("off by {worst:?} levels")) } else { Ok(()) }
}

/// The output for an input in 0..1. With a margin the image is extended by it, then to a multiple, and the output cropped.
pub fn evaluate(model: &Model, x: &Planes) -> Planes {
    let graph = model.graph();
    let (margin, upscale) = (usize::from(graph.margin), usize::from(model.upscale()));
    let [c, h, w] = x.dims;
    let near = |at: usize| at as i64 - margin as i64;
    let extended =
        Planes::make([c, h + 2 * margin, w + 2 * margin], |c, y, x_| x.clamped(c, near(y), near(x_)));
    let [_, tall, wide] = extended.dims;
    let place = |at: usize, size: usize| match (at < size, graph.pad_mode) {
        (true, _) => Some(at),
        (false, PadMode::Zero) => None,
        (false, PadMode::Edge) => Some(size - 1),
        // These images are larger than what they are extended by.
        (false, PadMode::Reflect) => Some(2 * (size - 1) - at),
    };
    let whole =
        Planes::make([c, graph.seen(h), graph.seen(w)], |c, y, x| match (place(y, tall), place(x, wide)) {
            (Some(y), Some(x)) => extended.at(c, y as i64, x as i64),
            _ => 0.0,
        });
    let y = inside(model, &whole);
    let first = (margin * upscale) as i64;
    let at = |at: usize| at as i64 + first;
    Planes::make([y.dims[0], h * upscale, w * upscale], |c, row, column| y.at(c, at(row), at(column)))
}

/// What the network makes of the extended image.
fn inside(model: &Model, x: &Planes) -> Planes {
    let mut edges: Vec<Planes> = Vec::new();
    for (id, node) in (0..).zip(&model.graph().nodes) {
        let input = |k: usize| &edges[usize::from(node.inputs[k])];
        let weights =
            |role: Role| model.f32s(id as NodeId, role).into_iter().map(f64::from).collect::<Vec<_>>();
        let dims = |k: usize| input(k).dims;
        let each = |f: &dyn Fn(usize, f64) -> f64| {
            Planes::make(dims(0), |c, y, x| f(c, input(0).at(c, y as i64, x as i64)))
        };
        let bent = |activation: Activation, v: f64| match activation {
            Activation::Relu => v.max(0.0),
            Activation::LeakyRelu { slope } => {
                if v > 0.0 {
                    v
                } else {
                    v * f64::from(slope)
                }
            }
            Activation::Tanh => v.tanh(),
            Activation::Sigmoid => 1.0 / (1.0 + (-v).exp()),
            Activation::Silu => v / (1.0 + (-v).exp()),
            Activation::HardSigmoid { alpha, beta } => hard_sigmoid(v, alpha, beta),
            Activation::HardSwish { alpha, beta } => v * hard_sigmoid(v, alpha, beta),
            Activation::Gelu => unreachable!("no network of these tests has it"),
        };
        let out = match node.op {
            Op::Input { .. } => x.clone(),
            Op::Conv2d(conv) => {
                let (w, b) = (weights(Role::Weight), weights(Role::Bias));
                let (k, from) = (usize::from(conv.kernel), usize::from(conv.in_channels));
                let [_, h, wide] = dims(0);
                Planes::make([conv.out_channels.into(), h, wide], |o, y, x| {
                    let mut sum = b[o];
                    for tap in 0..k * k {
                        let place = |at: usize, tap: usize| at as i64 + tap as i64 - (k / 2) as i64;
                        let (y, x) = (place(y, tap / k), place(x, tap % k));
                        for i in 0..from {
                            sum += w[(o * k * k + tap) * from + i] * input(0).at(i, y, x);
                        }
                    }
                    conv.activation.map_or(sum, |activation| bent(activation, sum))
                })
            }
            Op::Add { res_scale } => Planes::make(dims(0), |c, y, x| {
                let at = |k: usize| input(k).at(c, y as i64, x as i64);
                at(0) + f64::from(res_scale) * at(1)
            }),
            Op::Mul => Planes::make(dims(0), |c, y, x| {
                let at = |k: usize| input(k).at(c, y as i64, x as i64);
                at(0) * at(1)
            }),
            Op::Affine => {
                let (scale, shift) = (weights(Role::Weight), weights(Role::Bias));
                each(&|c, v| v * scale[c] + shift[c])
            }
            Op::PRelu => {
                let slopes = weights(Role::Weight);
                each(&|c, v| if v > 0.0 { v } else { v * slopes[c] })
            }
            Op::Activation(activation) => each(&|_, v| bent(activation, v)),
            Op::PixelShuffle { upscale } => {
                let (r, [c, h, w]) = (usize::from(upscale), dims(0));
                Planes::make([c / (r * r), h * r, w * r], |c, y, x| {
                    input(0).at(c * r * r + y % r * r + x % r, (y / r) as i64, (x / r) as i64)
                })
            }
            Op::Resize { upscale, filter } => {
                let (r, [c, h, w]) = (usize::from(upscale), dims(0));
                Planes::make([c, h * r, w * r], |c, y, x| {
                    let mut sum = 0.0;
                    for (dy, a) in taps(filter, y, r) {
                        sum += taps(filter, x, r)
                            .iter()
                            .map(|(dx, b)| a * b * input(0).clamped(c, dy, *dx))
                            .sum::<f64>();
                    }
                    sum
                })
            }
            Op::Reduce { factor, filter } => {
                let (f, [c, h, w]) = (usize::from(factor), dims(0));
                let around = |at: usize| match filter {
                    Filter::Nearest => vec![((at * f) as i64, 1.0)],
                    _ => taps_at(filter, (at as f64 + 0.5) * f as f64 - 0.5),
                };
                Planes::make([c, h / f, w / f], |c, y, x| {
                    let pairs =
                        around(y).into_iter().flat_map(|a| around(x).into_iter().map(move |b| (a, b)));
                    pairs.map(|((y, v), (x, u))| v * u * input(0).clamped(c, y, x)).sum()
                })
            }
            Op::MaxPool(pool) => {
                let [c, h, w] = dims(0);
                let size = |n: usize| pool.size(n).expect("large enough");
                let window = |at: usize, n: usize| {
                    let start = (at * usize::from(pool.stride)) as i64 - i64::from(pool.before);
                    (start..start + i64::from(pool.window)).filter(move |i| (0..n as i64).contains(i))
                };
                Planes::make([c, size(h), size(w)], |c, y, x| {
                    let places = window(y, h).flat_map(|y| window(x, w).map(move |x| (y, x)));
                    places.map(|(y, x)| input(0).at(c, y, x)).fold(f64::MIN, f64::max)
                })
            }
            Op::GlobalPool { statistic } => {
                let [c, h, w] = dims(0);
                let mean = |c: usize, f: &dyn Fn(f64) -> f64| {
                    let values = &input(0).values[c * h * w..(c + 1) * h * w];
                    values.iter().map(|v| f(*v)).sum::<f64>() / (h * w) as f64
                };
                Planes::make([c, 1, 1], |c, _, _| {
                    let centre = mean(c, &|v| v);
                    match statistic {
                        Statistic::Mean => centre,
                        Statistic::Deviation => mean(c, &|v| (v - centre).powi(2)).sqrt(),
                    }
                })
            }
            Op::Interpolate { filter } => {
                let ([c, h, w], [_, to_h, to_w]) = (dims(0), dims(1));
                let place = |at: usize, from: usize, to: usize| match filter {
                    Filter::Nearest => (at * from / to) as f64,
                    _ => ((at as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64),
                };
                Planes::make([c, to_h, to_w], |c, y, x| {
                    let (y, x) = (place(y, h, to_h), place(x, w, to_w));
                    let value =
                        |dy: i64, dx: i64| input(0).clamped(c, y.floor() as i64 + dy, x.floor() as i64 + dx);
                    let (v, u) = (y - y.floor(), x - x.floor());
                    let rows = [0, 1].map(|dy| value(dy, 0) * (1.0 - u) + value(dy, 1) * u);
                    rows[0] * (1.0 - v) + rows[1] * v
                })
            }
            Op::LayerNorm { eps } => {
                let (scale, shift) = (weights(Role::Weight), weights(Role::Bias));
                let channels = dims(0)[0];
                Planes::make(dims(0), |c, y, x| {
                    let at = |c: usize| input(0).at(c, y as i64, x as i64);
                    let mean = (0..channels).map(at).sum::<f64>() / channels as f64;
                    let variance =
                        (0..channels).map(|c| (at(c) - mean).powi(2)).sum::<f64>() / channels as f64;
                    (at(c) - mean) / (variance + f64::from(eps)).sqrt() * scale[c] + shift[c]
                })
            }
            Op::WindowAttention { .. } | Op::Convert => {
                unreachable!("no network of these tests has it")
            }
        };
        edges.push(out);
    }
    edges.pop().expect("an output")
}

fn hard_sigmoid(v: f64, alpha: f32, beta: f32) -> f64 {
    (f64::from(alpha) * v + f64::from(beta)).clamp(0.0, 1.0)
}

/// Pixels that an enlarged pixel is made of, with their weights.
fn taps(filter: Filter, at: usize, r: usize) -> Vec<(i64, f64)> {
    match filter {
        Filter::Nearest => vec![((at / r) as i64, 1.0)],
        _ => taps_at(filter, (at as f64 + 0.5) / r as f64 - 0.5),
    }
}

fn taps_at(filter: Filter, place: f64) -> Vec<(i64, f64)> {
    let first = place.floor();
    let near = |d: i64| first as i64 + d;
    match filter {
        Filter::Nearest => vec![(place.round() as i64, 1.0)],
        Filter::AlignedBilinear => unreachable!("no network of these tests has it"),
        Filter::Bilinear => vec![(near(0), 1.0 - (place - first)), (near(1), place - first)],
        Filter::Bicubic | Filter::SharpBicubic => (-1..=2)
            .map(|d| {
                let a = if filter == Filter::Bicubic { -0.5 } else { -0.75 };
                let x = (place - first - d as f64).abs();
                let w = if x <= 1.0 {
                    (a + 2.0) * x.powi(3) - (a + 3.0) * x * x + 1.0
                } else {
                    a * (x.powi(3) - 5.0 * x * x + 8.0 * x - 4.0)
                };
                (near(d), w)
            })
            .collect(),
    }
}
