//! aarch64 with the dot product extension: Cortex-A55, A76 and A78AE.

mod peak;
mod tile;
mod winograd_2x1;

use crate::cpu::aarch64::neon::{self, NEON};
use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{Geometry, Layout};
use crate::cpu::conv::row::ConvKernel;
use crate::cpu::kernels::Kernels;

pub(crate) static KERNELS: Kernels = Kernels {
    // SAFETY: the geometry is that of the entry's tiles.
    i8: unsafe {
        ConvKernel::new(
            tile::conv_i8,
            Geometry { name: "gemm_i8_6x16c4_neon_dot", lanes: 4, kt: 4, max_nv: 4, layout: Layout::Dot },
            1,
        )
    },
    winograd: Some(WinogradKernel::F2x1(winograd_2x1::KERNEL)),
    image_add: Some(neon::image_add::dot),
    peak_i8: peak::peak,
    ..NEON
};
