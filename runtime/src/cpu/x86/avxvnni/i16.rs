//! 16-bit activations with AVX-VNNI: `vpdpwssd` adds two products to each of 8 sums.

use crate::cpu::conv::form::{Geometry, Layout, MAX_KERNEL, Store};
use crate::cpu::conv::row::{ConvKernel, PostOpsAt};
use crate::cpu::conv::tile::{Destination, Tile, conv_entry, depth as plain};
use crate::cpu::x86::avxvnni::depth;
use crate::cpu::x86::avxvnni::tile::{I8, cast, sums_by};
use core::arch::x86_64::*;

pub(crate) const GEOMETRY: Geometry =
    Geometry { name: "gemm_i16_6x16c2_avxvnni", lanes: 8, kt: 2, max_nv: 2, layout: Layout::Dot };

// SAFETY: the geometry is that of the entry's tiles.
pub(crate) const KERNEL: ConvKernel = unsafe { ConvKernel::new(conv_i16, GEOMETRY, 2) };

conv_entry!(
    #[target_feature(enable = "avx2,fma,avxvnni")]
    conv_i16,
    I16,
    (1, 12),
    (2, 6)
);

pub(crate) struct I16;

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I16 {
    const LANES: usize = 8;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 32;
    type V = __m256i;
    type A = __m256i;
    type W = __m256i;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 4 bytes by contract.
        unsafe { _mm256_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: the processor has VNNI by contract.
        unsafe { _mm256_dpwssd_avx_epi32(sum, a, w) }
    }
    sums_by!(depth::int16);
    #[inline(always)]
    unsafe fn store_tile<const MR: usize, const NV: usize>(sums: &[[Self::V; NV]; MR], to: &Destination<'_>) {
        // SAFETY: passed on.
        unsafe { I8::store_tile(sums, to) }
    }
    const POST_OPS: bool = true;
    #[inline(always)]
    unsafe fn store_post_ops<const MR: usize, const NV: usize>(
        sums: &[[Self::V; NV]; MR],
        to: &Destination<'_>,
        post_ops: &PostOpsAt,
    ) {
        // SAFETY: passed on.
        unsafe { I8::store_post_ops(sums, to, post_ops) }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: passed on.
        unsafe { I8::store(sum, mult, store, out, lanes) }
    }
}
