//! Layer norm over the channels of each pixel, in planes.
//!
//! On the CPU it is an operation of its own: burn's normalizes the last dimension, so that images are turned twice.

use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor, module::layer_norm};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// `weight[c]·(x[c] − mean)/√(variance + eps) + bias[c]`, mean and variance over the channels of a pixel.
///
/// # Shapes
/// x `[N, C, H, W]`; weight and bias `[C]`; output `[N, C, H, W]`
pub(super) fn channel_norm(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>, eps: f32) -> Tensor<4> {
    if [x.dtype(), weight.dtype(), bias.dtype()] == [DType::F32; 3]
        && let Some(y) = on_flex(&x, &weight, &bias, eps)
    {
        return y;
    }
    let y = layer_norm(x.permute([0, 2, 3, 1]), weight, Some(bias), eps.into());
    y.permute([0, 3, 1, 2])
}

/// The same on the CPU; `None` elsewhere.
fn on_flex(x: &Tensor<4>, weight: &Tensor<1>, bias: &Tensor<1>, eps: f32) -> Option<Tensor<4>> {
    if let Ok(x) = x.clone().try_into_primitive::<Flex>() {
        let weight = weight.clone().try_into_primitive::<Flex>().ok()?.to_contiguous();
        let bias = bias.clone().try_into_primitive::<Flex>().ok()?.to_contiguous();
        return Some(Tensor::from_primitive::<Flex>(forward(&x.to_contiguous(), &weight, &bias, eps)));
    }
    let x = x.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let weight = weight.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let bias = bias.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let nodes = [x.node(), weight.node(), bias.node()];
    let x = x.into_primitive().to_contiguous();
    let weight = weight.into_primitive().to_contiguous();
    let y = forward(&x, &weight, &bias.into_primitive().to_contiguous(), eps);
    let y = match Norm.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((x, weight, eps), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(y))
}

/// The operation in the backward graph; its state is the input, the weights and `eps`.
#[derive(Debug)]
struct Norm;

impl Backward<Flex, 3> for Norm {
    type State = (FlexTensor, FlexTensor, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [x_node, weight_node, bias_node] = ops.parents;
        let (x, weight, eps) = ops.state;
        let (dx, dweight, dbias) = backward(&x, &weight, &dy, eps);
        let channels = dweight.len();
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, dx);
        }
        if let Some(node) = weight_node {
            grads.register::<Flex>(node.id, tensor(dweight, vec![channels]));
        }
        if let Some(node) = bias_node {
            grads.register::<Flex>(node.id, tensor(dbias, vec![channels]));
        }
    }
}

fn forward(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, eps: f32) -> FlexTensor {
    let values = floats(x);
    let (weight, bias) = (floats(weight), floats(bias));
    let shape = x.layout().shape().to_vec();
    let image = shape[1] * shape[2] * shape[3];
    let mut y = vec![0.0; values.len()];
    y.par_chunks_exact_mut(image).zip(values.par_chunks_exact(image)).for_each(|(y, x)| {
        Arch::new().dispatch(Image { x, weight, bias, eps, y });
    });
    tensor(y, shape)
}

/// Gradients of the input, the weights and the bias.
fn backward(
    x: &FlexTensor,
    weight: &FlexTensor,
    dy: &FlexTensor,
    eps: f32,
) -> (FlexTensor, Vec<f32>, Vec<f32>) {
    let (values, dy, weight) = (floats(x), floats(dy), floats(weight));
    let shape = x.layout().shape().to_vec();
    let image = shape[1] * shape[2] * shape[3];
    let mut dx = vec![0.0; values.len()];
    let images = values.par_chunks_exact(image).zip(dy.par_chunks_exact(image));
    let sums: Vec<[Vec<f32>; 2]> = dx
        .par_chunks_exact_mut(image)
        .zip(images)
        .map(|(dx, (x, dy))| {
            let [mut dweight, mut dbias] = [(); 2].map(|()| vec![0.0; weight.len()]);
            let sums = [&mut dweight[..], &mut dbias[..]];
            Arch::new().dispatch(Gradient { x, dy, weight, eps, dx, sums });
            [dweight, dbias]
        })
        .collect();
    let [mut dweight, mut dbias] = [(); 2].map(|()| vec![0.0; weight.len()]);
    for [w, b] in sums {
        dweight.iter_mut().zip(w).for_each(|(sum, v)| *sum += v);
        dbias.iter_mut().zip(b).for_each(|(sum, v)| *sum += v);
    }
    (tensor(dx, shape), dweight, dbias)
}

/// Mean and reciprocal standard deviation of each pixel.
#[inline(always)]
fn moments(x: &[f32], channels: usize, eps: f32) -> (Vec<f32>, Vec<f32>) {
    let pixels = x.len() / channels;
    let share = 1.0 / channels as f32;
    let [mut mean, mut spread] = [(); 2].map(|()| vec![0.0; pixels]);
    for plane in x.chunks_exact(pixels) {
        mean.iter_mut().zip(plane).for_each(|(m, x)| *m += x);
    }
    mean.iter_mut().for_each(|m| *m *= share);
    for plane in x.chunks_exact(pixels) {
        for ((s, x), m) in spread.iter_mut().zip(plane).zip(&mean) {
            *s += (x - m) * (x - m);
        }
    }
    spread.iter_mut().for_each(|s| *s = 1.0 / (*s * share + eps).sqrt());
    (mean, spread)
}

/// The output of an image.
struct Image<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
    y: &'a mut [f32],
}

impl WithSimd for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, weight, bias, eps, y } = self;
        let pixels = x.len() / weight.len();
        let (mean, spread) = moments(x, weight.len(), eps);
        let planes = y.chunks_exact_mut(pixels).zip(x.chunks_exact(pixels));
        for ((y, x), (weight, bias)) in planes.zip(weight.iter().zip(bias)) {
            for ((y, x), (m, s)) in y.iter_mut().zip(x).zip(mean.iter().zip(&spread)) {
                *y = (x - m) * s * weight + bias;
            }
        }
    }
}

/// The gradients of an image.
struct Gradient<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    dx: &'a mut [f32],
    /// Of weights and bias.
    sums: [&'a mut [f32]; 2],
}

impl WithSimd for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, dy, weight, eps, dx, sums: [dweight, dbias] } = self;
        let (channels, pixels) = (weight.len(), x.len() / weight.len());
        let (mean, spread) = moments(x, channels, eps);
        // Means over the channels of g = weight·dy and of g·(x − mean)/deviation.
        let [mut g_mean, mut gx_mean] = [(); 2].map(|()| vec![0.0; pixels]);
        let planes = x.chunks_exact(pixels).zip(dy.chunks_exact(pixels));
        for (c, (x, dy)) in planes.clone().enumerate() {
            let (mut w_sum, mut b_sum) = ([0.0f32; 16], [0.0f32; 16]);
            let weight = weight[c];
            // Sixteen sums side by side: one alone would wait for itself at every addition.
            for at in (0..pixels).step_by(16) {
                let n = 16.min(pixels - at);
                let [x, dy, m, s] = [x, dy, &mean, &spread].map(|v| &v[at..at + n]);
                let (gs, gxs) = (&mut g_mean[at..at + n], &mut gx_mean[at..at + n]);
                for i in 0..n {
                    let unit = (x[i] - m[i]) * s[i];
                    w_sum[i] += dy[i] * unit;
                    b_sum[i] += dy[i];
                    gs[i] += dy[i] * weight;
                    gxs[i] += dy[i] * weight * unit;
                }
            }
            dweight[c] = w_sum.iter().sum();
            dbias[c] = b_sum.iter().sum();
        }
        let share = 1.0 / channels as f32;
        for ((dx, (x, dy)), weight) in dx.chunks_exact_mut(pixels).zip(planes).zip(weight) {
            for (i, dx) in dx.iter_mut().enumerate() {
                let unit = (x[i] - mean[i]) * spread[i];
                *dx = spread[i] * (dy[i] * weight - share * (g_mean[i] + unit * gx_mean[i]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{Purpose, Stream};
    use burn::tensor::{Device, TensorData};

    fn near<const D: usize>(name: &str, found: Tensor<D>, expected: Tensor<D>) {
        let [found, expected] = [found, expected].map(|x| x.into_data().try_into_vec::<f32>().expect("f32"));
        assert_eq!(found.len(), expected.len());
        for (a, e) in found.iter().zip(&expected) {
            assert!((a - e).abs() < 2e-5 * (1.0 + e.abs()), "{name}: {a} for {e}");
        }
    }

    /// burn's layer norm on turned images, with all gradients.
    #[test]
    fn output_and_gradients_are_those_of_burn() {
        for [n, c, h, w] in [[2, 12, 5, 7], [1, 60, 8, 8], [3, 1, 1, 1]] {
            let device = Device::flex().autodiff();
            let draw = |count: usize, index| {
                let mut stream = Stream::new(2, Purpose::Weights, index);
                (0..count).map(|_| 0.5 + stream.symmetric(2.0)).collect::<Vec<f32>>()
            };
            let image = |index| {
                let data = TensorData::new(draw(n * c * h * w, index), [n, c, h, w]);
                Tensor::<4>::from_data(data, &device).require_grad()
            };
            let row =
                |index| Tensor::<1>::from_data(TensorData::new(draw(c, index), [c]), &device).require_grad();
            let (x, g, weight, bias) = (image(0), image(1), row(2), row(3));
            let ours = channel_norm(x.clone(), weight.clone(), bias.clone(), 1e-5);
            let theirs =
                layer_norm(x.clone().permute([0, 2, 3, 1]), weight.clone(), Some(bias.clone()), 1e-5);
            let theirs = theirs.permute([0, 3, 1, 2]);
            near("output", ours.clone(), theirs.clone());
            let inner = [&weight, &bias].map(|p| p.clone().inner());
            let [w, b] = inner;
            near("plain", channel_norm(x.clone().inner(), w, b, 1e-5), ours.clone().inner());
            let ours = (ours * g.clone()).sum().backward();
            let theirs = (theirs * g.clone()).sum().backward();
            near("x", x.grad(&ours).expect("x"), x.grad(&theirs).expect("x"));
            near("weight", weight.grad(&ours).expect("w"), weight.grad(&theirs).expect("w"));
            near("bias", bias.grad(&ours).expect("b"), bias.grad(&theirs).expect("b"));
        }
    }
}
