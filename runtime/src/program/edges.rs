//! What the edges of a node are.

use crate::model::{DType, Model, NodeId};

/// Real value of one step on an edge; 1 for floats.
pub fn scale_of(dtype: DType) -> f32 {
    match dtype {
        DType::F32 => 1.0,
        DType::I8 { scale, .. } | DType::I16 { scale } => scale,
    }
}

/// Dtypes of the edges that node `id` reads (the first one twice if there is only one) and writes.
pub(crate) fn dtypes(model: &Model, id: NodeId) -> ([DType; 2], DType) {
    let node = model.graph().node(id);
    let of = |k: usize| model.graph().node(node.inputs[k.min(node.inputs.len() - 1)]).dtype;
    ([of(0), of(1)], node.dtype)
}
