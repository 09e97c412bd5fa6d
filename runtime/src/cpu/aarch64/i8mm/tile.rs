//! aarch64 with the int8 matrix multiplication: `smmla` multiplies eight activations of each of two pixels with eight
//! weights of each of two output channels, and adds to the four sums. Twice the products of `sdot`.
//!
//! So sums stand in pairs of pixels and pairs of channels until the depth is done.

use crate::cpu::aarch64::epilogue::store_i32;
use crate::cpu::aarch64::store::store_sums;
use crate::cpu::aarch64::tile_6x4::{Depth, Finish, Kind, TILE};
use crate::cpu::conv::form::Store;
use crate::cpu::conv::tile::{Destination, Tile, conv_entry};
use core::arch::{aarch64::*, asm};

conv_entry!(
    #[target_feature(enable = "dotprod,i8mm")]
    conv_i8,
    I8,
    (1, 8),
    (2, 8),
    (3, 6),
    (4, 6)
);

struct I8;

/// # Safety
/// The processor has the matrix multiplication.
#[inline(always)]
unsafe fn smmla(mut sums: int32x4_t, pixels: int8x16_t, weights: int8x16_t) -> int32x4_t {
    // SAFETY: as promised by the caller. The instruction only touches its registers; its intrinsic is not stable yet.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {sums:v}.4s, {a:v}.16b, {w:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) pixels,
            w = in(vreg) weights,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    sums
}

/// The lower halves of two vectors, and the upper ones.
///
/// # Safety
/// NEON is part of the target, so none; `unsafe` only for the intrinsics.
#[inline(always)]
unsafe fn zip(a: int32x4_t, b: int32x4_t) -> [int32x4_t; 2] {
    // SAFETY: NEON is part of the target.
    unsafe {
        let (a, b) = (vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b));
        [vreinterpretq_s32_s64(vzip1q_s64(a, b)), vreinterpretq_s32_s64(vzip2q_s64(a, b))]
    }
}

// SAFETY: the methods read the bytes that the trait names and write `lanes` values.
unsafe impl Tile for I8 {
    const LANES: usize = 4;
    const GROUP_BYTES: usize = 8;
    const A_GROUPS: usize = 1;
    const W_BYTES: usize = 32;
    type V = int32x4_t;
    type A = int8x16_t;
    type W = [int8x16_t; 2];

    #[inline(always)]
    unsafe fn bias(p: *const u8) -> Self::V {
        // SAFETY: 16 bytes by contract.
        unsafe { vld1q_s32(p.cast()) }
    }
    /// Twice the same pixel.
    #[inline(always)]
    unsafe fn load_a(p: *const u8) -> Self::A {
        // SAFETY: 8 bytes by contract.
        unsafe {
            let eight = vld1_s8(p.cast());
            vcombine_s8(eight, eight)
        }
    }
    #[inline(always)]
    unsafe fn load_w(p: *const u8) -> Self::W {
        // SAFETY: 32 bytes by contract.
        unsafe { [vld1q_s8(p.cast()), vld1q_s8(p.add(16).cast())] }
    }
    #[inline(always)]
    unsafe fn dot<const G: usize>(sum: Self::V, a: Self::A, w: Self::W) -> Self::V {
        // SAFETY: the processor has the matrix multiplication by contract.
        unsafe {
            let zero = vdupq_n_s32(0);
            vaddq_s32(sum, zip(smmla(zero, a, w[0]), smmla(zero, a, w[1]))[0])
        }
    }
    #[inline(always)]
    unsafe fn sums<const MR: usize, const NV: usize>(
        bias: *const u8,
        taps: &[*const u8],
        at: usize,
        groups: usize,
        px: usize,
        mut w: *const u8,
    ) -> [[Self::V; NV]; MR] {
        // SAFETY: passed on; a tap for every row; 8 bytes of every pixel and 32 of weights for every vector and group.
        unsafe {
            let mut sums = [[vdupq_n_s32(0); NV]; MR];
            if (MR, NV) == TILE && !taps.is_empty() && groups > 0 {
                let pairs = sums_6x4(&Depth { bias, taps, at, groups, px, w });
                for m in 0..MR {
                    for n in 0..NV {
                        sums[m][n] = zip(pairs[m / 2 * 8 + 2 * n], pairs[m / 2 * 8 + 2 * n + 1])[m % 2];
                    }
                }
                return sums;
            }
            let mut low = [[vdupq_n_s32(0); NV]; MR];
            let mut high = low;
            // A pixel alone is a pair with itself.
            let step = if MR == 1 { 1 } else { 2 };
            for m in (0..MR).step_by(step) {
                for n in 0..NV {
                    let first = Self::bias(bias.add(16 * n));
                    [low[m][n], high[m][n]] = zip(first, first);
                }
            }
            for &tap in taps {
                let mut a = tap.add(at);
                for _ in 0..groups {
                    for m in (0..MR).step_by(step) {
                        let pixel = a.add(m * px);
                        let other = if step == 1 { pixel } else { pixel.add(px) };
                        let pixels = vcombine_s8(vld1_s8(pixel.cast()), vld1_s8(other.cast()));
                        for n in 0..NV {
                            let weights = Self::load_w(w.add(32 * n));
                            low[m][n] = smmla(low[m][n], pixels, weights[0]);
                            high[m][n] = smmla(high[m][n], pixels, weights[1]);
                        }
                    }
                    a = a.add(8);
                    w = w.add(32 * NV);
                }
            }
            for m in (0..MR).step_by(step) {
                for n in 0..NV {
                    let [first, second] = zip(low[m][n], high[m][n]);
                    sums[m][n] = first;
                    if step == 2 {
                        sums[m + 1][n] = second;
                    }
                }
            }
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

/// Initial sums of two pixels and four channels, for two pairs of channels.
#[rustfmt::skip]
macro_rules! begin {
    ($($low:literal $high:literal $at:literal),+) => {
        concat!($(
            "ldr q24, [{bias}, #", $at, "]\n",
            "zip1 v", $low, ".2d, v24.2d, v24.2d\n",
            "zip2 v", $high, ".2d, v24.2d, v24.2d\n",
        )+)
    };
}

/// Eight activations of each of two pixels.
macro_rules! load {
    ($v:literal, $a:literal, $b:literal) => {
        concat!("ldr d", $v, ", [{", $a, "}], #8\nld1 {{v", $v, ".d}}[1], [{", $b, "}], #8\n")
    };
}

/// Weights of two channels, for the sums of three pairs of pixels.
#[rustfmt::skip]
macro_rules! pair {
    ($w:literal, $s0:literal, $s1:literal, $s2:literal) => {
        concat!(
            "ldr q", $w, ", [{w}], #16\n",
            "smmla v", $s0, ".4s, v29.16b, v", $w, ".16b\n",
            "smmla v", $s1, ".4s, v30.16b, v", $w, ".16b\n",
            "smmla v", $s2, ".4s, v31.16b, v", $w, ".16b\n",
        )
    };
}

/// The depth of a tile, then `$then`: sums of pixels `2p` and `2p + 1` and channels `2n` and `2n + 1` are in register
/// `8p + n`.
macro_rules! depth {
    ($depth:ident, [$($then:expr),*], [$($operands:tt)*], $($sum:tt)*) => {
        asm!(
            ".arch_extension i8mm",
            begin!("0" "1" "0", "2" "3" "16", "4" "5" "32", "6" "7" "48"),
            begin!("8" "9" "0", "10" "11" "16", "12" "13" "32", "14" "15" "48"),
            begin!("16" "17" "0", "18" "19" "16", "20" "21" "32", "22" "23" "48"),
            // A row of the kernel.
            "2:",
            "ldr {a}, [{taps}], #8",
            "mov {n}, {groups}",
            "add {a}, {a}, {at}",
            "add {b}, {a}, {px}",
            "add {c}, {b}, {px}",
            "add {d}, {c}, {px}",
            "add {e}, {d}, {px}",
            "add {f}, {e}, {px}",
            // A group.
            "3:",
            load!("29", "a", "b"),
            load!("30", "c", "d"),
            load!("31", "e", "f"),
            pair!("24", "0", "8", "16"),
            pair!("25", "1", "9", "17"),
            pair!("26", "2", "10", "18"),
            pair!("27", "3", "11", "19"),
            pair!("24", "4", "12", "20"),
            pair!("25", "5", "13", "21"),
            pair!("26", "6", "14", "22"),
            pair!("27", "7", "15", "23"),
            "subs {n}, {n}, #1",
            "b.ne 3b",
            "subs {rows}, {rows}, #1",
            "b.ne 2b",
            $($then,)*
            taps = inout(reg) $depth.taps.as_ptr() => _,
            rows = inout(reg) $depth.taps.len() => _,
            bias = in(reg) $depth.bias,
            at = in(reg) $depth.at,
            groups = in(reg) $depth.groups,
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

/// The sums of a tile, in pairs.
///
/// # Safety
/// The processor has the matrix multiplication; at least one tap and one group. Reads 64 bytes of initial sums; of
/// each tap, from `at` on, `groups` groups of 8 bytes of each of six pixels that are `px` bytes apart; 128 bytes of
/// weights for every group.
#[inline(always)]
unsafe fn sums_6x4(depth: &Depth<'_>) -> [int32x4_t; 24] {
    // SAFETY: reads what is promised above and changes only the registers named.
    unsafe {
        let mut sums: [int32x4_t; 24] = core::mem::zeroed();
        depth!(
            depth, [], [],
            out("v0") sums[0], out("v1") sums[1], out("v2") sums[2], out("v3") sums[3],
            out("v4") sums[4], out("v5") sums[5], out("v6") sums[6], out("v7") sums[7],
            out("v8") sums[8], out("v9") sums[9], out("v10") sums[10], out("v11") sums[11],
            out("v12") sums[12], out("v13") sums[13], out("v14") sums[14], out("v15") sums[15],
            out("v16") sums[16], out("v17") sums[17], out("v18") sums[18], out("v19") sums[19],
            out("v20") sums[20], out("v21") sums[21], out("v22") sums[22], out("v23") sums[23],
        );
        sums
    }
}

/// Two pixels: their sums are put apart and stored. `$x` are the registers of the pair, in order.
#[rustfmt::skip]
macro_rules! two {
    ($kind:ident, $x0:literal, $x1:literal, $x2:literal, $x3:literal, $x4:literal, $x5:literal, $x6:literal, $x7:literal) => {
        concat!(
            "zip1 v28.2d, v", $x0, ".2d, v", $x1, ".2d\n",
            "zip2 v", $x1, ".2d, v", $x0, ".2d, v", $x1, ".2d\n",
            "zip1 v", $x0, ".2d, v", $x2, ".2d, v", $x3, ".2d\n",
            "zip2 v", $x3, ".2d, v", $x2, ".2d, v", $x3, ".2d\n",
            "zip1 v", $x2, ".2d, v", $x4, ".2d, v", $x5, ".2d\n",
            "zip2 v", $x5, ".2d, v", $x4, ".2d, v", $x5, ".2d\n",
            "zip1 v", $x4, ".2d, v", $x6, ".2d, v", $x7, ".2d\n",
            "zip2 v", $x7, ".2d, v", $x6, ".2d, v", $x7, ".2d\n",
            scaled!($x6, "28", $x0, $x2, $x4),
            put!($kind, $x6, "28", $x0, $x2),
            scaled!($x6, $x1, $x3, $x5, $x7),
            put!($kind, $x6, $x1, $x3, $x5),
        )
    };
}

/// A tile from its inputs to its stored values.
///
/// # Safety
/// As [`sums_6x4`]; 16 multipliers and offsets, and room for six pixels, as `to` promises.
#[inline(always)]
unsafe fn tile_6x4(depth: &Depth<'_>, to: &Destination<'_>, finish: &Finish) {
    macro_rules! tile {
        ($kind:ident) => {
            depth!(
                depth,
                [
                    finish!(),
                    two!($kind, "0", "1", "2", "3", "4", "5", "6", "7"),
                    two!($kind, "8", "9", "10", "11", "12", "13", "14", "15"),
                    two!($kind, "16", "17", "18", "19", "20", "21", "22", "23")
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
        match finish.kind {
            Kind::Bytes => tile!(Bytes),
            Kind::BytesAbove => tile!(BytesAbove),
            Kind::BytesWithin => tile!(BytesWithin),
            Kind::Halves => tile!(Halves),
            Kind::Positive => tile!(Positive),
            Kind::Clamped => tile!(Clamped),
        }
    }
}
