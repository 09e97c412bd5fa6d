//! 2-D convolution with stride 1 and zero padding, float or int8.
//!
//! int8: `acc = bias + Σ (x − zero_point) · w` in 32 bits, exact; then one multiplication in float by
//! `input scale · weight scale / output scale`, clamping, and rounding half to even.

use super::rows::Codec;
use super::{Io, Order, activation, dtypes, scale_of};
use crate::kernel::pack::{ConvShape, Packed, pack};
use crate::kernel::tile::{ConvRow, Geometry, MAX_KERNEL, RowArgs, Store, conv_row};
use crate::kernel::{Elementwise, Isa};
use crate::model::{Activation, Conv2d, DType, Model, NodeId, Op, Role};
use alloc::vec::Vec;

/// A convolution with packed weights.
pub(crate) struct Conv2dStep {
    packed: Packed,
    /// Initial sums: 32-bit integers or floats, as bytes.
    bias: Vec<u8>,
    mult: Vec<f32>,
    store: Store,
    entry: ConvRow,
    geometry: Geometry,
    element_bytes: usize,
    /// An activation that the kernel does not fuse; on floats only.
    after: Option<Activation>,
}

impl Conv2dStep {
    pub fn new(model: &Model, id: NodeId, order: Order, isa: Isa) -> Self {
        let Op::Conv2d(conv) = model.graph().node(id).op else { unreachable!("the node is a convolution") };
        let ([input, _], output) = dtypes(model, id);
        match input {
            DType::I8 { scale, zero_point } => {
                Self::quantized(model, id, conv, (order, isa), (scale, i32::from(zero_point)), output)
            }
            DType::F32 | DType::I16 { .. } => Self::float(model, id, conv, (order, isa)),
        }
    }

    fn float(model: &Model, id: NodeId, conv: Conv2d, (order, isa): (Order, Isa)) -> Self {
        let table = isa.table();
        let shape = shape(conv);
        let order = channel_order(model, id, order);
        let packed = pack(shape, &table.f32, &model.f32s(id, Role::Weight), &order);
        let bias = packed.pad(&model.f32s(id, Role::Bias), &order);
        let relu = conv.activation == Some(Activation::Relu);
        Self {
            bias: bytemuck::cast_slice(&bias).to_vec(),
            mult: alloc::vec![1.0; packed.padded_out],
            store: Store::F32 { relu },
            entry: table.conv_f32,
            geometry: table.f32,
            element_bytes: 4,
            after: conv.activation.filter(|_| !relu),
            packed,
        }
    }

    fn quantized(
        model: &Model,
        id: NodeId,
        conv: Conv2d,
        (order, isa): (Order, Isa),
        (scale, zero_point): (f32, i32),
        output: DType,
    ) -> Self {
        let table = isa.table();
        let shape = shape(conv);
        let order = channel_order(model, id, order);
        let weights = model.i8s(id, Role::Weight);
        let packed = pack(shape, &table.i8, weights, &order);
        // stored = x + offset, so Σ stored·w − (zero_point + offset)·Σw = Σ (x − zero_point)·w.
        let offset = if table.xor == 0 { 0 } else { 128 };
        let depth = weights.len() / shape.out_channels;
        let folded: Vec<i32> = model
            .i32s(id, Role::Bias)
            .iter()
            .zip(weights.chunks_exact(depth))
            .map(|(bias, row)| {
                let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
                bias.wrapping_sub((zero_point + offset).wrapping_mul(sum))
            })
            .collect();
        let out_scale = scale_of(output);
        let mult: Vec<f32> =
            model.f32s(id, Role::WeightScale).iter().map(|w| scale * w / out_scale).collect();
        let relu = conv.activation == Some(Activation::Relu);
        let store = store(Codec::new(output, table.xor), relu);
        Self {
            bias: bytemuck::cast_slice(&packed.pad(&folded, &order)).to_vec(),
            mult: packed.pad(&mult, &order),
            store,
            entry: table.conv_i8,
            geometry: table.i8,
            element_bytes: 1,
            after: None,
            packed,
        }
    }

    pub fn run(&self, io: &mut Io<'_>) {
        let shape = self.packed.shape;
        let half = shape.kernel / 2;
        let px_bytes = shape.in_channels * self.element_bytes;
        let (input, cols) = (io.inputs[0], io.out.cols());
        let start = (input.pad() - half + cols.start) * px_bytes;
        for y in io.rows.clone() {
            let taps: [&[u8]; MAX_KERNEL] = core::array::from_fn(|ky| match ky < shape.kernel {
                true => &input.padded_row((y + ky) as isize - half as isize)[start..],
                false => &[],
            });
            let args = RowArgs {
                taps: &taps[..shape.kernel],
                px_bytes,
                pixels: cols.len(),
                packed: &self.packed,
                bias: &self.bias,
                mult: &self.mult,
                store: self.store,
                out: io.out.row_mut(y),
            };
            conv_row(self.entry, &self.geometry, self.element_bytes, args);
            if let Some(activation) = self.after {
                io.isa.run(After { activation, values: bytemuck::cast_slice_mut(io.out.row_mut(y)) });
            }
        }
    }

    pub fn weight_bytes(&self) -> usize {
        size_of_val(self.packed.weights.as_slice()) + self.bias.len() + 4 * self.mult.len()
    }
}

struct After<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Elementwise for After<'_> {
    #[inline(always)]
    fn run(self) {
        for x in self.values {
            *x = activation::apply(self.activation, *x);
        }
    }
}

/// How the sums of a quantized convolution are stored.
pub(super) fn store(codec: Codec, relu: bool) -> Store {
    let (lo, hi) = codec.limits();
    // A zero point of 127 leaves no positive values; the range stays in order all the same.
    let lo = if relu { lo.max(0.0).min(hi) } else { lo };
    match codec {
        Codec::I8 { zero_point, xor } => Store::I8 { lo, hi, zero_point, xor },
        Codec::I16 => Store::I16 { lo, hi },
        Codec::F32 => Store::F32 { relu },
    }
}

fn shape(conv: Conv2d) -> ConvShape {
    ConvShape {
        in_channels: usize::from(conv.in_channels),
        out_channels: usize::from(conv.out_channels),
        kernel: usize::from(conv.kernel),
    }
}

/// Order of the output channels: the pixel shuffle's, if one is the only reader and wants another.
fn channel_order(model: &Model, id: NodeId, order: Order) -> Vec<usize> {
    let graph = model.graph();
    let channels = usize::from(model.shape(id).channels);
    let reader = graph.readers(id).next().map(|r| (graph.node(r).op, r));
    match reader {
        Some((Op::PixelShuffle { upscale }, r)) => {
            order.channels(usize::from(upscale), usize::from(model.shape(r).channels))
        }
        _ => (0..channels).collect(),
    }
}
