//! What an instruction set provides: its kernels, and how they want weights and activations in memory.

use crate::cpu::attention::Attention;
use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{Narrowing, Sums8};
use crate::cpu::conv::narrow_out::NarrowOutRow;
use crate::cpu::conv::requant::SingleRounding;
use crate::cpu::conv::row::ConvKernel;
use crate::cpu::image_add::ImageRows;
use crate::cpu::norm::NormKernel;

/// Kernels of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    /// Convolutions of 8-bit activations.
    pub i8: ConvKernel,
    /// Whether `i8` takes sums that are floats in disguise (see [`requant`](crate::cpu::conv::requant)).
    pub takes_floats: bool,
    /// Whether `i8` does what a [`PostOps`](crate::cpu::conv::row::PostOps) says.
    pub post_ops: bool,
    /// 16-bit activations, for the nodes that 8 bits are too coarse for.
    pub i16: ConvKernel,
    /// Floats.
    pub f32: ConvKernel,
    /// 3x3 convolutions with fewer multiplications, where that is faster.
    pub winograd: Option<WinogradKernel>,
    /// Convolutions to a few channels, where there is something better than `i8`.
    pub narrow_out: Option<NarrowOutRow>,
    /// Pointwise work on rows, where the compiler's vectors are not good enough.
    pub rows: Option<RowKernels>,
    /// The end of a real-time network in one pass.
    pub image_add: Option<ImageRows>,
    /// Attention of a head in a window, on 8-bit edges.
    pub attention: Attention,
    /// Layer norm of 16-bit pixels, where the compiler's vectors are not good enough.
    pub norm: Option<NormKernel>,
    /// Bytes through a table of 256 bytes.
    pub lookup: Lookup,
    /// What plain code is compiled for.
    pub vectors: Vectors,
    /// The int8 multipliers at work, to hold convolutions against.
    pub peak_i8: Peak,
    /// How 8-bit activations are kept in memory: `stored = value ^ xor`. `vpdpbusd` wants them unsigned.
    pub xor: u8,
}

/// Features that plain code can be compiled for once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    /// Those of the compilation target.
    Baseline,
    /// 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Runs so many rounds of multiplications and returns the multiply-accumulates done.
///
/// # Safety
/// The processor has the instruction set.
pub(crate) type Peak = unsafe fn(u64) -> u64;

/// `out[i] = table[input[i]]`, as long as both last.
///
/// # Safety
/// The processor has the instruction set.
pub(crate) type Lookup = unsafe fn(table: &[u8; 256], input: &[u8], out: &mut [u8]);

/// Pointwise work on rows of 16-bit values. A function that returns `false` did nothing, because it does not do
/// these factors.
#[derive(Clone, Copy)]
pub(crate) struct RowKernels {
    /// `values = round(values · factors[0] + residual · factors[1])`.
    pub residual: fn(values: &mut [i16], residual: &[i16], factors: [f32; 2]),
    /// `round(values · factor)` plus the zero point.
    pub narrow: fn(values: &[i16], factor: f32, to: Narrowing, out: &mut [u8]) -> bool,
    /// `round(a · factors[0] + b · factors[1])` plus the zero point.
    pub add: AddRow,
    /// `values += residual`, saturating at ±32767, and the sums in 8 bits, in one pass.
    pub post_ops: Option<PostOpsRow>,
}

/// See [`RowKernels::post_ops`].
type PostOpsRow = fn(values: &mut [i16], residual: Option<&[i16]>, by: &SingleRounding, out: &mut [u8]);

/// See [`RowKernels::add`].
type AddRow = fn(a: &[i16], b: &[i16], factors: [f32; 2], to: Narrowing, out: &mut [u8]) -> bool;

/// A piece of plain slice code to be compiled for several instruction sets. Implementations mark `run`
/// `#[inline(always)]`; otherwise it keeps the baseline's instructions.
pub(crate) trait Elementwise {
    fn run(self);
}

impl Kernels {
    /// How the sums of 8-bit convolutions come about.
    pub fn sums(&self) -> Sums8 {
        Sums8 { xor: self.xor, takes_floats: self.takes_floats }
    }
}
