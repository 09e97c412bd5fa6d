//! The model: a validated [`Graph`] plus its weights, and the file it lives in.
//!
//! An f32 and an int8 model are the same type; the dtypes on the edges tell them apart. [`Model`] can only
//! be made through validation, so the rest of the crate never sees a malformed one. What belongs here:
//! types, shapes, the file format, checks. What does not: how anything is computed.

mod at_most;
mod build;
pub(crate) mod error;
mod facts;
mod format;
mod graph;
mod luma;
mod params;
mod shape;
mod stored;
mod tensor;
mod validate;

#[cfg(test)]
mod tests;

pub(crate) use facts::{Facts, Look};
pub use format::{HEADER_BYTES, MAGIC, VERSION};
pub use graph::{Activation, Conv2d, DType, Filter, Graph, Node, NodeId, Op, PadMode, Pool, Statistic};
pub use params::{Element, ParamSpec, Role};
pub use shape::{EdgeShape, Extent, infer};
pub use stored::{Model, param_specs_of};
pub use tensor::TensorData;
pub use validate::{MAX_MACS_PER_PIXEL, MAX_NODES};
