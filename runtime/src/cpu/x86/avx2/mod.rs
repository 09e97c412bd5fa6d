//! x86-64 with AVX2 and FMA: vectors of 256 bits.

pub(crate) mod attention;
pub(crate) mod epilogue;
pub(crate) mod i16;
pub(crate) mod image_add;
pub(crate) mod norm;
pub(crate) mod peak;
pub(crate) mod post_ops;
pub(crate) mod rows;
pub(crate) mod store;
pub(crate) mod tile;
mod winograd_4x4;

use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{Geometry, Layout};

use crate::cpu::conv::row::ConvKernel;
use crate::cpu::kernels::{Elementwise, Kernels, Vectors};
use crate::cpu::portable;

pub(crate) static KERNELS: Kernels = Kernels {
    // SAFETY: the geometry is that of the entry's tiles.
    i8: unsafe {
        ConvKernel::new(
            tile::conv_i8,
            Geometry { name: "gemm_i8_4x16c2_avx2", lanes: 8, kt: 2, max_nv: 2, layout: Layout::Dot },
            1,
        )
    },
    takes_floats: false,
    post_ops: true,
    i16: I16,
    f32: F32,
    winograd: Some(WinogradKernel::F4x4(winograd_4x4::KERNEL)),
    narrow_out: None,
    rows: Some(rows::ROWS),
    image_add: Some(image_add::rows),
    attention: attention::ATTENTION,
    norm: Some(norm::KERNEL),
    lookup: portable::look_up,
    vectors: Vectors::Avx2,
    peak_i8: peak::peak,
    xor: 0,
};

/// Convolutions of 16 bits, also for processors with AVX-512.
// SAFETY: the geometry is that of the entry's tiles.
pub(crate) const I16: ConvKernel = unsafe { ConvKernel::new(i16::conv_i16, i16::GEOMETRY, 2) };

/// Float convolutions, also for processors that only add integer instructions.
// SAFETY: the geometry is that of the entry's tiles.
pub(crate) const F32: ConvKernel = unsafe { ConvKernel::new(tile::conv_f32, FLOATS, 4) };

const FLOATS: Geometry =
    Geometry { name: "gemm_f32_6x16c1_fma", lanes: 8, kt: 1, max_nv: 2, layout: Layout::Dot };

/// Runs `code` compiled for this instruction set.
///
/// # Safety
/// The processor has the features.
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn run<E: Elementwise>(code: E) {
    code.run();
}
