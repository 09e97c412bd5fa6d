//! aarch64 with the dot product: `sdot` adds four products to each of four sums, taking the activations of
//! one pixel from a lane, so one load of 16 activations serves four groups.

use super::neon::{CONV_F32, store_i32};
use super::tile::{Geometry, Layout, Store, Tile, conv_entry, depth, peak_entry};
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
    unsafe fn depth<const MR: usize, const NV: usize>(
        sums: &mut [[Self::V; NV]; MR],
        rows: &[*const u8],
        groups: usize,
        px: usize,
        w: *const u8,
    ) {
        // SAFETY: passed on. The assembly takes whole loads of four groups, the widest tile's size is checked
        // by the condition, and what is left of a row is done by the plain code.
        unsafe {
            if (MR, NV) != (6, 4) || groups < Self::A_GROUPS {
                return depth::<Self, MR, NV>(sums, rows, groups, px, w);
            }
            let (blocks, left) = (groups / Self::A_GROUPS, groups % Self::A_GROUPS);
            let done = blocks * Self::A_GROUPS;
            let mut w = w;
            for row in rows {
                depth_6x4(&mut *sums.as_mut_ptr().cast(), *row, blocks, px, w);
                w = w.add(done * NV * Self::W_BYTES);
                if left > 0 {
                    let rest = [row.add(done * Self::GROUP_BYTES)];
                    depth::<Self, MR, NV>(sums, &rest, left, px, w);
                    w = w.add(left * NV * Self::W_BYTES);
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: the caller's contract.
        unsafe { store_i32(sum, mult, store, out, lanes) }
    }
}

/// Group `$g` of the loaded activations of six pixels times four vectors of weights.
#[rustfmt::skip]
macro_rules! group {
    ($g:literal) => {
        concat!(
            group!($g, "24", "0", "4", "8", "12", "16", "20"),
            group!($g, "25", "1", "5", "9", "13", "17", "21"),
            group!($g, "24", "2", "6", "10", "14", "18", "22"),
            group!($g, "25", "3", "7", "11", "15", "19", "23"),
        )
    };
    ($g:literal, $w:literal, $s0:literal, $s1:literal, $s2:literal, $s3:literal, $s4:literal, $s5:literal) => {
        concat!(
            "ldr q", $w, ", [{w}], #16\n",
            "sdot v", $s0, ".4s, v", $w, ".16b, v26.4b[", $g, "]\n",
            "sdot v", $s1, ".4s, v", $w, ".16b, v27.4b[", $g, "]\n",
            "sdot v", $s2, ".4s, v", $w, ".16b, v28.4b[", $g, "]\n",
            "sdot v", $s3, ".4s, v", $w, ".16b, v29.4b[", $g, "]\n",
            "sdot v", $s4, ".4s, v", $w, ".16b, v30.4b[", $g, "]\n",
            "sdot v", $s5, ".4s, v", $w, ".16b, v31.4b[", $g, "]\n",
        )
    };
}

/// The loop over one row of the widest tile: six pixels, four vectors of sums, four groups in a round. All 32
/// registers are in use, which the compiler does not manage without keeping sums in memory.
///
/// # Safety
/// The processor has the dot product; at least one block. Reads 16 bytes of each of six pixels that are `px`
/// bytes apart and 256 bytes of weights for every block.
#[target_feature(enable = "dotprod")]
unsafe fn depth_6x4(sums: &mut [int32x4_t; 24], row: *const u8, blocks: usize, px: usize, w: *const u8) {
    // SAFETY: reads what is promised above and changes only the registers named.
    unsafe {
        asm!(
            "2:",
            "ldr q26, [{a}], #16",
            "ldr q27, [{b}], #16",
            "ldr q28, [{c}], #16",
            "ldr q29, [{d}], #16",
            "ldr q30, [{e}], #16",
            "ldr q31, [{f}], #16",
            group!("0"),
            group!("1"),
            group!("2"),
            group!("3"),
            "subs {n}, {n}, #1",
            "b.ne 2b",
            a = inout(reg) row => _,
            b = inout(reg) row.wrapping_add(px) => _,
            c = inout(reg) row.wrapping_add(2 * px) => _,
            d = inout(reg) row.wrapping_add(3 * px) => _,
            e = inout(reg) row.wrapping_add(4 * px) => _,
            f = inout(reg) row.wrapping_add(5 * px) => _,
            w = inout(reg) w => _,
            n = inout(reg) blocks => _,
            inout("v0") sums[0], inout("v1") sums[1], inout("v2") sums[2], inout("v3") sums[3],
            inout("v4") sums[4], inout("v5") sums[5], inout("v6") sums[6], inout("v7") sums[7],
            inout("v8") sums[8], inout("v9") sums[9], inout("v10") sums[10], inout("v11") sums[11],
            inout("v12") sums[12], inout("v13") sums[13], inout("v14") sums[14], inout("v15") sums[15],
            inout("v16") sums[16], inout("v17") sums[17], inout("v18") sums[18], inout("v19") sums[19],
            inout("v20") sums[20], inout("v21") sums[21], inout("v22") sums[22], inout("v23") sums[23],
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(readonly, nostack)
        );
    }
}
