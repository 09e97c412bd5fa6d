//! 8-bit convolutions to a few channels: the last layer of a network that draws its picture with one.
//!
//! A vector of 16 sums holds three channels and is three quarters empty. Where the instruction set has kernels of their
//! own for them (`cpu/conv/narrow_out.rs`), those do it. Elsewhere the lanes are the kernel's columns
//! times the channels: every input pixel is multiplied once with the kernel rows of all columns, and an output
//! pixel is the sum of what its neighbours have for it, `out[x] = Σ partial[x + kx][kx]`. A third of the
//! multiplications for 3x3, and the same bits: sums of integers below 2²⁴ are exact in floats too.

use crate::arithmetic::stored_byte;
use crate::cpu::conv::form::{Geometry, MAX_KERNEL, Products, Store};
use crate::cpu::conv::narrow_out;
use crate::cpu::conv::narrow_out::{NarrowOutArgs, NarrowOutRow, NarrowOutWeights, narrow_out_row};
use crate::cpu::conv::pack::{ConvShape, Packed, pack};
use crate::cpu::conv::requant::Requant;
use crate::cpu::conv::row::{RowArgs, conv_row};
use crate::cpu::kernels::Elementwise;
use crate::cpu::table::Cpu;
use alloc::{vec, vec::Vec};

/// Channels of a kernel column: that many lanes, used or not.
const CHANNELS: usize = 4;
/// Input pixels that are multiplied before their sums are added up: a multiple of all tiles' widths but 12 and 6.
const PIXELS: usize = 64;
/// Sums below this are exact in floats.
const MAX_SUM: i64 = 1 << 24;

/// A convolution to a few channels, in one of two ways.
pub(crate) enum NarrowOut {
    /// By kernels of the instruction set.
    Kernel(NarrowOutRow, NarrowOutWeights),
    /// By columns that are channels.
    Columns(Columns),
}

/// A convolution whose columns are channels.
pub(crate) struct Columns {
    packed: Packed,
    /// Initial sums: the bias in the first column's lanes.
    bias: Vec<u8>,
    ones: Vec<f32>,
    mult: [f32; CHANNELS],
    columns: usize,
}

impl NarrowOut {
    /// For a convolution with `weights` `[out, kernel, kernel, in]`, in this order, and `requant`; `None` where the
    /// direct way takes fewer multiplications.
    pub fn new(shape: ConvShape, weights: &[i8], requant: &Requant, cpu: Cpu) -> Option<Self> {
        let columns = || Columns::new(shape, weights, requant, &cpu.i8.geometry).map(Self::Columns);
        let Some(entry) = cpu.narrow_out else { return columns() };
        // Instructions that multiply, and those that add the lanes up.
        let multiplications = shape.kernel * shape.row_len().div_ceil(narrow_out::CHUNK) * shape.out_channels;
        let additions = 3 * shape.out_channels;
        let direct = shape.kernel * shape.row_len().div_ceil(cpu.i8.geometry.kt);
        if shape.out_channels > narrow_out::MAX_CHANNELS
            || multiplications + additions >= direct
            || requant.offset.is_some()
        {
            return columns();
        }
        let bias = biases(requant, shape.out_channels);
        let mult = &requant.mult[..shape.out_channels];
        Some(Self::Kernel(entry, NarrowOutWeights::new(shape, weights, &bias, mult)))
    }

    /// A row. `taps` are the rows under the kernel, beginning with the leftmost value under the first pixel's.
    pub fn row(&self, cpu: Cpu, taps: &[&[u8]], store: Store, out: &mut [u8], channels: usize) {
        match self {
            Self::Kernel(entry, weights) => {
                narrow_out_row(
                    *entry,
                    NarrowOutArgs { taps, pixels: out.len() / channels, weights, store, out },
                );
            }
            Self::Columns(columns) => columns.row(cpu, taps, store, out, channels),
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Kernel(_, weights) => size_of_val(weights.weights.as_slice()),
            Self::Columns(columns) => columns.bytes(),
        }
    }
}

/// The initial sums of the first channels.
fn biases(requant: &Requant, channels: usize) -> Vec<i32> {
    let (bias, _) = requant.bias.as_chunks::<4>();
    bias[..channels].iter().map(|&bytes| i32::from_ne_bytes(bytes)).collect()
}

impl Columns {
    /// As [`NarrowOut::new`]; `None` also where the sums may leave what floats hold exactly.
    fn new(shape: ConvShape, weights: &[i8], requant: &Requant, geometry: &Geometry) -> Option<Self> {
        let ConvShape { in_channels, out_channels, kernel, columns } = shape;
        let lanes = geometry.lanes;
        let fewer = (columns * CHANNELS).div_ceil(lanes) < columns * out_channels.div_ceil(lanes);
        if out_channels > CHANNELS || !fewer || requant.offset.is_some() {
            return None;
        }
        let bias = biases(requant, out_channels);
        let depth = weights.len() / out_channels;
        let exact = weights.chunks_exact(depth).zip(&bias).all(|(row, &bias)| {
            let largest: i64 = row.iter().map(|&w| 255 * i64::from(w).abs()).sum();
            largest + i64::from(bias).abs() < MAX_SUM
        });
        if !exact {
            return None;
        }
        let spread_shape = ConvShape { in_channels, out_channels: columns * CHANNELS, kernel, columns: 1 };
        let mut spread = vec![0_i8; spread_shape.out_channels * kernel * in_channels];
        for (channel, row) in weights.chunks_exact(depth).enumerate() {
            for (tap, values) in row.chunks_exact(in_channels).enumerate() {
                let (ky, kx) = (tap / columns, tap % columns);
                let at = ((kx * CHANNELS + channel) * kernel + ky) * in_channels;
                spread[at..at + in_channels].copy_from_slice(values);
            }
        }
        let order: Vec<usize> = (0..spread_shape.out_channels).collect();
        let packed = pack(spread_shape, geometry, &spread, &order);
        let mut first = vec![0_i32; packed.padded_out];
        first[..out_channels].copy_from_slice(&bias);
        let mut mult = [0.0; CHANNELS];
        mult[..out_channels].copy_from_slice(&requant.mult[..out_channels]);
        Some(Self {
            bias: bytemuck::cast_slice(&first).to_vec(),
            ones: vec![1.0; packed.padded_out],
            packed,
            mult,
            columns,
        })
    }

    /// A row. `taps` are the rows under the kernel, beginning with the leftmost value under the first pixel's; `out`
    /// takes `pixels` pixels.
    #[inline(never)]
    fn row(&self, cpu: Cpu, taps: &[&[u8]], store: Store, out: &mut [u8], channels: usize) {
        let px_bytes = self.packed.shape.in_channels;
        let mut partial = [0.0_f32; PIXELS * CHANNELS * MAX_KERNEL];
        let step = PIXELS + 1 - self.columns;
        for (i, out) in out.chunks_mut(step * channels).enumerate() {
            let mut shifted: [&[u8]; MAX_KERNEL] = [&[]; MAX_KERNEL];
            for (to, tap) in shifted.iter_mut().zip(taps) {
                *to = &tap[i * step * px_bytes..];
            }
            let pixels = out.len() / channels + self.columns - 1;
            let partial = &mut partial[..pixels * CHANNELS * self.columns];
            let args = RowArgs {
                taps: &shifted[..taps.len()],
                px_bytes,
                pixels,
                packed: &self.packed,
                bias: &self.bias,
                mult: &self.ones,
                offset: None,
                products: Products::Any,
                store: Store::F32 { relu: false },
                post_ops: None,
                out: bytemuck::cast_slice_mut(partial),
            };
            conv_row(&cpu.i8, args);
            cpu.run(Gather { partial, columns: self.columns, mult: self.mult, store, out, channels });
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(self.packed.weights.as_slice()) + self.bias.len() + size_of_val(self.ones.as_slice())
    }
}

/// Adds up what the kernel's columns have for each pixel.
struct Gather<'a> {
    partial: &'a [f32],
    columns: usize,
    mult: [f32; CHANNELS],
    store: Store,
    out: &'a mut [u8],
    channels: usize,
}

impl Elementwise for Gather<'_> {
    #[inline(always)]
    fn run(self) {
        match self.channels {
            1 => self.pixels::<1>(),
            2 => self.pixels::<2>(),
            3 => self.pixels::<3>(),
            _ => self.pixels::<CHANNELS>(),
        }
    }
}

impl Gather<'_> {
    #[inline(always)]
    fn pixels<const N: usize>(self) {
        let Store::I8 { lo, hi, zero_point, xor } = self.store else { unreachable!("8 bits are stored") };
        let (columns, _) = self.partial.as_chunks::<CHANNELS>();
        let (out, _) = self.out.as_chunks_mut::<N>();
        for (x, out) in out.iter_mut().enumerate() {
            let mut sums = [0.0; CHANNELS];
            for kx in 0..self.columns {
                for (sum, part) in sums.iter_mut().zip(columns[(x + kx) * self.columns + kx]) {
                    *sum += part;
                }
            }
            let mut bytes = [0; CHANNELS];
            for ((byte, sum), mult) in bytes.iter_mut().zip(sums).zip(self.mult) {
                *byte = stored_byte(sum * mult, (lo, hi), zero_point, xor);
            }
            out.copy_from_slice(&bytes[..N]);
        }
    }
}
