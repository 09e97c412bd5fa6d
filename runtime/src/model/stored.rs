//! The [`Model`] and what can be asked of it. It is only made by `build`, after validation.

use crate::model::facts::Facts;
use crate::model::graph::{DType, Graph, Node, NodeId};
use crate::model::params::{Element, ParamSpec, Role};
use crate::model::shape::{EdgeShape, Extent};
use crate::model::tensor::{TensorData, TensorRef};
use alloc::{borrow::Cow, string::String, sync::Arc, vec::Vec};

/// A validated [`Graph`] plus its weights.
///
/// The bytes are borrowed when they are `'static` (a model compiled into the program or mapped from flash)
/// and owned otherwise. A clone shares them.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) graph: Graph,
    pub(crate) shapes: Vec<EdgeShape>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) tensors: Vec<Vec<TensorRef>>,
    // Shared by clones: a plan has one, and weights are most of a model.
    pub(crate) weights: Arc<Cow<'static, [u8]>>,
}

/// The tensors that a node needs, in file order, when it reads an edge of this type and shape first. A convolution is
/// quantized exactly when the edge it reads is.
pub fn param_specs_of(node: &Node, input: Option<(DType, EdgeShape)>) -> Vec<ParamSpec> {
    Facts::of(&node.op, input).tensors().to_vec()
}

impl Model {
    /// The layer list.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Height and width of every edge for an input of this height and width ([`Graph::sizes`]).
    pub fn sizes(&self, height: usize, width: usize) -> Option<Vec<[usize; 2]>> {
        self.graph.sizes(&self.shapes, height, width)
    }

    /// Shape of an edge.
    pub fn shape(&self, id: NodeId) -> EdgeShape {
        self.shapes[usize::from(id)]
    }

    /// Upscaling factor of the whole network.
    pub fn upscale(&self) -> u8 {
        self.shape(self.graph.output()).extent.upscale().unwrap_or(1)
    }

    /// Channels of the input image: 3 for RGB, 1 for Y.
    pub fn in_channels(&self) -> usize {
        usize::from(self.shape(0).channels)
    }

    /// Channels of the output image.
    pub fn out_channels(&self) -> usize {
        usize::from(self.shape(self.graph.output()).channels)
    }

    /// Whether any edge carries integers.
    pub fn is_quantized(&self) -> bool {
        self.graph.nodes.iter().any(|n| n.dtype.is_quantized())
    }

    /// Name, provenance and results, as key and value pairs: `name`, `config`, `dataset`, `seed`, …
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// One value of the metadata.
    pub fn meta(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The tensors that a node needs, in file order.
    pub fn param_specs(&self, id: NodeId) -> Vec<ParamSpec> {
        let node = self.graph.node(id);
        param_specs_of(node, node.inputs.first().map(|&i| (self.graph.node(i).dtype, self.shape(i))))
    }

    /// A float tensor of a node.
    ///
    /// # Panics
    /// If the node has no float tensor of this role.
    pub fn f32s(&self, id: NodeId, role: Role) -> Vec<f32> {
        self.decode(id, role, Element::F32, f32::from_le_bytes)
    }

    /// An `i32` tensor of a node.
    ///
    /// # Panics
    /// If the node has no `i32` tensor of this role.
    pub fn i32s(&self, id: NodeId, role: Role) -> Vec<i32> {
        self.decode(id, role, Element::I32, i32::from_le_bytes)
    }

    /// An `i8` tensor of a node, without a copy.
    ///
    /// # Panics
    /// If the node has no `i8` tensor of this role.
    pub fn i8s(&self, id: NodeId, role: Role) -> &[i8] {
        bytemuck::cast_slice(self.bytes_of(id, role, Element::I8))
    }

    /// All tensors of a node as values, to build a changed model from.
    pub fn params(&self, id: NodeId) -> Vec<TensorData> {
        self.param_specs(id)
            .iter()
            .map(|spec| match spec.element {
                Element::F32 => TensorData::F32(self.f32s(id, spec.role)),
                Element::I8 => TensorData::I8(self.i8s(id, spec.role).to_vec()),
                Element::I32 => TensorData::I32(self.i32s(id, spec.role)),
            })
            .collect()
    }

    /// Multiply-accumulates for one pixel of the input image.
    pub fn macs_per_pixel(&self) -> u64 {
        (0..self.graph.nodes.len()).map(|i| self.node_macs_per_pixel(i as NodeId)).sum()
    }

    /// Multiply-accumulates of one node for one pixel of the input image.
    pub fn node_macs_per_pixel(&self, id: NodeId) -> u64 {
        macs(&self.graph, &self.shapes, usize::from(id))
    }

    /// Number of parameters.
    pub fn num_params(&self) -> u64 {
        self.tensors.iter().flatten().map(|t| u64::from(t.len)).sum()
    }

    /// Size of the weight section in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.weights.len()
    }

    /// # Panics
    /// As its callers say: asking for a tensor that the operator does not have is a bug of the caller.
    fn bytes_of(&self, id: NodeId, role: Role, element: Element) -> &[u8] {
        let index = self.param_specs(id).iter().position(|s| s.role == role && s.element == element);
        let index = index.expect("the node has a tensor of this role and element type");
        let tensor = self.tensors[usize::from(id)][index];
        let start = tensor.offset as usize;
        &self.weights[start..start + tensor.len as usize * element.size_bytes()]
    }

    fn decode<T>(&self, id: NodeId, role: Role, element: Element, from: fn([u8; 4]) -> T) -> Vec<T> {
        let bytes = self.bytes_of(id, role, element);
        bytes.chunks_exact(4).map(|b| from([b[0], b[1], b[2], b[3]])).collect()
    }
}

/// Multiply-accumulates of node `index` for one pixel of the input image.
pub(crate) fn macs(graph: &Graph, shapes: &[EdgeShape], index: usize) -> u64 {
    let (node, shape) = (&graph.nodes[index], shapes[index]);
    let macs = Facts::of(&node.op, None).macs_per_value * u64::from(shape.channels);
    match shape.extent {
        Extent::Times(n) => macs * u64::from(n).pow(2),
        Extent::Part { times, of } => macs * u64::from(times).pow(2) / u64::from(of).pow(2),
        Extent::One => 0,
        Extent::Pooled { stride, .. } => macs / u64::from(stride).pow(2),
    }
}
