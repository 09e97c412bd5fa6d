//! A network of colours as one of brightness: what it makes of grey images, with a third of the work at its ends.
//!
//! Both ends of a super-resolution network are linear. Three equal input channels meet the sums of a convolution's weights,
//! and the luma of three output channels is one channel of a convolution with the weighted mean of their weights. Between
//! them nothing changes.

use crate::model::graph::{Conv2d, DType, NodeId, Op};
use crate::model::params::Role;
use crate::model::stored::Model;
use crate::model::tensor::TensorData;
use alloc::{vec, vec::Vec};

/// Shares of red, green and blue in luma: ITU-R BT.601, as in JPEG.
const SHARES: [f64; COLOURS] = [0.299, 0.587, 0.114];
const COLOURS: usize = 3;
/// Largest magnitude of a quantized weight.
const MAX_WEIGHT: f64 = 127.0;
/// Smallest scale that a model may have.
const MIN_SCALE: f64 = 1e-12;

/// What becomes of an edge.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Edge {
    /// It stays.
    Same,
    /// Its three channels are equal: one of them is left.
    Grey,
    /// Only the luma of its three colours is asked for. Each colour has so many channels, which a pixel shuffle spreads.
    Luma { planes: usize },
}

impl Model {
    /// The network from Y to Y that does to grey images what this one, from RGB to RGB, does to them: the image goes in as
    /// all three colours, and the luma (BT.601, as in JPEG) of the three comes out.
    ///
    /// Float networks compute the same up to rounding. In a quantized network the weights at the ends, of which three become
    /// one, are quantized anew, with a scale for each output channel as before; where sums of input weights fit 8 bits they
    /// are kept exactly. `None` where the ends are not linear, or for a network that is not from RGB to RGB.
    pub fn luma(&self) -> Option<Self> {
        if (self.in_channels(), self.out_channels()) != (COLOURS, COLOURS) {
            return None;
        }
        let edges = edges(self)?;
        let mut graph = self.graph().emptied();
        let mut params = Vec::with_capacity(edges.len());
        for (id, node) in (0..).zip(&self.graph().nodes) {
            let edge = edges[usize::from(id)];
            let input = node.inputs.first().map_or(Edge::Same, |&i| edges[usize::from(i)]);
            let (op, tensors) = match node.op {
                Op::Input { .. } => (Op::Input { channels: 1 }, vec![]),
                Op::Conv2d(conv) => convolution(self, id, conv, input, edge)?,
                Op::Affine => affine(self, id, input, edge)?,
                Op::Add { .. }
                | Op::Activation(_)
                | Op::LayerNorm { .. }
                | Op::WindowAttention { .. }
                | Op::PixelShuffle { .. }
                | Op::Resize { .. }
                | Op::Convert
                | Op::PRelu
                | Op::Mul
                | Op::MaxPool(_)
                | Op::GlobalPool { .. }
                | Op::Interpolate { .. }
                | Op::Reduce { .. } => (node.op, self.params(id)),
            };
            graph.push(node.name.clone(), op, &node.inputs, node.dtype);
            params.push(tensors);
        }
        Self::new(graph, &params, self.metadata().to_vec()).ok()
    }
}

/// What becomes of every edge, if it works out.
fn edges(model: &Model) -> Option<Vec<Edge>> {
    let graph = model.graph();
    let mut edges = vec![Edge::Same; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        let stays_grey = match node.op {
            Op::Input { .. } => true,
            Op::Resize { .. }
            | Op::Reduce { .. }
            | Op::Convert
            | Op::Activation(_)
            | Op::Add { .. }
            | Op::Mul => node.inputs.iter().all(|&i| edges[usize::from(i)] == Edge::Grey),
            Op::Conv2d(_)
            | Op::Affine
            | Op::LayerNorm { .. }
            | Op::WindowAttention { .. }
            | Op::PixelShuffle { .. }
            | Op::PRelu
            | Op::MaxPool(_)
            | Op::GlobalPool { .. }
            | Op::Interpolate { .. } => false,
        };
        if stays_grey {
            edges[id] = Edge::Grey;
        }
    }
    ask(&mut edges, graph.output(), 1)?;
    for id in (0..=graph.output()).rev() {
        let node = graph.node(id);
        let edge = edges[usize::from(id)];
        if let Edge::Luma { planes } = edge {
            let is_luma = |reader: NodeId| matches!(edges[usize::from(reader)], Edge::Luma { .. });
            if !graph.readers(id).all(is_luma) {
                return None;
            }
            let asked = match node.op {
                Op::Conv2d(Conv2d { activation: None, .. }) => None,
                Op::PixelShuffle { upscale } => Some(planes * usize::from(upscale).pow(2)),
                Op::Add { .. } | Op::Resize { .. } | Op::Reduce { .. } | Op::Convert | Op::Affine => {
                    Some(planes)
                }
                Op::Input { .. }
                | Op::Conv2d(_)
                | Op::Activation(_)
                | Op::LayerNorm { .. }
                | Op::WindowAttention { .. }
                | Op::PRelu
                | Op::Mul
                | Op::MaxPool(_)
                | Op::GlobalPool { .. }
                | Op::Interpolate { .. } => return None,
            };
            for (&input, planes) in node.inputs.iter().zip(asked.into_iter().cycle()) {
                ask(&mut edges, input, planes)?;
            }
        } else if edge == Edge::Same {
            // Of what reads a grey edge and is not grey itself.
            let grey = node.inputs.iter().any(|&i| edges[usize::from(i)] == Edge::Grey);
            if grey && !matches!(node.op, Op::Conv2d(_) | Op::Affine) {
                return None;
            }
        }
    }
    Some(edges)
}

/// Asks for the luma of an edge. That of a grey one is the edge itself.
fn ask(edges: &mut [Edge], id: NodeId, planes: usize) -> Option<()> {
    let edge = &mut edges[usize::from(id)];
    let luma = Edge::Luma { planes };
    match *edge {
        Edge::Same => *edge = luma,
        Edge::Grey if planes == 1 => {}
        other if other == luma => {}
        Edge::Grey | Edge::Luma { .. } => return None,
    }
    Some(())
}

/// Convolution `id` with one input channel for three, one output channel for three, or both.
fn convolution(
    model: &Model,
    id: NodeId,
    conv: Conv2d,
    input: Edge,
    output: Edge,
) -> Option<(Op, Vec<TensorData>)> {
    let planes = match output {
        Edge::Luma { planes } => Some(planes),
        Edge::Same | Edge::Grey => None,
    };
    if input != Edge::Grey && planes.is_none() {
        return Some((Op::Conv2d(conv), model.params(id)));
    }
    let from = usize::from(conv.in_channels);
    let depth = usize::from(conv.kernel).pow(2) * from;
    // Real weights and biases, an output channel at a time.
    let dtype = model.graph().node(model.graph().node(id).inputs[0]).dtype;
    let scales = dtype.is_quantized().then(|| model.f32s(id, Role::WeightScale));
    let unit = match dtype {
        DType::F32 => 1.0,
        DType::I8 { scale, .. } | DType::I16 { scale } => f64::from(scale),
    };
    let (mut weights, mut biases): (Vec<Vec<f64>>, Vec<f64>) = match &scales {
        None => (
            model.f32s(id, Role::Weight).chunks_exact(depth).map(reals).collect(),
            reals(&model.f32s(id, Role::Bias)),
        ),
        Some(scales) => {
            let scaled = |(row, &scale): (&[i8], &f32)| {
                row.iter().map(|&w| f64::from(w) * f64::from(scale)).collect::<Vec<_>>()
            };
            let bias = |(&bias, &scale): (&i32, &f32)| f64::from(bias) * unit * f64::from(scale);
            (
                model.i8s(id, Role::Weight).chunks_exact(depth).zip(scales).map(scaled).collect(),
                model.i32s(id, Role::Bias).iter().zip(scales).map(bias).collect(),
            )
        }
    };
    if input == Edge::Grey {
        for row in &mut weights {
            *row = row.chunks_exact(from).map(|pixel| pixel.iter().sum()).collect();
        }
    }
    if let Some(planes) = planes {
        let mean = |values: [f64; COLOURS]| -> f64 { values.iter().zip(SHARES).map(|(v, s)| v * s).sum() };
        let colours = |p: usize| core::array::from_fn::<usize, COLOURS, _>(|c| c * planes + p);
        weights = (0..planes)
            .map(|p| (0..weights[p].len()).map(|i| mean(colours(p).map(|c| weights[c][i]))).collect())
            .collect();
        biases = (0..planes).map(|p| mean(colours(p).map(|c| biases[c]))).collect();
    }
    let in_channels = if input == Edge::Grey { 1 } else { conv.in_channels };
    let out_channels = weights.len() as u16;
    let op = Op::Conv2d(Conv2d { in_channels, out_channels, ..conv });
    let Some(scales) = scales else {
        return Some((op, vec![floats(weights.concat()), floats(biases)]));
    };
    let kept = planes.is_none();
    let mut quantized = Quantized::default();
    for (n, (row, bias)) in weights.iter().zip(biases).enumerate() {
        quantized.push(row, bias, unit, kept.then(|| f64::from(scales[n])))?;
    }
    Some((op, quantized.tensors()))
}

/// Weights of a convolution in 8 bits.
#[derive(Default)]
struct Quantized {
    weights: Vec<i8>,
    biases: Vec<i32>,
    scales: Vec<f32>,
}

impl Quantized {
    /// Appends an output channel: with the scale it had if its weights fit that, which then are exact.
    fn push(&mut self, row: &[f64], bias: f64, unit: f64, had: Option<f64>) -> Option<()> {
        let largest = row.iter().fold(0.0, |most: f64, w| most.max(w.abs()));
        let fits = had.filter(|scale| libm::rint(largest / scale) <= MAX_WEIGHT);
        let scale = fits.unwrap_or_else(|| (largest / MAX_WEIGHT).max(MIN_SCALE)) as f32;
        let steps = |value: f64, step: f64| libm::rint(value / step);
        self.weights
            .extend(row.iter().map(|w| steps(*w, f64::from(scale)).clamp(-MAX_WEIGHT, MAX_WEIGHT) as i8));
        let bias = steps(bias, unit * f64::from(scale));
        if bias.abs() > f64::from(i32::MAX) {
            return None;
        }
        self.biases.push(bias as i32);
        self.scales.push(scale);
        Some(())
    }

    fn tensors(self) -> Vec<TensorData> {
        vec![TensorData::I8(self.weights), TensorData::I32(self.biases), TensorData::F32(self.scales)]
    }
}

/// Affine layer `id`. One that makes three different channels of a grey edge becomes a convolution of one pixel.
fn affine(model: &Model, id: NodeId, input: Edge, output: Edge) -> Option<(Op, Vec<TensorData>)> {
    let (weights, biases) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
    match (input, output) {
        (_, Edge::Luma { planes }) => {
            let luma = |values: &[f32], p: usize| -> f64 {
                (0..COLOURS).map(|c| f64::from(values[c * planes + p]) * SHARES[c]).sum()
            };
            // Of colours that are weighted differently only those that are equal have a mean.
            let alike = |p: usize| (0..COLOURS).all(|c| weights[c * planes + p] == weights[p]);
            if input != Edge::Grey && !(0..planes).all(alike) {
                return None;
            }
            let weight = |p: usize| if alike(p) { f64::from(weights[p]) } else { luma(&weights, p) };
            let all = |of: &dyn Fn(usize) -> f64| floats((0..planes).map(of).collect());
            Some((Op::Affine, vec![all(&weight), all(&|p| luma(&biases, p))]))
        }
        (Edge::Grey, Edge::Same | Edge::Grey) => {
            let node = model.graph().node(id);
            // On integers it would be a convolution of other numbers.
            if model.graph().node(node.inputs[0]).dtype.is_quantized() {
                return None;
            }
            let conv = Conv2d { in_channels: 1, out_channels: COLOURS as u16, kernel: 1, activation: None };
            Some((Op::Conv2d(conv), vec![TensorData::F32(weights), TensorData::F32(biases)]))
        }
        (Edge::Same | Edge::Luma { .. }, Edge::Same | Edge::Grey) => Some((Op::Affine, model.params(id))),
    }
}

fn reals(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn floats(values: Vec<f64>) -> TensorData {
    TensorData::F32(values.into_iter().map(|v| v as f32).collect())
}

#[cfg(test)]
mod tests;
