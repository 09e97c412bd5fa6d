//! Parameter tensors: their values, and where they lie in a model file.

use crate::model::params::Element;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Values of one parameter tensor, to build a [`Model`](crate::model::Model) from.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// Floats.
    F32(Vec<f32>),
    /// Quantized weights.
    I8(Vec<i8>),
    /// Quantized biases.
    I32(Vec<i32>),
}

/// Where a parameter tensor lies in the weight section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TensorRef {
    pub element: Element,
    pub offset: u32,
    pub len: u32,
}
