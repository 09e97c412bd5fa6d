//! Shape inference: channels and size of every edge.

use crate::model::error::LoadError;
use crate::model::graph::{Graph, NodeId, Op, Pool, common_divisor};
use alloc::vec::Vec;

/// Most channels an edge may have.
pub const MAX_CHANNELS: u32 = 4096;
/// Largest upscaling of any edge against the input.
pub const MAX_UPSCALE: u32 = 16;

/// Most rows of the input image that may become one in poolings behind each other.
const MAX_STRIDE: u32 = 255;

/// Shape of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeShape {
    /// Channels.
    pub channels: u16,
    /// Rows and columns.
    pub extent: Extent,
}

/// Rows and columns of an edge, from those of the network's input, `[H, W]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// `[H·n, W·n]`.
    Times(u8),
    /// `[H·times/of, W·times/of]`, without a common divisor and `of` not 1: [`Graph::multiple`] makes that exact.
    Part {
        /// Numerator.
        times: u8,
        /// Denominator.
        of: u8,
    },
    /// `[1, 1]`: what is left when the whole image is pooled.
    One,
    /// What a pooling with a stride leaves; [`Graph::sizes`] says how much that is.
    Pooled {
        /// The node that pools; two that do the same to images of the same size count as one, the first.
        by: NodeId,
        /// Input rows that became one, about: for estimates of work.
        stride: u8,
    },
}

impl Extent {
    /// Resolution as a multiple of the network input's, if it is one.
    pub const fn upscale(self) -> Option<u8> {
        match self {
            Self::Times(n) => Some(n),
            Self::Part { .. } | Self::One | Self::Pooled { .. } => None,
        }
    }

    /// Resolution as a fraction of the network input's, numerator and denominator, if it is one. What is none needs all of an
    /// image before it can be computed.
    pub const fn fraction(self) -> Option<[u8; 2]> {
        match self {
            Self::Times(n) => Some([n, 1]),
            Self::Part { times, of } => Some([times, of]),
            Self::One | Self::Pooled { .. } => None,
        }
    }

    /// Rows or columns where the input has `side` of them, a multiple of [`Graph::pad_multiple`]; `None` if it is no fraction.
    pub fn side(self, side: usize) -> Option<usize> {
        self.fraction().map(|[times, of]| side * usize::from(times) / usize::from(of))
    }

    /// At `by` times the resolution, if that is a fraction with small numbers.
    pub(crate) fn enlarged(self, by: u8) -> Option<Self> {
        let [times, of] = self.fraction()?;
        Self::ratio(u32::from(times) * u32::from(by), of.into())
    }

    /// At one in `by` of the resolution, if that is a fraction with small numbers.
    pub(crate) fn reduced(self, by: u8) -> Option<Self> {
        let [times, of] = self.fraction()?;
        Self::ratio(times.into(), u32::from(of) * u32::from(by))
    }

    fn ratio(times: u32, of: u32) -> Option<Self> {
        let divisor = common_divisor(times as usize, of as usize) as u32;
        let [times, of] = [times, of].map(|n| u8::try_from(n / divisor.max(1)).ok());
        match (times?, of?) {
            (0, _) | (_, 0) => None,
            (times, 1) => Some(Self::Times(times)),
            (times, of) => Some(Self::Part { times, of }),
        }
    }

    /// Values of a channel for every pixel of the input image, about.
    pub fn density(self) -> f64 {
        match self {
            Self::Times(n) => f64::from(n) * f64::from(n),
            Self::Part { times, of } => {
                let side = f64::from(times) / f64::from(of);
                side * side
            }
            Self::One => 0.0,
            Self::Pooled { stride, .. } => 1.0 / (f64::from(stride) * f64::from(stride)),
        }
    }
}

impl Graph {
    /// Height and width of every edge for an input of this height and width, which are multiples of
    /// [`Graph::pad_multiple`]; `None` where a pooling has less to read than its window.
    ///
    /// The graph's shapes are known ([`infer`] did not fail).
    pub fn sizes(&self, shapes: &[EdgeShape], height: usize, width: usize) -> Option<Vec<[usize; 2]>> {
        let mut sizes: Vec<[usize; 2]> = Vec::with_capacity(self.nodes.len());
        for (index, (node, shape)) in self.nodes.iter().zip(shapes).enumerate() {
            let size = match shape.extent {
                Extent::Times(_) | Extent::Part { .. } => {
                    let side = |size| shape.extent.side(size);
                    [side(height)?, side(width)?]
                }
                Extent::One => [1, 1],
                Extent::Pooled { by, .. } if usize::from(by) < index => sizes[usize::from(by)],
                Extent::Pooled { .. } => {
                    let Op::MaxPool(pool) = node.op else { return None };
                    let [h, w] = sizes[usize::from(node.inputs[0])];
                    [pool.size(h)?, pool.size(w)?]
                }
            };
            sizes.push(size);
        }
        Some(sizes)
    }
}

/// Shapes of all edges, in node order.
///
/// # Errors
/// The first node whose operator does not fit its inputs.
pub fn infer(graph: &Graph) -> Result<Vec<EdgeShape>, LoadError> {
    // Interpolation takes what is no fraction of the image. Where there is no multiple, as in older files, what it takes must
    // not have become one.
    let fractions = graph.multiple > 1 || !graph.nodes.iter().any(|n| matches!(n.op, Op::Interpolate { .. }));
    let mut shapes: Vec<EdgeShape> = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = NodeId::try_from(index).map_err(|_| LoadError::TooManyNodes { found: graph.nodes.len() })?;
        if node.inputs.len() != node.op.arity() {
            return Err(LoadError::Arity { node: id, expected: node.op.arity(), found: node.inputs.len() });
        }
        if let Some(&input) = node.inputs.iter().find(|&&i| usize::from(i) >= index) {
            return Err(LoadError::ForwardReference { node: id, input });
        }
        let of = |k: usize| shapes[usize::from(node.inputs[k])];
        let shape = match node.op {
            Op::Input { channels } => {
                if index != 0 {
                    return Err(LoadError::SecondInput { node: id });
                }
                EdgeShape { channels, extent: Extent::Times(1) }
            }
            Op::Conv2d(conv) => {
                expect_channels(id, conv.in_channels, of(0).channels)?;
                EdgeShape { channels: conv.out_channels, ..of(0) }
            }
            Op::Add { .. } | Op::Mul => {
                expect_channels(id, of(0).channels, of(1).channels)?;
                if of(0).extent != of(1).extent {
                    return Err(LoadError::ResolutionMismatch { node: id });
                }
                of(0)
            }
            Op::Affine | Op::Activation(_) | Op::LayerNorm { .. } | Op::Convert | Op::PRelu => of(0),
            Op::WindowAttention { num_heads, .. } => {
                let channels = of(0).channels / 3;
                if of(0).extent.upscale().is_none() {
                    return Err(LoadError::ResolutionMismatch { node: id });
                }
                if channels * 3 != of(0).channels || num_heads == 0 || !channels.is_multiple_of(num_heads) {
                    return Err(LoadError::BadParameter { node: id, what: "num_heads" });
                }
                EdgeShape { channels, ..of(0) }
            }
            Op::MaxPool(pool) => {
                let alike = |other: usize| {
                    let node = &graph.nodes[other];
                    node.op == Op::MaxPool(pool) && shapes[usize::from(node.inputs[0])].extent == of(0).extent
                };
                let before = match of(0).extent {
                    Extent::Pooled { stride, .. } => u32::from(stride),
                    Extent::Part { times, of } => u32::from(of.div_ceil(times.max(1))),
                    Extent::Times(_) => 1,
                    // Of a single pixel there is nothing to choose from.
                    Extent::One => return Err(LoadError::BadParameter { node: id, what: "input" }),
                };
                let exact = thinned(of(0).extent, pool, graph.multiple).filter(|_| fractions);
                let extent = exact.unwrap_or_else(|| {
                    let by = (0..index).find(|&i| alike(i)).unwrap_or(index) as NodeId;
                    let stride = (before * u32::from(pool.stride)).min(MAX_STRIDE);
                    Extent::Pooled { by, stride: u8::try_from(stride).unwrap_or(u8::MAX) }
                });
                EdgeShape { extent, ..of(0) }
            }
            Op::GlobalPool { .. } => EdgeShape { extent: Extent::One, ..of(0) },
            Op::Interpolate { .. } => {
                if matches!(of(1).extent, Extent::One) {
                    return Err(LoadError::BadParameter { node: id, what: "size" });
                }
                // Its rows may come from anywhere.
                if of(0).extent.fraction().is_some() {
                    return Err(LoadError::ResolutionMismatch { node: id });
                }
                EdgeShape { extent: of(1).extent, ..of(0) }
            }
            Op::PixelShuffle { upscale } => {
                let r2 = u16::from(upscale) * u16::from(upscale);
                if upscale < 2 || !of(0).channels.is_multiple_of(r2) {
                    return Err(LoadError::BadParameter { node: id, what: "upscale" });
                }
                scaled(id, of(0).channels / r2, of(0).extent, upscale)?
            }
            Op::Reduce { factor, .. } => {
                if of(0).extent.fraction().is_none() {
                    return Err(LoadError::ResolutionMismatch { node: id });
                }
                // The image may have any size that is a multiple of the graph's.
                let extent = whole(of(0).extent, factor, graph.multiple).filter(|_| factor >= 2);
                let extent = extent.ok_or(LoadError::BadParameter { node: id, what: "factor" })?;
                EdgeShape { extent, ..of(0) }
            }
            Op::Resize { upscale, .. } => {
                if upscale < 2 {
                    return Err(LoadError::BadParameter { node: id, what: "upscale" });
                }
                scaled(id, of(0).channels, of(0).extent, upscale)?
            }
        };
        if shape.channels == 0 || u32::from(shape.channels) > MAX_CHANNELS {
            return Err(LoadError::Channels { node: id, found: shape.channels });
        }
        shapes.push(shape);
    }
    Ok(shapes)
}

fn expect_channels(node: NodeId, expected: u16, found: u16) -> Result<(), LoadError> {
    if expected == found { Ok(()) } else { Err(LoadError::ChannelMismatch { node, expected, found }) }
}

/// Only an edge that is a fraction of the image, or a multiple of it, becomes larger by a factor.
fn scaled(node: NodeId, channels: u16, from: Extent, by: u8) -> Result<EdgeShape, LoadError> {
    let Some([times, of]) = from.fraction() else { return Err(LoadError::ResolutionMismatch { node }) };
    let fits = u32::from(times) * u32::from(by) <= MAX_UPSCALE * u32::from(of);
    match from.enlarged(by).filter(|_| fits) {
        Some(extent) => Ok(EdgeShape { channels, extent }),
        None => Err(LoadError::BadParameter { node, what: "upscale" }),
    }
}

/// One in `by` rows of an edge, if every image has a multiple of that there.
fn whole(from: Extent, by: u8, multiple: u8) -> Option<Extent> {
    let [times, of] = from.fraction()?.map(u32::from);
    let fits = by > 0 && (u32::from(multiple) * times).is_multiple_of(of * u32::from(by));
    if fits { from.reduced(by) } else { None }
}

/// What a pooling leaves, if that is an exact fraction.
fn thinned(from: Extent, pool: Pool, multiple: u8) -> Option<Extent> {
    if pool.is_exact() { whole(from, pool.stride, multiple) } else { None }
}
