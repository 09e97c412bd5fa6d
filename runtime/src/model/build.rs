//! Making a [`Model`]: of a graph and its weights, or of the bytes of a file. Both end in validation.

use crate::model::error::LoadError;
use crate::model::graph::Graph;
use crate::model::stored::Model;
use crate::model::tensor::{TensorData, TensorRef};
use crate::model::{format, validate};
use alloc::{borrow::Cow, string::String, sync::Arc, vec::Vec};

impl Model {
    /// Joins a graph and its weights: one list of tensors for each node, in the order of
    /// [`Model::param_specs`].
    ///
    /// # Errors
    /// The first rule that the graph or a tensor breaks.
    pub fn new(
        graph: Graph,
        params: &[Vec<TensorData>],
        metadata: Vec<(String, String)>,
    ) -> Result<Self, LoadError> {
        let (tensors, weights) = format::lay_out(params)?;
        Self::assemble(graph, metadata, tensors, Cow::Owned(weights))
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Any damage: see [`LoadError`]. The bytes are treated as hostile.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, LoadError> {
        let file = format::read(bytes.into())?;
        Self::assemble(file.graph, file.metadata, file.tensors, file.weights)
    }

    /// The model as the bytes of a file; `from_bytes` of them gives an equal model.
    pub fn to_bytes(&self) -> Vec<u8> {
        format::write(self)
    }

    fn assemble(
        graph: Graph,
        metadata: Vec<(String, String)>,
        tensors: Vec<Vec<TensorRef>>,
        weights: Cow<'static, [u8]>,
    ) -> Result<Self, LoadError> {
        let shapes = validate::graph(&graph)?;
        let model = Self { graph, shapes, metadata, tensors, weights: Arc::new(weights) };
        validate::metadata(&model.metadata)?;
        validate::tensors(&model)?;
        Ok(model)
    }

    /// The same model with other metadata.
    ///
    /// # Errors
    /// [`LoadError::TooLarge`] when it is too long.
    pub fn with_metadata(mut self, metadata: Vec<(String, String)>) -> Result<Self, LoadError> {
        validate::metadata(&metadata)?;
        self.metadata = metadata;
        Ok(self)
    }
}
