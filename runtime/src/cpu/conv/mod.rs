//! Convolutions: the direct one as tiles of pixels and output channels, and other ways to the same sums.

pub(crate) mod form;
pub(crate) mod narrow_out;
pub(crate) mod pack;
pub(crate) mod requant;
pub(crate) mod row;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tile;
pub(crate) mod winograd_2x1;
pub(crate) mod winograd_4x4;

/// What an instruction set has for 3x3 convolutions.
#[derive(Clone, Copy)]
pub(crate) enum WinogradKernel {
    /// F(4x4, 3x3) in 16 bits: four rows at a time, on cores without a dot product, or with one of 256 bits.
    #[cfg_attr(
        not(any(target_arch = "aarch64", target_arch = "x86_64")),
        expect(dead_code, reason = "only NEON and x86-64 have one")
    )]
    F4x4(winograd_4x4::Kernel),
    /// F(2, 3) in 8 bits down the columns: two rows at a time.
    #[cfg_attr(
        not(any(target_arch = "aarch64", target_arch = "x86_64")),
        expect(dead_code, reason = "only NEON and AVX-512 have one")
    )]
    F2x1(winograd_2x1::Kernel),
}

impl WinogradKernel {
    /// Whether a convolution that a pixel shuffle reads is better shuffled afterwards than row by row of the output.
    pub const fn shuffles_afterwards(self) -> bool {
        match self {
            Self::F4x4(kernel) => matches!(kernel.form, winograd_4x4::Form::Blocks),
            Self::F2x1(_) => false,
        }
    }

    /// Rows that are best done at once.
    pub const fn rows(self) -> usize {
        match self {
            Self::F4x4(_) => winograd_4x4::TILE,
            Self::F2x1(_) => 2,
        }
    }
}
