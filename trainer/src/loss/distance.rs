//! The mean absolute difference, which every training step ends in and the contrastive losses are made of.
//!
//! On the CPU it is one pass forward and one backward, instead of one for every difference, sign and copy.

use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// Values that are summed in one piece, whatever the number of threads.
const PIECE: usize = 1 << 14;

/// `mean|x − fixed|`, where `x` is compared with each of the `K` batches that `fixed` holds. The gradient reaches `x`
/// only.
///
/// # Shapes
/// x `[N, C, H, W]`; fixed `[K·N, C, H, W]`, with or without autodiff; output `[1]`
pub fn mean_distance(x: Tensor<4>, fixed: Tensor<4>) -> Tensor<1> {
    let fixed = if fixed.is_autodiff() { fixed.inner() } else { fixed };
    if [x.dtype(), fixed.dtype()] == [DType::F32; 2]
        && let Some(y) = on_flex(&x, &fixed)
    {
        return y;
    }
    let k = fixed.dims()[0] / x.dims()[0];
    let fixed = if x.is_autodiff() { Tensor::from_inner(fixed) } else { fixed };
    let x = if k == 1 { x } else { x.repeat_dim(0, k) };
    (x - fixed).abs().mean()
}

/// The same on the CPU; `None` elsewhere.
fn on_flex(x: &Tensor<4>, fixed: &Tensor<4>) -> Option<Tensor<1>> {
    let fixed = fixed.clone().try_into_primitive::<Flex>().ok()?.to_contiguous();
    if let Ok(x) = x.clone().try_into_primitive::<Flex>() {
        return Some(Tensor::from_primitive::<Flex>(forward(&x.to_contiguous(), &fixed)));
    }
    let x = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let nodes = [x.node()];
    let x = x.into_primitive().to_contiguous();
    let y = forward(&x, &fixed);
    let y = match Distance.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((x, fixed), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(y))
}

/// The operation in the backward graph; its state is what is compared.
#[derive(Debug)]
struct Distance;

impl Backward<Flex, 1> for Distance {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [parent] = ops.parents;
        let (x, fixed) = ops.state;
        if let Some(node) = parent {
            let dx = gradient(floats(&x), floats(&fixed), floats(&dy)[0]);
            grads.register::<Flex>(node.id, tensor(dx, x.layout().shape().to_vec()));
        }
    }
}

fn forward(x: &FlexTensor, fixed: &FlexTensor) -> FlexTensor {
    let (x, fixed) = (floats(x), floats(fixed));
    let piece = |(x, fixed): (&[f32], &[f32])| {
        // Sixteen sums side by side: one alone would wait for itself at every addition.
        let mut sums = [0.0f32; 16];
        let (x, x_rest) = x.as_chunks::<16>();
        let (fixed, fixed_rest) = fixed.as_chunks::<16>();
        for (x, fixed) in x.iter().zip(fixed) {
            for ((sum, x), fixed) in sums.iter_mut().zip(x).zip(fixed) {
                *sum += (x - fixed).abs();
            }
        }
        let rest = x_rest.iter().zip(fixed_rest).map(|(x, fixed)| (x - fixed).abs());
        f64::from(sums.iter().sum::<f32>()) + f64::from(rest.sum::<f32>())
    };
    let sum = |fixed: &[f32]| -> f64 {
        let parts: Vec<f64> = x.par_chunks(PIECE).zip(fixed.par_chunks(PIECE)).map(piece).collect();
        parts.iter().sum()
    };
    let sum: f64 = fixed.chunks_exact(x.len()).map(sum).sum();
    tensor(vec![(sum / fixed.len() as f64) as f32], vec![1])
}

/// `dy` times the mean sign of the differences; equal values have none.
fn gradient(x: &[f32], fixed: &[f32], dy: f32) -> Vec<f32> {
    let by = dy / fixed.len() as f32;
    let mut dx = vec![0.0; x.len()];
    dx.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).enumerate().for_each(|(i, (dx, x_piece))| {
        for fixed in fixed.chunks_exact(x.len()) {
            let fixed = &fixed[i * PIECE..i * PIECE + dx.len()];
            for ((dx, x), fixed) in dx.iter_mut().zip(x_piece).zip(fixed) {
                let difference = x - fixed;
                let sign = if difference == 0.0 { 0.0 } else { by.copysign(difference) };
                // The sign of a negative `dy` counts, too.
                *dx += if by < 0.0 { -sign } else { sign };
            }
        }
    });
    dx
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, Stream};
    use burn::tensor::{Device, TensorData};

    fn image(shape: [usize; 4], index: u64, device: &Device) -> Tensor<4> {
        let mut stream = Stream::new(4, Purpose::Weights, index);
        // Some values are equal.
        let draw = || (stream.symmetric(8.0)).round();
        let values = std::iter::repeat_with(draw).take(shape.iter().product()).collect::<Vec<f32>>();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// burn's own operations on the same values, with a sign before them.
    #[test]
    fn distance_and_gradient_are_those_of_burn() {
        let device = Device::flex();
        // The last has several pieces and a rest of sixteen.
        for (shape, k) in [([2, 3, 4, 5], 1), ([1, 1, 1, 1], 3), ([2, 3, 75, 81], 4)] {
            let x = image(shape, 0, &device.clone().autodiff()).require_grad();
            let fixed = image([k * shape[0], shape[1], shape[2], shape[3]], 1, &device);
            let theirs = || (x.clone().repeat_dim(0, k) - Tensor::from_inner(fixed.clone())).abs().mean();
            let ours = || mean_distance(x.clone(), fixed.clone());
            let number = |v: Tensor<1>| v.into_scalar::<f32>();
            let (found, expected) = (number(ours()), number(theirs()));
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
            assert_eq!(number(mean_distance(x.clone().inner(), fixed.clone())), found);
            for factor in [0.5, -2.0] {
                let grad = |loss: Tensor<1>| {
                    let grads = (loss * factor).backward();
                    x.grad(&grads).expect("a gradient").into_data().try_into_vec::<f32>().expect("f32")
                };
                for (a, e) in grad(ours()).iter().zip(grad(theirs())) {
                    assert!((a - e).abs() < 1e-6 * (1.0 + e.abs()), "{a} for {e}");
                }
            }
        }
    }
}
