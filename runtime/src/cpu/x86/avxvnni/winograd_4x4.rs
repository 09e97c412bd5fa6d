//! Winograd's F(4x4, 3x3) with AVX-VNNI: tiles of six by two vectors of sums, two products by `vpdpwssd`.

use crate::cpu::conv::tile::Tile;
use crate::cpu::conv::winograd_4x4::{Form, Kernel, NINTH, StripArgs};
use crate::cpu::x86::avxvnni::i16::I16;
use crate::cpu::x86::winograd_4x4::{self as generic, CHANNELS, Sums, scratch_bytes};
use core::arch::x86_64::*;

pub(crate) const KERNEL: Kernel =
    Kernel { strip, form: Form::Direct { channels: CHANNELS, scratch: scratch_bytes } };

/// # Safety
/// As [`Strip`](crate::cpu::conv::winograd_4x4::Strip).
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn strip(args: &mut StripArgs<'_, '_>) {
    // SAFETY: passed on; weights are packed for panels of two vectors.
    unsafe { generic::strip::<I16, false>(args) }
}

// SAFETY: the methods access 8 sums of 4 bytes.
unsafe impl Sums for I16 {
    const TILES: usize = 6;
    const PACKED: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self::V {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn put(v: Self::V, p: *mut i32) {
        // SAFETY: 32 bytes by contract.
        unsafe { _mm256_storeu_si256(p.cast(), v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { _mm256_sub_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn quadruple(v: Self::V) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { _mm256_slli_epi32::<2>(v) }
    }
    #[inline(always)]
    unsafe fn unscaled(v: Self::V) -> Self::V {
        // SAFETY: the processor has AVX2 by contract.
        unsafe { _mm256_srai_epi32::<6>(_mm256_mullo_epi32(v, _mm256_set1_epi32(NINTH))) }
    }
    #[inline(always)]
    unsafe fn products<const MR: usize, const NV: usize>(
        inputs: *const u8,
        px: usize,
        groups: usize,
        weights: *const u8,
    ) -> [[Self::V; NV]; MR] {
        // SAFETY: passed on, with initial sums of zero for two vectors.
        unsafe { Self::sums(ZEROS.as_ptr(), &[inputs], 0, groups, px, weights) }
    }
}

/// Initial sums of two vectors.
static ZEROS: [u8; 64] = [0; 64];
