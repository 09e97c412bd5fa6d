//! The last step of Winograd's F(4x4, 3x3) on aarch64: from the columns, transformed back, along the rows to stored values.
//!
//! A row of a tile, eight output channels: `v0` to `v11` are its six columns, low half and high half, which become four
//! pixels; `v24` and `v25` the multipliers, `v28` to `v31` as [`Finish`] has them. What an instruction overwrites is
//! loaded anew every time: that costs less than a copy.

use crate::cpu::aarch64::tile_6x4::{Finish, Kind};
use crate::cpu::conv::tile::Destination;
use crate::cpu::conv::winograd_4x4::NINTH;
use core::arch::asm;

/// The same operation on registers of low and high halves, which are next to each other.
#[rustfmt::skip]
macro_rules! both {
    ($op:literal, $d0:literal $d1:literal, $a0:literal $a1:literal, $b0:literal $b1:literal) => {
        concat!(
            $op, " v", $d0, ".4s, v", $a0, ".4s, v", $b0, ".4s\n",
            $op, " v", $d1, ".4s, v", $a1, ".4s, v", $b1, ".4s\n",
        )
    };
    ($op:literal, $d0:literal $d1:literal, by $n:literal) => {
        concat!(
            $op, " v", $d0, ".4s, v", $d0, ".4s, #", $n, "\n",
            $op, " v", $d1, ".4s, v", $d1, ".4s, #", $n, "\n",
        )
    };
}

/// An instruction for each of these registers.
#[rustfmt::skip]
macro_rules! all {
    ($before:literal, $after:literal, $($v:literal)+) => { concat!($($before, $v, $after, $v, ".4s\n"),+) };
}

/// Rounded values of four pixels, in `v16` to `v23`, to what is stored, in the even ones.
#[rustfmt::skip]
macro_rules! made {
    (Halves) => {
        concat!(
            "xtn v16.4h, v16.4s\n", "xtn v18.4h, v18.4s\n", "xtn v20.4h, v20.4s\n", "xtn v22.4h, v22.4s\n",
            "xtn2 v16.8h, v17.4s\n", "xtn2 v18.8h, v19.4s\n", "xtn2 v20.8h, v21.4s\n", "xtn2 v22.8h, v23.4s\n",
        )
    };
    (Positive) => { concat!(made!(Halves), made!("smax", "8h", "28")) };
    (Clamped) => {
        concat!(
            made!("sub", "4s", "31"),
            "sub v17.4s, v17.4s, v31.4s\n", "sub v19.4s, v19.4s, v31.4s\n",
            "sub v21.4s, v21.4s, v31.4s\n", "sub v23.4s, v23.4s, v31.4s\n",
            "sqxtn v16.4h, v16.4s\n", "sqxtn v18.4h, v18.4s\n", "sqxtn v20.4h, v20.4s\n", "sqxtn v22.4h, v22.4s\n",
            "sqxtn2 v16.8h, v17.4s\n", "sqxtn2 v18.8h, v19.4s\n", "sqxtn2 v20.8h, v21.4s\n", "sqxtn2 v22.8h, v23.4s\n",
            made!("smax", "8h", "28"),
        )
    };
    (Bytes) => {
        concat!(
            made!(Halves),
            "sqxtn v16.8b, v16.8h\n", "sqxtn v18.8b, v18.8h\n", "sqxtn v20.8b, v20.8h\n", "sqxtn v22.8b, v22.8h\n",
        )
    };
    (BytesAbove) => { concat!(made!(Bytes), made!("smax", "8b", "29")) };
    (BytesWithin) => {
        concat!(
            made!(Halves),
            made!("sqadd", "8h", "28"),
            "sqxtn v16.8b, v16.8h\n", "sqxtn v18.8b, v18.8h\n", "sqxtn v20.8b, v20.8h\n", "sqxtn v22.8b, v22.8h\n",
            made!("smax", "8b", "29"),
            made!("smin", "8b", "30"),
        )
    };
    ($op:literal, $lanes:literal, $by:literal) => {
        concat!(
            $op, " v16.", $lanes, ", v16.", $lanes, ", v", $by, ".", $lanes, "\n",
            $op, " v18.", $lanes, ", v18.", $lanes, ", v", $by, ".", $lanes, "\n",
            $op, " v20.", $lanes, ", v20.", $lanes, ", v", $by, ".", $lanes, "\n",
            $op, " v22.", $lanes, ", v22.", $lanes, ", v", $by, ".", $lanes, "\n",
        )
    };
    (put $lanes:literal) => {
        concat!(
            "st1 {{v16.", $lanes, "}}, [{to}], {px}\n", "st1 {{v18.", $lanes, "}}, [{to}], {px}\n",
            "st1 {{v20.", $lanes, "}}, [{to}], {px}\n", "st1 {{v22.", $lanes, "}}, [{to}]\n",
        )
    };
}

/// The rows of a tile. `to` is the place of the first row's first value in the row; `out` are the rows.
///
/// # Safety
/// `lines` points to so many rows, at least one, of six columns of eight sums; there are eight initial sums, multipliers
/// and offsets; `to.out` values into every row is room for four pixels of eight values.
#[inline(always)]
#[rustfmt::skip]
pub(crate) unsafe fn to_stored(
    lines: *const i32,
    bias: *const i32,
    to: &Destination<'_>,
    (out, at): (&[*mut u8], usize),
    finish: &Finish,
) {
    macro_rules! rows {
        ($kind:ident, $lanes:literal) => {
            asm!(
                "ldp q24, q25, [{mult}]",
                "ldp q31, q28, [{finish}]",
                "ldp q29, q30, [{finish}, #32]",
                "dup v26.4s, {ninth:w}",
                "2:",
                "ldp q2, q3, [{line}, #32]",
                "ldp q4, q5, [{line}, #64]",
                "ldp q6, q7, [{line}, #96]",
                "ldp q8, q9, [{line}, #128]",
                "ldp q0, q1, [{line}]",
                "ldp q10, q11, [{line}, #160]",
                "ldr {to}, [{out}], #8",
                // p = m1 + m2, q = m1 - m2, r = m3 + m4, s = 2 (m3 - m4)
                both!("add", "12" "13", "2" "3", "4" "5"),
                both!("sub", "2" "3", "2" "3", "4" "5"),
                both!("sub", "4" "5", "6" "7", "8" "9"),
                both!("add", "6" "7", "6" "7", "8" "9"),
                "add {line}, {line}, #192",
                both!("add", "0" "1", "0" "1", "12" "13"),
                both!("add", "4" "5", "4" "5", "4" "5"),
                "add {to}, {to}, {at}",
                // m0 + p + r
                both!("add", "0" "1", "0" "1", "6" "7"),
                both!("shl", "6" "7", by "2"),
                both!("add", "10" "11", "10" "11", "4" "5"),
                // q + s
                both!("add", "4" "5", "4" "5", "2" "3"),
                // p + 4 r
                both!("add", "6" "7", "6" "7", "12" "13"),
                both!("shl", "10" "11", by "2"),
                both!("sshr", "0" "1", by "6"),
                "ldp q12, q13, [{bias}]",
                both!("sshr", "4" "5", by "6"),
                "ldp q14, q15, [{bias}]",
                // q + 4 (s + m5)
                both!("add", "10" "11", "10" "11", "2" "3"),
                both!("sshr", "6" "7", by "6"),
                "ldp q2, q3, [{bias}]",
                both!("sshr", "10" "11", by "6"),
                "ldp q8, q9, [{bias}]",
                // With the initial sums, which they are the bits of floats with.
                "mla v12.4s, v0.4s, v26.4s", "mla v13.4s, v1.4s, v26.4s",
                "ldp q16, q17, [{offset}]",
                "mla v14.4s, v4.4s, v26.4s", "mla v15.4s, v5.4s, v26.4s",
                "ldp q18, q19, [{offset}]",
                "mla v2.4s, v6.4s, v26.4s", "mla v3.4s, v7.4s, v26.4s",
                "ldp q20, q21, [{offset}]",
                "mla v8.4s, v10.4s, v26.4s", "mla v9.4s, v11.4s, v26.4s",
                "ldp q22, q23, [{offset}]",
                "fmla v16.4s, v12.4s, v24.4s", "fmla v17.4s, v13.4s, v25.4s",
                "fmla v18.4s, v14.4s, v24.4s", "fmla v19.4s, v15.4s, v25.4s",
                "fmla v20.4s, v2.4s, v24.4s", "fmla v21.4s, v3.4s, v25.4s",
                "fmla v22.4s, v8.4s, v24.4s", "fmla v23.4s, v9.4s, v25.4s",
                "subs {n}, {n}, #1",
                all!("fadd v", ".4s, v31.4s, v", "16" "17" "18" "19" "20" "21" "22" "23"),
                made!($kind),
                made!(put $lanes),
                "b.ne 2b",
                line = inout(reg) lines => _,
                out = inout(reg) out.as_ptr() => _,
                n = inout(reg) out.len() => _,
                to = out(reg) _,
                at = in(reg) at,
                px = in(reg) to.px_bytes,
                bias = in(reg) bias,
                mult = in(reg) to.mult,
                offset = in(reg) to.offset,
                finish = in(reg) finish,
                ninth = in(reg) NINTH,
                out("v0") _, out("v1") _, out("v2") _, out("v3") _, out("v4") _, out("v5") _, out("v6") _,
                out("v7") _, out("v8") _, out("v9") _, out("v10") _, out("v11") _, out("v12") _, out("v13") _,
                out("v14") _, out("v15") _, out("v16") _, out("v17") _, out("v18") _, out("v19") _, out("v20") _,
                out("v21") _, out("v22") _, out("v23") _, out("v24") _, out("v25") _, out("v26") _, out("v28") _,
                out("v29") _, out("v30") _, out("v31") _,
                options(nostack)
            )
        };
    }
    // SAFETY: reads and writes what is promised above and changes only the registers named.
    unsafe {
        match finish.kind {
            Kind::Bytes => rows!(Bytes, "8b"),
            Kind::BytesAbove => rows!(BytesAbove, "8b"),
            Kind::BytesWithin => rows!(BytesWithin, "8b"),
            Kind::Halves => rows!(Halves, "8h"),
            Kind::Positive => rows!(Positive, "8h"),
            Kind::Clamped => rows!(Clamped, "8h"),
        }
    }
}
