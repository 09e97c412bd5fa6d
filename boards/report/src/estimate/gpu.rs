//! How fast a model will be on a board's GPU. It is a model, not a measurement: `runtime/gpu/README.md` has the arithmetic.
//!
//! Every step of a frame takes as long as the longer of two things: the products of four bytes at the rate of the GPU's data sheet, and
//! the bytes that it reads and writes at the memory's; each at a share that is reached in practice. Steps begin one after the other.

use crate::profiles::GpuProfile;
use mcir_runtime::model::{DType, Extent, Model};
use mcir_runtime::program::{Convolution, Edge, Node, Numbers, Program, Work};
use serde::Serialize;

/// Share of the rate of products of four bytes that convolutions reach: assumed, as direct convolutions reach on GPUs of others.
const DOT_SHARE: f64 = 0.5;
/// Share of the memory's rate that is reached: assumed.
const BANDWIDTH_SHARE: f64 = 0.7;
/// Between the end of a step and the beginning of the next, in microseconds: assumed.
const STEP_US: f64 = 8.0;
/// What tiles read twice at their edges, as a factor, of a convolution that is not 1x1: 34 x 10 pixels for 32 x 8.
const HALO: f64 = 340.0 / 256.0;
/// Products of a 16-bit value take unpacking, and one instruction each.
const I16_COST: f64 = 8.0;

/// A prediction for a GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GpuEstimate {
    /// Its name.
    pub gpu: String,
    /// Time of a frame in milliseconds.
    pub latency_ms: f64,
    /// Always true: no figure of it was measured.
    pub modelled: bool,
    /// Products of four bytes that a frame has, padding included.
    pub dots: f64,
    /// Of them alone, in milliseconds.
    pub dots_ms: f64,
    /// Bytes that a frame reads and writes.
    pub bytes: f64,
    /// Of them alone, in milliseconds.
    pub bytes_ms: f64,
    /// Steps.
    pub steps: usize,
}

/// Predicts for an input of this width and height; `None` for a model that does not run on GPUs.
pub(super) fn estimate(
    model: &Model,
    (width, height): (usize, usize),
    gpu: &GpuProfile,
) -> Option<GpuEstimate> {
    let program = Program::new(model);
    let pixels = (width * height) as f64;
    let dots_per_ms = f64::from(gpu.multiprocessors) * gpu.dots_per_cycle * gpu.clock_mhz * 1e3 * DOT_SHARE;
    let bytes_per_ms = gpu.bandwidth_gb_s * 1e6 * BANDWIDTH_SHARE;
    let mut sum = GpuEstimate {
        gpu: gpu.name.clone(),
        latency_ms: 0.0,
        modelled: true,
        dots: 0.0,
        dots_ms: 0.0,
        bytes: 0.0,
        bytes_ms: 0.0,
        // The picture is unpacked, and packed again.
        steps: 2,
    };
    for node in program.nodes() {
        let (dots, bytes) = step(&program, node)?;
        let (dots, bytes) = (dots * pixels, bytes * pixels);
        let (dots_ms, bytes_ms) = (dots / dots_per_ms, bytes / bytes_per_ms);
        sum.dots += dots;
        sum.dots_ms += dots_ms;
        sum.bytes += bytes;
        sum.bytes_ms += bytes_ms;
        sum.latency_ms += dots_ms.max(bytes_ms);
        sum.steps += usize::from(!matches!(node.work, Work::Input | Work::Narrowed));
    }
    sum.latency_ms += sum.steps as f64 * STEP_US * 1e-3;
    Some(sum)
}

/// Products of four bytes and bytes of a node, for each pixel of the picture; `None` for what GPUs have no kernel for.
fn step(program: &Program, node: &Node) -> Option<(f64, f64)> {
    let nodes = program.nodes();
    let written = bytes(&node.edge)?;
    let mut read = 0.0;
    for &input in &node.inputs {
        read += bytes(&nodes[input].edge)?;
    }
    match &node.work {
        Work::LayerNorm(_)
        | Work::Attention(_)
        | Work::IntAttention(_)
        | Work::MaxPool(_)
        | Work::GlobalPool(_)
        | Work::Interpolate(_) => None,
        Work::Convolution(conv) => {
            let density = nodes[node.inputs[0]].edge.extent.density();
            if conv.kernel > 1 {
                read *= HALO;
            }
            Some((dots(conv)? * density, read + written))
        }
        // Written by the convolution before it.
        Work::Narrowed => Some((0.0, written)),
        _ => Some((0.0, read + written)),
    }
}

/// Products of four bytes of a convolution, for each pixel that it reads.
fn dots(conv: &Convolution) -> Option<f64> {
    let cost = match conv.numbers {
        Numbers::F32 { .. } => return None,
        Numbers::I8 { .. } => 1.0,
        Numbers::I16 { .. } => I16_COST,
    };
    let products =
        conv.kernel * conv.kernel * conv.in_channels.div_ceil(4) * conv.out_channels.next_multiple_of(8);
    Some(products as f64 * cost)
}

/// Bytes of an edge, for each pixel of the picture.
fn bytes(edge: &Edge) -> Option<f64> {
    let value = match edge.dtype {
        DType::F32 => return None,
        DType::I8 { .. } => 1.0,
        DType::I16 { .. } => 2.0,
    };
    let Extent::Times(times) = edge.extent else { return None };
    Some(value * edge.channels.next_multiple_of(4) as f64 * f64::from(times) * f64::from(times))
}
