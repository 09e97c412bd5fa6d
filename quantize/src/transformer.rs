//! Balancing the channels around norms and attention, so that one step an edge serves all of them.
//!
//! - **norm → linear layers**: the channels of a norm's output differ widely. Its scale and shift are free
//!   (the layers that read it undo them), so they are chosen to make all channels alike: the scale is folded
//!   forward. The shift is only moved where no padding would show it, in front of 1x1 kernels.
//! - **values**: attention is linear in its values, with weights that sum to one: scale and shift of each
//!   value channel pass through to the projection, which undoes them.
//! - **queries and keys**: only the product of a query and a key channel counts, so the two share their size
//!   evenly. A shift of a key channel adds the same to all scores of a query, which softmax ignores.
//!
//! Float to float: the result computes the same up to rounding.
//!
//! Source: the scale folding of Wei et al., "Outlier suppression", NeurIPS 2022, section 4.1, extended to
//! measured deviations, shifts, and the channels of the attention.

use crate::calibrate::{Moments, Observation};
use crate::error::QuantizeError;
use mcir_runtime::model::{Conv2d, Graph, Model, NodeId, Op, TensorData};

/// Exponent of the deviation of a norm's channel in its factor: 1 would make all channels alike and move all
/// of the difference into the weights, which have one step for all the channels that they read.
const NORM_STRENGTH: f64 = 0.75;
/// Factors stay within this and its inverse.
const MAX_FACTOR: f64 = 64.0;

/// A float model that computes the same, with balanced channels; `seen` is what was observed on `model`.
///
/// # Errors
/// [`QuantizeError::Rewrite`] when scaled weights leave the range that a model file allows.
pub fn balance(model: &Model, seen: &Observation) -> Result<Model, QuantizeError> {
    let graph = model.graph();
    let mut params: Vec<Vec<TensorData>> =
        (0..graph.nodes.len() as NodeId).map(|id| model.params(id)).collect();
    for (id, node) in (0..).zip(&graph.nodes) {
        let moments = &seen.moments[usize::from(id)];
        if matches!(node.op, Op::LayerNorm { .. }) {
            norm(graph, &mut params, id, moments);
        } else if let Op::WindowAttention { num_heads, .. } = node.op {
            let edge = &seen.moments[usize::from(node.inputs[0])];
            attention(graph, &mut params, id, usize::from(num_heads), edge);
        }
    }
    Model::new(graph.clone(), &params, model.metadata().to_vec()).map_err(QuantizeError::Rewrite)
}

/// `new = (old − shift) · factor`, for each channel of an edge.
#[derive(Clone)]
struct Change {
    factor: Vec<f64>,
    shift: Vec<f64>,
}

/// Makes the channels of a norm's output alike, if only convolutions read it.
fn norm(graph: &Graph, params: &mut [Vec<TensorData>], id: NodeId, moments: &Moments) {
    let Some(readers) = convolutions(graph, id) else { return };
    let deviation: Vec<f64> = moments.variance.iter().map(|v| v.sqrt()).collect();
    let mean = geometric_mean(&deviation);
    let factor = deviation.iter().map(|d| bounded((mean / d).powf(NORM_STRENGTH))).collect();
    let padded = readers.iter().any(|&(_, conv)| conv.kernel > 1);
    let shift = if padded { vec![0.0; moments.mean.len()] } else { moments.mean.clone() };
    let change = Change { factor, shift };
    change.write_vectors(&mut params[usize::from(id)]);
    for (reader, _) in readers {
        change.undo_in(&mut params[usize::from(reader)]);
    }
}

/// Balances queries, keys and values, if a convolution makes them and only convolutions read the result.
fn attention(graph: &Graph, params: &mut [Vec<TensorData>], id: NodeId, heads: usize, edge: &Moments) {
    let source = graph.node(id).inputs[0];
    let alone = graph.readers(source).count() == 1;
    let Op::Conv2d(Conv2d { activation: None, .. }) = graph.node(source).op else { return };
    let Some(readers) = convolutions(graph, id) else { return };
    if !alone || heads == 0 || readers.iter().any(|(_, conv)| conv.kernel > 1) {
        return;
    }
    let channels = edge.mean.len() / 3;
    let deviation: Vec<f64> = edge.variance.iter().map(|v| v.sqrt()).collect();
    // A query's mean cannot be taken away, so it counts as part of its size.
    let query: Vec<f64> = (0..channels).map(|c| (edge.variance[c] + edge.mean[c].powi(2)).sqrt()).collect();
    let key = &deviation[channels..2 * channels];
    let mut change = Change { factor: vec![1.0; 3 * channels], shift: vec![0.0; 3 * channels] };
    let mut largest: f64 = 0.0;
    for c in 0..channels {
        let ratio = bounded((key[c] / query[c]).sqrt());
        change.factor[c] = ratio;
        change.factor[channels + c] = 1.0 / ratio;
        change.shift[channels + c] = edge.mean[channels + c];
        largest = largest.max(query[c] * ratio).max(key[c] / ratio);
    }
    let value = 2 * channels..3 * channels;
    for c in value.clone() {
        change.factor[c] = bounded(largest / deviation[c]);
        change.shift[c] = edge.mean[c];
    }
    change.write_rows(&mut params[usize::from(source)]);
    let passed_on =
        Change { factor: change.factor[value.clone()].to_vec(), shift: change.shift[value].to_vec() };
    for (reader, _) in readers {
        passed_on.undo_in(&mut params[usize::from(reader)]);
    }
}

/// The readers of an edge, if all of them are convolutions.
fn convolutions(graph: &Graph, id: NodeId) -> Option<Vec<(NodeId, Conv2d)>> {
    graph
        .readers(id)
        .map(|reader| if let Op::Conv2d(conv) = graph.node(reader).op { Some((reader, conv)) } else { None })
        .collect::<Option<Vec<_>>>()
        .filter(|readers| !readers.is_empty())
}

impl Change {
    /// Into the weight and bias of a norm.
    fn write_vectors(&self, params: &mut [TensorData]) {
        let [TensorData::F32(weight), TensorData::F32(bias)] = params else { unreachable!("a float norm") };
        for (c, (w, b)) in weight.iter_mut().zip(bias).enumerate() {
            *w = (f64::from(*w) * self.factor[c]) as f32;
            *b = ((f64::from(*b) - self.shift[c]) * self.factor[c]) as f32;
        }
    }

    /// Into the rows of a convolution that writes the edge.
    fn write_rows(&self, params: &mut [TensorData]) {
        let [TensorData::F32(weight), TensorData::F32(bias)] = params else { unreachable!("a float layer") };
        let depth = weight.len() / bias.len();
        for (c, (row, b)) in weight.chunks_exact_mut(depth).zip(bias).enumerate() {
            row.iter_mut().for_each(|w| *w = (f64::from(*w) * self.factor[c]) as f32);
            *b = ((f64::from(*b) - self.shift[c]) * self.factor[c]) as f32;
        }
    }

    /// In a convolution that reads the edge.
    fn undo_in(&self, params: &mut [TensorData]) {
        let [TensorData::F32(weight), TensorData::F32(bias)] = params else { unreachable!("a float layer") };
        let depth = weight.len() / bias.len();
        let channels = self.factor.len();
        for (row, b) in weight.chunks_exact_mut(depth).zip(bias) {
            let mut sum = f64::from(*b);
            for (i, w) in row.iter_mut().enumerate() {
                let real = f64::from(*w);
                sum += real * self.shift[i % channels];
                *w = (real / self.factor[i % channels]) as f32;
            }
            *b = sum as f32;
        }
    }
}

/// A factor within limits; 1 for a channel that never varies.
pub(crate) fn bounded(factor: f64) -> f64 {
    if factor.is_finite() && factor > 0.0 { factor.clamp(1.0 / MAX_FACTOR, MAX_FACTOR) } else { 1.0 }
}

/// Of the values above zero.
pub(crate) fn geometric_mean(values: &[f64]) -> f64 {
    let positive: Vec<f64> = values.iter().copied().filter(|&v| v > 0.0).collect();
    (positive.iter().map(|v| v.ln()).sum::<f64>() / positive.len().max(1) as f64).exp()
}
