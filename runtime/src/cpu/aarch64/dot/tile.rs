//! aarch64 with the dot product: `sdot` adds four products to each of four sums, taking the activations of
//! one pixel from a lane, so one load of 16 activations serves four groups.

use crate::cpu::aarch64::epilogue::store_i32;
use crate::cpu::aarch64::store::store_sums;
use crate::cpu::aarch64::tile_6x4::{Depth, Finish, Kind, TILE};
use crate::cpu::conv::form::{MAX_KERNEL, Store};
use crate::cpu::conv::tile::{Destination, Tile, conv_entry};
use core::arch::{aarch64::*, asm};

conv_entry!(
    #[target_feature(enable = "dotprod")]
    conv_i8,
    I8,
    (1, 8),
    (2, 8),
    (3, 6),
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
    unsafe fn sums<const MR: usize, const NV: usize>(
        bias: *const u8,
        taps: &[*const u8],
        at: usize,
        groups: usize,
        px: usize,
        w: *const u8,
    ) -> [[Self::V; NV]; MR] {
        // SAFETY: passed on.
        unsafe {
            if (MR, NV) == TILE && !taps.is_empty() && groups > 0 {
                let sums = sums_6x4(&Depth { bias, taps, at, groups, px, w });
                // The same type by the condition; the compiler does not see it.
                return core::mem::transmute_copy(&sums);
            }
            let mut first = [vdupq_n_s32(0); NV];
            for (n, first) in first.iter_mut().enumerate() {
                *first = Self::bias(bias.add(16 * n));
            }
            let mut sums = [first; MR];
            let mut rows = [core::ptr::null(); MAX_KERNEL];
            for (row, tap) in rows.iter_mut().zip(taps) {
                *row = tap.add(at);
            }
            Self::depth(&mut sums, &rows[..taps.len()], groups, px, w);
            sums
        }
    }
    #[inline(always)]
    unsafe fn fused<const MR: usize, const NV: usize>(
        bias: *const u8,
        taps: &[*const u8],
        groups: usize,
        px: usize,
        w: *const u8,
        to: &Destination<'_>,
        pixels: usize,
    ) -> bool {
        if (MR, NV) != TILE || taps.is_empty() || groups == 0 {
            return false;
        }
        let Some(finish) = Finish::new(to, 16) else { return false };
        for x in (0..pixels).step_by(MR) {
            // The last tile ends with the row; what it has in common with the one before is computed twice.
            let x = x.min(pixels - MR);
            // SAFETY: passed on, for a tile that begins `x` pixels further.
            unsafe {
                let to = Destination { out: to.out.add(x * to.px_bytes), ..*to };
                tile_6x4(&Depth { bias, taps, at: x * px, groups, px, w }, &to, &finish);
            }
        }
        true
    }
    #[inline(always)]
    unsafe fn store(sum: Self::V, mult: *const f32, store: &Store, out: *mut u8, lanes: usize) {
        // SAFETY: the caller's contract.
        unsafe { store_i32(sum, mult, store, out, lanes) }
    }
    #[inline(always)]
    unsafe fn store_tile<const MR: usize, const NV: usize>(sums: &[[Self::V; NV]; MR], to: &Destination<'_>) {
        // SAFETY: the caller's contract.
        unsafe { store_sums(sums, to) }
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

/// Four vectors of initial sums for one pixel, loaded: moving them from another pixel's costs a multiplier's
/// time.
macro_rules! begin {
    ($s0:literal, $s1:literal, $s2:literal, $s3:literal) => {
        concat!("ldp q", $s0, ", q", $s1, ", [{bias}]\n", "ldp q", $s2, ", q", $s3, ", [{bias}, #32]\n")
    };
}

/// Loads 16 activations of each of six pixels.
macro_rules! load {
    ($step:literal) => {
        concat!(
            "ldr q26, [{a}]",
            $step,
            "\n",
            "ldr q27, [{b}]",
            $step,
            "\n",
            "ldr q28, [{c}]",
            $step,
            "\n",
            "ldr q29, [{d}]",
            $step,
            "\n",
            "ldr q30, [{e}]",
            $step,
            "\n",
            "ldr q31, [{f}]",
            $step,
            "\n",
        )
    };
}

/// The depth of a tile, then `$then`. `$enter` skips the blocks of four groups where there are none: a branch less
/// where it is never taken, and the first block begins with the initial sums' loads.
macro_rules! depth {
    ($depth:ident, $enter:literal, [$($then:expr),*], [$($operands:tt)*], $($sum:tt)*) => {
        asm!(
            ".arch_extension dotprod",
            begin!("0", "1", "2", "3"),
            begin!("4", "5", "6", "7"),
            begin!("8", "9", "10", "11"),
            begin!("12", "13", "14", "15"),
            begin!("16", "17", "18", "19"),
            begin!("20", "21", "22", "23"),
            // A row of the kernel.
            "2:",
            "ldr {a}, [{taps}], #8",
            "mov {n}, {blocks}",
            "add {a}, {a}, {at}",
            "add {b}, {a}, {px}",
            "add {c}, {b}, {px}",
            "add {d}, {c}, {px}",
            "add {e}, {d}, {px}",
            "add {f}, {e}, {px}",
            $enter,
            // Four groups.
            "3:",
            load!(", #16"),
            group!("0"),
            group!("1"),
            group!("2"),
            group!("3"),
            "subs {n}, {n}, #1",
            "b.ne 3b",
            // What is left of the row: up to three groups.
            "4:",
            "cbz {left}, 5f",
            load!(""),
            group!("0"),
            "cmp {left}, #2",
            "b.lo 5f",
            group!("1"),
            "b.eq 5f",
            group!("2"),
            "5:",
            "subs {rows}, {rows}, #1",
            "b.ne 2b",
            $($then,)*
            taps = inout(reg) $depth.taps.as_ptr() => _,
            rows = inout(reg) $depth.taps.len() => _,
            bias = in(reg) $depth.bias,
            at = in(reg) $depth.at,
            blocks = in(reg) $depth.groups / 4,
            left = in(reg) $depth.groups % 4,
            px = in(reg) $depth.px,
            w = inout(reg) $depth.w => _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _, e = out(reg) _, f = out(reg) _,
            n = out(reg) _,
            $($operands)*
            $($sum)*
            out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack)
        )
    };
}

/// The sums of a tile.
///
/// # Safety
/// The processor has the dot product; at least one tap and one group. Reads 64 bytes of initial sums; of each
/// tap, from `at` on, `groups` groups (rounded up to 16 bytes) of each of six pixels that are `px` bytes apart;
/// 64 bytes of weights for every group.
#[inline(always)]
unsafe fn sums_6x4(depth: &Depth<'_>) -> [int32x4_t; 24] {
    macro_rules! sums {
        ($sums:ident, $enter:literal) => {
            depth!(
                depth, $enter, [], [],
                out("v0") $sums[0], out("v1") $sums[1], out("v2") $sums[2], out("v3") $sums[3],
                out("v4") $sums[4], out("v5") $sums[5], out("v6") $sums[6], out("v7") $sums[7],
                out("v8") $sums[8], out("v9") $sums[9], out("v10") $sums[10], out("v11") $sums[11],
                out("v12") $sums[12], out("v13") $sums[13], out("v14") $sums[14], out("v15") $sums[15],
                out("v16") $sums[16], out("v17") $sums[17], out("v18") $sums[18], out("v19") $sums[19],
                out("v20") $sums[20], out("v21") $sums[21], out("v22") $sums[22], out("v23") $sums[23],
            )
        };
    }
    // SAFETY: reads what is promised above and changes only the registers named.
    unsafe {
        let mut sums: [int32x4_t; 24] = core::mem::zeroed();
        if depth.groups >= 4 {
            sums!(sums, "");
        } else {
            sums!(sums, "b 4f");
        }
        sums
    }
}

/// A tile from its inputs to its stored values.
///
/// # Safety
/// As [`sums_6x4`]; 16 multipliers and offsets, and room for six pixels, as `to` promises.
#[inline(always)]
unsafe fn tile_6x4(depth: &Depth<'_>, to: &Destination<'_>, finish: &Finish) {
    macro_rules! tile {
        ($kind:ident, $enter:literal) => {
            depth!(
                depth, $enter,
                [
                    finish!(),
                    scaled!("28", "0", "1", "2", "3"), put!($kind, "28", "0", "1", "2"),
                    scaled!("28", "4", "5", "6", "7"), put!($kind, "28", "4", "5", "6"),
                    scaled!("28", "8", "9", "10", "11"), put!($kind, "28", "8", "9", "10"),
                    scaled!("28", "12", "13", "14", "15"), put!($kind, "28", "12", "13", "14"),
                    scaled!("28", "16", "17", "18", "19"), put!($kind, "28", "16", "17", "18"),
                    scaled!("28", "20", "21", "22", "23"), put!($kind, "28", "20", "21", "22")
                ],
                [
                    mult = in(reg) to.mult,
                    offset = in(reg) to.offset,
                    finish = in(reg) finish,
                    out = inout(reg) to.out => _,
                    px_out = in(reg) to.px_bytes,
                ],
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                out("v20") _, out("v21") _, out("v22") _, out("v23") _,
            )
        };
    }
    // SAFETY: reads and writes what is promised above and changes only the registers named.
    unsafe {
        match (finish.kind, depth.groups >= 4) {
            (Kind::Bytes, true) => tile!(Bytes, ""),
            (Kind::Bytes, false) => tile!(Bytes, "b 4f"),
            (Kind::BytesAbove, true) => tile!(BytesAbove, ""),
            (Kind::BytesAbove, false) => tile!(BytesAbove, "b 4f"),
            (Kind::BytesWithin, true) => tile!(BytesWithin, ""),
            (Kind::BytesWithin, false) => tile!(BytesWithin, "b 4f"),
            (Kind::Halves, true) => tile!(Halves, ""),
            (Kind::Halves, false) => tile!(Halves, "b 4f"),
            (Kind::Positive, true) => tile!(Positive, ""),
            (Kind::Positive, false) => tile!(Positive, "b 4f"),
            (Kind::Clamped, true) => tile!(Clamped, ""),
            (Kind::Clamped, false) => tile!(Clamped, "b 4f"),
        }
    }
}
