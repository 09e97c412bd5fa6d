//! Cross-layer equalisation: the channels of an edge are scaled so that all of them use 8 bits well.
//!
//! An edge has one step for all its channels, so small channels drown in the noise of large ones. Scaling a
//! channel by `s` and the weights that read it by `1/s` changes nothing in floats, as additions are linear
//! and a ReLU of any kind, PReLUs with a slope for each channel too, lets positive factors through. Edges that are added must share their factors: the residual
//! stream of a network, with all convolutions that write to it and read from it, is scaled as one.
//!
//! Weights have one step for each output channel, so rows can be scaled freely; within a row, a smaller
//! factor for one input costs the others precision. `s = √(weight / activation)` would balance the two; its
//! square root in turn is what helped trained networks, whose channels are nearly even from the start: over
//! Set5 and Set14, `edsr-edge` lost 0.013 instead of 0.017 dB (x2) and 0.006 instead of 0.007 dB (x4), while
//! the full balance gained nothing.
//!
//! Source: Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
//! section 4.1, extended to sums, with observed peaks in place of weight ranges for the activations.

use crate::calibrate::Observation;
use crate::error::QuantizeError;
use mcir_runtime::model::{Activation, Conv2d, Model, NodeId, Op, Role, TensorData};

/// Exponent of the ratio of the amplitudes of weights and activations that suits most networks; 1/2 would make the
/// two equal.
pub const STRENGTH: f64 = 0.25;
/// Factors stay within this and its inverse.
const MAX_FACTOR: f64 = 16.0;

/// A float model that computes the same, with equalised channels; `seen` is what was observed on `model`,
/// `strength` is [`STRENGTH`] or another exponent.
///
/// # Errors
/// [`QuantizeError::Rewrite`] when scaled weights leave the range that a model file allows.
pub fn equalize(model: &Model, seen: &Observation, strength: f64) -> Result<Model, QuantizeError> {
    let graph = model.graph();
    let groups = Groups::of(model);
    let factors: Vec<Vec<f64>> =
        (0..graph.nodes.len()).map(|edge| groups.factors(model, seen, edge, strength)).collect();
    let params: Vec<Vec<TensorData>> = (0..graph.nodes.len() as NodeId)
        .map(|id| {
            let Op::Conv2d(_) = graph.node(id).op else { return model.params(id) };
            let (written, read) = (groups.root(usize::from(id)), groups.input_root(model, id));
            let (mut weight, mut bias) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
            let depth = weight.len() / bias.len();
            for (channel, (row, bias)) in weight.chunks_exact_mut(depth).zip(&mut bias).enumerate() {
                let out = factors[written][channel];
                *bias = (f64::from(*bias) * out) as f32;
                for (i, w) in row.iter_mut().enumerate() {
                    let input = factors[read][i % factors[read].len()];
                    *w = (f64::from(*w) * out / input) as f32;
                }
            }
            vec![TensorData::F32(weight), TensorData::F32(bias)]
        })
        .collect();
    Model::new(graph.clone(), &params, model.metadata().to_vec()).map_err(QuantizeError::Rewrite)
}

/// Sets of edges that must be scaled together.
pub(crate) struct Groups {
    parent: Vec<usize>,
    /// Groups, by root, that cannot be scaled: something other than a convolution writes or reads them.
    fixed: Vec<bool>,
}

impl Groups {
    pub fn of(model: &Model) -> Self {
        let graph = model.graph();
        let nodes = graph.nodes.len();
        let mut groups = Self { parent: (0..nodes).collect(), fixed: vec![false; nodes] };
        let mut fixed = vec![usize::from(graph.output())];
        for (id, node) in graph.nodes.iter().enumerate() {
            let passes = matches!(
                node.op,
                Op::Add { .. } | Op::Activation(Activation::Relu | Activation::LeakyRelu { .. }) | Op::PRelu
            );
            let scales =
                matches!(node.op, Op::Conv2d(Conv2d { activation: None | Some(Activation::Relu), .. }));
            if passes {
                node.inputs.iter().for_each(|&input| groups.join(id, usize::from(input)));
            } else if !scales {
                fixed.push(id);
                fixed.extend(node.inputs.iter().map(|&input| usize::from(input)));
            }
        }
        for edge in fixed {
            let root = groups.root(edge);
            groups.fixed[root] = true;
        }
        groups
    }

    /// Whether the channels of an edge cannot be scaled.
    pub fn is_fixed(&self, edge: usize) -> bool {
        self.fixed[self.root(edge)]
    }

    fn root(&self, mut edge: usize) -> usize {
        while self.parent[edge] != edge {
            edge = self.parent[edge];
        }
        edge
    }

    fn input_root(&self, model: &Model, id: NodeId) -> usize {
        self.root(usize::from(model.graph().node(id).inputs[0]))
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.parent[a.max(b)] = a.min(b);
    }

    /// Factors of the channels of the group of an edge; 1 for groups that stay as they are.
    fn factors(&self, model: &Model, seen: &Observation, root: usize, strength: f64) -> Vec<f64> {
        let channels = usize::from(model.shape(root as NodeId).channels);
        if self.fixed[root] || self.root(root) != root {
            return vec![1.0; channels];
        }
        let (mut activation, mut weight) = (vec![0.0; channels], vec![0.0; channels]);
        for (id, node) in (0..).zip(&model.graph().nodes) {
            if !matches!(node.op, Op::Conv2d(_)) || self.input_root(model, id) != root {
                continue;
            }
            let moments = &seen.moments[usize::from(node.inputs[0])];
            let power = moments.peak.iter().map(|p| p * p).collect();
            add_normalized(&mut activation, power);
            let mut power = vec![0.0; channels];
            for (i, w) in model.f32s(id, Role::Weight).iter().enumerate() {
                power[i % channels] += f64::from(*w).powi(2);
            }
            add_normalized(&mut weight, power);
        }
        let pairs = weight.iter().zip(&activation);
        let balanced = pairs.map(|(w, a)| (w / a).powf(strength / 2.0).clamp(1.0 / MAX_FACTOR, MAX_FACTOR));
        // A channel that is never used, or never read, keeps its size.
        balanced.map(|s| if s.is_finite() { s } else { 1.0 }).collect()
    }
}

/// Adds values as parts of their sum, so that each edge and convolution counts the same.
fn add_normalized(total: &mut [f64], values: Vec<f64>) {
    let sum: f64 = values.iter().sum();
    if sum > 0.0 {
        total.iter_mut().zip(values).for_each(|(t, v)| *t += v / sum);
    }
}
