//! 2-D convolution with stride 1 and zero padding, float, int8, or 8-bit weights on 16-bit activations.
//!
//! Integers: `acc = bias + Σ (x − zero_point) · w` in 32 bits, exact; then one multiplication in float by
//! `input scale · weight scale / output scale`, clamping, and rounding half to even.

use crate::arithmetic::round_clamp;
use crate::arithmetic::short;
use crate::cpu::codec::{Codec, I16_MAX};
use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::pack::{ConvShape, Packed, pack};
use crate::cpu::conv::tile::{Chain, ConvRow, Geometry, MAX_KERNEL, RowArgs, Store, conv_row};
use crate::cpu::conv::winograd_2x1;
use crate::cpu::conv::winograd_2x1::{Winograd2x1, Winograd2x1Args, winograd_2x1};
use crate::cpu::conv::winograd_4x4::{PATCH, Strip, StripArgs, TILE, Winograd4x4, strip};
use crate::cpu::kernels::Elementwise;
use crate::cpu::requant::{Products, Requant, SingleRounding};
use crate::cpu::steps::narrow_out::NarrowOut;
use crate::cpu::steps::{Io, activation, add};
use crate::cpu::table::Cpu;
use crate::model::{Activation, Conv2d, DType, Model, NodeId, Op, Role};
use crate::program::edges::{dtypes, scale_of};
use crate::program::order::Order;
use alloc::vec::Vec;
use core::ops::Range;

/// A convolution with packed weights.
pub(crate) struct Conv2dStep {
    packed: Packed,
    /// Another way to the same sums.
    winograd_4x4: Option<(Strip, Winograd4x4)>,
    /// Another way to the same sums, of two rows.
    winograd_2x1: Option<Winograd2x1>,
    /// Another way to the same bytes.
    narrow_out: Option<NarrowOut>,
    /// Initial sums (32-bit integers or floats) and multipliers.
    requant: Requant,
    store: Store,
    entry: ConvRow,
    geometry: Geometry,
    element_bytes: usize,
    /// What is done with a row while it is in the first-level cache.
    after: After,
    /// Whether the kernel does it, while the values are in its registers.
    chains: bool,
}

/// What follows the convolution of a row.
enum After {
    Nothing,
    /// An activation that the kernel does not fuse; on floats only.
    Activation(Activation),
    /// On 16 bits: the residual sum and the conversion.
    Chain {
        sum: Option<Sum>,
        convert: Option<Convert>,
    },
}

/// `round(conv · factors[0] + residual · factors[1])`, as the operator `Add` computes it.
#[derive(Clone, Copy)]
struct Sum {
    factors: [f32; 2],
}

/// `round(value · factor)`, as the operator `Convert` computes it.
#[derive(Clone, Copy)]
struct Convert {
    factor: f32,
    to: Codec,
    /// For an instruction set that does the sum and the conversion in one pass.
    single: Option<SingleRounding>,
}

impl Conv2dStep {
    /// With the output channels in the order that the pixel shuffle reading them wants, if that is `order`.
    pub fn new(model: &Model, id: NodeId, order: Order, cpu: Cpu) -> Self {
        Self::of_channels(model, id, &channel_order(model, id, order), cpu)
    }

    /// With just these output channels.
    pub fn of_channels(model: &Model, id: NodeId, order: &[usize], cpu: Cpu) -> Self {
        let Op::Conv2d(conv) = model.graph().node(id).op else { unreachable!("the node is a convolution") };
        let ([input, _], output) = dtypes(model, id);
        match input {
            DType::I8 { scale, zero_point } => {
                Self::of_i8(model, id, conv, (order, cpu), (scale, i32::from(zero_point)), output)
            }
            DType::I16 { scale } => Self::of_i16(model, id, conv, (order, cpu), scale, output),
            DType::F32 => Self::of_f32(model, id, conv, (order, cpu)),
        }
    }

    /// Convolution `conv` with the `Add` that reads it and the `Convert` of the result.
    pub fn chain(
        model: &Model,
        conv: NodeId,
        sum: Option<NodeId>,
        convert: Option<NodeId>,
        cpu: Cpu,
    ) -> Self {
        let mut step = Self::new(model, conv, Order::Torch, cpu);
        step.narrow_out = None;
        let sum = sum.map(|id| {
            let node = model.graph().node(id);
            let Op::Add { res_scale } = node.op else { unreachable!("the node is an addition") };
            let ([a, b], out) = dtypes(model, id);
            let factors = add::factors((a, b), res_scale, out);
            // A sum of two floats is the same in either order.
            Sum { factors: if node.inputs[0] == conv { factors } else { [factors[1], factors[0]] } }
        });
        let convert = convert.map(|id| {
            let ([from, _], to) = dtypes(model, id);
            let (factor, to) = (short(scale_of(from) / scale_of(to)), Codec::new(to, cpu.xor));
            let narrowing =
                to.narrowing().filter(|to| to.xor == 0 && cpu.rows.is_some_and(|r| r.chain.is_some()));
            let single = narrowing.and_then(|to| SingleRounding::new(factor, to.zero_point));
            Convert { factor, to, single }
        });
        step.after = After::Chain { sum, convert };
        let ([input, _], _) = dtypes(model, conv);
        step.chains = cpu.chains && matches!(input, DType::I8 { .. });
        step
    }

    fn of_f32(model: &Model, id: NodeId, conv: Conv2d, (order, cpu): (&[usize], Cpu)) -> Self {
        let shape = shape(conv, order);
        let packed =
            pack(shape, &cpu.f32, &gather(&model.f32s(id, Role::Weight), conv, order), &plain(shape));
        let bias = packed.pad(&gather(&model.f32s(id, Role::Bias), conv, order), &plain(shape));
        let relu = conv.activation == Some(Activation::Relu);
        Self {
            winograd_4x4: None,
            winograd_2x1: None,
            narrow_out: None,
            requant: Requant {
                bias: bytemuck::cast_slice(&bias).to_vec(),
                mult: alloc::vec![1.0; packed.padded_out],
                offset: None,
                products: Products::Any,
            },
            store: Store::F32 { relu },
            entry: cpu.conv_f32,
            geometry: cpu.f32,
            element_bytes: 4,
            after: conv.activation.filter(|_| !relu).map_or(After::Nothing, After::Activation),
            chains: false,
            packed,
        }
    }

    fn of_i8(
        model: &Model,
        id: NodeId,
        conv: Conv2d,
        (order, cpu): (&[usize], Cpu),
        (scale, zero_point): (f32, i32),
        output: DType,
    ) -> Self {
        let shape = shape(conv, order);
        let weights = &gather(model.i8s(id, Role::Weight), conv, order);
        let plain = plain(shape);
        let packed = pack(shape, &cpu.i8, weights, &plain);
        // stored = x + offset, so Σ stored·w − (zero_point + offset)·Σw = Σ (x − zero_point)·w.
        let offset = if cpu.xor == 0 { 0 } else { 128 };
        let depth = weights.len() / shape.out_channels;
        let folded: Vec<i32> = gather(&model.i32s(id, Role::Bias), conv, order)
            .iter()
            .zip(weights.chunks_exact(depth))
            .map(|(bias, row)| {
                let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
                bias.wrapping_sub((zero_point + offset).wrapping_mul(sum))
            })
            .collect();
        let relu = conv.activation == Some(Activation::Relu);
        let mult = gather(&multipliers(model, id, scale, output), conv, order);
        let store = store(Codec::new(output, cpu.xor), relu);
        let requant = Requant::new(&packed, &plain, weights, &folded, &mult, &cpu, store);
        let (inputs, outputs) = (shape.in_channels, shape.out_channels);
        let (mut winograd_4x4, mut winograd_2x1) = (None, None);
        match cpu.winograd.filter(|_| shape.kernel == 3) {
            Some(WinogradKernel::F4x4(strip)) => {
                winograd_4x4 =
                    Winograd4x4::new(weights, &plain, inputs, outputs, &requant).map(|w| (strip, w));
            }
            Some(WinogradKernel::F2x1(kernel)) => {
                winograd_2x1 = Winograd2x1::new(kernel, weights, inputs, outputs, &requant, &cpu);
            }
            None => {}
        }
        let narrow_out = matches!(store, Store::I8 { .. })
            .then(|| NarrowOut::new(shape, weights, &requant, cpu))
            .flatten();
        Self {
            winograd_4x4,
            winograd_2x1,
            narrow_out,
            requant,
            store,
            entry: cpu.conv_i8,
            geometry: cpu.i8,
            element_bytes: 1,
            after: After::Nothing,
            chains: false,
            packed,
        }
    }

    fn of_i16(
        model: &Model,
        id: NodeId,
        conv: Conv2d,
        (order, cpu): (&[usize], Cpu),
        scale: f32,
        output: DType,
    ) -> Self {
        let weights = gather(model.i8s(id, Role::Weight), conv, order);
        let weights: Vec<i16> = weights.into_iter().map(i16::from).collect();
        let shape = shape(conv, order);
        let plain = plain(shape);
        let packed = pack(shape, &cpu.i16, &weights, &plain);
        let pad = |values: &[i32]| packed.pad(&gather(values, conv, order), &plain);
        let relu = conv.activation == Some(Activation::Relu);
        Self {
            winograd_4x4: None,
            winograd_2x1: None,
            narrow_out: None,
            requant: Requant {
                bias: bytemuck::cast_slice(&pad(&model.i32s(id, Role::Bias))).to_vec(),
                mult: packed.pad(&gather(&multipliers(model, id, scale, output), conv, order), &plain),
                offset: None,
                products: Products::Any,
            },
            store: store(Codec::new(output, cpu.xor), relu),
            entry: cpu.conv_i16,
            geometry: cpu.i16,
            element_bytes: 2,
            after: After::Nothing,
            chains: false,
            packed,
        }
    }

    /// Whether the channels of this convolution and pixel shuffle are worth computing row by row of the shuffled output:
    /// whole panels, and nothing that does several rows at once.
    pub fn shuffles(conv: Conv2d, upscale: usize, cpu: Cpu) -> bool {
        let row = usize::from(conv.out_channels) / upscale;
        let winograd = conv.kernel == 3 && matches!(cpu.winograd, Some(WinogradKernel::F4x4(_)));
        !winograd && row.is_multiple_of(cpu.i8.lanes * cpu.i8.max_nv)
    }

    pub fn run(&self, io: &mut Io<'_>) {
        let shape = self.packed.shape;
        let half = shape.kernel / 2;
        let px_bytes = shape.in_channels * self.element_bytes;
        let (input, cols) = (io.inputs[0], io.out.cols());
        let start = (input.pad() - half + cols.start) * px_bytes;
        let row = |y: usize| &input.padded_row(y as isize - half as isize)[start..];
        let mut y = io.rows.start;
        while y < io.rows.end {
            let rows = (io.rows.end - y).min(TILE);
            match &self.winograd_4x4 {
                // For fewer rows its four cost more than the direct way.
                Some(winograd) if rows + 1 >= TILE && cols.len() >= TILE => {
                    let taps = core::array::from_fn(|i| row(y + i));
                    if rows == TILE {
                        self.strip(winograd, taps, cols.len(), &mut io.out.rows_mut::<TILE>(y));
                    } else {
                        self.strip(winograd, taps, cols.len(), &mut io.out.rows_mut::<{ TILE - 1 }>(y));
                    }
                    (y..y + rows).for_each(|y| self.finish(io, y));
                    y += rows;
                }
                _ if rows > 1 && self.winograd_2x1.is_some() => {
                    let taps = core::array::from_fn(|i| row(y + i));
                    let mut chains = None;
                    if let Some((sum, convert)) = self.chained() {
                        let mut narrow = io.second.as_mut().map(|second| second.rows_mut::<2>(y).into_iter());
                        chains = Some([y, y + 1].map(|y| {
                            let residual = io.inputs[1].pixels(y, cols.clone());
                            chain(sum, residual, convert, narrow.as_mut().and_then(Iterator::next))
                        }));
                    }
                    let chained = chains.is_some();
                    self.winograd_2x1(taps, cols.len(), chains, io.out.rows_mut::<2>(y));
                    if !chained {
                        (y..y + 2).for_each(|y| self.finish(io, y));
                    }
                    y += 2;
                }
                _ => {
                    let taps: [&[u8]; MAX_KERNEL] = core::array::from_fn(|ky| match ky < shape.kernel {
                        true => row(y + ky),
                        false => &[],
                    });
                    self.row(io, y, &taps[..shape.kernel], (px_bytes, cols.len()));
                    y += 1;
                }
            }
        }
    }

    /// Row `y` of an output with `upscale` times the input's resolution, whose pixels are the channels of one input
    /// pixel, one after the other; and the row `upscale` further down, where two are done at once. How many were.
    pub fn shuffled_rows(&self, io: &mut Io<'_>, y: usize, upscale: usize) -> usize {
        let shape = self.packed.shape;
        let half = shape.kernel / 2;
        let px_bytes = shape.in_channels * self.element_bytes;
        let (input, cols) = (io.inputs[0], io.out.cols());
        debug_assert!(
            cols.start.is_multiple_of(upscale) && cols.end.is_multiple_of(upscale),
            "columns are whole input pixels"
        );
        let start = (input.pad() - half + cols.start / upscale) * px_bytes;
        let row = |ky: usize| &input.padded_row((y / upscale + ky) as isize - half as isize)[start..];
        if self.winograd_2x1.is_some() && y + upscale < io.rows.end {
            let out = io.out.two_rows_mut([y, y + upscale]);
            self.winograd_2x1(core::array::from_fn(row), cols.len() / upscale, None, out);
            return 2;
        }
        let taps: [&[u8]; MAX_KERNEL] = core::array::from_fn(|ky| match ky < shape.kernel {
            true => row(ky),
            false => &[],
        });
        self.row(io, y, &taps[..shape.kernel], (px_bytes, cols.len() / upscale));
        1
    }

    /// Row `y`, of the input rows `taps`, for so many input pixels of so many bytes.
    fn row(&self, io: &mut Io<'_>, y: usize, taps: &[&[u8]], (px_bytes, pixels): (usize, usize)) {
        if let Some(narrow_out) = &self.narrow_out {
            let kernel = (self.entry, &self.geometry, io.cpu);
            narrow_out.row(kernel, taps, self.store, io.out.row_mut(y), self.packed.shape.out_channels);
            return;
        }
        let chain = self.chained().map(|(sum, convert)| {
            let residual = io.inputs[1].pixels(y, io.out.cols());
            chain(sum, residual, convert, io.second.as_mut().map(|second| second.row_mut(y)))
        });
        self.direct(taps, (px_bytes, pixels), chain, io.out.row_mut(y));
        if !self.chains {
            self.finish(io, y);
        }
    }

    /// A row, or a part of one, of the input rows `taps`.
    fn direct(
        &self,
        taps: &[&[u8]],
        (px_bytes, pixels): (usize, usize),
        chain: Option<Chain<'_>>,
        out: &mut [u8],
    ) {
        let args = RowArgs {
            taps,
            px_bytes,
            pixels,
            packed: &self.packed,
            bias: &self.requant.bias,
            mult: &self.requant.mult,
            offset: self.requant.offset.as_deref(),
            products: self.requant.products,
            store: self.store,
            chain,
            out,
        };
        conv_row(self.entry, &self.geometry, self.element_bytes, args);
    }

    /// What follows the convolution, if the kernel does it.
    fn chained(&self) -> Option<(Option<Sum>, Option<Convert>)> {
        match self.after {
            After::Chain { sum, convert } if self.chains => Some((sum, convert)),
            _ => None,
        }
    }

    /// Two rows of which [`winograd_2x1`](crate::cpu::conv::winograd_2x1) does what it can.
    fn winograd_2x1(
        &self,
        taps: [&[u8]; winograd_2x1::TAPS],
        pixels: usize,
        mut chains: Option<[Chain<'_>; 2]>,
        mut out: [&mut [u8]; 2],
    ) {
        let Some(weights) = &self.winograd_2x1 else { unreachable!("asked for only where it is") };
        let shape = self.packed.shape;
        let (px_in, px_out) = (shape.in_channels, shape.out_channels * self.store.size_bytes());
        let pass = weights.pass(pixels);
        for x in (0..pixels).step_by(pass) {
            let pixels = pass.min(pixels - x);
            let taps = taps.map(|tap| &tap[x * px_in..]);
            let values = x * shape.out_channels..(x + pixels) * shape.out_channels;
            let mut part = out.each_mut().map(|row| &mut row[x * px_out..][..pixels * px_out]);
            if pixels >= winograd_2x1::TILE {
                let out = part.each_mut().map(|row| &mut **row);
                let (requant, store) = (&self.requant, self.store);
                let args = Winograd2x1Args {
                    taps,
                    pixels,
                    weights,
                    requant,
                    store,
                    chains: parts(&mut chains, &values),
                    out,
                };
                if winograd_2x1(args) {
                    continue;
                }
            }
            let chains = parts(&mut chains, &values).map_or([None, None], |chains| chains.map(Some));
            for ((taps, out), chain) in taps.windows(shape.kernel).zip(part).zip(chains) {
                self.direct(taps, (px_in, pixels), chain, out);
            }
        }
    }

    fn strip(
        &self,
        (entry, weights): &(Strip, Winograd4x4),
        taps: [&[u8]; PATCH],
        pixels: usize,
        out: &mut [&mut [u8]],
    ) {
        let args = StripArgs { taps, pixels, weights, requant: &self.requant, store: self.store, out };
        strip(*entry, args);
    }

    /// What is done with row `y` after the convolution.
    fn finish(&self, io: &mut Io<'_>, y: usize) {
        let rows = io.cpu.rows;
        let cols = io.out.cols();
        let row = io.out.row_mut(y);
        match self.after {
            After::Nothing => {}
            After::Activation(activation) => {
                io.cpu.run(Activate { activation, values: bytemuck::cast_slice_mut(row) });
            }
            After::Chain { sum, convert } => {
                let values: &mut [i16] = bytemuck::cast_slice_mut(row);
                let at_once =
                    rows.and_then(|rows| rows.chain).zip(convert.and_then(|convert| convert.single));
                if let (Some((chain, single)), Some(second)) = (at_once, &mut io.second)
                    && sum.is_none_or(|sum| sum.factors == [1.0; 2])
                {
                    let residual = sum.map(|_| bytemuck::cast_slice(io.inputs[1].pixels(y, cols)));
                    chain(values, residual, &single, second.row_mut(y));
                    return;
                }
                if let Some(sum) = sum {
                    let residual = bytemuck::cast_slice(io.inputs[1].pixels(y, cols));
                    match rows {
                        Some(rows) => (rows.residual)(values, residual, sum.factors),
                        None => io.cpu.run(Residual { sum, residual, values }),
                    }
                }
                if let (Some(convert), Some(second)) = (convert, &mut io.second) {
                    let out = second.row_mut(y);
                    let done = match (rows, convert.to.narrowing()) {
                        (Some(rows), Some(to)) => (rows.narrow)(values, convert.factor, to, out),
                        _ => false,
                    };
                    if !done {
                        io.cpu.run(Narrow { convert, values, out });
                    }
                }
            }
        }
    }

    pub fn weight_bytes(&self) -> usize {
        let winograd = self.winograd_4x4.as_ref().map_or(0, |(_, w)| w.bytes());
        let winograd_2x1 = self.winograd_2x1.as_ref().map_or(0, Winograd2x1::bytes);
        let narrow_out = self.narrow_out.as_ref().map_or(0, NarrowOut::bytes);
        size_of_val(self.packed.weights.as_slice())
            + winograd
            + winograd_2x1
            + narrow_out
            + self.requant.bytes()
    }
}

/// What the kernel does with a row, of which `residual` is the row to add and `narrow` that of the conversion.
fn chain<'a>(
    sum: Option<Sum>,
    residual: &'a [u8],
    convert: Option<Convert>,
    narrow: Option<&'a mut [u8]>,
) -> Chain<'a> {
    let residual = sum.map(|sum| (bytemuck::cast_slice(residual), sum.factors));
    let narrow =
        convert.zip(narrow).and_then(|(convert, row)| Some((row, convert.factor, convert.to.narrowing()?)));
    Chain { residual, narrow }
}

/// These values of both rows.
fn parts<'a>(chains: &'a mut Option<[Chain<'_>; 2]>, values: &Range<usize>) -> Option<[Chain<'a>; 2]> {
    chains.as_mut().map(|chains| chains.each_mut().map(|chain| chain.part(values.clone())))
}

struct Residual<'a> {
    sum: Sum,
    residual: &'a [i16],
    values: &'a mut [i16],
}

impl Elementwise for Residual<'_> {
    #[inline(always)]
    fn run(self) {
        let [mine, theirs] = self.sum.factors;
        for (value, &residual) in self.values.iter_mut().zip(self.residual) {
            let sum = f32::from(*value) * mine + f32::from(residual) * theirs;
            *value = round_clamp(sum, -I16_MAX, I16_MAX) as i16;
        }
    }
}

struct Narrow<'a> {
    convert: Convert,
    values: &'a [i16],
    out: &'a mut [u8],
}

impl Elementwise for Narrow<'_> {
    #[inline(always)]
    fn run(self) {
        let Convert { factor, to, .. } = self.convert;
        let Codec::I8 { zero_point, xor } = to else { unreachable!("narrowed to 8 bits") };
        let (lo, hi) = to.limits();
        for (out, &value) in self.out.iter_mut().zip(self.values) {
            let scaled = round_clamp(f32::from(value) * factor, lo, hi);
            *out = (scaled + zero_point) as u8 ^ xor;
        }
    }
}

struct Activate<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Elementwise for Activate<'_> {
    #[inline(always)]
    fn run(self) {
        for x in self.values {
            *x = activation::apply(self.activation, *x);
        }
    }
}

/// How the sums of a quantized convolution are stored.
pub(crate) fn store(codec: Codec, relu: bool) -> Store {
    let (lo, hi) = codec.limits();
    // A zero point of 127 leaves no positive values; the range stays in order all the same.
    let lo = if relu { lo.max(0.0).min(hi) } else { lo };
    match codec {
        Codec::I8 { zero_point, xor } => Store::I8 { lo, hi, zero_point, xor },
        Codec::I16 => Store::I16 { lo, hi },
        Codec::F32 => Store::F32 { relu },
    }
}

/// What the sums of each output channel are multiplied with, for an input of this scale.
fn multipliers(model: &Model, id: NodeId, scale: f32, output: DType) -> Vec<f32> {
    let out_scale = scale_of(output);
    model.f32s(id, Role::WeightScale).iter().map(|w| scale * w / out_scale).collect()
}

/// What the output channels `order` have of `values`, which all of them have the same number of.
fn gather<T: Copy>(values: &[T], conv: Conv2d, order: &[usize]) -> Vec<T> {
    let each = values.len() / usize::from(conv.out_channels);
    order.iter().flat_map(|&channel| &values[channel * each..][..each]).copied().collect()
}

/// The output channels as they come: those of a step are gathered before they are packed.
fn plain(shape: ConvShape) -> Vec<usize> {
    (0..shape.out_channels).collect()
}

fn shape(conv: Conv2d, order: &[usize]) -> ConvShape {
    ConvShape {
        in_channels: usize::from(conv.in_channels),
        out_channels: order.len(),
        kernel: usize::from(conv.kernel),
        columns: usize::from(conv.kernel),
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
