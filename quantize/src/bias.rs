//! Bias correction: each channel of a quantized convolution gets the mean that it has in the float model.
//!
//! A convolution is linear, so the mean of its result follows from the mean of each input channel (but for
//! the padding at the border). Comparing `Σ W·E[x]` of the float model with `Σ Ŵ·E[x̂]` of the quantized one
//! gives the correction before any activation, exactly, without watching the sums themselves.
//!
//! The means that a convolution reads are right only when those before it are: corrected all at once, each would make up
//! for errors that the one before it has just lost, and a network without skips would settle after as many rounds as it has
//! convolutions in a row, swinging on the way. So they are corrected from front to back ([`stages`]).
//!
//! Source: Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019,
//! section 4.2, with means that were observed on images.

use crate::calibrate::Observation;
use crate::rewrite::{Recipe, Rewritten};
use mcir_runtime::model::{Conv2d, Model, NodeId, Op, Role};
use std::ops::Range;

/// The bias of each convolution of the float model `model` that makes the quantized means equal to those in
/// `seen`; empty for all other nodes.
///
/// `quantized` is the quantized model so far and what was seen on its edges; without it, inputs are taken to
/// have the means of the float model, and only the error of the weights is corrected.
pub fn corrected(
    model: &Model,
    seen: &Observation,
    recipe: &Recipe,
    quantized: Option<(&Rewritten, &Observation)>,
) -> Vec<Vec<f64>> {
    let graph = model.graph();
    (0..graph.nodes.len() as NodeId)
        .map(|id| {
            let Op::Conv2d(conv) = graph.node(id).op else { return Vec::new() };
            let mean = &seen.moments[usize::from(graph.node(id).inputs[0])].mean;
            let quantized_mean = match quantized {
                None => mean,
                Some((rewritten, observation)) => {
                    let node = rewritten.model.graph().node(rewritten.node[usize::from(id)]);
                    &observation.moments[usize::from(node.inputs[0])].mean
                }
            };
            one(model, id, conv, recipe, mean, quantized_mean)
        })
        .collect()
}

/// The order of correction: at most `most` ranges of depths, from front to back, and the depth of each convolution, which is
/// the number of those on the longest way to it.
pub fn stages(model: &Model, most: usize) -> (Vec<Range<usize>>, Vec<usize>) {
    let mut behind: Vec<usize> = Vec::with_capacity(model.graph().nodes.len());
    let mut depth = Vec::with_capacity(behind.capacity());
    for node in &model.graph().nodes {
        let before = node.inputs.iter().map(|&input| behind[usize::from(input)]).max().unwrap_or(0);
        depth.push(before);
        behind.push(before + usize::from(matches!(node.op, Op::Conv2d(_))));
    }
    let levels = behind.iter().copied().max().unwrap_or(0);
    let stages = levels.min(most.max(1));
    let at = |stage: usize| stage * levels / stages.max(1);
    ((0..stages).map(|stage| at(stage)..at(stage + 1)).collect(), depth)
}

/// The biases of the model itself; empty for other nodes than convolutions.
pub fn unchanged(model: &Model) -> Vec<Vec<f64>> {
    let nodes = (0..).zip(&model.graph().nodes);
    nodes
        .map(|(id, node)| {
            let biases = matches!(node.op, Op::Conv2d(_)).then(|| model.f32s(id, Role::Bias));
            biases.into_iter().flatten().map(f64::from).collect()
        })
        .collect()
}

fn one(
    model: &Model,
    id: NodeId,
    conv: Conv2d,
    recipe: &Recipe,
    mean: &[f64],
    quantized_mean: &[f64],
) -> Vec<f64> {
    let (weight, bias) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
    let depth = usize::from(conv.kernel).pow(2) * usize::from(conv.in_channels);
    let rows = weight.chunks_exact(depth).zip(&bias).enumerate();
    rows.map(|(channel, (row, &bias))| {
        let mut sum = f64::from(bias);
        for (i, &w) in row.iter().enumerate() {
            let w = f64::from(w);
            let stored = recipe.weights[usize::from(id)].as_ref().map_or(w, |q| q.real(channel, depth, i));
            sum += w * mean[i % mean.len()] - stored * quantized_mean[i % mean.len()];
        }
        sum
    })
    .collect()
}
