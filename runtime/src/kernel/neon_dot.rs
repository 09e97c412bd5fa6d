//! aarch64 with the dot product: `sdot` adds four products to each of four sums, taking the activations of
//! one pixel from a lane, so one load of 16 activations serves four groups.

use super::neon::{CONV_F32, store_i32};
use super::tile::{Geometry, Layout, Store, Tile, conv_entry, peak_entry};
use super::{Table, neon};
use core::arch::{aarch64::*, asm};

pub(super) const TABLE: Table = Table {
    conv_i8,
    peak_i8,
    i8: Geometry { name: "gemm_i8_6x16c4_neon_dot", lanes: 4, kt: 4, max_nv: 4, layout: Layout::Dot },
    conv_f32: CONV_F32,
    f32: neon::TABLE.f32,
    xor: 0,
};

/// Whether the processor has it.
pub(super) fn available() -> bool {
    #[cfg(feature = "std")]
    {
        std::arch::is_aarch64_feature_detected!("dotprod")
    }
    #[cfg(not(feature = "std"))]
    {
        cfg!(target_feature = "dotprod")
    }
}

conv_entry!(
    #[target_feature(enable = "dotprod")]
    conv_i8,
    I8,
    (1, 8),
    (2, 8),
    (3, 8),
    (4, 6)
);

peak_entry!(
    #[target_feature(enable = "dotprod")]
    peak_i8,
    I8,
    (4, 6)
);

struct I8;

// SAFETY: the methods read the bytes that the trait names (16 of activations) and write `lanes` values.
unsafe impl Tile for I8 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 4;
    const W_BYTES: usize = 16;
    type V = int32x4_t;
    type A = int8x16_t;
    type W = int8x16_t;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_s32(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_s8(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_s8(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(mut sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: the processor has the dot product by contract. The intrinsic is not stable yet; the
        // instruction only touches its registers.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {w:v}.16b, {a:v}.4b[{g}]",
                sum = inout(vreg) sum,
                w = in(vreg) w,
                a = in(vreg) a,
                g = const G,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        sum
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: the caller's contract.
        unsafe { store_i32(sum, mult, store, out, lanes) }
    }
}
