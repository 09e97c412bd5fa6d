//! Window attention as one operation of burn-flex, forward and backward.
//!
//! What the backward pass needs beside its inputs, the softmax, is computed again: it is cheaper than to keep it.

use super::tile::{Backward as BackwardTile, Forward, Head};
use super::{MASKED, Window, position};
use crate::flex::{floats, tensor};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};
use burn_autodiff::checkpoint::{base::Checkpointer, strategy::NoCheckpointing};
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_flex::FlexTensor;
use pulp::Arch;
use rayon::prelude::*;

/// Positions of a window are a multiple of this, so that two vectors of any width divide them.
const STEP: usize = 32;

/// The attention of tensors of burn-flex; `None` for others, and for windows that vectors do not fit into.
pub(super) fn attend(qkv: &Tensor<4>, table: &Tensor<2>, window: Window) -> Option<Tensor<4>> {
    let f32s = [qkv.dtype(), table.dtype()] == [DType::F32; 2];
    if !f32s || !(window.side * window.side).is_multiple_of(STEP) {
        return None;
    }
    if let (Ok(qkv), Ok(table)) =
        (qkv.clone().try_into_primitive::<Flex>(), table.clone().try_into_primitive::<Flex>())
    {
        let (qkv, table) = (qkv.to_contiguous(), table.to_contiguous());
        return Some(Tensor::from_primitive::<Flex>(forward(&qkv, &table, window)));
    }
    let qkv = qkv.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let table = table.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
    let nodes = [qkv.node(), table.node()];
    let qkv = qkv.into_primitive().to_contiguous();
    let table = table.into_primitive().to_contiguous();
    let y = forward(&qkv, &table, window);
    let y = match Attend.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((qkv, table, window), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    };
    Some(Tensor::from_primitive::<Autodiff<Flex>>(y))
}

/// The operation in the backward graph; its state is its input.
#[derive(Debug)]
struct Attend;

impl Backward<Flex, 2> for Attend {
    type State = (FlexTensor, FlexTensor, Window);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node).to_contiguous();
        let [qkv_node, table_node] = ops.parents;
        let (qkv, table, window) = ops.state;
        let (dqkv, dtable) = backward(&qkv, &table, &dy, window);
        if let Some(node) = qkv_node {
            grads.register::<Flex>(node.id, dqkv);
        }
        if let Some(node) = table_node {
            grads.register::<Flex>(node.id, dtable);
        }
    }
}

/// Where everything is in memory.
struct Geometry {
    window: Window,
    images: usize,
    /// Channels of a head.
    depth: usize,
    /// Pixels of the image.
    pixels: usize,
    /// Pixels of a window.
    area: usize,
    /// Place in the image of each pixel, window by window.
    places: Vec<usize>,
    /// Which side of the seams of the rolled image each pixel comes from, in the same order; empty without a shift.
    sides: Vec<u8>,
    shape: [usize; 4],
}

impl Geometry {
    fn new(qkv: &FlexTensor, window: Window) -> Self {
        let shape = qkv.layout().shape();
        let [images, channels, h, w] = [shape[0], shape[1], shape[2], shape[3]];
        let Window { heads, side, shift } = window;
        let (mut places, mut sides) = (Vec::with_capacity(h * w), Vec::new());
        for (top, left) in (0..h).step_by(side).flat_map(|y| (0..w).step_by(side).map(move |x| (y, x))) {
            for (y, x) in (top..top + side).flat_map(|y| (left..left + side).map(move |x| (y, x))) {
                places.push((y + shift) % h * w + (x + shift) % w);
                if shift > 0 {
                    sides.push(u8::from(y >= h - shift) * 2 + u8::from(x >= w - shift));
                }
            }
        }
        let (pixels, area) = (h * w, side * side);
        let depth = channels / 3 / heads;
        Self { window, images, depth, pixels, area, places, sides, shape: [images, channels, h, w] }
    }

    /// Bias of each head for every key and query, `[heads, keys, queries]`.
    fn biases(&self, table: &[f32]) -> Vec<f32> {
        let Window { heads, side, .. } = self.window;
        let mut biases = Vec::with_capacity(heads * self.area * self.area);
        for head in 0..heads {
            for key in 0..self.area {
                biases.extend((0..self.area).map(|query| table[position(side, query, key) * heads + head]));
            }
        }
        biases
    }

    /// Length of a head's queries, keys, values or outputs.
    fn len(&self) -> usize {
        self.depth * self.pixels
    }

    /// Head number `index`, counted over all images.
    fn head<'a>(&'a self, qkv: &'a [f32], biases: &'a [f32], index: usize) -> Head<'a> {
        let heads = self.window.heads;
        let (image, head) = (index / heads, index % heads);
        let part = |k: usize| {
            let start = ((image * 3 + k) * heads + head) * self.len();
            &qkv[start..start + self.len()]
        };
        let (area, depth) = (self.area, self.depth);
        Head {
            q: part(0),
            k: part(1),
            v: part(2),
            bias: &biases[head * area * area..(head + 1) * area * area],
            places: &self.places,
            sides: &self.sides,
            masked: MASKED,
            scale: (depth as f32).powf(-0.5),
            area,
            depth,
        }
    }
}

fn forward(qkv: &FlexTensor, table: &FlexTensor, window: Window) -> FlexTensor {
    let geometry = Geometry::new(qkv, window);
    let biases = geometry.biases(floats(table));
    let values = floats(qkv);
    let mut y = vec![0.0; values.len() / 3];
    y.par_chunks_exact_mut(geometry.len()).enumerate().for_each(|(index, y)| {
        let head = geometry.head(values, &biases, index);
        Arch::new().dispatch(Forward { head, y });
    });
    let [n, c, h, w] = geometry.shape;
    tensor(y, vec![n, c / 3, h, w])
}

/// Gradients of the input and the table.
fn backward(
    qkv: &FlexTensor,
    table: &FlexTensor,
    dy: &FlexTensor,
    window: Window,
) -> (FlexTensor, FlexTensor) {
    let geometry = Geometry::new(qkv, window);
    let biases = geometry.biases(floats(table));
    let (values, dy) = (floats(qkv), floats(dy));
    let mut dqkv = vec![0.0; values.len()];
    let Window { heads, side, .. } = window;
    let mut images = Vec::with_capacity(geometry.images * heads);
    for image in dqkv.chunks_exact_mut(3 * heads * geometry.len()) {
        let (dq, rest) = image.split_at_mut(heads * geometry.len());
        let (dk, dv) = rest.split_at_mut(heads * geometry.len());
        let parts = [dq, dk, dv].map(|part| part.chunks_exact_mut(geometry.len()));
        let [dq, dk, dv] = parts;
        images.extend(dq.zip(dk).zip(dv).map(|((dq, dk), dv)| [dq, dk, dv]));
    }
    let biases_of: Vec<Vec<f32>> = images
        .into_par_iter()
        .zip(dy.par_chunks_exact(geometry.len()))
        .enumerate()
        .map(|(index, ([dq, dk, dv], dy))| {
            let head = geometry.head(values, &biases, index);
            let mut bias = vec![0.0; geometry.area * geometry.area];
            Arch::new().dispatch(BackwardTile { head, dy, dq, dk, dv, bias: &mut bias });
            bias
        })
        .collect();
    let mut dtable = vec![0.0; floats(table).len()];
    for (index, bias) in biases_of.iter().enumerate() {
        for (i, v) in bias.iter().enumerate() {
            let (key, query) = (i / geometry.area, i % geometry.area);
            dtable[position(side, query, key) * heads + index % heads] += v;
        }
    }
    (tensor(dqkv, geometry.shape.to_vec()), tensor(dtable, table.layout().shape().to_vec()))
}
