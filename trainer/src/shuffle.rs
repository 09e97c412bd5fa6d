//! Pixel shuffle: channels become pixels.
//!
//! On the CPU it is an operation of its own: burn's general permutation of six dimensions goes element by element.

use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;

/// `y[c, h·r + i, w·r + j] = x[c·r² + i·r + j, h, w]`, as in PyTorch.
///
/// # Shapes
/// x `[N, C·r², H, W]`; output `[N, C, H·r, W·r]`
pub fn pixel_shuffle(x: Tensor<4>, r: usize) -> Tensor<4> {
    if x.dtype() == DType::F32 {
        if let Ok(x) = x.clone().try_into_primitive::<Flex>() {
            return Tensor::from_primitive::<Flex>(shuffle(x, r));
        }
        if let Ok(x) = x.clone().try_into_primitive::<Autodiff<Flex>>() {
            let nodes = [x.node()];
            let y = shuffle(x.into_primitive(), r);
            let y = match Shuffle.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(r, y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            };
            return Tensor::from_primitive::<Autodiff<Flex>>(y);
        }
    }
    let [n, c, h, w] = x.dims();
    let c = c / (r * r);
    x.reshape([n, c, r, r, h, w]).permute([0, 1, 4, 2, 5, 3]).reshape([n, c, h * r, w * r])
}

/// The operation in the backward graph; its state is the factor.
#[derive(Debug)]
struct Shuffle;

impl Backward<Flex, 1> for Shuffle {
    type State = usize;

    fn backward(self, ops: Ops<usize, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let [parent] = ops.parents;
        if let Some(node) = parent {
            grads.register::<Flex>(node.id, unshuffle(dy, ops.state));
        }
    }
}

fn shuffle(x: FlexTensor, r: usize) -> FlexTensor {
    let x = x.to_contiguous();
    let [n, c, h, w] = dims(&x);
    let mut y = vec![0.0; n * c * h * w];
    walk(floats(&x), [h, w], r, |at, from| {
        for (to, &v) in y[at..].iter_mut().step_by(r).zip(from) {
            *to = v;
        }
    });
    tensor(y, vec![n, c / (r * r), h * r, w * r])
}

fn unshuffle(y: FlexTensor, r: usize) -> FlexTensor {
    let y = y.to_contiguous();
    let [n, c, h, w] = dims(&y);
    let (h, w) = (h / r, w / r);
    let values = floats(&y);
    let mut x = vec![0.0; values.len()];
    let mut starts = Vec::with_capacity(x.len() / w.max(1));
    walk(values, [h, w], r, |at, _| starts.push(at));
    for (to, at) in x.chunks_exact_mut(w).zip(starts) {
        for (to, &v) in to.iter_mut().zip(values[at..].iter().step_by(r)) {
            *to = v;
        }
    }
    tensor(x, vec![n, c * r * r, h, w])
}

/// Every row of the small image, in order: where its pixels begin in the large one, `r` apart, and its values.
fn walk(x: &[f32], [h, w]: [usize; 2], r: usize, mut row: impl FnMut(usize, &[f32])) {
    for (k, from) in x.chunks_exact(w).enumerate() {
        let (plane, y) = (k / h, k % h);
        let (c, i, j) = (plane / (r * r), plane / r % r, plane % r);
        row((c * h * r + y * r + i) * w * r + j, from);
    }
}

fn dims(x: &FlexTensor) -> [usize; 4] {
    let shape = x.layout().shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn values(x: Tensor<4>) -> Vec<f32> {
        x.into_data().try_into_vec().expect("f32")
    }

    /// Against the definition, and the gradient against moving the values back.
    #[test]
    fn every_pixel_finds_its_place_and_its_way_back() {
        for (r, [n, c, h, w]) in [(2, [2, 12, 3, 5]), (3, [1, 27, 2, 1]), (4, [1, 48, 1, 4])] {
            let x: Vec<f32> = (0..n * c * h * w).map(|i| i as f32).collect();
            let device = Device::flex();
            let plain = Tensor::<4>::from_data(TensorData::new(x.clone(), [n, c, h, w]), &device);
            let y = pixel_shuffle(plain.clone(), r);
            let [_, oc, oh, ow] = y.dims();
            assert_eq!([oc, oh, ow], [c / (r * r), h * r, w * r]);
            for (at, v) in values(y.clone()).into_iter().enumerate() {
                let (b, ch, row, col) = (at / (oc * oh * ow), at / (oh * ow) % oc, at / ow % oh, at % ow);
                let from = ((b * c + ch * r * r + row % r * r + col % r) * h + row / r) * w + col / r;
                assert_eq!(v, x[from], "factor {r} at {at}");
            }
            let tracked =
                Tensor::<4>::from_data(TensorData::new(x.clone(), [n, c, h, w]), &device.autodiff());
            let tracked = tracked.require_grad();
            let shuffled = pixel_shuffle(tracked.clone(), r);
            assert_eq!(values(shuffled.clone().inner()), values(y.clone()));
            let grads = (shuffled * Tensor::from_inner(y)).sum().backward();
            assert_eq!(values(tracked.grad(&grads).expect("a gradient")), x);
        }
    }
}
