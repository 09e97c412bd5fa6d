//! The values of tensors of burn-flex, for the operations that this crate computes on them itself.

use burn::tensor::TensorData;
use burn_flex::FlexTensor;

/// The values of a contiguous f32 tensor, row-major.
///
/// # Panics
/// If it is another.
pub(crate) fn floats(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("the tensor was made contiguous and is f32")
}

/// A tensor of these values.
pub(crate) fn tensor(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
