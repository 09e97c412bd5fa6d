//! Plain Rust, for every processor.

mod attention;
mod i16;
mod peak;
pub(crate) mod tile;

use crate::cpu::conv::form::{Geometry, Layout};

use crate::cpu::conv::row::ConvKernel;
use crate::cpu::kernels::{Kernels, Vectors};

pub(crate) static KERNELS: Kernels = Kernels {
    // SAFETY: the geometry is that of the entry's tiles.
    i8: unsafe {
        ConvKernel::new(
            tile::conv_i8,
            Geometry { name: "gemm_i8_2x8c1_scalar", lanes: 4, kt: 1, max_nv: 2, layout: Layout::Dot },
            1,
        )
    },
    takes_floats: false,
    post_ops: false,
    // SAFETY: the geometry is that of the entry's tiles.
    i16: unsafe { ConvKernel::new(i16::conv_i16, i16::GEOMETRY, 2) },
    // SAFETY: the geometry is that of the entry's tiles.
    f32: unsafe {
        ConvKernel::new(
            tile::conv_f32,
            Geometry { name: "gemm_f32_2x8c1_scalar", lanes: 4, kt: 1, max_nv: 2, layout: Layout::Dot },
            4,
        )
    },
    winograd: None,
    narrow_out: None,
    rows: None,
    image_add: None,
    attention: attention::ATTENTION,
    norm: None,
    lookup: look_up,
    vectors: Vectors::Baseline,
    peak_i8: peak::peak,
    xor: 0,
};

/// See [`Lookup`](crate::cpu::kernels::Lookup).
///
/// # Safety
/// None is needed; the type is that of the other sets.
pub(crate) unsafe fn look_up(table: &[u8; 256], input: &[u8], out: &mut [u8]) {
    for (out, &b) in out.iter_mut().zip(input) {
        *out = table[usize::from(b)];
    }
}
