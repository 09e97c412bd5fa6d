//! The columns of Winograd's transformed domain on aarch64: for each of six columns six places of two tiles times eight
//! output channels, and the transformation back down the column, with all sums in registers.
//!
//! Places are made in pairs, 8 sums a place: `v8` to `v15` for rows 1 and 2 of the transformed domain, `v16` to `v23` for
//! 3 and 4, `v24` to `v31` for 0 and 5, in each `v(4 · place + 2 · tile + half)`. `v0` to `v3` are inputs of two tiles for
//! two places, `v4` and `v5` weights, each of which is loaded anew after its last use, four products before its next.
//!
//! Multiplications keep one of two pipelines busy, so what else there is to do goes between them: the transformation of
//! the first four places while the last two are summed up, and storing a column while the next begins.

use crate::cpu::conv::winograd_4x4::{BLOCK, PATCH, TILE};
use core::arch::asm;
use core::mem::MaybeUninit;

/// What is read past the weights of a block: those of the next, which are loaded ahead.
pub(crate) const AHEAD_BYTES: usize = 32;
/// Tiles whose products are made at a time.
pub(crate) const PAIR: usize = 2;
/// Sums of a tile.
const TILE_SUMS: usize = TILE * PATCH * BLOCK;

/// Values in front of the sums: a column, in a line of its own.
const BEFORE: usize = 2 * BLOCK;

/// Two tiles transformed back down the columns, `[tile][row][column][channel of the block]`, behind room for a column.
#[repr(align(64))]
pub(crate) struct Columns(MaybeUninit<[i32; BEFORE + PAIR * TILE_SUMS]>);

impl Columns {
    pub fn new() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Four rows of six columns of eight sums.
    pub fn tile(&self, tile: usize) -> *const i32 {
        self.0.as_ptr().cast::<i32>().wrapping_add(BEFORE + tile * TILE_SUMS)
    }

    /// The sums.
    fn first(&mut self) -> *mut i32 {
        self.0.as_mut_ptr().cast::<i32>().wrapping_add(BEFORE)
    }
}

/// Eight products for one input channel (lane `$l`) of a pair of places: the sums of the first, then of the second. `$mul`
/// begins them or adds to them. What stands behind is done in between.
#[rustfmt::skip]
macro_rules! channel {
    ($mul:literal, $l:literal, [$a0:literal $a1:literal $a2:literal $a3:literal $b0:literal $b1:literal $b2:literal $b3:literal],
     $e0:expr, $e1:expr, $e2:expr, $e3:expr, $e4:expr, $e5:expr) => {
        concat!(
            $mul, " v", $a0, ".4s, v4.4h, v0.h[", $l, "]\n", $e0,
            $mul, "2 v", $a1, ".4s, v4.8h, v0.h[", $l, "]\n", $e1,
            $mul, " v", $a2, ".4s, v4.4h, v2.h[", $l, "]\n", $e2,
            $mul, "2 v", $a3, ".4s, v4.8h, v2.h[", $l, "]\n",
            "ldr q4, [{w}, #32 * ", $l, " + 32]\n",
            $mul, " v", $b0, ".4s, v5.4h, v1.h[", $l, "]\n", $e3,
            $mul, "2 v", $b1, ".4s, v5.8h, v1.h[", $l, "]\n", $e4,
            $mul, " v", $b2, ".4s, v5.4h, v3.h[", $l, "]\n", $e5,
            $mul, "2 v", $b3, ".4s, v5.8h, v3.h[", $l, "]\n",
            "ldr q5, [{w}, #32 * ", $l, " + 48]\n",
        )
    };
    ($mul:literal, $l:literal, $sums:tt) => { channel!($mul, $l, $sums, "") };
    ($mul:literal, $l:literal, $sums:tt, $e0:expr) => { channel!($mul, $l, $sums, $e0, "", "", "", "", "") };
    ($mul:literal, $l:literal, $sums:tt, $e0:expr, $e1:expr, $e2:expr, $e3:expr, $e4:expr) => {
        channel!($mul, $l, $sums, $e0, $e1, $e2, $e3, $e4, "")
    };
}

/// Inputs of a pair of places.
#[rustfmt::skip]
macro_rules! inputs {
    ($pair:literal) => {
        concat!(
            "ldp q0, q1, [{a}, #32 * ", $pair, "]\n",
            "ldp q2, q3, [{a}, #32 * ", $pair, " + 96]\n",
            "add {a}, {a}, #384\n",
        )
    };
}

/// A pair of places: the first eight input channels with what stands behind in between, then the others.
#[rustfmt::skip]
macro_rules! pair {
    ($pair:literal, $sums:tt, $([$($extra:expr),*])*) => {
        concat!(
            inputs!($pair),
            pair!(first $sums, $([$($extra),*])*),
            "add {w}, {w}, #256\n",
            "cbz {more}, 4f\n",
            "mov {n}, {more}\n",
            "3:\n",
            inputs!($pair),
            "subs {n}, {n}, #1\n",
            channel!("smlal", "0", $sums), channel!("smlal", "1", $sums), channel!("smlal", "2", $sums),
            channel!("smlal", "3", $sums), channel!("smlal", "4", $sums), channel!("smlal", "5", $sums),
            channel!("smlal", "6", $sums), channel!("smlal", "7", $sums),
            "add {w}, {w}, #256\n",
            "b.ne 3b\n",
            "4:\n",
        )
    };
    (first $sums:tt, [$($e0:expr),*] [$($e1:expr),*] [$($e2:expr),*] [$($e3:expr),*]
     [$($e4:expr),*] [$($e5:expr),*] [$($e6:expr),*] [$($e7:expr),*]) => {
        concat!(
            channel!("smull", "0", $sums $(, $e0)*), channel!("smlal", "1", $sums $(, $e1)*),
            channel!("smlal", "2", $sums $(, $e2)*), channel!("smlal", "3", $sums $(, $e3)*),
            channel!("smlal", "4", $sums $(, $e4)*), channel!("smlal", "5", $sums $(, $e5)*),
            channel!("smlal", "6", $sums $(, $e6)*), channel!("smlal", "7", $sums $(, $e7)*),
        )
    };
}

/// An operation on whole registers.
#[rustfmt::skip]
macro_rules! op {
    ($op:literal $d:literal $a:literal $b:literal) => {
        concat!($op, " v", $d, ".4s, v", $a, ".4s, v", $b, ".4s\n")
    };
    ($d:literal = 4 * $a:literal) => { concat!("shl v", $d, ".4s, v", $a, ".4s, #2\n") };
}

/// Two registers of a row to both tiles' places in the column before.
#[rustfmt::skip]
macro_rules! keep {
    ($to:literal, $a:literal, $b:literal, $row:literal) => {
        concat!("stp q", $a, ", q", $b, ", [{", $to, "}, #192 * ", $row, "]\n")
    };
}

/// Six columns: sums of products, transformed back down the column, `Aᵀ m`: four rows.
///
/// # Safety
/// `a` points to `[column][group][tile][place][8 channels]`, six columns of so many groups, at least one, of four tiles, of
/// which the first two are taken; `w` to `[column][pair of places][group][8 channels][place of the pair][BLOCK]` and
/// [`AHEAD_BYTES`] more.
#[inline(always)]
#[rustfmt::skip]
pub(crate) unsafe fn columns(a: *const i16, w: *const i16, groups: usize, to: &mut Columns) {
    let out = to.first();
    // SAFETY: reads what is promised above, writes the sums and, for a column before the first, 32 bytes in front of every
    // row: in front of the sums, or a last column that is written later. Changes only the registers named.
    unsafe {
        asm!(
            "ldp q4, q5, [{w}]",
            "2:",
            // m1 and m2; meanwhile the column before is stored.
            pair!("0", ["8" "9" "10" "11" "12" "13" "14" "15"],
                [keep!("out", "24", "25", "0")] [keep!("second", "26", "27", "0")]
                [keep!("out", "16", "17", "1")] [keep!("second", "18", "19", "1")]
                [keep!("out", "20", "21", "2")] [keep!("second", "22", "23", "2")]
                [keep!("out", "28", "29", "3")] [keep!("second", "30", "31", "3")]
            ),
            "add {out}, {out}, #32",
            "add {second}, {second}, #32",
            "sub {a}, {a}, {back}",
            // m3 and m4
            pair!("1", ["16" "17" "18" "19" "20" "21" "22" "23"], [] [] [] [] [] [] [] []),
            "sub {a}, {a}, {back}",
            // m0 and m5; meanwhile, with p = m1 + m2, q = m1 - m2, r = m3 + m4, s = 2 (m3 - m4): p + r, q + s and p + 4 r,
            // which are the second and the third row, and q + 4 s.
            pair!("2", ["24" "25" "26" "27" "28" "29" "30" "31"],
                [op!("add" "6" "8" "12"), op!("sub" "8" "8" "12"), op!("add" "7" "16" "20"), op!("sub" "16" "16" "20"),
                 op!("add" "12" "6" "7"), op!("7" = 4 * "7")]
                [op!("add" "16" "16" "16"), op!("add" "20" "6" "7"), op!("7" = 4 * "16"), op!("add" "16" "8" "16"),
                 op!("add" "8" "8" "7")]
                [op!("add" "6" "9" "13"), op!("sub" "9" "9" "13"), op!("add" "7" "17" "21"), op!("sub" "17" "17" "21"),
                 op!("add" "13" "6" "7"), op!("7" = 4 * "7")]
                [op!("add" "17" "17" "17"), op!("add" "21" "6" "7"), op!("7" = 4 * "17"), op!("add" "17" "9" "17"),
                 op!("add" "9" "9" "7")]
                [op!("add" "6" "10" "14"), op!("sub" "10" "10" "14"), op!("add" "7" "18" "22"), op!("sub" "18" "18" "22"),
                 op!("add" "14" "6" "7"), op!("7" = 4 * "7")]
                [op!("add" "18" "18" "18"), op!("add" "22" "6" "7"), op!("7" = 4 * "18"), op!("add" "18" "10" "18"),
                 op!("add" "10" "10" "7")]
                [op!("add" "6" "11" "15"), op!("sub" "11" "11" "15"), op!("add" "7" "19" "23"), op!("sub" "19" "19" "23"),
                 op!("add" "15" "6" "7"), op!("7" = 4 * "7")]
                [op!("add" "19" "19" "19"), op!("add" "23" "6" "7"), op!("7" = 4 * "19"), op!("add" "19" "11" "19"),
                 op!("add" "11" "11" "7")]
            ),
            "subs {left}, {left}, #1",
            // p + r + m0 and q + 4 s + 4 m5
            op!("add" "24" "24" "12"), op!("add" "25" "25" "13"), op!("add" "26" "26" "14"), op!("add" "27" "27" "15"),
            op!("28" = 4 * "28"), op!("29" = 4 * "29"), op!("30" = 4 * "30"), op!("31" = 4 * "31"),
            op!("add" "28" "28" "8"), op!("add" "29" "29" "9"), op!("add" "30" "30" "10"), op!("add" "31" "31" "11"),
            "b.ne 2b",
            keep!("out", "24", "25", "0"), keep!("second", "26", "27", "0"),
            keep!("out", "16", "17", "1"), keep!("second", "18", "19", "1"),
            keep!("out", "20", "21", "2"), keep!("second", "22", "23", "2"),
            keep!("out", "28", "29", "3"), keep!("second", "30", "31", "3"),
            a = inout(reg) a => _,
            w = inout(reg) w => _,
            n = out(reg) _,
            more = in(reg) groups - 1,
            back = in(reg) 384 * groups,
            left = inout(reg) PATCH => _,
            out = inout(reg) out.sub(BLOCK) => _,
            second = inout(reg) out.add(TILE_SUMS - BLOCK) => _,
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
            out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
            out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack)
        );
    }
}
