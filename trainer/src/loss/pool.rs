//! Max pooling of 2x2 pixels, as the feature networks use it.
//!
//! On the CPU it is an operation of its own: burn's, for any window, remembers a place for each output.

use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, module::max_pool2d, ops::MaxPoolOptions};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use rayon::prelude::*;

/// The largest of each 2x2 pixels; a last odd row or column is dropped. The gradient goes to the first of equal ones.
///
/// # Shapes
/// x `[N, C, H, W]`; output `[N, C, H/2, W/2]`
pub fn max_pool(x: Tensor<4>) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    if x.dtype() == DType::F32 && h > 1 && w > 1 {
        if let Ok(x) = x.clone().try_into_primitive::<Flex>() {
            return Tensor::from_primitive::<Flex>(forward(&x.to_contiguous()));
        }
        if let Ok(x) = x.clone().try_into_primitive::<Autodiff<Flex>>() {
            let nodes = [x.node()];
            let x = x.into_primitive().to_contiguous();
            let y = forward(&x);
            let y = match Pool.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((x, y.clone()), y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            };
            return Tensor::from_primitive::<Autodiff<Flex>>(y);
        }
    }
    max_pool2d(x, MaxPoolOptions::new([2, 2]))
}

/// The operation in the backward graph; its state is input and output.
#[derive(Debug)]
struct Pool;

impl Backward<Flex, 1> for Pool {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [parent] = ops.parents;
        let (x, y) = ops.state;
        if let Some(node) = parent {
            grads.register::<Flex>(node.id, gradient(&x, &y, &dy));
        }
    }
}

fn forward(x: &FlexTensor) -> FlexTensor {
    let [n, c, h, w] = dims(x);
    let mut y = vec![0.0; n * c * (h / 2) * (w / 2)];
    let planes = floats(x).par_chunks_exact(h * w);
    y.par_chunks_exact_mut((h / 2) * (w / 2)).zip(planes).with_min_len(8).for_each(|(y, x)| {
        for (y, rows) in y.chunks_exact_mut(w / 2).zip(x.chunks_exact(2 * w)) {
            let (top, bottom) = pairs(rows, w);
            for ((y, top), bottom) in y.iter_mut().zip(top).zip(bottom) {
                *y = larger(larger(top[0], top[1]), larger(bottom[0], bottom[1]));
            }
        }
    });
    tensor(y, vec![n, c, h / 2, w / 2])
}

fn gradient(x: &FlexTensor, y: &FlexTensor, dy: &FlexTensor) -> FlexTensor {
    let [n, c, h, w] = dims(x);
    let mut dx = vec![0.0; n * c * h * w];
    let small = (h / 2) * (w / 2);
    let planes = floats(x).par_chunks_exact(h * w);
    let planes = planes.zip(floats(y).par_chunks_exact(small)).zip(floats(dy).par_chunks_exact(small));
    dx.par_chunks_exact_mut(h * w).zip(planes).with_min_len(8).for_each(|(dx, ((x, y), dy))| {
        let rows = dx.chunks_exact_mut(2 * w).zip(x.chunks_exact(2 * w));
        for ((dx, x), (y, dy)) in rows.zip(y.chunks_exact(w / 2).zip(dy.chunks_exact(w / 2))) {
            let (top, bottom) = pairs(x, w);
            let (dx_top, dx_bottom) = dx.split_at_mut(w);
            let dx = dx_top.as_chunks_mut::<2>().0.iter_mut().zip(dx_bottom.as_chunks_mut::<2>().0);
            for (((dx, x), &y), &dy) in dx.zip(top.iter().zip(bottom)).zip(y).zip(dy) {
                let mut left = dy;
                let mut take = |x: f32| if x == y { std::mem::take(&mut left) } else { 0.0 };
                *dx.0 = [take(x.0[0]), take(x.0[1])];
                *dx.1 = [take(x.1[0]), take(x.1[1])];
            }
        }
    });
    tensor(dx, vec![n, c, h, w])
}

/// Two rows of width `w` as pairs of neighbours.
fn pairs(rows: &[f32], w: usize) -> (&[[f32; 2]], &[[f32; 2]]) {
    let (top, bottom) = rows.split_at(w);
    (top.as_chunks().0, bottom.as_chunks().0)
}

fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

fn dims(x: &FlexTensor) -> [usize; 4] {
    let shape = x.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, Stream};
    use burn::tensor::{Device, TensorData};

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("f32")
    }

    /// burn's own pooling on the same values, of which many are equal.
    #[test]
    fn pooling_and_gradient_are_those_of_burn() {
        for shape in [[2, 3, 6, 8], [1, 20, 5, 7], [1, 1, 2, 2]] {
            let device = Device::flex().autodiff();
            let image = |shape: [usize; 4], index| {
                let mut stream = Stream::new(4, Purpose::Weights, index);
                let draw = || stream.symmetric(2.0).round().max(0.0);
                let values = std::iter::repeat_with(draw).take(shape.iter().product()).collect::<Vec<f32>>();
                Tensor::<4>::from_data(TensorData::new(values, shape), &device)
            };
            let x = image(shape, 0).require_grad();
            let ours = max_pool(x.clone());
            let theirs = max_pool2d(x.clone(), MaxPoolOptions::new([2, 2]));
            assert_eq!(ours.dims(), theirs.dims());
            assert_eq!(values(ours.clone()), values(theirs.clone()));
            assert_eq!(values(max_pool(x.clone().inner())), values(ours.clone()));
            let g = image(ours.dims(), 1) + 0.25;
            let grad = |y: Tensor<4>| {
                let grads = (y * g.clone()).sum().backward();
                values(x.grad(&grads).expect("a gradient"))
            };
            assert_eq!(grad(ours), grad(theirs));
        }
    }
}
