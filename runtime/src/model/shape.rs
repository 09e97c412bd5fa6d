//! Shape inference: channels and resolution of every edge.

use crate::model::error::LoadError;
use crate::model::graph::{Graph, NodeId, Op};
use alloc::vec::Vec;

/// Most channels an edge may have.
pub const MAX_CHANNELS: u32 = 4096;
/// Largest upscaling of any edge against the input.
pub const MAX_UPSCALE: u32 = 16;

/// Shape of an edge relative to the input image: `[H·upscale, W·upscale, channels]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EdgeShape {
    /// Channels.
    pub channels: u16,
    /// Resolution as a multiple of the network input's.
    pub upscale: u8,
}

/// Shapes of all edges, in node order.
///
/// # Errors
/// The first node whose operator does not fit its inputs.
pub fn infer(graph: &Graph) -> Result<Vec<EdgeShape>, LoadError> {
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
                EdgeShape { channels, upscale: 1 }
            }
            Op::Conv2d(conv) => {
                expect_channels(id, conv.in_channels, of(0).channels)?;
                EdgeShape { channels: conv.out_channels, ..of(0) }
            }
            Op::Add { .. } | Op::Mul => {
                expect_channels(id, of(0).channels, of(1).channels)?;
                if of(0).upscale != of(1).upscale {
                    return Err(LoadError::ResolutionMismatch {
                        node: id,
                        expected: of(0).upscale,
                        found: of(1).upscale,
                    });
                }
                of(0)
            }
            Op::Affine | Op::Activation(_) | Op::LayerNorm { .. } | Op::Convert | Op::PRelu => of(0),
            Op::WindowAttention { num_heads, .. } => {
                let channels = of(0).channels / 3;
                if channels * 3 != of(0).channels || num_heads == 0 || !channels.is_multiple_of(num_heads) {
                    return Err(LoadError::BadParameter { node: id, what: "num_heads" });
                }
                EdgeShape { channels, ..of(0) }
            }
            Op::PixelShuffle { upscale } => {
                let r2 = u16::from(upscale) * u16::from(upscale);
                if upscale < 2 || !of(0).channels.is_multiple_of(r2) {
                    return Err(LoadError::BadParameter { node: id, what: "upscale" });
                }
                scaled(id, of(0).channels / r2, of(0).upscale, upscale)?
            }
            Op::Resize { upscale, .. } => {
                if upscale < 2 {
                    return Err(LoadError::BadParameter { node: id, what: "upscale" });
                }
                scaled(id, of(0).channels, of(0).upscale, upscale)?
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

fn scaled(node: NodeId, channels: u16, from: u8, by: u8) -> Result<EdgeShape, LoadError> {
    let upscale = u32::from(from) * u32::from(by);
    if upscale > MAX_UPSCALE {
        return Err(LoadError::BadParameter { node, what: "upscale" });
    }
    Ok(EdgeShape { channels, upscale: upscale as u8 })
}
