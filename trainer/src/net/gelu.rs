//! GELU, `x·Φ(x)` with the distribution function Φ of the normal distribution.
//!
//! On the CPU it is an operation of its own, in vectors; burn's calls a scalar error function for every value.

use crate::exp::exp;
use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, activation};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Values that are computed in one piece.
const PIECE: usize = 1 << 14;

/// GELU of every value, exact to 2e-7.
///
/// # Shapes
/// any; the output has that of x
pub(super) fn gelu(x: Tensor<4>) -> Tensor<4> {
    if x.dtype() == DType::F32 {
        if let Ok(x) = x.clone().try_into_primitive::<Flex>() {
            return Tensor::from_primitive::<Flex>(map(&x.to_contiguous(), None));
        }
        if let Ok(x) = x.clone().try_into_primitive::<Autodiff<Flex>>() {
            let nodes = [x.node()];
            let x = x.into_primitive().to_contiguous();
            let y = map(&x, None);
            let y = match Gelu.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(x, y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            };
            return Tensor::from_primitive::<Autodiff<Flex>>(y);
        }
    }
    activation::gelu(x)
}

/// The operation in the backward graph; its state is the input.
#[derive(Debug)]
struct Gelu;

impl Backward<Flex, 1> for Gelu {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [parent] = ops.parents;
        if let Some(node) = parent {
            grads.register::<Flex>(node.id, map(&ops.state, Some(&dy)));
        }
    }
}

/// GELU or, with the gradient behind it, the gradient before it.
fn map(x: &FlexTensor, dy: Option<&FlexTensor>) -> FlexTensor {
    let values = floats(x);
    let dy = dy.map(floats);
    let mut y = vec![0.0; values.len()];
    let pieces = y.par_chunks_mut(PIECE).zip(values.par_chunks(PIECE));
    pieces.enumerate().for_each(|(i, (y, x))| {
        let dy = dy.map(|dy| &dy[i * PIECE..i * PIECE + x.len()]);
        Arch::new().dispatch(Piece { x, dy, y });
    });
    tensor(y, x.layout().shape().to_vec())
}

struct Piece<'a> {
    x: &'a [f32],
    dy: Option<&'a [f32]>,
    y: &'a mut [f32],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, dy, y } = self;
        match dy {
            None => y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * normal(x).0),
            Some(dy) => {
                for ((y, &x), dy) in y.iter_mut().zip(x).zip(dy) {
                    let (share, density) = normal(x);
                    *y = dy * (share + x * density);
                }
            }
        }
    }
}

/// Distribution function and density of the normal distribution.
///
/// # Source
/// Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26, for the error function.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let power = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let mut p = 1.061_405_4;
    for factor in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = p * t + factor;
    }
    // Beyond −|x|.
    let tail = 0.5 * p * t * power;
    let share = if x < 0.0 { tail } else { 1.0 - tail };
    (share, power * 0.398_942_3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("f32")
    }

    #[test]
    fn value_and_gradient_are_those_of_burn() {
        let n = 40_000;
        let x: Vec<f32> = (0..n).map(|i| (i - n / 2) as f32 * 6e-4).collect();
        let device = Device::flex().autodiff();
        let shape = [1, 2, 100, 200];
        let x = Tensor::<4>::from_data(TensorData::new(x, shape), &device).require_grad();
        let near = |found: Vec<f32>, expected: Vec<f32>| {
            for (i, (a, e)) in found.iter().zip(&expected).enumerate() {
                assert!((a - e).abs() < 4e-7 * (1.0 + e.abs()), "{i}: {a} for {e}");
            }
        };
        let (ours, theirs) = (gelu(x.clone()), activation::gelu(x.clone()));
        near(values(ours.clone()), values(theirs.clone()));
        assert_eq!(values(gelu(x.clone().inner())), values(ours.clone()));
        let grad = |y: Tensor<4>| {
            let grads = (y * 2.0).sum().backward();
            values(x.grad(&grads).expect("a gradient"))
        };
        near(grad(ours), grad(theirs));
    }
}
