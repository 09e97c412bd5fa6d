//! The convolution of super-resolution networks: stride 1, odd square kernel, zero padding that keeps the size.
//!
//! On the CPU it is computed by the kernels of this module instead of burn-flex's general convolution, whose
//! gathering of patches takes several times longer than the arithmetic at 16 to 64 channels. It is an
//! ordinary differentiable operation of burn's extension interface; any other backend gets burn's own.

mod frozen;
mod kernel;
mod tiles;
mod winograd;

pub use frozen::Frozen;

use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use kernel::{Parents, Shape};
use serde::{Deserialize, Serialize};

/// What a convolution computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 24 bits of mantissa.
    #[default]
    F32,
    /// 8 bits of mantissa and the range of f32, so gradients need no scaling.
    Bf16,
}

impl Precision {
    /// The type of its values.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }
}

/// What happens to the sums of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Epilogue {
    /// Nothing.
    #[default]
    Linear,
    /// `max(0, sum)`.
    Relu,
}

/// [`conv_same`] in a precision: f32 in and out, gradients too.
///
/// # Shapes
/// as [`conv_same`]
pub fn conv_in(
    precision: Precision,
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    epilogue: Epilogue,
) -> Tensor<4> {
    match precision {
        Precision::F32 => conv_same(x, weight, bias, epilogue),
        Precision::Bf16 => {
            let dtype = precision.dtype();
            let [x, weight] = [x, weight].map(|t| t.cast(dtype));
            conv_same(x, weight, bias.cast(dtype), epilogue).cast(DType::F32)
        }
    }
}

/// `y[o] = epilogue(bias[o] + Σ_i weight[o, i] ∗ x[i])`.
///
/// # Shapes
/// x `[N, in, H, W]`; weight `[out, in, k, k]`, k odd; bias `[out]`; output `[N, out, H, W]`
pub fn conv_same(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, epilogue: Epilogue) -> Tensor<4> {
    if [x.dtype(), weight.dtype(), bias.dtype()] == [DType::F32; 3] {
        let plain = plain(&x, &weight, &bias, epilogue);
        if let Some(y) = plain.or_else(|| tracked(&x, &weight, &bias, epilogue)) {
            return y;
        }
    }
    let pad = weight.dims()[2] / 2;
    let y = conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [pad, pad], [1, 1], 1));
    match epilogue {
        Epilogue::Linear => y,
        Epilogue::Relu => relu(y),
    }
}

/// The convolution of tensors of burn-flex without gradients; `None` for any other.
fn plain(x: &Tensor<4>, weight: &Tensor<4>, bias: &Tensor<1>, epilogue: Epilogue) -> Option<Tensor<4>> {
    let x = x.clone().try_into_primitive::<Flex>().ok()?;
    let weight = weight.clone().try_into_primitive::<Flex>().ok()?;
    let bias = bias.clone().try_into_primitive::<Flex>().ok()?;
    Some(Tensor::from_primitive::<Flex>(forward(&x, &weight, &bias, epilogue)))
}

/// The convolution of tensors of burn-flex with gradients; `None` for any other.
fn tracked(x: &Tensor<4>, weight: &Tensor<4>, bias: &Tensor<1>, epilogue: Epilogue) -> Option<Tensor<4>> {
    let x = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let weight = weight.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let bias = bias.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let nodes = [x.node(), weight.node(), bias.node()];
    let (x, weight) = (x.into_primitive(), weight.into_primitive());
    let y = forward(&x, &weight, bias.primitive(), epilogue);
    let y = match ConvSame.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let kept = (epilogue == Epilogue::Relu).then(|| y.clone());
            prep.finish((x, weight, kept), y)
        }
        OpsKind::UnTracked(prep) => prep.finish(y),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(y))
}

/// The operation in the backward graph; its state is the input, the weights and, behind a ReLU, the output.
#[derive(Debug)]
struct ConvSame;

impl Backward<Flex, 3> for ConvSame {
    type State = (FlexTensor, FlexTensor, Option<FlexTensor>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let (x, weight, y) = ops.state;
        let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
        let shape = shape(&x, &weight);
        let wanted =
            Parents { x: x_node.is_some(), weight: weight_node.is_some(), bias: bias_node.is_some() };
        let y = y.as_ref().map(floats);
        let found = kernel::backward(&shape, floats(&x), floats(&weight), y, floats(&dy), &wanted);
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, tensor(found.x, x.layout().shape().to_vec()));
        }
        if let Some(node) = weight_node {
            grads.register::<Flex>(node.id, tensor(found.weight, weight.layout().shape().to_vec()));
        }
        if let Some(node) = bias_node {
            grads.register::<Flex>(node.id, tensor(found.bias, vec![shape.outputs]));
        }
    }
}

fn forward(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, epilogue: Epilogue) -> FlexTensor {
    let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
    let shape = shape(&x, &weight);
    let y = kernel::forward(&shape, floats(&x), floats(&weight), Some(floats(&bias)), epilogue);
    tensor(y, vec![shape.images, shape.outputs, shape.height, shape.width])
}

fn shape(x: &FlexTensor, weight: &FlexTensor) -> Shape {
    let (x, w) = (x.layout().shape(), weight.layout().shape());
    Shape { images: x[0], inputs: x[1], outputs: w[0], height: x[2], width: x[3], kernel: w[2] }
}

#[cfg(test)]
mod tests;
