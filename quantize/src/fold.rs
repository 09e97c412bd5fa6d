//! Rewriting a float model into an equal one that quantizes better: fewer nodes, exact pixels.
//!
//! - activations: a ReLU joins the convolution before it; any other activation leaves its convolution, as
//!   on 8 bits it is a table of its own, or, if it is a leaky ReLU, a PReLU of equal slopes, which reads 16;
//! - the mean shift of published networks: the first one becomes a shift by a whole number of grey levels,
//!   which 8 bits hold without error, and what remains moves into the weights of the convolutions that read
//!   it; the last one moves into the last convolution.
//!
//! The result equals the original up to float rounding, but for the padding of the first convolution, which
//! stands for one grey instead of three that differ slightly.

use crate::error::QuantizeError;
use mcir_runtime::model::{Activation, Conv2d, Graph, Model, Node, NodeId, Op, Role, TensorData};

/// Applies all rewritings to a float model.
///
/// # Errors
/// [`QuantizeError::AlreadyQuantized`], and [`QuantizeError::Rewrite`] when folded weights leave the range that a model file allows.
pub fn fold(model: &Model) -> Result<Model, QuantizeError> {
    if let Some(node) = model.graph().nodes.iter().find(|n| n.dtype.is_quantized()) {
        let (node, dtype) = (node.name.clone(), crate::params::dtype_name(node.dtype).into());
        return Err(QuantizeError::AlreadyQuantized { node, dtype });
    }
    fold_affine(&fold_activations(model)?)
}

/// A copy of a model under construction: old nodes are visited in order, and each old edge knows its new one.
struct Copy<'a> {
    old: &'a Model,
    graph: Graph,
    params: Vec<Vec<TensorData>>,
    new_id: Vec<NodeId>,
}

impl<'a> Copy<'a> {
    fn new(old: &'a Model) -> Self {
        Self { old, graph: old.graph().emptied(), params: Vec::new(), new_id: Vec::new() }
    }

    /// The only reader of an old edge, if there is just one.
    fn only_reader(&self, id: NodeId) -> Option<NodeId> {
        let mut readers = self.old.graph().readers(id);
        let first = readers.next();
        first.filter(|_| readers.next().is_none())
    }

    fn inputs(&self, node: &Node) -> Vec<NodeId> {
        node.inputs.iter().map(|&i| self.new_id[usize::from(i)]).collect()
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[NodeId], params: Vec<TensorData>) -> NodeId {
        let dtype = self.old.graph().node(0).dtype;
        self.params.push(params);
        self.graph.push(name, op, inputs, dtype)
    }

    fn finish(self) -> Result<Model, QuantizeError> {
        let metadata = self.old.metadata().to_vec();
        Model::new(self.graph, &self.params, metadata).map_err(QuantizeError::Rewrite)
    }
}

fn fold_activations(model: &Model) -> Result<Model, QuantizeError> {
    let graph = model.graph();
    let mut copy = Copy::new(model);
    for (id, node) in (0..).zip(&graph.nodes) {
        let inputs = copy.inputs(node);
        let new_id = match node.op {
            Op::Convert => inputs[0],
            Op::Activation(Activation::Relu) if joins(&copy, node.inputs[0]) => inputs[0],
            Op::Conv2d(conv) => {
                let (fused, own) = match conv.activation {
                    Some(Activation::Relu) => (Some(Activation::Relu), None),
                    None if joins(&copy, id) => (Some(Activation::Relu), None),
                    other => (None, other),
                };
                let op = Op::Conv2d(Conv2d { activation: fused, ..conv });
                let new_id = copy.push(&node.name, op, &inputs, model.params(id));
                match own {
                    Some(activation) => {
                        let name = format!("{}.activation", node.name);
                        let (op, params) = with_slopes(activation, conv.out_channels);
                        copy.push(&name, op, &[new_id], params)
                    }
                    None => new_id,
                }
            }
            Op::Activation(activation) => {
                let (op, params) = with_slopes(activation, model.shape(id).channels);
                copy.push(&node.name, op, &inputs, params)
            }
            op => copy.push(&node.name, op, &inputs, model.params(id)),
        };
        copy.new_id.push(new_id);
    }
    copy.finish()
}

/// A leaky ReLU as a PReLU, which reads 16 bits where an activation is a table of 8.
fn with_slopes(activation: Activation, channels: u16) -> (Op, Vec<TensorData>) {
    match activation {
        Activation::LeakyRelu { slope } => {
            (Op::PRelu, vec![TensorData::F32(vec![slope; usize::from(channels)])])
        }
        other => (Op::Activation(other), Vec::new()),
    }
}

/// Whether edge `id` is a convolution without activation that only a ReLU reads.
fn joins(copy: &Copy<'_>, id: NodeId) -> bool {
    let graph = copy.old.graph();
    let plain = matches!(graph.node(id).op, Op::Conv2d(Conv2d { activation: None, .. }));
    let relu = |r: NodeId| graph.node(r).op == Op::Activation(Activation::Relu);
    plain && copy.only_reader(id).is_some_and(relu)
}

fn fold_affine(model: &Model) -> Result<Model, QuantizeError> {
    let graph = model.graph();
    let mut copy = Copy::new(model);
    // For each old edge, the shifted pixels that convolutions read instead.
    let mut shifted: Vec<Option<NodeId>> = vec![None; graph.nodes.len()];
    for (id, node) in (0..).zip(&graph.nodes) {
        let mut inputs = copy.inputs(node);
        let new_id = match node.op {
            Op::Affine if node.inputs == [0] && id != graph.output() => {
                let is_conv = |r: NodeId| matches!(graph.node(r).op, Op::Conv2d(_));
                let (convs, others): (Vec<NodeId>, Vec<NodeId>) =
                    graph.readers(id).partition(|&r| is_conv(r));
                let plain = (!others.is_empty())
                    .then(|| copy.push(&node.name, Op::Affine, &inputs, model.params(id)));
                if !convs.is_empty() {
                    let name =
                        if plain.is_some() { format!("{}.pixels", node.name) } else { node.name.clone() };
                    let bias = vec![-level_of(model, id) / 255.0; model.in_channels()];
                    let params = vec![TensorData::F32(vec![1.0; model.in_channels()]), TensorData::F32(bias)];
                    shifted[usize::from(id)] = Some(copy.push(&name, Op::Affine, &inputs, params));
                }
                plain.or(shifted[usize::from(id)]).expect("every edge has a reader")
            }
            Op::Affine if tail_conv(&copy, node.inputs[0]).is_some() => inputs[0],
            Op::Conv2d(_) => {
                let (mut weight, mut bias) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
                if let Some(pixels) = shifted[usize::from(node.inputs[0])] {
                    absorb_input(model, node.inputs[0], &mut weight, &mut bias);
                    inputs = vec![pixels];
                }
                if let Some(affine) = affine_after(&copy, id) {
                    absorb_output(model, affine, &mut weight, &mut bias);
                }
                copy.push(&node.name, node.op, &inputs, vec![TensorData::F32(weight), TensorData::F32(bias)])
            }
            op => copy.push(&node.name, op, &inputs, model.params(id)),
        };
        copy.new_id.push(new_id);
    }
    copy.finish()
}

/// The grey level, a whole number in 0..=255, that the affine node maps to zero; the mean of its channels'.
fn level_of(model: &Model, affine: NodeId) -> f32 {
    let (weight, bias) = (model.f32s(affine, Role::Weight), model.f32s(affine, Role::Bias));
    let levels: Vec<f32> =
        weight.iter().zip(&bias).filter(|(a, _)| **a != 0.0).map(|(a, b)| -255.0 * b / a).collect();
    let mean = levels.iter().sum::<f32>() / levels.len().max(1) as f32;
    mean.round().clamp(0.0, 255.0)
}

/// Makes a convolution of `a·x + b` one of `x − level/255`.
fn absorb_input(model: &Model, affine: NodeId, weight: &mut [f32], bias: &mut [f32]) {
    let (a, b) = (model.f32s(affine, Role::Weight), model.f32s(affine, Role::Bias));
    let zero = level_of(model, affine) / 255.0;
    let depth = weight.len() / bias.len();
    for (row, bias) in weight.chunks_exact_mut(depth).zip(bias) {
        let mut shift = 0.0;
        for taps in row.chunks_exact_mut(a.len()) {
            for ((w, a), b) in taps.iter_mut().zip(&a).zip(&b) {
                shift += f64::from(*w) * f64::from(a * zero + b);
                *w *= a;
            }
        }
        *bias += shift as f32;
    }
}

/// Makes a convolution compute `a·y + b` where it computed `y`.
fn absorb_output(model: &Model, affine: NodeId, weight: &mut [f32], bias: &mut [f32]) {
    let (a, b) = (model.f32s(affine, Role::Weight), model.f32s(affine, Role::Bias));
    let depth = weight.len() / bias.len();
    // A shuffle between the two gives each channel `r²` consecutive rows.
    let rows = bias.len() / a.len();
    for (i, (row, bias)) in weight.chunks_exact_mut(depth).zip(bias).enumerate() {
        row.iter_mut().for_each(|w| *w *= a[i / rows]);
        *bias = *bias * a[i / rows] + b[i / rows];
    }
}

/// The affine node that takes the result of convolution `id`, directly or through pixel shuffles, and can move
/// into its weights.
fn affine_after(copy: &Copy<'_>, id: NodeId) -> Option<NodeId> {
    let graph = copy.old.graph();
    if !matches!(graph.node(id).op, Op::Conv2d(Conv2d { activation: None, .. })) {
        return None;
    }
    let mut reader = copy.only_reader(id)?;
    while let Op::PixelShuffle { .. } = graph.node(reader).op {
        reader = copy.only_reader(reader)?;
    }
    (graph.node(reader).op == Op::Affine).then_some(reader)
}

/// The convolution that edge `id` comes from, if an affine node after it moves into its weights.
fn tail_conv(copy: &Copy<'_>, mut id: NodeId) -> Option<NodeId> {
    while let Op::PixelShuffle { .. } = copy.old.graph().node(id).op {
        id = copy.old.graph().node(id).inputs[0];
    }
    affine_after(copy, id).map(|_| id)
}
