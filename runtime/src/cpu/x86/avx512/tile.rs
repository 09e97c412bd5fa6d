//! x86-64 with AVX-512 VNNI: `vpdpbusd` adds four products of unsigned activations and signed weights to
//! each of 16 sums. Activations are stored with their sign bit flipped; the offset of 128 is part of the
//! folded bias.

use crate::cpu::conv::form::{MAX_KERNEL, Store};

use crate::cpu::conv::row::PostOpsAt;

use crate::cpu::conv::tile::{Destination, Tile, conv_entry, depth as plain_depth};
use crate::cpu::x86::avx512::{depth, epilogue, post_ops, store};
use core::arch::x86_64::*;

conv_entry!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    conv_i8,
    I8,
    (1, 16),
    (2, 12),
    (3, 8),
    (4, 6)
);
conv_entry!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
    conv_f32,
    F32,
    (1, 16),
    (2, 12),
    (3, 8),
    (4, 6)
);

/// [`Tile::sums`] with the tiles of this module, where it has one of the shape; `columns` is a tile of its that adds up in
/// another order, which only integers do not mind.
macro_rules! sums_by {
    ($($tiles:ident)::+ $(, $columns:ident)?) => {
        #[inline(always)]
        unsafe fn sums<const MR: usize, const NV: usize>(
            bias: *const u8,
            taps: &[*const u8],
            at: usize,
            groups: usize,
            px: usize,
            w: *const u8,
        ) -> [[Self::V; NV]; MR] {
            // SAFETY: passed on; the arms check the size of what they return, and `fits_columns` what columns ask for.
            unsafe {
                use $($tiles)::+::*;
                let all = depth::Depth { bias, taps, at, groups, px, w };
                match (MR, NV) {
                    _ if groups == 0 || taps.is_empty() => {}
                    (6, 4) => return cast(rows_6x4(&all)),
                    (4, 4) => return cast(rows_4x4(&all)),
                    (8, 3) => return cast(rows_8x3(&all)),
                    (12, 2) => return cast(rows_12x2(&all)),
                    $((16, 1) if all.fits_columns() => return cast($columns(&all)),)?
                    (16, 1) => return cast(rows_16x1(&all)),
                    _ => {}
                }
                let mut first = [Self::bias(bias); NV];
                for (n, first) in first.iter_mut().enumerate() {
                    *first = Self::bias(bias.add(64 * n));
                }
                let mut sums = [first; MR];
                let mut rows = [core::ptr::null(); MAX_KERNEL];
                for (row, tap) in rows.iter_mut().zip(taps) {
                    *row = tap.add(at);
                }
                plain_depth::<Self, MR, NV>(&mut sums, &rows[..taps.len()], groups, px, w);
                sums
            }
        }
    };
}

pub(crate) use sums_by;

pub(crate) struct I8;
struct F32;

/// Sums of a tile under the two names of one type.
///
/// # Safety
/// `FROM` vectors are `MR · NV` vectors.
#[inline(always)]
pub(crate) unsafe fn cast<V, const FROM: usize, const MR: usize, const NV: usize>(
    sums: [__m512i; FROM],
) -> [[V; NV]; MR] {
    const { assert!(FROM <= 24 && size_of::<V>() == size_of::<__m512i>()) };
    debug_assert_eq!(FROM, MR * NV, "the arm is that of the shape");
    // SAFETY: both are arrays of the same vectors, as the caller says.
    unsafe { core::mem::transmute_copy(&sums) }
}

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I8 {
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
        unsafe { _mm512_dpbusd_epi32(sum, a, w) }
    }
    sums_by!(depth::int8, columns_16x1);
    #[inline(always)]
    unsafe fn store_tile<const MR: usize, const NV: usize>(sums: &[[Self::V; NV]; MR], to: &Destination<'_>) {
        // SAFETY: passed on.
        unsafe {
            store::store_tiles([sums], [to]);
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
        unsafe { post_ops::store([sums], [to], [post_ops]) }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: passed on.
        unsafe { epilogue::store(sum, mult, store, out, lanes) }
    }
}

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for F32 {
    const LANES: usize = 16;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 64;
    const FOURS: bool = true;
    type V = __m512;
    type A = __m512;
    type W = __m512;

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_loadu_ps(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 4 bytes by contract.
        unsafe { _mm512_set1_ps(p.cast::<f32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 64 bytes by contract.
        unsafe { _mm512_loadu_ps(p.cast()) }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: the processor has AVX-512 by contract.
        unsafe { _mm512_fmadd_ps(a, w, sum) }
    }
    sums_by!(depth::float);
    #[inline(always)]
    unsafe fn store(sum: Self::V, _mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        let Store::F32 { relu } = *store else { unreachable!("a float convolution stores floats") };
        // SAFETY: `lanes` stored values by contract.
        unsafe { epilogue::store_f32(sum, relu, out, lanes) }
    }
}
