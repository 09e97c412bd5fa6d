//! From a float graph to a quantized one.
//!
//! Convolutions read 8 bits (or 16 or floats, where the recipe says so) and write what their readers want: 8
//! bits, 16 bits for an addition, or floats.
//! An edge is stored once, in the widest form that a reader wants; a `Convert` node makes each narrower form
//! when it is first needed. Such a node costs time on a board, so none is made that can be done without: an
//! addition that only convolutions read writes 8 bits itself.

use crate::error::QuantizeError;
use crate::params::EdgeTypes;
use crate::weights::{QuantizedWeights, quantize_bias};
use mcir_runtime::model::{DType, Extent, Graph, Model, NodeId, Op, Role, TensorData};

/// What a convolution reads; from the cheapest to the most exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 8-bit activations and weights.
    #[default]
    Int8,
    /// 16-bit activations, 8-bit weights.
    Int16,
    /// Floats.
    F32,
}

impl Precision {
    /// Short name for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::F32 => "f32",
        }
    }
}

/// All that turns a float model into a quantized one.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Types of each edge.
    pub types: Vec<EdgeTypes>,
    /// What each convolution or window attention reads; nothing is read from the entries of other nodes.
    pub precision: Vec<Precision>,
    /// Quantized weights of each convolution that is not in floats; `None` for all other nodes.
    pub weights: Vec<Option<QuantizedWeights>>,
    /// Real bias of each convolution; empty for all other nodes.
    pub bias: Vec<Vec<f64>>,
}

/// A quantized model, and where the nodes of the float model went.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The model.
    pub model: Model,
    /// New number of each old node.
    pub node: Vec<NodeId>,
}

/// Forms in which an edge can be stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Narrow,
    Wide,
    Float,
}

fn form_of(dtype: DType) -> Form {
    match dtype {
        DType::F32 => Form::Float,
        DType::I16 { .. } => Form::Wide,
        DType::I8 { .. } => Form::Narrow,
    }
}

/// The forms in which the readers of an edge want it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Wanted {
    narrow: bool,
    wide: bool,
    float: bool,
}

/// Builds the quantized model.
///
/// # Errors
/// [`QuantizeError::Rewrite`] when the result is not a valid model, as when an accumulator could overflow.
///
/// # Panics
/// If the recipe does not have one entry for each node, or no weights for a convolution that is not in floats.
pub fn rewrite(model: &Model, recipe: &Recipe) -> Result<Rewritten, QuantizeError> {
    let nodes = model.graph().nodes.len();
    assert!(recipe.types.len() == nodes && recipe.weights.len() == nodes && recipe.bias.len() == nodes);
    assert_eq!(recipe.precision.len(), nodes);
    let mut rewriter = Rewriter {
        model,
        recipe,
        wanted: wanted(model, recipe),
        graph: model.graph().emptied(),
        params: Vec::new(),
        forms: vec![[None; 3]; nodes],
        node: Vec::with_capacity(nodes),
    };
    for id in 0..nodes as NodeId {
        rewriter.visit(id);
    }
    let Rewriter { graph, params, node, .. } = rewriter;
    let model = Model::new(graph, &params, model.metadata().to_vec()).map_err(QuantizeError::Rewrite)?;
    Ok(Rewritten { model, node })
}

/// The form in which an operator reads its edges.
enum Reads {
    /// As the recipe says for the node.
    Precision,
    /// 8 bits.
    Narrow,
    /// 16 bits, where 8 are not exact.
    Wide,
    /// The one it is written in: it only moves values.
    Any,
    /// Floats.
    Float,
}

impl Reads {
    fn of(model: &Model, id: NodeId) -> Self {
        let op = &model.graph().node(id).op;
        match op {
            Op::GlobalPool { .. } => Self::Narrow,
            _ if is_point(model, id) => Self::Float,
            Op::Conv2d(_) | Op::WindowAttention { .. } => Self::Precision,
            // A table has an entry for each of 256 values.
            Op::Activation(_) => Self::Narrow,
            Op::PixelShuffle { .. } | Op::MaxPool(_) => Self::Any,
            // What a PReLU reads has most of its range below zero and loses it there: 8 bits, then a small slope, then 8 bits
            // again would leave a few levels of what its readers want.
            Op::PRelu
            | Op::Interpolate { .. }
            | Op::Add { .. }
            | Op::Mul
            | Op::Affine
            | Op::LayerNorm { .. }
            | Op::Resize { .. }
            | Op::Reduce { .. } => Self::Wide,
            // Folding removes the one and refuses the other.
            Op::Input { .. } | Op::Convert => Self::Wide,
        }
    }
}

/// Whether an edge is one pixel that is made of a whole image: floats cost nothing there.
pub(crate) fn is_point(model: &Model, id: NodeId) -> bool {
    model.shape(id).extent == Extent::One
}

fn wanted(model: &Model, recipe: &Recipe) -> Vec<Wanted> {
    let graph = model.graph();
    let mut wanted = vec![Wanted::default(); graph.nodes.len()];
    wanted[usize::from(graph.output())].narrow = true;
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        let of_reader = wanted[id];
        for (place, &input) in node.inputs.iter().enumerate() {
            let edge = &mut wanted[usize::from(input)];
            if let (Op::Interpolate { .. }, 1) = (node.op, place) {
                // Only its size is read.
                edge.narrow = true;
                continue;
            }
            match Reads::of(model, id as NodeId) {
                Reads::Float => edge.float = true,
                Reads::Precision => match recipe.reads(id, input) {
                    Precision::Int8 => edge.narrow = true,
                    Precision::Int16 => edge.wide = true,
                    Precision::F32 => edge.float = true,
                },
                Reads::Narrow => edge.narrow = true,
                Reads::Any => {
                    edge.narrow |= of_reader.narrow;
                    edge.wide |= of_reader.wide;
                    edge.float |= of_reader.float;
                }
                Reads::Wide => edge.wide = true,
            }
        }
    }
    wanted
}

impl Recipe {
    /// What node `id` reads from edge `input`: where 8 bits hold it without error, 16 are of no use.
    fn reads(&self, id: usize, input: NodeId) -> Precision {
        let EdgeTypes { narrow, wide } = self.types[usize::from(input)];
        match self.precision[id] {
            Precision::Int16 if narrow == wide => Precision::Int8,
            other => other,
        }
    }
}

struct Rewriter<'a> {
    model: &'a Model,
    recipe: &'a Recipe,
    wanted: Vec<Wanted>,
    graph: Graph,
    params: Vec<Vec<TensorData>>,
    /// For each old edge the new edges that hold it, by form.
    forms: Vec<[Option<NodeId>; 3]>,
    node: Vec<NodeId>,
}

impl Rewriter<'_> {
    fn visit(&mut self, id: NodeId) {
        let node = self.model.graph().node(id);
        let form = self.own_form(id);
        let reads = Reads::of(self.model, id);
        let first = |rewriter: &mut Self, form| vec![rewriter.get(node.inputs[0], form)];
        let inputs: Vec<NodeId> = match reads {
            Reads::Precision => match self.recipe.reads(usize::from(id), node.inputs[0]) {
                Precision::Int8 => first(self, Form::Narrow),
                Precision::Int16 => first(self, Form::Wide),
                Precision::F32 => first(self, Form::Float),
            },
            Reads::Narrow => first(self, Form::Narrow),
            Reads::Float => node.inputs.iter().map(|&input| self.get(input, Form::Float)).collect(),
            Reads::Any => vec![self.get_any(node.inputs[0], form)],
            Reads::Wide => node.inputs.iter().map(|&input| self.get_any(input, Form::Wide)).collect(),
        };
        // What only moves values has the type that was to be had, also where another form was wanted.
        let dtype = match reads {
            Reads::Any => self.graph.node(inputs[0]).dtype,
            Reads::Precision | Reads::Narrow | Reads::Wide | Reads::Float => self.dtype(id, form),
        };
        let params = if matches!(node.op, Op::Conv2d(_)) {
            match &self.recipe.weights[usize::from(id)] {
                Some(weights) => self.quantized(id, inputs[0], weights),
                None => {
                    let bias = self.recipe.bias[usize::from(id)].iter().map(|&b| b as f32).collect();
                    vec![TensorData::F32(self.model.f32s(id, Role::Weight)), TensorData::F32(bias)]
                }
            }
        } else {
            self.model.params(id)
        };
        let new_id = self.push(&node.name, node.op, &inputs, dtype, params);
        self.forms[usize::from(id)][form_of(dtype) as usize] = Some(new_id);
        self.node.push(new_id);
    }

    /// The form in which a node writes its edge.
    fn own_form(&self, id: NodeId) -> Form {
        let node = self.model.graph().node(id);
        let wanted = self.wanted[usize::from(id)];
        let is_float =
            matches!(node.op, Op::Conv2d(_)) && self.recipe.precision[usize::from(id)] == Precision::F32;
        if matches!(node.op, Op::Input { .. }) {
            Form::Narrow
        } else if is_float || is_point(self.model, id) {
            Form::Float
        } else if id == self.model.graph().output() {
            Form::Narrow
        } else if wanted.wide && self.dtype(id, Form::Wide) == self.dtype(id, Form::Narrow) {
            // An exact 8-bit form is as good as 16 bits.
            Form::Narrow
        } else if wanted.wide {
            Form::Wide
        } else if wanted.narrow {
            Form::Narrow
        } else {
            Form::Float
        }
    }

    fn dtype(&self, id: NodeId, form: Form) -> DType {
        let types = self.recipe.types[usize::from(id)];
        match form {
            Form::Narrow => types.narrow,
            Form::Wide => types.wide,
            Form::Float => DType::F32,
        }
    }

    /// The new edge that holds old edge `id` in its most exact form.
    fn best(&self, id: NodeId) -> NodeId {
        let [narrow, wide, float] = self.forms[usize::from(id)];
        wide.or(float).or(narrow).expect("an edge is stored before it is read")
    }

    /// As [`get`](Self::get), but for a reader that takes any type in place of 16 bits.
    fn get_any(&mut self, id: NodeId, form: Form) -> NodeId {
        if form == Form::Wide { self.best(id) } else { self.get(id, form) }
    }

    /// The new edge that holds old edge `id` in a form; converts it when there is none yet.
    fn get(&mut self, id: NodeId, form: Form) -> NodeId {
        let best = self.best(id);
        self.forms[usize::from(id)][form as usize].unwrap_or_else(|| {
            let name = &self.model.graph().node(id).name;
            let name = format!("{name}.{}", crate::params::dtype_name(self.dtype(id, form)));
            let new_id = self.push(&name, Op::Convert, &[best], self.dtype(id, form), Vec::new());
            self.forms[usize::from(id)][form as usize] = Some(new_id);
            new_id
        })
    }

    fn quantized(&self, id: NodeId, input: NodeId, weights: &QuantizedWeights) -> Vec<TensorData> {
        let (DType::I8 { scale, .. } | DType::I16 { scale }) = self.graph.node(input).dtype else {
            unreachable!("a quantized convolution reads integers")
        };
        let bias = self.recipe.bias[usize::from(id)].iter().zip(&weights.scales);
        let bias = bias.map(|(&b, &s)| quantize_bias(b, scale, s)).collect();
        vec![
            TensorData::I8(weights.values.clone()),
            TensorData::I32(bias),
            TensorData::F32(weights.scales.clone()),
        ]
    }

    fn push(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[NodeId],
        dtype: DType,
        params: Vec<TensorData>,
    ) -> NodeId {
        // Names of new nodes could collide with names that the model has already.
        let taken = |name: &str| self.graph.nodes.iter().any(|n| n.name == name);
        let mut unique = name.to_string();
        while taken(&unique) {
            unique.push('_');
        }
        self.params.push(params);
        self.graph.push(unique, op, inputs, dtype)
    }
}
