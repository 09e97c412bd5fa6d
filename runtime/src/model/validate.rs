//! The rules that make a graph and its tensors a [`Model`]. Everything that the executor takes for granted
//! is checked here, once.

use crate::model::error::LoadError;
use crate::model::facts::Facts;
use crate::model::graph::{Activation, DType, Graph, NodeId, Op};
use crate::model::params::{Element, Role};
use crate::model::shape::{EdgeShape, Extent, infer};
use crate::model::stored::{Model, macs};
use crate::model::tensor::TensorRef;
use alloc::{collections::BTreeSet, string::String, vec::Vec};

/// Most nodes of a graph; SwinIR-light has about 230.
pub const MAX_NODES: usize = 4096;
/// Most multiply-accumulates for one input pixel; EDSR-light x4 needs 2.0 million.
pub const MAX_MACS_PER_PIXEL: u64 = 1 << 32;
/// Widest margin around an image, in pixels; waifu2x has 7 to 36.
pub const MAX_MARGIN: u16 = 128;
/// Largest multiple that an image is extended to; networks that halve it six times have it.
pub const MAX_MULTIPLE: u8 = 64;
const MAX_NAME_BYTES: usize = 128;
/// Most keys of the metadata.
pub(crate) const MAX_KEYS: usize = 4096;
const MAX_METADATA_BYTES: usize = 1 << 20;
/// Channels summed over all edges, weighted with their resolution: bounds the working memory.
const MAX_EDGE_ELEMENTS: u64 = 1 << 20;

pub(crate) fn graph(graph: &Graph) -> Result<Vec<EdgeShape>, LoadError> {
    let found = graph.nodes.len();
    if found > MAX_NODES {
        return Err(LoadError::TooManyNodes { found });
    }
    if !matches!(graph.nodes.first().map(|n| n.op), Some(Op::Input { .. })) {
        return Err(LoadError::NoInput);
    }
    limit("margin around the image in pixels", graph.margin.into(), MAX_MARGIN.into())?;
    // A multiple of nothing is not one.
    limit("multiple of the image's sides", u64::from(graph.multiple.max(1)), MAX_MULTIPLE.into())?;
    limit("smallest multiple of the image's sides", 1, graph.multiple.into())?;
    let shapes = infer(graph)?;
    let mut names = BTreeSet::new();
    let mut read = alloc::vec![false; found];
    let (mut macs_total, mut elements) = (0u64, 0u64);
    for (index, node) in graph.nodes.iter().enumerate() {
        let id = index as NodeId;
        if node.name.is_empty() || node.name.len() > MAX_NAME_BYTES || !names.insert(node.name.as_str()) {
            return Err(LoadError::Name { node: id });
        }
        node.inputs.iter().for_each(|&i| read[usize::from(i)] = true);
        if let Some(what) = Facts::of(&node.op, None).bad_parameter {
            return Err(LoadError::BadParameter { node: id, what });
        }
        dtypes(graph, &shapes, id)?;
        macs_total = macs_total.saturating_add(macs(graph, &shapes, index));
        let shape = shapes[index];
        elements += u64::from(shape.channels) * u64::from(shape.extent.upscale().unwrap_or(1));
    }
    if let Some(unused) = read[..found - 1].iter().position(|r| !r) {
        return Err(LoadError::Unused { node: unused as NodeId });
    }
    limit("work for one pixel", macs_total, MAX_MACS_PER_PIXEL)?;
    limit("sum of channels", elements, MAX_EDGE_ELEMENTS)?;
    let ends = [0, found - 1];
    if let Some(end) = ends.into_iter().find(|&i| !matches!(shapes[i].channels, 1 | 3)) {
        return Err(LoadError::Channels { node: end as NodeId, found: shapes[end].channels });
    }
    if shapes[found - 1].extent.upscale().is_none() {
        return Err(LoadError::ResolutionMismatch { node: (found - 1) as NodeId });
    }
    Ok(shapes)
}

fn dtypes(graph: &Graph, shapes: &[EdgeShape], id: NodeId) -> Result<(), LoadError> {
    let node = graph.node(id);
    match node.dtype {
        DType::I8 { scale, .. } | DType::I16 { scale } => {
            // Powers of two around the range of any real signal; ratios of two such scales stay finite.
            if !(scale.is_finite() && (1e-12..=1e12).contains(&scale)) {
                return Err(LoadError::BadScale { node: id, found: scale });
            }
        }
        DType::F32 => {}
    }
    let input = node.inputs.first().map(|&i| graph.node(i).dtype);
    // Pixels are exact, or the network works on floats.
    let is_end = id == 0 || id == graph.output();
    let exact = !is_end || node.dtype == DType::F32 || node.dtype == DType::PIXEL;
    let fits = if let Op::Conv2d(conv) = node.op {
        match input {
            Some(DType::F32) => node.dtype == DType::F32,
            Some(DType::I8 { .. } | DType::I16 { .. }) => {
                matches!(conv.activation, None | Some(Activation::Relu))
            }
            None => false,
        }
    } else {
        !matches!(node.op, Op::PixelShuffle { .. } | Op::MaxPool(_)) || Some(node.dtype) == input
    };
    // What is known of a whole image is one pixel: floats cost nothing there.
    let fits = fits && (shapes[usize::from(id)].extent != Extent::One || node.dtype == DType::F32);
    if exact && fits { Ok(()) } else { Err(LoadError::UnsupportedDType { node: id }) }
}

pub(crate) fn metadata(metadata: &[(String, String)]) -> Result<(), LoadError> {
    limit("number of metadata keys", metadata.len() as u64, MAX_KEYS as u64)?;
    let bytes = metadata.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    limit("metadata in bytes", bytes as u64, MAX_METADATA_BYTES as u64)
}

/// Every tensor is there, inside the weight section, and holds allowed values; all together fit into the section.
pub(crate) fn tensors(model: &Model) -> Result<(), LoadError> {
    layout(model)?;
    // What is packed for the kernels, and the time to look at it, is bounded by the file only if nothing is in it twice.
    let bytes = |t: &TensorRef| u64::from(t.len) * t.element.size_bytes() as u64;
    let total = model.tensors.iter().flatten().map(bytes).sum();
    limit("size of all tensors in a weight section of fewer bytes", total, model.weights.len() as u64)?;
    for id in 0..model.graph.nodes.len() as NodeId {
        let specs = model.param_specs(id);
        for spec in &specs {
            values(model, id, spec.role, spec.element)?;
        }
        if specs.iter().any(|s| s.element == Element::I32) {
            accumulator(model, id)?;
        }
    }
    Ok(())
}

/// Every tensor is there, of its type and length, inside the weight section.
fn layout(model: &Model) -> Result<(), LoadError> {
    let nodes = model.graph.nodes.len();
    if model.tensors.len() != nodes {
        let found = model.tensors.len() as u64;
        return Err(LoadError::Tensor { node: 0, index: 0, expected: nodes as u64, found });
    }
    for id in 0..nodes as NodeId {
        let node = model.graph.node(id);
        let input = node.inputs.first().map(|&i| (model.graph.node(i).dtype, model.shape(i)));
        let facts = Facts::of(&node.op, input);
        let specs = facts.tensors();
        let n = specs.len();
        let tensors = &model.tensors[usize::from(id)];
        if tensors.len() != n {
            let found = tensors.len() as u64;
            return Err(LoadError::Tensor { node: id, index: 0, expected: n as u64, found });
        }
        for (index, (spec, tensor)) in specs.iter().zip(tensors).enumerate() {
            let wrong = LoadError::Tensor {
                node: id,
                index: index as u16,
                expected: spec.len() as u64,
                found: u64::from(tensor.len),
            };
            if tensor.element != spec.element || tensor.len as usize != spec.len() || !inside(model, tensor) {
                return Err(wrong);
            }
        }
    }
    Ok(())
}

fn inside(model: &Model, tensor: &TensorRef) -> bool {
    let end = u64::from(tensor.offset) + u64::from(tensor.len) * tensor.element.size_bytes() as u64;
    end <= model.weights.len() as u64
}

fn values(model: &Model, node: NodeId, role: Role, element: Element) -> Result<(), LoadError> {
    let bad = match element {
        Element::F32 => {
            let positive = role == Role::WeightScale;
            let ok = |x: &f32| x.is_finite() && x.abs() < 1e12 && (!positive || *x >= 1e-12);
            model.f32s(node, role).iter().position(|x| !ok(x))
        }
        Element::I8 => model.i8s(node, role).iter().position(|&x| x == i8::MIN),
        Element::I32 => None,
    };
    bad.map_or(Ok(()), |index| Err(LoadError::Value { node, role, index: index as u32 }))
}

/// `|x − zero_point|` is at most 255 for 8 bits and 32767 for 16, so the sum is bounded by that times `Σ|w|`,
/// plus `|bias|`.
fn accumulator(model: &Model, node: NodeId) -> Result<(), LoadError> {
    let bias = model.i32s(node, Role::Bias);
    let weights = model.i8s(node, Role::Weight);
    let largest = match model.graph.node(model.graph.node(node).inputs[0]).dtype {
        DType::I16 { .. } => 32767,
        DType::I8 { .. } | DType::F32 => 255,
    };
    let depth = weights.len() / bias.len();
    for (channel, (row, bias)) in weights.chunks_exact(depth).zip(&bias).enumerate() {
        let sum: u64 = row.iter().map(|w| u64::from(w.unsigned_abs())).sum();
        if largest * sum + u64::from(bias.unsigned_abs()) > i32::MAX as u64 {
            return Err(LoadError::Accumulator { node, channel: channel as u16 });
        }
    }
    Ok(())
}

fn limit(what: &'static str, found: u64, limit: u64) -> Result<(), LoadError> {
    if found > limit { Err(LoadError::TooLarge { what, found, limit }) } else { Ok(()) }
}
