//! Convolutions: weights in the order of the kernel's loops.

use super::{Lowering, Step, Task, bits};
use crate::kernel::{Push, Type, zero_point};
use mcir_runtime::model::Activation;
use mcir_runtime::program::{Convolution, Numbers, limits};

/// Output channels of an invocation.
pub(crate) const BLOCK: usize = 8;
/// Sums below this are floats without rounding.
const EXACT: i64 = 1 << 24;

/// What a convolution's kernel is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    /// Of the edge that is read.
    pub input: Type,
    pub kernel: usize,
    /// Quads read and computed.
    pub quads: usize,
    pub out_quads: usize,
    pub residual: bool,
    pub narrow: bool,
    /// Factor of the pixel shuffle, 1 for none.
    pub shuffle: usize,
    /// Whether sums may reach 2²⁴.
    pub wide: bool,
}

impl Lowering<'_> {
    pub(super) fn convolution(&mut self, id: usize, conv: &Convolution, push: Push) {
        let epilogue = &conv.epilogue;
        let (weights, bias, multipliers, input) = match &conv.numbers {
            Numbers::I8 { weights, bias, multipliers, .. } => (weights, bias, multipliers, Type::I8),
            Numbers::I16 { weights, bias, multipliers } => (weights, bias, multipliers, Type::I16),
            Numbers::F32 { .. } => unreachable!("it reads integers, so it has integers"),
        };
        let depth = conv.kernel * conv.kernel * conv.in_channels;
        let largest = match &conv.numbers {
            Numbers::I8 { largest, .. } => largest.iter().copied().max().unwrap_or(0),
            _ => bias
                .iter()
                .zip(weights.chunks_exact(depth))
                .map(|(&b, w)| largest_of_i16(b, w))
                .max()
                .unwrap_or(0),
        };
        let shape = ConvShape {
            input,
            kernel: conv.kernel,
            quads: conv.in_channels.div_ceil(4),
            out_quads: conv.out_channels.div_ceil(4),
            residual: epilogue.residual.is_some(),
            narrow: epilogue.narrow.is_some(),
            shuffle: epilogue.shuffle.map_or(1, |shuffle| shuffle.upscale),
            wide: largest >= EXACT,
        };
        let packed = packed(conv, weights, shape);
        let weights = self.words(&packed) / 4;
        let blocks = conv.out_channels.div_ceil(BLOCK);
        let mut numbers = Vec::with_capacity(2 * blocks * BLOCK);
        for quad in 0..2 * blocks {
            numbers.extend((4 * quad..4 * quad + 4).map(|n| bias.get(n).copied().unwrap_or(0)));
            numbers.extend((4 * quad..4 * quad + 4).map(|n| multipliers.get(n).map_or(0, |&m| bits(m))));
        }
        let numbers = self.words(&numbers) / 4;
        let (low, high) = limits(epilogue.output, epilogue.activation == Some(Activation::Relu));
        let zero = match input {
            // Four times in a word, as padding is.
            Type::I8 => i32::from_ne_bytes([push.zero0 as u8; 4]),
            Type::I16 => 0,
        };
        let [factor0, factor1] = epilogue.residual.unwrap_or_default();
        let mut push = Push { weights, numbers, low, high, zero0: zero, factor0, factor1, ..push };
        let mut writes = [Some(id), None];
        if let Some(narrow) = epilogue.narrow {
            (push.low1, push.high1) = limits(narrow.dtype, false);
            (push.factor2, push.zero_out1) = (narrow.factor, zero_point(narrow.dtype));
            writes[1] = Some(id + 1);
        }
        let reads = self.program.nodes()[id].inputs.clone();
        self.steps.push(Step { node: id, work: Task::Convolution(shape), reads, writes, push });
    }
}

/// Weights as `[block of 8 channels][quad read][column][row][channel of the block]`, each a word of four channels read.
fn packed(conv: &Convolution, weights: &[i8], shape: ConvShape) -> Vec<i32> {
    let (k, channels) = (conv.kernel, conv.in_channels);
    let blocks = conv.out_channels.div_ceil(BLOCK);
    let mut words = Vec::with_capacity(blocks * shape.quads * k * k * BLOCK);
    for block in 0..blocks {
        for quad in 0..shape.quads {
            for tap in 0..k * k {
                let (column, row) = (tap / k, tap % k);
                for n in block * BLOCK..(block + 1) * BLOCK {
                    let at = |c: usize| match n < conv.out_channels && c < channels {
                        true => weights[((n * k + row) * k + column) * channels + c].cast_unsigned(),
                        false => 0,
                    };
                    words.push(i32::from_le_bytes(std::array::from_fn(|c| at(4 * quad + c))));
                }
            }
        }
    }
    words
}

/// Largest magnitude of `bias + Σ value · weight`, whatever 16-bit values there are.
fn largest_of_i16(bias: i32, weights: &[i8]) -> i64 {
    let weights: i64 = weights.iter().map(|&w| i64::from(w).abs()).sum();
    i64::from(bias).abs() + 32767 * weights
}
