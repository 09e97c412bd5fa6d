//! x86-64 with AVX-VNNI and no AVX-512: Alder Lake, N100 and later. Floats and rows are AVX2's.

mod depth;
mod i16;
mod narrow_out;
mod peak;
mod tile;
mod winograd_4x4;

use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{Geometry, Layout};

use crate::cpu::conv::row::ConvKernel;
use crate::cpu::kernels::{Kernels, Vectors};
use crate::cpu::portable;
use crate::cpu::x86::avx2;

pub(crate) static KERNELS: Kernels = Kernels {
    // SAFETY: the geometry is that of the entry's tiles.
    i8: unsafe {
        ConvKernel::new(
            tile::conv_i8,
            Geometry { name: "gemm_i8_6x16c4_avxvnni", lanes: 8, kt: 4, max_nv: 2, layout: Layout::Dot },
            1,
        )
    },
    takes_floats: false,
    post_ops: true,
    i16: i16::KERNEL,
    f32: avx2::F32,
    winograd: Some(WinogradKernel::F4x4(winograd_4x4::KERNEL)),
    narrow_out: Some(narrow_out::row),
    rows: Some(avx2::rows::ROWS),
    image_add: Some(avx2::image_add::rows),
    attention: avx2::attention::WITH_VNNI,
    norm: Some(avx2::norm::KERNEL),
    lookup: portable::look_up,
    vectors: Vectors::Avx2,
    peak_i8: peak::peak,
    xor: 0x80,
};
