//! What there is to know about each operator without its weights: one entry each.

use crate::model::graph::{Activation, DType, Filter, Op, Pool};
use crate::model::params::{Element, MAX_PARAMS, ParamSpec, Role};
use crate::model::shape::EdgeShape;

/// Largest magnitude of a number that is a parameter of an operator.
const MAX_COEFFICIENT: f32 = 1e6;

/// Largest factor of a reduction.
const MAX_FACTOR: u8 = 8;

/// An operator's entry.
pub(crate) struct Facts {
    /// Short name for tables and messages.
    pub name: &'static str,
    /// Edges that it reads.
    pub arity: usize,
    /// Which input rows and columns it needs.
    pub look: Look,
    /// Its tensors, in file order; the first [`Facts::tensor_count`].
    pub tensors: [ParamSpec; MAX_PARAMS],
    pub tensor_count: usize,
    /// Multiply-accumulates for one value of the output, of which there are a channel's for each pixel.
    pub macs_per_value: u64,
    /// The parameter that is out of its range, if one is.
    pub bad_parameter: Option<&'static str>,
}

/// Which part of its input an operator needs for a pixel of its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Pixels up to `around` from the one it comes from; columns beyond the image are padding (`padded`) or repeated.
    Around { upscale: u8, around: u8, padded: bool },
    /// Of every so many pixels, as of a row in `factor`, `taps` from the one at `first` on; pixels beyond the image are
    /// repeated ones, or none.
    Reduced { factor: u8, first: i8, taps: u8 },
    /// All pixels of its window; the lines between windows are at `shift + k · window`.
    Window { window: u8, shift: u8 },
}

impl Look {
    /// Just the pixel in the same place.
    const HERE: Self = Self::Around { upscale: 1, around: 0, padded: false };
}

impl Facts {
    /// Of an operator that reads an edge of this type and shape first.
    pub fn of(op: &Op, input: Option<(DType, EdgeShape)>) -> Self {
        const NONE: ParamSpec = ParamSpec::new(Role::Weight, Element::F32, [0; 4]);
        let channels = input.map_or(0, |(_, shape)| usize::from(shape.channels));
        let vector = |role, n| ParamSpec::new(role, Element::F32, [n, 1, 1, 1]);
        let unless = |fine: bool, what| (!fine).then_some(what);
        let base = |name, arity| Self {
            name,
            arity,
            look: Look::HERE,
            tensors: [NONE; MAX_PARAMS],
            tensor_count: 0,
            macs_per_value: 0,
            bad_parameter: None,
        };
        // Weight and bias of each channel.
        let affine = |name| Self {
            tensors: [vector(Role::Weight, channels), vector(Role::Bias, channels), NONE],
            tensor_count: 2,
            ..base(name, 1)
        };
        match *op {
            Op::Input { .. } => base("Input", 0),
            Op::Conv2d(conv) => {
                let (out, kernel) = (usize::from(conv.out_channels), usize::from(conv.kernel));
                let dims = [out, kernel, kernel, usize::from(conv.in_channels)];
                let (tensors, tensor_count) = if input.is_some_and(|(dtype, _)| dtype.is_quantized()) {
                    let weight = ParamSpec::new(Role::Weight, Element::I8, dims);
                    let bias = ParamSpec::new(Role::Bias, Element::I32, [out, 1, 1, 1]);
                    ([weight, bias, vector(Role::WeightScale, out)], 3)
                } else {
                    let weight = ParamSpec::new(Role::Weight, Element::F32, dims);
                    ([weight, vector(Role::Bias, out), NONE], 2)
                };
                let fine = matches!(conv.kernel, 1 | 3 | 5 | 7 | 9);
                Self {
                    look: Look::Around { upscale: 1, around: conv.kernel / 2, padded: true },
                    tensors,
                    tensor_count,
                    macs_per_value: u64::from(conv.kernel).pow(2) * u64::from(conv.in_channels),
                    bad_parameter: unless(fine, "kernel").or(conv.activation.and_then(bad_activation)),
                    ..base("Conv2d", 1)
                }
            }
            Op::Add { res_scale } => Self {
                bad_parameter: unless(
                    res_scale.is_finite() && res_scale.abs() <= MAX_COEFFICIENT,
                    "res_scale",
                ),
                ..base("Add", 2)
            },
            Op::Affine => affine("Affine"),
            Op::Activation(activation) => {
                Self { bad_parameter: bad_activation(activation), ..base("Activation", 1) }
            }
            Op::LayerNorm { eps } => {
                Self { bad_parameter: unless(eps > 0.0 && eps < 1.0, "eps"), ..affine("LayerNorm") }
            }
            Op::WindowAttention { num_heads, window_size, shift } => {
                let side = 2 * usize::from(window_size).max(1) - 1;
                let dims = [side * side, usize::from(num_heads), 1, 1];
                let fine = (1..=16).contains(&window_size);
                Self {
                    look: Look::Window { window: window_size, shift },
                    tensors: [ParamSpec::new(Role::PositionBias, Element::F32, dims), NONE, NONE],
                    tensor_count: 1,
                    // Scores and weighted sum: two products over the window's pixels for each channel.
                    macs_per_value: 2 * u64::from(window_size).pow(2),
                    bad_parameter: unless(fine, "window_size").or(unless(shift < window_size, "shift")),
                    ..base("WindowAttention", 1)
                }
            }
            Op::PixelShuffle { upscale } => Self {
                look: Look::Around { upscale, around: 0, padded: false },
                bad_parameter: unless((2..=8).contains(&upscale), "upscale"),
                ..base("PixelShuffle", 1)
            },
            Op::Resize { upscale, filter } => {
                let around = match filter {
                    Filter::Nearest => 0,
                    Filter::Bilinear | Filter::AlignedBilinear => 1,
                    Filter::Bicubic | Filter::SharpBicubic => 2,
                };
                Self {
                    look: Look::Around { upscale, around, padded: false },
                    bad_parameter: unless((2..=8).contains(&upscale), "upscale"),
                    ..base("Resize", 1)
                }
            }
            Op::Convert => base("Convert", 1),
            Op::Mul => base("Mul", 2),
            Op::PRelu => Self {
                tensors: [vector(Role::Weight, channels), NONE, NONE],
                tensor_count: 1,
                ..base("PRelu", 1)
            },
            Op::MaxPool(pool) => Self {
                look: Look::Reduced {
                    factor: pool.stride,
                    first: pool.before.saturating_neg(),
                    taps: pool.window,
                },
                bad_parameter: bad_pool(pool),
                ..base("MaxPool", 1)
            },
            Op::GlobalPool { .. } => base("GlobalPool", 1),
            Op::Interpolate { filter } => Self {
                bad_parameter: unless(
                    matches!(filter, Filter::Nearest | Filter::Bilinear | Filter::AlignedBilinear),
                    "filter",
                ),
                ..base("Interpolate", 2)
            },
            Op::Reduce { factor, filter } => {
                let (first, taps) = filter.reduced(factor.min(MAX_FACTOR));
                Self {
                    look: Look::Reduced { factor, first, taps },
                    bad_parameter: unless((2..=MAX_FACTOR).contains(&factor), "factor")
                        .or(unless(filter != Filter::AlignedBilinear, "filter")),
                    ..base("Reduce", 1)
                }
            }
        }
    }

    /// Its tensors.
    pub fn tensors(&self) -> &[ParamSpec] {
        &self.tensors[..self.tensor_count]
    }
}

impl Op {
    /// Short name for tables and messages.
    pub fn name(&self) -> &'static str {
        Facts::of(self, None).name
    }

    /// Number of edges the operator reads.
    pub fn arity(&self) -> usize {
        Facts::of(self, None).arity
    }
}

fn bad_activation(activation: Activation) -> Option<&'static str> {
    match activation {
        Activation::LeakyRelu { slope } => (!(0.0..=1.0).contains(&slope)).then_some("slope"),
        Activation::HardSigmoid { alpha, beta } | Activation::HardSwish { alpha, beta } => {
            let bounded = |x: f32| x.is_finite() && x.abs() <= MAX_COEFFICIENT;
            if bounded(alpha) { (!bounded(beta)).then_some("beta") } else { Some("alpha") }
        }
        Activation::Relu | Activation::Gelu | Activation::Tanh | Activation::Sigmoid | Activation::Silu => {
            None
        }
    }
}

fn bad_pool(pool: Pool) -> Option<&'static str> {
    let Pool { window, stride, before, after } = pool;
    // Every window has a pixel of the image.
    let inside = |edge: i8| (-8..window as i8).contains(&edge);
    match pool {
        _ if !(1..=15).contains(&window) => Some("window"),
        _ if !(1..=8).contains(&stride) => Some("stride"),
        _ if !inside(before) => Some("before"),
        _ if !inside(after) => Some("after"),
        _ => None,
    }
}
