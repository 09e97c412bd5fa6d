//! [`GraphNet`]: a runtime [`Graph`] lowered to burn.
//!
//! One [`Layer`] for each node, in the nodes' order; [`GraphNet::forward`] walks the nodes. There is no second
//! description of any architecture here: what is computed is what `mcir_runtime::arch` wrote down, and the
//! matches on [`Op`] have no `_` arm, so that a new operator is a compile error and not a silent gap.

mod extend;
mod init;

use super::branch::{self, Branch};
use super::gelu::gelu;
use super::norm::channel_norm;
use super::{blend, param, pooling};
use crate::attention::{Window, attend};
use crate::conv::{Epilogue, Precision, conv_in};
use crate::resize;
use crate::shuffle::pixel_shuffle;
use crate::weights::{Tensors, WeightsError};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData, activation};
use extend::{repeat_edges, to_multiple};
use init::random_tensors;
use mcir_runtime::arch::ffanet;
use mcir_runtime::model::{Activation, Graph, Node, NodeId, Op, infer};

/// Name of the position table in published checkpoints.
pub const TABLE: &str = "relative_position_bias_table";

/// Parameters of a node.
#[derive(Module, Debug)]
pub enum Layer {
    /// An operator without parameters.
    Plain(Plain),
    /// [`Op::Conv2d`]; one that only repeats a channel is never trained.
    Conv(Conv),
    /// [`Op::Affine`]; constant, never trained.
    Affine(Affine),
    /// [`Op::LayerNorm`].
    Norm(Affine),
    /// [`Op::WindowAttention`].
    Attention(Attention),
    /// [`Op::PRelu`].
    Slopes(Slopes),
}

/// Slope of each channel.
#[derive(Module, Debug)]
pub struct Slopes {
    /// `[channels]`.
    pub weight: Param<Tensor<1>>,
}

/// Parameters of a window attention.
#[derive(Module, Debug)]
pub struct Attention {
    /// Relative position bias, `[(2·window − 1)², heads]`.
    pub table: Param<Tensor<2>>,
}

/// No parameters.
#[derive(Module, Debug)]
pub struct Plain {}

/// Parameters of a convolution.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[out, in, kernel, kernel]`.
    pub weight: Param<Tensor<4>>,
    /// `[out]`.
    pub bias: Param<Tensor<1>>,
    /// What is added to `weight` while training.
    pub branch: Option<Branch>,
}

impl Conv {
    /// The weights that it computes with, branch included.
    fn folded(&self) -> Tensor<4> {
        let weight = self.weight.val();
        match &self.branch {
            Some(branch) => weight + branch.folded(),
            None => weight,
        }
    }
}

/// Scale and shift of each channel.
#[derive(Module, Debug)]
pub struct Affine {
    /// `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// `[channels]`.
    pub bias: Param<Tensor<1>>,
}

/// Stands between an operator that computes on 8 bits in an int8 model and its values; see [`qat`](crate::qat).
pub trait Simulate {
    /// What a convolution, activation or attention reads in place of the values `x` of an edge; same shape.
    fn input(&self, edge: NodeId, x: Tensor<4>) -> Tensor<4>;
    /// What is used in place of weights `[out, in, kernel, kernel]`; same shape.
    fn weight(&self, weight: Tensor<4>) -> Tensor<4>;
}

/// A network of the engine that can be trained: the graph and one [`Layer`] for each of its nodes.
#[derive(Module, Debug)]
pub struct GraphNet {
    layers: Vec<Layer>,
    #[module(skip)]
    graph: Graph,
    /// Last node that reads each edge, so that the edge's tensor can be given up there.
    #[module(skip)]
    last_reader: Vec<NodeId>,
    #[module(skip)]
    precision: Precision,
}

impl GraphNet {
    /// A network with the given values, named `NODE.weight` and `NODE.bias` and laid out as in PyTorch; convolutions with
    /// `NODE.expand` and `NODE.squeeze` beside them have a [`Branch`].
    ///
    /// # Errors
    /// A tensor that is missing, left over, of the wrong shape or not finite.
    pub fn from_tensors(graph: &Graph, tensors: &Tensors, device: &Device) -> Result<Self, WeightsError> {
        let shapes = infer(graph).map_err(WeightsError::Graph)?;
        let mut taken = 0;
        let mut take = |name: &str, part: &str, shape: &[usize]| {
            taken += 1;
            tensors.get(&format!("{name}.{part}"), shape).map(<[f32]>::to_vec)
        };
        let mut layers = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let channels = node.inputs.first().map_or(0, |&i| usize::from(shapes[usize::from(i)].channels));
            layers.push(match node.op {
                Op::Conv2d(c) => {
                    let [o, i, k] = [c.out_channels, c.in_channels, c.kernel.into()].map(usize::from);
                    let weight = take(&node.name, "weight", &[o, i, k, k])?;
                    let bias = take(&node.name, "bias", &[o])?;
                    let branch = match tensors.shape(&format!("{}.{}", node.name, branch::EXPAND)) {
                        Some(&[p, ..]) => {
                            let expand = take(&node.name, branch::EXPAND, &[p, i, k, k])?;
                            let squeeze = take(&node.name, branch::SQUEEZE, &[o, p])?;
                            Some(Branch {
                                expand: param(8 * index + 2, expand, [p, i, k, k], true, device),
                                squeeze: param(8 * index + 3, squeeze, [o, p], true, device),
                            })
                        }
                        _ => None,
                    };
                    let trained = !ffanet::is_constant(node);
                    Layer::Conv(Conv {
                        branch,
                        weight: param(8 * index, weight, [o, i, k, k], trained, device),
                        bias: param(8 * index + 1, bias, [o], trained, device),
                    })
                }
                Op::Affine => {
                    let weight = take(&node.name, "weight", &[channels])?;
                    let bias = take(&node.name, "bias", &[channels])?;
                    Layer::Affine(Affine {
                        weight: param(8 * index, weight, [channels], false, device),
                        bias: param(8 * index + 1, bias, [channels], false, device),
                    })
                }
                Op::LayerNorm { .. } => {
                    let weight = take(&node.name, "weight", &[channels])?;
                    let bias = take(&node.name, "bias", &[channels])?;
                    Layer::Norm(Affine {
                        weight: param(8 * index, weight, [channels], true, device),
                        bias: param(8 * index + 1, bias, [channels], true, device),
                    })
                }
                Op::WindowAttention { num_heads, window_size, .. } => {
                    let shape = [(2 * usize::from(window_size) - 1).pow(2), num_heads.into()];
                    let table = take(&node.name, TABLE, &shape)?;
                    Layer::Attention(Attention { table: param(8 * index, table, shape, true, device) })
                }
                Op::PRelu => {
                    let weight = take(&node.name, "weight", &[channels])?;
                    Layer::Slopes(Slopes { weight: param(8 * index, weight, [channels], true, device) })
                }
                Op::Input { .. }
                | Op::Add { .. }
                | Op::Mul
                | Op::Activation(_)
                | Op::PixelShuffle { .. }
                | Op::Resize { .. }
                | Op::MaxPool(_)
                | Op::GlobalPool { .. }
                | Op::Interpolate { .. }
                | Op::Reduce { .. }
                | Op::Convert => Layer::Plain(Plain {}),
            });
        }
        tensors.expect_len(taken)?;
        Ok(Self { layers, graph: graph.clone(), last_reader: last_readers(graph), precision: Precision::F32 })
    }

    /// A network with random initial weights.
    ///
    /// Convolutions are drawn as PyTorch does by default (uniform within `1/√fan_in`), those that end a
    /// residual branch ten times smaller, so that a deep network starts near the identity and a network with
    /// an image residual near its interpolation. Linear layers and position tables of a
    /// transformer are normal with standard deviation 0.02, as in SwinIR.
    ///
    /// # Errors
    /// The graph is not valid.
    pub fn random(graph: &Graph, seed: u64, device: &Device) -> Result<Self, WeightsError> {
        let shapes = infer(graph).map_err(WeightsError::Graph)?;
        Self::from_tensors(graph, &random_tensors(graph, &shapes, seed), device)
    }

    /// The same network with convolutions in another precision.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// What its convolutions compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The graph that this network computes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Upscaling factor from input to output.
    pub fn upscale(&self) -> usize {
        let shapes = infer(&self.graph).expect("from_tensors checked the graph");
        usize::from(shapes[usize::from(self.graph.output())].extent.upscale().unwrap_or(1))
    }

    /// Channels of the image that it reads.
    pub fn in_channels(&self) -> usize {
        if let Some(Op::Input { channels }) = self.graph.nodes.first().map(|n| n.op) {
            channels.into()
        } else {
            0
        }
    }

    /// All values, as [`GraphNet::from_tensors`] takes them.
    pub fn to_tensors(&self) -> Tensors {
        let mut tensors = Tensors::default();
        for (node, layer) in self.graph.nodes.iter().zip(&self.layers) {
            let mut put = |part: &str, data: TensorData| {
                let shape = data.shape().to_vec();
                let values = data.try_into_vec().expect("parameters are f32");
                tensors.insert(format!("{}.{part}", node.name), shape, values);
            };
            match layer {
                Layer::Plain(_) => {}
                Layer::Conv(conv) => {
                    put("weight", conv.weight.val().into_data());
                    put("bias", conv.bias.val().into_data());
                    if let Some(branch) = &conv.branch {
                        put(branch::EXPAND, branch.expand.val().into_data());
                        put(branch::SQUEEZE, branch.squeeze.val().into_data());
                    }
                }
                Layer::Slopes(slopes) => put("weight", slopes.weight.val().into_data()),
                Layer::Attention(attention) => put(TABLE, attention.table.val().into_data()),
                Layer::Affine(affine) | Layer::Norm(affine) => {
                    put("weight", affine.weight.val().into_data());
                    put("bias", affine.bias.val().into_data());
                }
            }
        }
        tensors
    }

    /// The network's output.
    ///
    /// # Shapes
    /// input `[N, C, H, W]` in 0..1; output `[N, C', H·upscale, W·upscale]`, not clipped
    pub fn forward(&self, image: Tensor<4>) -> Tensor<4> {
        self.forward_with(image, None)
    }

    /// As [`forward`](Self::forward), with operators that read and use what `simulate` makes of their inputs and
    /// weights.
    ///
    /// # Shapes
    /// input `[N, C, H, W]` in 0..1; output `[N, C', H·upscale, W·upscale]`, not clipped
    pub fn forward_with(&self, image: Tensor<4>, simulate: Option<&dyn Simulate>) -> Tensor<4> {
        let [_, _, h, w] = image.dims();
        let y = self
            .walk(self.extended(image), simulate, &[self.graph.output()])
            .pop()
            .expect("a graph has an output");
        let [_, _, padded_h, padded_w] = y.dims();
        let (h, w) = (h * self.upscale(), w * self.upscale());
        let first = usize::from(self.graph.margin) * self.upscale();
        if (h, w) == (padded_h, padded_w) { y } else { y.narrow(2, first, h).narrow(3, first, w) }
    }

    /// What the nodes `wanted`, in ascending order, compute of an image; those after the last are not computed.
    ///
    /// # Shapes
    /// image as in [`GraphNet::forward`]; outputs `[N, C', H', W']`, with a network of windows or with a margin of the image
    /// that is extended
    pub fn activations(&self, image: Tensor<4>, wanted: &[NodeId]) -> Vec<Tensor<4>> {
        self.walk(self.extended(image), None, wanted)
    }

    /// The image as the network sees it: with its margin, extended to a multiple.
    fn extended(&self, mut image: Tensor<4>) -> Tensor<4> {
        for dim in [2, 3] {
            let with_margin = repeat_edges(image, dim, self.graph.margin.into());
            image = to_multiple(with_margin, dim, self.graph.pad_multiple(), self.graph.pad_mode);
        }
        image
    }

    fn walk(&self, image: Tensor<4>, simulate: Option<&dyn Simulate>, wanted: &[NodeId]) -> Vec<Tensor<4>> {
        let mut found = Vec::with_capacity(wanted.len());
        let mut image = Some(image);
        let mut edges: Vec<Option<Tensor<4>>> = Vec::with_capacity(self.graph.nodes.len());
        let stored = |node: &Node, x: Tensor<4>| match simulate {
            Some(simulate) => simulate.input(node.inputs[0], x),
            None => x,
        };
        for (index, (node, layer)) in self.graph.nodes.iter().zip(&self.layers).enumerate() {
            let mut read = |k: usize| {
                let edge = usize::from(node.inputs[k]);
                let last = usize::from(self.last_reader[edge]) == index;
                // A node may read one edge twice; only its last use may give the tensor up.
                let again = node.inputs[k + 1..].contains(&node.inputs[k]);
                let slot: &mut Option<Tensor<4>> = &mut edges[edge];
                let value = if last && !again { slot.take() } else { slot.clone() };
                value.expect("an edge lives until its last reader")
            };
            let y = match (node.op, layer) {
                (Op::Input { .. }, _) => image.take().expect("a graph has one input"),
                (Op::Conv2d(c), Layer::Conv(conv)) => {
                    let (x, weight) = (stored(node, read(0)), conv.folded());
                    let weight = match simulate {
                        Some(simulate) => simulate.weight(weight),
                        None => weight,
                    };
                    let conv = |epilogue| conv_in(self.precision, x, weight, conv.bias.val(), epilogue);
                    match c.activation {
                        Some(Activation::Relu) => conv(Epilogue::Relu),
                        Some(a) => activate(conv(Epilogue::Linear), a),
                        None => conv(Epilogue::Linear),
                    }
                }
                (Op::Add { res_scale }, _) => {
                    let (a, b) = (read(0), read(1));
                    if res_scale == 1.0 { a + b } else { a + b * res_scale }
                }
                (Op::Mul, _) => read(0) * read(1),
                (Op::Affine, Layer::Affine(affine)) => {
                    let channels = affine.weight.dims()[0];
                    let row = |p: &Param<Tensor<1>>| p.val().reshape([1, channels, 1, 1]);
                    read(0) * row(&affine.weight) + row(&affine.bias)
                }
                (Op::Activation(a), _) => activate(stored(node, read(0)), a),
                (Op::PRelu, Layer::Slopes(slopes)) => {
                    activation::prelu(stored(node, read(0)), slopes.weight.val())
                }
                (Op::PixelShuffle { upscale }, _) => pixel_shuffle(read(0), upscale.into()),
                (Op::Resize { upscale, filter }, _) => resize::resize(read(0), upscale.into(), filter),
                (Op::Convert, _) => read(0),
                (Op::MaxPool(pool), _) => pooling::max_pool(read(0), pool),
                (Op::GlobalPool { statistic }, _) => pooling::statistic(read(0), statistic),
                (Op::Interpolate { filter }, _) => {
                    let (x, like) = (read(0), read(1));
                    let [_, _, h, w] = like.dims();
                    resize::resize_to(x, [h, w], filter)
                }
                (Op::Reduce { factor, filter }, _) => {
                    let x = read(0);
                    let [_, _, h, w] = x.dims();
                    resize::resize_to(x, [h, w].map(|side| side / usize::from(factor)), filter)
                }
                (Op::LayerNorm { eps }, Layer::Norm(norm)) => {
                    channel_norm(read(0), norm.weight.val(), norm.bias.val(), eps)
                }
                (Op::WindowAttention { num_heads, window_size, shift }, Layer::Attention(attention)) => {
                    let [heads, side, shift] = [num_heads, window_size.into(), shift.into()].map(usize::from);
                    attend(stored(node, read(0)), attention.table.val(), Window { heads, side, shift })
                }
                (
                    Op::Conv2d(_)
                    | Op::Affine
                    | Op::LayerNorm { .. }
                    | Op::WindowAttention { .. }
                    | Op::PRelu,
                    _,
                ) => {
                    unreachable!("from_tensors made the layers from these nodes")
                }
            };
            if wanted.get(found.len()).is_some_and(|&id| usize::from(id) == index) {
                found.push(y.clone());
                if found.len() == wanted.len() {
                    break;
                }
            }
            edges.push(Some(y));
        }
        found
    }

    /// The same function without branches, which are added to the weights.
    pub fn folded(&self) -> Self {
        let fold = |layer: &Layer| match layer {
            Layer::Conv(conv) if conv.branch.is_some() => {
                let weight = conv.folded().detach();
                let weight = conv.weight.clone().map(|_| weight);
                Layer::Conv(Conv { weight, bias: conv.bias.clone(), branch: None })
            }
            layer => layer.clone(),
        };
        Self { layers: self.layers.iter().map(fold).collect(), ..self.clone() }
    }

    /// `keep · self + (1 − keep) · newer`, parameter by parameter: a step of an exponential moving average.
    /// The result lives where `self` lives. Neither has branches.
    ///
    /// # Panics
    /// If the two networks have different graphs.
    pub fn blend(self, newer: &Self, keep: f64) -> Self {
        assert_eq!(self.graph, newer.graph, "only networks of one architecture can be blended");
        let layers = self.layers.into_iter().zip(&newer.layers).zip(&self.graph.nodes);
        let layers = layers.map(|((old, new), node)| match (old, new) {
            // Rounding would move what does not change.
            (old, _) if ffanet::is_constant(node) => old,
            (Layer::Conv(a), Layer::Conv(b)) => Layer::Conv(Conv {
                weight: blend(a.weight, &b.weight, keep),
                bias: blend(a.bias, &b.bias, keep),
                branch: None,
            }),
            (Layer::Norm(a), Layer::Norm(b)) => Layer::Norm(Affine {
                weight: blend(a.weight, &b.weight, keep),
                bias: blend(a.bias, &b.bias, keep),
            }),
            (Layer::Slopes(a), Layer::Slopes(b)) => {
                Layer::Slopes(Slopes { weight: blend(a.weight, &b.weight, keep) })
            }
            (Layer::Attention(a), Layer::Attention(b)) => {
                Layer::Attention(Attention { table: blend(a.table, &b.table, keep) })
            }
            // Equal graphs have equal layers, so what is left has nothing to blend.
            (
                old @ (Layer::Plain(_)
                | Layer::Affine(_)
                | Layer::Conv(_)
                | Layer::Norm(_)
                | Layer::Attention(_)
                | Layer::Slopes(_)),
                _,
            ) => old,
        });
        let layers = layers.collect();
        Self { layers, ..self }
    }
}

fn last_readers(graph: &Graph) -> Vec<NodeId> {
    let ids = (0..).take(graph.nodes.len());
    ids.map(|id| graph.readers(id).last().unwrap_or(graph.output())).collect()
}

fn activate(x: Tensor<4>, a: Activation) -> Tensor<4> {
    match a {
        Activation::Relu => activation::relu(x),
        Activation::LeakyRelu { slope } => activation::leaky_relu(x, slope.into()),
        Activation::Gelu => gelu(x),
        Activation::Tanh => activation::tanh(x),
        Activation::Sigmoid => activation::sigmoid(x),
        Activation::Silu => x.clone() * activation::sigmoid(x),
        Activation::HardSigmoid { alpha, beta } => hard_sigmoid(x, alpha, beta),
        Activation::HardSwish { alpha, beta } => x.clone() * hard_sigmoid(x, alpha, beta),
    }
}

fn hard_sigmoid(x: Tensor<4>, alpha: f32, beta: f32) -> Tensor<4> {
    (x * alpha + beta).clamp(0.0, 1.0)
}

#[cfg(test)]
mod ffanet_tests;
#[cfg(test)]
mod swinir_tests;
#[cfg(test)]
mod tests;
