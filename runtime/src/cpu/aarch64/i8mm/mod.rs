//! aarch64 with the int8 matrix multiplication as well as the dot product: Cortex-A510, A710, X2, Neoverse V1 and later.

mod peak;
mod tile;

use crate::cpu::aarch64::neon::{self, NEON};
use crate::cpu::conv::form::{Geometry, Layout};
use crate::cpu::conv::row::ConvKernel;
use crate::cpu::kernels::Kernels;

pub(crate) static KERNELS: Kernels = Kernels {
    // SAFETY: the geometry is that of the entry's tiles.
    i8: unsafe {
        ConvKernel::new(
            tile::conv_i8,
            Geometry { name: "gemm_i8_6x16c8_neon_i8mm", lanes: 4, kt: 8, max_nv: 4, layout: Layout::Dot },
            1,
        )
    },
    winograd: None,
    image_add: Some(neon::image_add::dot),
    peak_i8: peak::peak,
    ..NEON
};
