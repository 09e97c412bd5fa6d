//! x86-64 with AVX-512 VNNI: `vpdpbusd` adds four products of unsigned activations and signed weights to
//! each of 16 sums. Activations are stored with their sign bit flipped; the offset of 128 is part of the
//! folded bias.

use super::tile::{Geometry, Layout, Store, Tile, conv_entry, depth};
use super::{Elementwise, Table};
use core::arch::{asm, x86_64::*};

pub(super) const TABLE: Table = Table {
    conv_i8,
    peak_i8: super::peak::avx512vnni,
    i8: Geometry { name: "gemm_i8_6x64c4_avx512vnni", lanes: 16, kt: 4, max_nv: 4, layout: Layout::Dot },
    takes_floats: false,
    conv_f32,
    f32: Geometry { name: "gemm_f32_6x64c1_avx512", lanes: 16, kt: 1, max_nv: 4, layout: Layout::Dot },
    winograd: None,
    rows: None,
    xor: 0x80,
};

/// Whether the processor has all of it.
pub(super) fn available() -> bool {
    #[cfg(feature = "std")]
    {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512vnni")
            && std::arch::is_x86_feature_detected!("fma")
    }
    #[cfg(not(feature = "std"))]
    {
        cfg!(all(
            target_feature = "avx512f",
            target_feature = "avx512bw",
            target_feature = "avx512vl",
            target_feature = "avx512vnni",
            target_feature = "fma"
        ))
    }
}

/// Runs `code` compiled for this instruction set.
pub(super) fn run<E: Elementwise>(code: E) {
    assert!(available(), "checked by the caller");
    // SAFETY: the processor has the features.
    unsafe { run_inner(code) }
}

/// # Safety
/// The processor has the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn run_inner<E: Elementwise>(code: E) {
    code.run();
}

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

struct I8;
struct F32;

/// The first `lanes` of 16.
#[inline(always)]
fn mask(lanes: usize) -> u16 {
    (0xffff_u32 >> (16 - lanes)) as u16
}

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I8 {
    const LANES: usize = 16;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 64;
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
    #[inline(always)]
    unsafe fn depth<const MR: usize, const NV: usize>(
        sums: &mut [[Self::V; NV]; MR],
        rows: &[*const u8],
        groups: usize,
        px: usize,
        w: *const u8,
    ) {
        let sums_at = sums.as_mut_ptr().cast::<__m512i>();
        // SAFETY: passed on; the arms check the size of `sums`.
        unsafe {
            match (MR, NV) {
                _ if groups == 0 || rows.is_empty() => {}
                (6, 4) => depth_6x4(&mut *sums_at.cast(), rows, groups, px, w),
                (8, 3) => depth_8x3(&mut *sums_at.cast(), rows, groups, px, w),
                (12, 2) => depth_12x2(&mut *sums_at.cast(), rows, groups, px, w),
                _ => depth::<Self, MR, NV>(sums, rows, groups, px, w),
            }
        }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: 16 multipliers and `lanes` stored values by contract; masked stores touch no others.
        unsafe {
            let x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(mult));
            match *store {
                Store::I8 { lo, hi, zero_point, xor } => {
                    let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(lo)), _mm512_set1_ps(hi));
                    // The conversion rounds half to even: the default of MXCSR, which Rust does not change.
                    let q = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(zero_point));
                    let q = _mm_xor_si128(_mm512_cvtepi32_epi8(q), _mm_set1_epi8(xor.cast_signed()));
                    if lanes == 16 {
                        _mm_storeu_si128(out.cast(), q);
                    } else {
                        _mm_mask_storeu_epi8(out.cast(), mask(lanes), q);
                    }
                }
                Store::I16 { lo, hi } => {
                    let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(lo)), _mm512_set1_ps(hi));
                    let q = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x));
                    if lanes == 16 {
                        _mm256_storeu_si256(out.cast(), q);
                    } else {
                        _mm256_mask_storeu_epi16(out.cast(), mask(lanes), q);
                    }
                }
                Store::F32 { relu } => store_f32(x, relu, out, lanes),
            }
        }
    }
}

/// # Safety
/// `out` takes `lanes` floats; the processor has AVX-512.
#[inline(always)]
unsafe fn store_f32(x: __m512, relu: bool, out: *mut u8, lanes: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let x = if relu { _mm512_max_ps(x, _mm512_setzero_ps()) } else { x };
        _mm512_mask_storeu_ps(out.cast(), mask(lanes), x);
    }
}

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for F32 {
    const LANES: usize = 16;
    const GROUP_BYTES: usize = 4;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 64;
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
    #[inline(always)]
    unsafe fn store(sum: Self::V, _mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        let Store::F32 { relu } = *store else { unreachable!("a float convolution stores floats") };
        // SAFETY: `lanes` stored values by contract.
        unsafe { store_f32(sum, relu, out, lanes) }
    }
}

/// Broadcasts four activations and adds their products to the sums of one pixel.
#[rustfmt::skip]
macro_rules! pixel {
    ($at:literal, $($sum:literal $w:literal),+) => {
        concat!(
            "vpbroadcastd zmm28, dword ptr [", $at, "]\n",
            $("vpdpbusd zmm", $sum, ", zmm28, zmm", $w, "\n",)+
        )
    };
}

/// The loop over the depth of one tile shape. In assembly, because the compiler does not find a way to keep
/// 24 sums in registers over the loop: it copies most of them around in every round, which halves the speed.
///
/// `zmm0` to `zmm23` are the sums, from `zmm24` on the weights, `zmm28` the activations of a pixel. `{a}`,
/// `{b}`, `{c}` and `{d}` point to pixels 0, 3, 6 and 9; each reaches three pixels by the addresses
/// `[x]`, `[x + px]` and `[x + 2·px]`.
macro_rules! depth_loop {
    ($name:ident, $mr:literal x $nv:literal, [$($weight:literal),+], [$($bump:literal),*],
     [$($pixel:expr),+]) => {
        /// # Safety
        /// As [`Tile::depth`]; at least one row and group.
        #[target_feature(enable = "avx512f,avx512vnni")]
        unsafe fn $name(
            sums: &mut [__m512i; $mr * $nv],
            rows: &[*const u8],
            groups: usize,
            px: usize,
            w: *const u8,
        ) {
            let mut weights = w;
            for &row in rows {
                // SAFETY: the block reads, as `Tile::depth` allows, 4 bytes of each of the tile's pixels and
                // 64 bytes of each weight vector for every group, and changes only the registers named.
                unsafe {
                    asm!(
                        // Names the pointers that a narrow tile does not need.
                        "# {a} {b} {c} {d}",
                        "2:",
                        $(concat!("vmovdqu64 zmm", $weight, ", [{w} + 64 * (", $weight, " - 24)]"),)+
                        $($pixel,)+
                        $(concat!("add ", $bump, ", 4"),)*
                        concat!("add {w}, 64 * ", $nv),
                        "dec {n}",
                        "jnz 2b",
                        w = inout(reg) weights,
                        n = inout(reg) groups => _,
                        px = in(reg) px,
                        a = inout(reg) row => _,
                        b = inout(reg) row.wrapping_add(3 * px) => _,
                        c = inout(reg) row.wrapping_add(6 * px) => _,
                        d = inout(reg) row.wrapping_add(9 * px) => _,
                        inout("zmm0") sums[0], inout("zmm1") sums[1], inout("zmm2") sums[2],
                        inout("zmm3") sums[3], inout("zmm4") sums[4], inout("zmm5") sums[5],
                        inout("zmm6") sums[6], inout("zmm7") sums[7], inout("zmm8") sums[8],
                        inout("zmm9") sums[9], inout("zmm10") sums[10], inout("zmm11") sums[11],
                        inout("zmm12") sums[12], inout("zmm13") sums[13], inout("zmm14") sums[14],
                        inout("zmm15") sums[15], inout("zmm16") sums[16], inout("zmm17") sums[17],
                        inout("zmm18") sums[18], inout("zmm19") sums[19], inout("zmm20") sums[20],
                        inout("zmm21") sums[21], inout("zmm22") sums[22], inout("zmm23") sums[23],
                        out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _,
                        options(readonly, nostack)
                    );
                }
            }
        }
    };
}

depth_loop!(depth_6x4, 6 x 4, ["24", "25", "26", "27"], ["{a}", "{b}"], [
    pixel!("{a}", "0" "24", "1" "25", "2" "26", "3" "27"),
    pixel!("{a} + {px}", "4" "24", "5" "25", "6" "26", "7" "27"),
    pixel!("{a} + 2 * {px}", "8" "24", "9" "25", "10" "26", "11" "27"),
    pixel!("{b}", "12" "24", "13" "25", "14" "26", "15" "27"),
    pixel!("{b} + {px}", "16" "24", "17" "25", "18" "26", "19" "27"),
    pixel!("{b} + 2 * {px}", "20" "24", "21" "25", "22" "26", "23" "27")
]);
depth_loop!(depth_8x3, 8 x 3, ["24", "25", "26"], ["{a}", "{b}", "{c}"], [
    pixel!("{a}", "0" "24", "1" "25", "2" "26"),
    pixel!("{a} + {px}", "3" "24", "4" "25", "5" "26"),
    pixel!("{a} + 2 * {px}", "6" "24", "7" "25", "8" "26"),
    pixel!("{b}", "9" "24", "10" "25", "11" "26"),
    pixel!("{b} + {px}", "12" "24", "13" "25", "14" "26"),
    pixel!("{b} + 2 * {px}", "15" "24", "16" "25", "17" "26"),
    pixel!("{c}", "18" "24", "19" "25", "20" "26"),
    pixel!("{c} + {px}", "21" "24", "22" "25", "23" "26")
]);
depth_loop!(depth_12x2, 12 x 2, ["24", "25"], ["{a}", "{b}", "{c}", "{d}"], [
    pixel!("{a}", "0" "24", "1" "25"),
    pixel!("{a} + {px}", "2" "24", "3" "25"),
    pixel!("{a} + 2 * {px}", "4" "24", "5" "25"),
    pixel!("{b}", "6" "24", "7" "25"),
    pixel!("{b} + {px}", "8" "24", "9" "25"),
    pixel!("{b} + 2 * {px}", "10" "24", "11" "25"),
    pixel!("{c}", "12" "24", "13" "25"),
    pixel!("{c} + {px}", "14" "24", "15" "25"),
    pixel!("{c} + 2 * {px}", "16" "24", "17" "25"),
    pixel!("{d}", "18" "24", "19" "25"),
    pixel!("{d} + {px}", "20" "24", "21" "25"),
    pixel!("{d} + 2 * {px}", "22" "24", "23" "25")
]);
