//! A convolution that is never trained: its weights are transformed once, not at every pass, and get no gradient.

use super::kernel::{self, Parents, Shape};
use super::winograd::{self, Filters, Winograd};
use super::{Epilogue, Precision, conv_in, shape};
use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use std::sync::{Arc, OnceLock};

/// Weights of a frozen convolution.
#[derive(Debug, Clone)]
pub struct Frozen {
    /// `[out, in, k, k]`
    weight: Tensor<4>,
    /// `[out]`
    bias: Tensor<1>,
    transformed: Arc<Transformed>,
}

/// Made when they are first needed.
#[derive(Debug, Default)]
struct Transformed {
    forward: OnceLock<Filters>,
    backward: OnceLock<Filters>,
}

impl Frozen {
    /// Weights `[out, in, k, k]`, k odd, and bias `[out]`.
    pub fn new(weight: Tensor<4>, bias: Tensor<1>) -> Self {
        Self { weight, bias, transformed: Arc::default() }
    }

    /// Takes the transformed weights of another, which must be equal: those of one network on two devices.
    pub fn share(&mut self, other: &Self) {
        self.transformed = Arc::clone(&other.transformed);
    }

    /// `y[o] = epilogue(bias[o] + Σ_i weight[o, i] ∗ x[i])`, with zeros around the image.
    ///
    /// # Shapes
    /// x `[N, in, H, W]`; output `[N, out, H, W]`
    pub fn conv(&self, precision: Precision, x: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
        if precision == Precision::F32 && x.dtype() == DType::F32 {
            let plain = self.plain(&x, epilogue);
            if let Some(y) = plain.or_else(|| self.tracked(&x, epilogue)) {
                return y;
            }
        }
        conv_in(precision, x, self.weight.clone(), self.bias.clone(), epilogue)
    }

    fn plain(&self, x: &Tensor<4>, epilogue: Epilogue) -> Option<Tensor<4>> {
        let x = x.clone().try_into_primitive::<Flex>().ok()?.to_contiguous();
        let (weight, bias) = self.values()?;
        Some(Tensor::from_primitive::<Flex>(self.forward(&x, &weight, &bias, epilogue)))
    }

    fn tracked(&self, x: &Tensor<4>, epilogue: Epilogue) -> Option<Tensor<4>> {
        let x = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
        let (weight, bias) = self.values()?;
        let nodes = [x.node()];
        let x = x.into_primitive().to_contiguous();
        let y = self.forward(&x, &weight, &bias, epilogue);
        let op = ConvFrozen { shape: shape(&x, &weight), transformed: Arc::clone(&self.transformed) };
        let y = match op.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = (epilogue == Epilogue::Relu).then(|| y.clone());
                prep.finish((weight, kept), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        Some(Tensor::from_primitive::<Autodiff<Flex>>(y))
    }

    /// Weights and bias on the CPU.
    fn values(&self) -> Option<(FlexTensor, FlexTensor)> {
        let weight =
            if self.weight.is_autodiff() { self.weight.clone().inner() } else { self.weight.clone() };
        let bias = if self.bias.is_autodiff() { self.bias.clone().inner() } else { self.bias.clone() };
        let weight = weight.try_into_primitive::<Flex>().ok()?.to_contiguous();
        Some((weight, bias.try_into_primitive::<Flex>().ok()?.to_contiguous()))
    }

    fn forward(
        &self,
        x: &FlexTensor,
        weight: &FlexTensor,
        bias: &FlexTensor,
        epilogue: Epilogue,
    ) -> FlexTensor {
        let shape = &shape(x, weight);
        let (x, weight, bias) = (floats(x), floats(weight), Some(floats(bias)));
        let y = if winograd::suits(shape) {
            let filters = self.transformed.forward.get_or_init(|| Filters::new(shape, weight));
            Winograd { shape, filters, bias, epilogue }.convolve(x, None)
        } else {
            kernel::direct(shape, x, weight, bias, epilogue)
        };
        tensor(y, vec![shape.images, shape.outputs, shape.height, shape.width])
    }
}

/// The operation in the backward graph; its state is the weights and, behind a ReLU, the output.
#[derive(Debug)]
struct ConvFrozen {
    shape: Shape,
    transformed: Arc<Transformed>,
}

impl Backward<Flex, 1> for ConvFrozen {
    type State = (FlexTensor, Option<FlexTensor>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [parent] = ops.parents;
        let Some(node) = parent else { return };
        let (weight, y) = ops.state;
        let (shape, weight, y) = (&self.shape, floats(&weight), y.as_ref().map(floats));
        let dx = if winograd::suits(&shape.transposed()) {
            let filters = self.transformed.backward.get_or_init(|| Filters::transposed(shape, weight));
            kernel::input_gradient(shape, filters, y, floats(&dy))
        } else {
            let wanted = Parents { x: true, weight: false, bias: false };
            kernel::backward(shape, &[], weight, y, floats(&dy), &wanted).x
        };
        grads.register::<Flex>(
            node.id,
            tensor(dx, vec![shape.images, shape.inputs, shape.height, shape.width]),
        );
    }
}
