//! Instruction sets: detection, the table of kernels, and the only `unsafe` code of the project.
//!
//! An [`Isa`] names a set of kernels that was compiled for this architecture; [`Isa::is_available`] says
//! whether this processor can run it. All of them compute the same bits: integers add up in any order, and
//! the float path always uses fused multiply-add in the same order. A new instruction set is one file with
//! an implementation of [`tile::Tile`] and one row in [`Isa::table`].

// First, because the others use its macros.
#[cfg(target_arch = "aarch64")]
#[macro_use]
mod neon_tile;

pub(crate) mod attention;
pub(crate) mod few;
pub(crate) mod image;
pub(crate) mod lookup;
#[cfg_attr(
    not(any(target_arch = "aarch64", target_arch = "x86_64")),
    expect(dead_code, reason = "only these have kernels for norms")
)]
pub(crate) mod norm;
pub(crate) mod pack;
pub(crate) mod parallel;
mod peak;
#[cfg(all(feature = "std", target_os = "linux"))]
mod pin;
#[cfg(feature = "std")]
mod pool;
pub(crate) mod requant;
pub(crate) mod tile;
pub(crate) mod two_rows;
pub(crate) mod view;
mod wide;
pub(crate) mod winograd;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx2_rows;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
#[cfg(target_arch = "x86_64")]
mod avxvnni;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_along;
#[cfg(target_arch = "aarch64")]
mod neon_chain;
#[cfg(target_arch = "aarch64")]
mod neon_column;
#[cfg(target_arch = "aarch64")]
mod neon_dot;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
#[cfg(target_arch = "aarch64")]
mod neon_image;
#[cfg(target_arch = "aarch64")]
mod neon_rows;
#[cfg(target_arch = "aarch64")]
mod neon_store;
#[cfg(target_arch = "aarch64")]
mod neon_two_rows;
#[cfg(target_arch = "aarch64")]
mod neon_winograd;
pub(crate) mod scalar;

#[cfg(test)]
mod tests;

use few::FewRow;
use peak::Peak;
use tile::{ConvRow, Geometry};
pub(crate) use wide::WideTable;

/// A set of kernels, named after the instructions that it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust; every processor.
    Scalar,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX2, FMA and AVX-VNNI: Alder Lake, N100 and later.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
    /// aarch64 baseline: Cortex-A53, A57, A72.
    Neon,
    /// aarch64 with the dot product extension: Cortex-A55, A76, A78AE.
    NeonDot,
    /// aarch64 with the int8 matrix multiplication as well: Cortex-A510, A710, X2, Neoverse V1 and later.
    NeonI8mm,
}

/// Kernels of one instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    pub conv_i8: ConvRow,
    pub peak_i8: Peak,
    pub i8: Geometry,
    /// Whether `conv_i8` takes sums that are floats in disguise (see [`requant`]).
    pub takes_floats: bool,
    /// Whether `conv_i8` does what a [`Chain`](tile::Chain) says.
    pub chains: bool,
    pub conv_f32: ConvRow,
    pub f32: Geometry,
    /// 3x3 convolutions with fewer multiplications, where that is faster.
    pub winograd: Option<winograd::Kernel>,
    /// Convolutions to a few channels, where there is something better than `conv_i8`.
    pub few: Option<FewRow>,
    /// Pointwise work on rows, where the compiler's vectors are not good enough.
    pub rows: Option<RowKernels>,
    /// The end of a real-time network in one pass.
    pub image: Option<image::ImageRows>,
    /// How 8-bit activations are kept in memory: `stored = value ^ xor`. `vpdpbusd` wants them unsigned.
    pub xor: u8,
}

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
    pub chain: Option<ChainRow>,
}

/// See [`RowKernels::chain`].
type ChainRow =
    fn(values: &mut [i16], residual: Option<&[i16]>, by: &requant::SingleRounding, out: &mut [u8]);

/// See [`RowKernels::add`].
type AddRow = fn(a: &[i16], b: &[i16], factors: [f32; 2], to: Narrowing, out: &mut [u8]) -> bool;

/// The 8-bit edge that a row is converted to.
#[derive(Clone, Copy)]
pub(crate) struct Narrowing {
    pub zero_point: i32,
    pub xor: u8,
}

impl Isa {
    /// All sets compiled for this architecture, slowest first.
    pub const COMPILED: &'static [Self] = &[
        Self::Scalar,
        #[cfg(target_arch = "x86_64")]
        Self::Avx2,
        #[cfg(target_arch = "x86_64")]
        Self::AvxVnni,
        #[cfg(target_arch = "x86_64")]
        Self::Avx512Vnni,
        #[cfg(target_arch = "aarch64")]
        Self::Neon,
        #[cfg(target_arch = "aarch64")]
        Self::NeonDot,
        #[cfg(target_arch = "aarch64")]
        Self::NeonI8mm,
    ];

    /// Name for command lines and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
            Self::Neon => "neon",
            Self::NeonDot => "neon_dot",
            Self::NeonI8mm => "neon_i8mm",
        }
    }

    /// The set with this name, if it was compiled for this architecture.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::COMPILED.iter().copied().find(|isa| isa.name() == name)
    }

    /// Sets that this processor can run, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::COMPILED.iter().copied().filter(|isa| isa.is_available())
    }

    /// The fastest set that this processor can run.
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Scalar)
    }

    /// Names of its int8 and float convolution kernels, as MR×NR (pixels × output channels), cKT (values of
    /// the depth in one instruction), instruction set.
    pub fn kernels(self) -> [&'static str; 2] {
        let table = self.table();
        [table.i8.name, table.f32.name]
    }

    /// Keeps the int8 multipliers busy for so many rounds, on registers only, and returns the
    /// multiply-accumulates done: timed, the peak that a convolution can be held against. (The scalar set has no
    /// registers of its own to name; its figure is that of plain Rust.)
    pub fn exercise_i8(self, rounds: u64) -> u64 {
        // SAFETY: `table` hands out only what this processor has.
        unsafe { (self.table().peak_i8)(rounds) }
    }

    /// Whether this processor can run it. Without the `std` feature, only what the compilation target
    /// promises counts.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::available(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => avxvnni::available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => avx512vnni::available(),
            // NEON belongs to the aarch64 targets that Rust supports.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => neon_dot::available(),
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm => neon_i8mm::available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => false,
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon | Self::NeonDot | Self::NeonI8mm => false,
        }
    }

    /// The kernels; the scalar ones for a set that this processor cannot run.
    pub(crate) fn table(self) -> Table {
        if !self.is_available() {
            return scalar::TABLE;
        }
        match self {
            Self::Scalar => scalar::TABLE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::TABLE,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => avxvnni::TABLE,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => avx512vnni::TABLE,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => neon::TABLE,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => neon_dot::TABLE,
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm => neon_i8mm::TABLE,
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => scalar::TABLE,
            #[cfg(not(target_arch = "aarch64"))]
            Self::Neon | Self::NeonDot | Self::NeonI8mm => scalar::TABLE,
        }
    }

    /// The convolution of 16-bit activations.
    pub(crate) fn wide(self) -> WideTable {
        match self {
            Self::Scalar => wide::SCALAR,
            #[cfg(target_arch = "x86_64")]
            _ if avx2::available() => wide::avx2::TABLE,
            #[cfg(target_arch = "aarch64")]
            _ => wide::neon::TABLE,
            #[cfg(not(target_arch = "aarch64"))]
            _ => wide::SCALAR,
        }
    }

    /// Runs plain slice code compiled once more for this instruction set, so that it vectorizes.
    pub(crate) fn run<E: Elementwise>(self, code: E) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::AvxVnni if avx2::available() => avx2::run(code),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni if avx512vnni::available() => avx512vnni::run(code),
            _ => code.run(),
        }
    }
}

/// A piece of plain slice code to be compiled for several instruction sets. Implementations mark `run`
/// `#[inline(always)]`; otherwise it keeps the baseline's instructions.
pub(crate) trait Elementwise {
    fn run(self);
}

/// Fused multiply-add, rounded once, on every processor.
#[inline(always)]
pub(crate) fn fma(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(feature = "std")]
    {
        a.mul_add(b, c)
    }
    #[cfg(not(feature = "std"))]
    {
        libm::fmaf(a, b, c)
    }
}

/// Keeps the calling thread to the first processor, where that is known how.
pub(crate) fn pin_caller() {
    #[cfg(all(feature = "std", target_os = "linux"))]
    pin::pin(0);
}

/// Square root, rounded as IEEE 754 has it on every processor.
#[inline(always)]
pub(crate) fn sqrt(x: f32) -> f32 {
    #[cfg(feature = "std")]
    {
        x.sqrt()
    }
    #[cfg(not(feature = "std"))]
    {
        libm::sqrtf(x)
    }
}
