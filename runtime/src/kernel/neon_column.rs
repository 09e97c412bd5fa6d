//! One column of Winograd's transformed domain on aarch64: six places of two tiles times eight output channels, and
//! the transformation back down the column, with all sums in registers.
//!
//! `v8` to `v31` are the sums: `v(8 + 4 · place + 2 · tile + half)`. `v0` to `v3` are inputs of two tiles for two
//! places, `v4` to `v7` weights, of which the next are on their way while some are used; two places take turns, so
//! that no sum is added to again before it is there on a core that works in order.

use core::arch::asm;

/// What the kernel reads past the weights of a column: those of the next, which it loads ahead.
pub(super) const AHEAD_BYTES: usize = 32;

/// Eight products for one input channel (lane `$l`) of the `$pair`th two places: the sums of the first place, then of the
/// second; `$mul` begins them or adds to them. Meanwhile the next channel's weights are loaded, from a fixed offset:
/// moving the pointer along costs these cores a slot every time.
#[rustfmt::skip]
macro_rules! channel {
    ($mul:literal, $pair:literal, $l:literal, $w0:literal $w1:literal, $next0:literal $next1:literal,
     $a0:literal $a1:literal $a2:literal $a3:literal, $b0:literal $b1:literal $b2:literal $b3:literal) => {
        concat!(
            $mul, " v", $a0, ".4s, v", $w0, ".4h, v0.h[", $l, "]\n",
            "ldr q", $next0, ", [{w}, #256 * ", $pair, " + 32 * ", $l, " + 32]\n",
            $mul, "2 v", $a1, ".4s, v", $w0, ".8h, v0.h[", $l, "]\n",
            $mul, " v", $a2, ".4s, v", $w0, ".4h, v1.h[", $l, "]\n",
            $mul, "2 v", $a3, ".4s, v", $w0, ".8h, v1.h[", $l, "]\n",
            $mul, " v", $b0, ".4s, v", $w1, ".4h, v2.h[", $l, "]\n",
            "ldr q", $next1, ", [{w}, #256 * ", $pair, " + 32 * ", $l, " + 48]\n",
            $mul, "2 v", $b1, ".4s, v", $w1, ".8h, v2.h[", $l, "]\n",
            $mul, " v", $b2, ".4s, v", $w1, ".4h, v3.h[", $l, "]\n",
            $mul, "2 v", $b3, ".4s, v", $w1, ".8h, v3.h[", $l, "]\n",
        )
    };
}

/// Two places, eight input channels, of which the first one's products `$mul`.
#[rustfmt::skip]
macro_rules! places {
    ($mul:literal, $pair:literal, $($sum:literal)+, $($other:literal)+) => {
        concat!(
            "ldp q0, q1, [{a}, #128 * ", $pair, "]\n",
            "ldp q2, q3, [{a}, #128 * ", $pair, " + 64]\n",
            channel!($mul, $pair, "0", "4" "5", "6" "7", $($sum)+, $($other)+),
            channel!("smlal", $pair, "1", "6" "7", "4" "5", $($sum)+, $($other)+),
            channel!("smlal", $pair, "2", "4" "5", "6" "7", $($sum)+, $($other)+),
            channel!("smlal", $pair, "3", "6" "7", "4" "5", $($sum)+, $($other)+),
            channel!("smlal", $pair, "4", "4" "5", "6" "7", $($sum)+, $($other)+),
            channel!("smlal", $pair, "5", "6" "7", "4" "5", $($sum)+, $($other)+),
            channel!("smlal", $pair, "6", "4" "5", "6" "7", $($sum)+, $($other)+),
            channel!("smlal", $pair, "7", "6" "7", "4" "5", $($sum)+, $($other)+),
        )
    };
}

/// Six places, eight input channels.
#[rustfmt::skip]
macro_rules! group {
    ($mul:literal) => {
        concat!(
            places!($mul, "0", "8" "9" "10" "11", "12" "13" "14" "15"),
            places!($mul, "1", "16" "17" "18" "19", "20" "21" "22" "23"),
            places!($mul, "2", "24" "25" "26" "27", "28" "29" "30" "31"),
            "add {a}, {a}, #384\n",
            "add {w}, {w}, #768\n",
            "subs {n}, {n}, #1\n",
        )
    };
}

/// The same operation on the sums of both tiles and halves.
#[rustfmt::skip]
macro_rules! four {
    ($op:literal, $d0:literal $d1:literal $d2:literal $d3:literal, $a0:literal $a1:literal $a2:literal $a3:literal,
     $b0:literal $b1:literal $b2:literal $b3:literal) => {
        concat!(
            $op, " v", $d0, ".4s, v", $a0, ".4s, v", $b0, ".4s\n",
            $op, " v", $d1, ".4s, v", $a1, ".4s, v", $b1, ".4s\n",
            $op, " v", $d2, ".4s, v", $a2, ".4s, v", $b2, ".4s\n",
            $op, " v", $d3, ".4s, v", $a3, ".4s, v", $b3, ".4s\n",
        )
    };
    ($op:literal, $d0:literal $d1:literal $d2:literal $d3:literal) => {
        concat!(
            $op, " v", $d0, ".4s, v", $d0, ".4s, #2\n",
            $op, " v", $d1, ".4s, v", $d1, ".4s, #2\n",
            $op, " v", $d2, ".4s, v", $d2, ".4s, #2\n",
            $op, " v", $d3, ".4s, v", $d3, ".4s, #2\n",
        )
    };
}

/// Sums of products of a column, transformed back: `Aᵀ m`, four rows.
///
/// # Safety
/// `a` points to `groups · 6` places of four tiles with eight channels each, of which the first two tiles are taken;
/// `w` to the weights of the column, `groups · 6 · 8 · 8`, and [`AHEAD_BYTES`] more; `out` to two tiles of four rows of
/// six columns of eight sums, from this column on. At least one group.
#[inline(always)]
#[rustfmt::skip]
pub(super) unsafe fn column(a: *const i16, w: *const i16, groups: usize, out: *mut i32) {
    // SAFETY: reads and writes what is promised above and changes only the registers named.
    unsafe {
        asm!(
            "ldp q4, q5, [{w}]",
            group!("smull"),
            "b.eq 3f",
            "2:",
            group!("smlal"),
            "b.ne 2b",
            "3:",
            // p = m1 + m2, q = m1 - m2, r = m3 + m4, s = 2 (m3 - m4)
            four!("add", "0" "1" "2" "3", "12" "13" "14" "15", "16" "17" "18" "19"),
            four!("sub", "12" "13" "14" "15", "12" "13" "14" "15", "16" "17" "18" "19"),
            four!("add", "16" "17" "18" "19", "20" "21" "22" "23", "24" "25" "26" "27"),
            four!("sub", "20" "21" "22" "23", "20" "21" "22" "23", "24" "25" "26" "27"),
            four!("add", "20" "21" "22" "23", "20" "21" "22" "23", "20" "21" "22" "23"),
            // m0 + p + r
            four!("add", "8" "9" "10" "11", "8" "9" "10" "11", "0" "1" "2" "3"),
            four!("add", "8" "9" "10" "11", "8" "9" "10" "11", "16" "17" "18" "19"),
            "stp q8, q9, [{out}]",
            "stp q10, q11, [{second}]",
            // q + s
            four!("add", "24" "25" "26" "27", "12" "13" "14" "15", "20" "21" "22" "23"),
            "stp q24, q25, [{out}, #192]",
            "stp q26, q27, [{second}, #192]",
            // p + 4 r
            four!("shl", "16" "17" "18" "19"),
            four!("add", "16" "17" "18" "19", "0" "1" "2" "3", "16" "17" "18" "19"),
            "stp q16, q17, [{out}, #384]",
            "stp q18, q19, [{second}, #384]",
            // q + 4 (s + m5)
            four!("add", "20" "21" "22" "23", "20" "21" "22" "23", "28" "29" "30" "31"),
            four!("shl", "20" "21" "22" "23"),
            four!("add", "20" "21" "22" "23", "12" "13" "14" "15", "20" "21" "22" "23"),
            "stp q20, q21, [{out}, #576]",
            "stp q22, q23, [{second}, #576]",
            a = inout(reg) a => _,
            w = inout(reg) w => _,
            n = inout(reg) groups => _,
            out = in(reg) out,
            second = in(reg) out.add(192),
            out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
            out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
            out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
            out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v27") _,
            out("v28") _, out("v29") _, out("v30") _, out("v31") _,
            options(nostack)
        );
    }
}
