//! [`Tensors`]: named values between files, networks and checkpoints.

use mcir_runtime::arch::{edsr, ffanet};
use mcir_runtime::error::LoadError;
use std::collections::BTreeMap;

/// Why values do not make the network they should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The layer list itself is wrong.
    #[error("the layer list is not valid: {0}; check the [model] section of the configuration")]
    Graph(LoadError),
    /// A tensor is not there.
    #[error("tensor {name} is missing (there are {found} others); is this the right architecture?")]
    Missing {
        /// Its name.
        name: String,
        /// Number of tensors that are there.
        found: usize,
    },
    /// A tensor has another shape.
    #[error(
        "tensor {name} has shape {found:?}, the network needs {expected:?}; is this the right architecture?"
    )]
    Shape {
        /// Its name.
        name: String,
        /// Shape that the network needs.
        expected: Vec<usize>,
        /// Shape found.
        found: Vec<usize>,
    },
    /// Tensors that the network has no place for.
    #[error("{found} tensors for a network with {expected}; is this the right architecture?")]
    Count {
        /// Tensors that the network needs.
        expected: usize,
        /// Tensors given.
        found: usize,
    },
    /// A value is infinite or not a number.
    #[error("tensor {name} holds {value} at {index}; the weights are damaged, use an earlier file")]
    NotFinite {
        /// Its name.
        name: String,
        /// Place of the value.
        index: usize,
        /// The value.
        value: f32,
    },
}

/// Named f32 tensors, laid out as in PyTorch (`[out, in, kernel, kernel]`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Tensors {
    /// Adds or replaces a tensor.
    ///
    /// # Panics
    /// If shape and number of values disagree.
    pub fn insert(&mut self, name: String, shape: Vec<usize>, values: Vec<f32>) {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name} has shape {shape:?}");
        self.0.insert(name, (shape, values));
    }

    /// Values of a tensor that must have this shape.
    ///
    /// # Errors
    /// It is missing, has another shape or holds a value that is not finite.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<&[f32], WeightsError> {
        let missing = || WeightsError::Missing { name: name.into(), found: self.0.len() };
        let (found, values) = self.0.get(name).ok_or_else(missing)?;
        if found != shape {
            let (expected, found) = (shape.to_vec(), found.clone());
            return Err(WeightsError::Shape { name: name.into(), expected, found });
        }
        match values.iter().position(|v| !v.is_finite()) {
            Some(index) => Err(WeightsError::NotFinite { name: name.into(), index, value: values[index] }),
            None => Ok(values),
        }
    }

    /// Shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.0.get(name).map(|(shape, _)| shape.as_slice())
    }

    /// All tensors by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.0.iter().map(|(name, (shape, values))| (name.as_str(), shape.as_slice(), values.as_slice()))
    }

    /// Removes a tensor and returns its shape and values.
    pub fn remove(&mut self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        self.0.remove(name)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn expect_len(&self, expected: usize) -> Result<(), WeightsError> {
        let found = self.len();
        if found == expected { Ok(()) } else { Err(WeightsError::Count { expected, found }) }
    }
}

/// Scale and shift of the nodes that published networks begin and end with: `sub_mean` maps an image in 0..1
/// to `(x − mean) · range`, `add_mean` maps back. The range is 255 in EDSR and 1 in SwinIR. FFA-Net has its own normalisation. Any other name
/// gets the identity.
pub fn mean_shift(node: &str, range: f32) -> ([f32; 3], [f32; 3]) {
    match node {
        "sub_mean" => ([range; 3], edsr::RGB_MEAN.map(|m| -m * range)),
        "add_mean" => ([1.0 / range; 3], edsr::RGB_MEAN),
        ffanet::NORMALIZE => ffanet::normalization(),
        _ => ([1.0; 3], [0.0; 3]),
    }
}
