//! x86-64 with AVX-512 F, BW, VL and VNNI: vectors of 512 bits.

mod attention;
mod depth;
mod epilogue;
mod i16;
mod lookup;
mod narrow_out;
mod norm;
mod peak;
mod post_ops;
mod rows;
mod store;
mod tile;
mod winograd_2x1;

use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{Geometry, Layout};
use crate::cpu::conv::row::ConvKernel;
use crate::cpu::isa::detected;
use crate::cpu::kernels::{Elementwise, Kernels, Vectors};
use crate::cpu::portable;
use crate::cpu::x86::avx2;

pub(crate) static KERNELS: Kernels = VNNI;
/// With AVX-512 VBMI as well.
pub(crate) static WITH_VBMI: Kernels = Kernels { lookup: lookup::look_up, ..VNNI };

const VNNI: Kernels = Kernels {
    // SAFETY: the geometry is that of the entry's tiles.
    i8: unsafe {
        ConvKernel::new(
            tile::conv_i8,
            Geometry { name: "gemm_i8_6x64c4_avx512vnni", lanes: 16, kt: 4, max_nv: 4, layout: Layout::Dot },
            1,
        )
    },
    takes_floats: false,
    post_ops: true,
    i16: i16::KERNEL,
    // SAFETY: the geometry is that of the entry's tiles.
    f32: unsafe {
        ConvKernel::new(
            tile::conv_f32,
            Geometry { name: "gemm_f32_6x64c1_avx512", lanes: 16, kt: 1, max_nv: 4, layout: Layout::Dot },
            4,
        )
    },
    winograd: Some(WinogradKernel::F2x1(winograd_2x1::KERNEL)),
    narrow_out: Some(narrow_out::row),
    rows: Some(rows::ROWS),
    image_add: Some(avx2::image_add::rows),
    attention: attention::ATTENTION,
    norm: Some(norm::KERNEL),
    lookup: portable::look_up,
    vectors: Vectors::Avx512,
    peak_i8: peak::peak,
    xor: 0x80,
};

/// Whether the processor has AVX-512 VBMI.
pub(crate) fn has_vbmi() -> bool {
    detected!("avx512vbmi")
}

/// Runs `code` compiled for this instruction set.
///
/// # Safety
/// The processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(crate) unsafe fn run<E: Elementwise>(code: E) {
    code.run();
}
