//! [`Branch`]: a convolution trained as a sum of linear ones, and run as one.
//!
//! A convolution to many channels followed by a 1x1 convolution is a convolution again. Trained in that form a small
//! network gets better, because the optimizer moves two factors instead of their product, and costs nothing more where it
//! runs. Here the product is made from the weights before the image comes into it, so that a step costs hardly more
//! either.
//!
//! # Source
//! Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient Super Resolution" (SESR), MLSys 2022: the two factors,
//! and training in the space of weights. Zhang et al., "Edge-oriented Convolution Block" (ECBSR), ACM MM 2021: the
//! convolution beside them.

use crate::seed::{Purpose, Stream};
use crate::weights::Tensors;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use mcir_runtime::model::{Graph, Op};

/// Name of the first factor in [`Tensors`].
pub const EXPAND: &str = "expand";
/// Name of the second factor.
pub const SQUEEZE: &str = "squeeze";

/// The two factors that are added to the weights of a convolution.
#[derive(Module, Debug)]
pub struct Branch {
    /// A convolution to the channels of the branch, `[channels, in, kernel, kernel]`.
    pub expand: Param<Tensor<4>>,
    /// A 1x1 convolution from there, `[out, channels]`.
    pub squeeze: Param<Tensor<2>>,
}

impl Branch {
    /// Their product.
    ///
    /// # Shapes
    /// output `[out, in, kernel, kernel]`
    pub fn folded(&self) -> Tensor<4> {
        let (expand, squeeze) = (self.expand.val(), self.squeeze.val());
        let ([channels, input, kh, kw], [out, _]) = (expand.dims(), squeeze.dims());
        squeeze.matmul(expand.reshape([channels, input * kh * kw])).reshape([out, input, kh, kw])
    }
}

/// Adds random branches of some channels to the convolutions of a network that are larger than 1x1, and takes their product
/// off the weights beside them, so that the network computes what it did.
pub fn add(tensors: &mut Tensors, graph: &Graph, channels: usize, seed: u64) {
    for (node, id) in graph.nodes.iter().zip(0u64..) {
        let Op::Conv2d(conv) = node.op else { continue };
        if conv.kernel == 1 {
            continue;
        }
        let [out, input, k] = [conv.out_channels, conv.in_channels, conv.kernel.into()].map(usize::from);
        let depth = input * k * k;
        let mut stream = Stream::new(seed, Purpose::Branches, id);
        let mut draw = |n: usize, fan_in: usize| -> Vec<f32> {
            let bound = 1.0 / (fan_in as f32).sqrt();
            (0..n).map(|_| stream.symmetric(bound)).collect()
        };
        let (expand, squeeze) = (draw(channels * depth, depth), draw(out * channels, channels));
        let name = format!("{}.weight", node.name);
        let Some((shape, mut weight)) = tensors.remove(&name) else { continue };
        for (row, factors) in weight.chunks_exact_mut(depth).zip(squeeze.chunks_exact(channels)) {
            for (factor, values) in factors.iter().zip(expand.chunks_exact(depth)) {
                row.iter_mut().zip(values).for_each(|(w, v)| *w -= factor * v);
            }
        }
        tensors.insert(name, shape, weight);
        tensors.insert(format!("{}.{EXPAND}", node.name), vec![channels, input, k, k], expand);
        tensors.insert(format!("{}.{SQUEEZE}", node.name), vec![out, channels], squeeze);
    }
}
