//! x86-64 with AVX-VNNI and no AVX-512 (Alder Lake, N100 and later): `vpdpbusd` adds four products of unsigned
//! activations and signed weights to each of 8 sums. Activations are stored with their sign bit flipped; the offset of
//! 128 is part of the folded bias. Floats are AVX2's.
//!
//! Of 16 registers 12 are sums: two of these instructions start in a cycle and take five, so 10 would just do.

use crate::cpu::conv::form::{MAX_KERNEL, Store};

use crate::cpu::conv::row::PostOpsAt;

use crate::cpu::conv::tile::{Destination, Tile, conv_entry, depth as plain};
use crate::cpu::x86::avx2::{epilogue, post_ops, store};
use crate::cpu::x86::avxvnni::depth;
use core::arch::x86_64::*;

conv_entry!(
    #[target_feature(enable = "avx2,fma,avxvnni")]
    conv_i8,
    I8,
    (1, 12),
    (2, 6)
);

/// Sums of a tile under the two names of one type.
///
/// # Safety
/// 12 vectors are `MR · NV` vectors.
#[inline(always)]
pub(crate) unsafe fn cast<const MR: usize, const NV: usize>(sums: [__m256i; 12]) -> [[__m256i; NV]; MR] {
    assert!(MR * NV == 12, "the arm is that of the shape");
    // SAFETY: both are arrays of the same vectors.
    unsafe { core::mem::transmute_copy(&sums) }
}

/// [`Tile::sums`] with the tiles of this module, where it has one of the shape.
macro_rules! sums_by {
    ($($tiles:ident)::+) => {
        #[inline(always)]
        unsafe fn sums<const MR: usize, const NV: usize>(
            bias: *const u8,
            taps: &[*const u8],
            at: usize,
            groups: usize,
            px: usize,
            w: *const u8,
        ) -> [[Self::V; NV]; MR] {
            // SAFETY: passed on; the arms are those of the shapes.
            unsafe {
                use $($tiles)::+::{rows_6x2, rows_12x1};
                let all = depth::Depth { bias, taps, at, groups, px, w };
                match (MR, NV) {
                    _ if groups == 0 || taps.is_empty() => {}
                    (6, 2) => return cast(rows_6x2(&all)),
                    (12, 1) => return cast(rows_12x1(&all)),
                    _ => {}
                }
                let first: [Self::V; NV] = core::array::from_fn(|n| Self::bias(bias.add(32 * n)));
                let mut sums = [first; MR];
                let mut rows = [core::ptr::null(); MAX_KERNEL];
                for (row, tap) in rows.iter_mut().zip(taps) {
                    *row = tap.add(at);
                }
                plain::<Self, MR, NV>(&mut sums, &rows[..taps.len()], groups, px, w);
                sums
            }
        }
    };
}
pub(crate) use sums_by;

pub(crate) struct I8;

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I8 {
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
        // SAFETY: the processor has AVX-VNNI by contract.
        unsafe { _mm256_dpbusd_avx_epi32(sum, a, w) }
    }
    sums_by!(depth::int8);
    #[inline(always)]
    unsafe fn store_tile<const MR: usize, const NV: usize>(sums: &[[Self::V; NV]; MR], to: &Destination<'_>) {
        // SAFETY: passed on.
        unsafe {
            store::store_tile(sums, to);
        }
    }
    const POST_OPS: bool = true;
    #[inline(always)]
    unsafe fn store_post_ops<const MR: usize, const NV: usize>(
        sums: &[[Self::V; NV]; MR],
        to: &Destination<'_>,
        post_ops: &PostOpsAt,
    ) {
        // SAFETY: passed on.
        unsafe { post_ops::store(sums, to, post_ops) }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: passed on.
        unsafe { epilogue::store(sum, mult, store, out, lanes) }
    }
}
