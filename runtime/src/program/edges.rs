//! What the edges of a node are.

use crate::model::{DType, Model, NodeId};

/// Real value of one step on an edge; 1 for floats.
pub fn scale_of(dtype: DType) -> f32 {
    match dtype {
        DType::F32 => 1.0,
        DType::I8 { scale, .. } | DType::I16 { scale } => scale,
    }
}

/// Dtypes of the edges that node `id` reads (the first one twice if there is only one, its own if there is none) and writes.
pub(crate) fn dtypes(model: &Model, id: NodeId) -> ([DType; 2], DType) {
    let node = model.graph().node(id);
    let of = |k: usize| node.inputs.get(k).map(|&i| model.graph().node(i).dtype);
    let first = of(0).unwrap_or(node.dtype);
    ([first, of(1).unwrap_or(first)], node.dtype)
}
