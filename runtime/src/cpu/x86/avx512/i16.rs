//! 16-bit activations with AVX-512 VNNI: `vpdpwssd` adds two products to each of 16 sums.

use crate::cpu::conv::form::{Geometry, Layout, MAX_KERNEL, Store};
use crate::cpu::conv::row::{ConvKernel, PostOpsAt};
use crate::cpu::conv::tile::{Destination, Tile, conv_entry, depth as plain_depth};
use crate::cpu::x86::avx512::depth;
use crate::cpu::x86::avx512::tile::{I8, cast, sums_by};
use core::arch::x86_64::*;

pub(crate) const GEOMETRY: Geometry =
    Geometry { name: "gemm_i16_6x64c2_avx512vnni", lanes: 16, kt: 2, max_nv: 4, layout: Layout::Dot };

// SAFETY: the geometry is that of the entry's tiles.
pub(crate) const KERNEL: ConvKernel = unsafe { ConvKernel::new(conv_i16, GEOMETRY, 2) };

conv_entry!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    conv_i16,
    I16,
    (1, 16),
    (2, 12),
    (3, 8),
    (4, 6)
);

pub(crate) struct I16;

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I16 {
    const LANES: usize = 16;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 64;
    const FOURS: bool = true;
    type V = __m512i;
    type A = __m512i;
    type W = __m512i;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 4 bytes by contract.
        unsafe { _mm512_set1_epi32(p.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: the processor has VNNI by contract.
        unsafe { _mm512_dpwssd_epi32(sum, a, w) }
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
