//! aarch64 without extensions: Cortex-A53, A57 and A72.

pub(crate) mod attention;
mod i16;
pub(crate) mod image_add;
pub(crate) mod norm;
mod peak;
mod post_ops;
pub(crate) mod rows;
pub(crate) mod tile;
mod winograd_4x4;

use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{Geometry, Layout};
use crate::cpu::conv::row::ConvKernel;
use crate::cpu::kernels::{Kernels, Vectors};
use crate::cpu::portable;

pub(crate) static KERNELS: Kernels = NEON;

/// What the extensions start from.
pub(crate) const NEON: Kernels = Kernels {
    // SAFETY: the geometry is that of the entry's tiles.
    i8: unsafe {
        ConvKernel::new(
            tile::conv_i8,
            Geometry { name: "gemm_i8_4x16c4_neon", lanes: 4, kt: 4, max_nv: 4, layout: Layout::Pairs },
            1,
        )
    },
    takes_floats: true,
    post_ops: false,
    // SAFETY: the geometry is that of the entry's tiles.
    i16: unsafe { ConvKernel::new(i16::conv_i16, i16::GEOMETRY, 2) },
    // SAFETY: the geometry is that of the entry's tiles.
    f32: unsafe {
        ConvKernel::new(
            tile::conv_f32,
            Geometry { name: "gemm_f32_4x16c1_neon", lanes: 4, kt: 1, max_nv: 4, layout: Layout::Dot },
            4,
        )
    },
    winograd: Some(WinogradKernel::F4x4(winograd_4x4::KERNEL)),
    narrow_out: None,
    rows: Some(rows::ROWS),
    image_add: Some(image_add::pairs),
    attention: attention::ATTENTION,
    norm: Some(norm::KERNEL),
    lookup: portable::look_up,
    vectors: Vectors::Baseline,
    peak_i8: peak::peak,
    xor: 0,
};
