//! The sums of a tile over the whole depth, in assembly: the compiler does not find a way to keep 24 sums in
//! registers over the loop; it copies most of them around in every round, which halves the speed.
//!
//! `zmm0` to `zmm23` are the sums, from `zmm24` on the weights, `zmm28` the activations of a pixel: four values, or a
//! float, broadcast. A tile begins with the bias, walks the rows under the kernel, and leaves its sums once.

/// What a tile computes with; the contract is that of `Tile::sums`.
pub(crate) struct Depth<'a> {
    /// Initial sums.
    pub bias: *const u8,
    /// Rows under the kernel.
    pub taps: &'a [*const u8],
    /// Byte at which the tile's first pixel begins in each of them.
    pub at: usize,
    /// Groups of four bytes in a kernel row.
    pub groups: usize,
    /// Bytes to the next pixel.
    pub px: usize,
    /// Weights.
    pub w: *const u8,
}

impl Depth<'_> {
    /// Whether `columns_16x1` can do it: three kernel columns of whole groups.
    pub fn fits_columns(&self) -> bool {
        self.taps.len() == 3 && self.px.is_multiple_of(4) && 4 * self.groups == 3 * self.px
    }
}

/// Broadcasts a group of activations and adds its products to the sums of one pixel, or of several.
#[rustfmt::skip]
macro_rules! pixel {
    ($broadcast:literal, $multiply:literal, $at:literal, $($sum:literal $w:literal),+) => {
        concat!(
            $broadcast, " zmm28, dword ptr [", $at, "]\n",
            $($multiply, " zmm", $sum, ", zmm28, zmm", $w, "\n",)+
        )
    };
}

/// All groups of a kernel row after one another. `{a}`, `{b}`, `{c}` and `{d}` point to pixels 0, 3, 6 and 9, or, with
/// one vector, 0, 5, 10 and 15; `{px3}` is three pixels.
macro_rules! rows {
    ($name:ident, $mr:literal x $nv:literal, $apart:literal, [$($sum:literal $reg:tt $at:literal = $bias:literal),+],
     [$($weight:literal),+], [$($bump:literal),*], [$($pixel:expr),+]) => {
        /// # Safety
        /// As `Tile::sums`; at least one row and group; the processor has AVX-512 VNNI.
        #[inline]
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub unsafe fn $name(depth: &Depth<'_>) -> [__m512i; $mr * $nv] {
            // SAFETY: all vectors are written below; a vector of zeros is one.
            let mut sums: [__m512i; $mr * $nv] = unsafe { core::mem::zeroed() };
            // SAFETY: the block reads, as `Tile::sums` allows, 64 bytes of bias for each vector, and for every row and
            // group 4 bytes of each of the tile's pixels and 64 bytes of each weight vector; it changes only the
            // registers named.
            unsafe {
                asm!(
                    $(concat!("vmovdqu64 zmm", $sum, ", [{w} + 64 * ", $bias, "]"),)+
                    // Names what a narrow tile does not need.
                    "# {px3}",
                    "mov {w}, {weights}",
                    "3:",
                    "mov {a}, [{taps}]",
                    "add {taps}, 8",
                    "add {a}, {at}",
                    concat!("imul {b}, {px}, ", $apart),
                    "lea {c}, [{a} + 2 * {b}]",
                    "lea {d}, [{c} + {b}]",
                    "add {b}, {a}",
                    "mov {n}, {groups}",
                    "2:",
                    $(concat!("vmovdqu64 zmm", $weight, ", [{w} + 64 * (", $weight, " - 24)]"),)+
                    $($pixel,)+
                    $(concat!("add ", $bump, ", 4"),)*
                    concat!("add {w}, 64 * ", $nv),
                    "dec {n}",
                    "jnz 2b",
                    "cmp {taps}, {end}",
                    "jne 3b",
                    weights = in(reg) depth.w,
                    w = inout(reg) depth.bias => _,
                    taps = inout(reg) depth.taps.as_ptr() => _,
                    end = in(reg) depth.taps.as_ptr_range().end,
                    at = in(reg) depth.at,
                    groups = in(reg) depth.groups,
                    px = in(reg) depth.px,
                    n = out(reg) _,
                    a = out(reg) _,
                    b = out(reg) _,
                    c = out(reg) _,
                    d = out(reg) _,
                    px3 = in(reg) 3 * depth.px,
                    $(out($reg) sums[$at],)+
                    out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm27") _, out("zmm28") _,
                    options(readonly, nostack)
                );
            }
            sums
        }
    };
}

/// All tiles, with these instructions: of 4 bytes, to all lanes, and of two vectors, added to a third.
macro_rules! tiles {
    ($broadcast:literal, $multiply:literal) => {
        rows!(rows_6x4, 6 x 4, "3", [
            "0" "zmm0" 0 = "0", "1" "zmm1" 1 = "1", "2" "zmm2" 2 = "2", "3" "zmm3" 3 = "3",
            "4" "zmm4" 4 = "0", "5" "zmm5" 5 = "1", "6" "zmm6" 6 = "2", "7" "zmm7" 7 = "3",
            "8" "zmm8" 8 = "0", "9" "zmm9" 9 = "1", "10" "zmm10" 10 = "2", "11" "zmm11" 11 = "3",
            "12" "zmm12" 12 = "0", "13" "zmm13" 13 = "1", "14" "zmm14" 14 = "2", "15" "zmm15" 15 = "3",
            "16" "zmm16" 16 = "0", "17" "zmm17" 17 = "1", "18" "zmm18" 18 = "2", "19" "zmm19" 19 = "3",
            "20" "zmm20" 20 = "0", "21" "zmm21" 21 = "1", "22" "zmm22" 22 = "2", "23" "zmm23" 23 = "3"
        ], ["24", "25", "26", "27"], ["{a}", "{b}"], [
            pixel!($broadcast, $multiply, "{a}", "0" "24", "1" "25", "2" "26", "3" "27"),
            pixel!($broadcast, $multiply, "{a} + {px}", "4" "24", "5" "25", "6" "26", "7" "27"),
            pixel!($broadcast, $multiply, "{a} + 2 * {px}", "8" "24", "9" "25", "10" "26", "11" "27"),
            pixel!($broadcast, $multiply, "{b}", "12" "24", "13" "25", "14" "26", "15" "27"),
            pixel!($broadcast, $multiply, "{b} + {px}", "16" "24", "17" "25", "18" "26", "19" "27"),
            pixel!($broadcast, $multiply, "{b} + 2 * {px}", "20" "24", "21" "25", "22" "26", "23" "27")
        ]);
        rows!(rows_4x4, 4 x 4, "3", [
            "0" "zmm0" 0 = "0", "1" "zmm1" 1 = "1", "2" "zmm2" 2 = "2", "3" "zmm3" 3 = "3",
            "4" "zmm4" 4 = "0", "5" "zmm5" 5 = "1", "6" "zmm6" 6 = "2", "7" "zmm7" 7 = "3",
            "8" "zmm8" 8 = "0", "9" "zmm9" 9 = "1", "10" "zmm10" 10 = "2", "11" "zmm11" 11 = "3",
            "12" "zmm12" 12 = "0", "13" "zmm13" 13 = "1", "14" "zmm14" 14 = "2", "15" "zmm15" 15 = "3"
        ], ["24", "25", "26", "27"], ["{a}", "{b}"], [
            pixel!($broadcast, $multiply, "{a}", "0" "24", "1" "25", "2" "26", "3" "27"),
            pixel!($broadcast, $multiply, "{a} + {px}", "4" "24", "5" "25", "6" "26", "7" "27"),
            pixel!($broadcast, $multiply, "{a} + 2 * {px}", "8" "24", "9" "25", "10" "26", "11" "27"),
            pixel!($broadcast, $multiply, "{b}", "12" "24", "13" "25", "14" "26", "15" "27")
        ]);
        rows!(rows_8x3, 8 x 3, "3", [
            "0" "zmm0" 0 = "0", "1" "zmm1" 1 = "1", "2" "zmm2" 2 = "2", "3" "zmm3" 3 = "0",
            "4" "zmm4" 4 = "1", "5" "zmm5" 5 = "2", "6" "zmm6" 6 = "0", "7" "zmm7" 7 = "1",
            "8" "zmm8" 8 = "2", "9" "zmm9" 9 = "0", "10" "zmm10" 10 = "1", "11" "zmm11" 11 = "2",
            "12" "zmm12" 12 = "0", "13" "zmm13" 13 = "1", "14" "zmm14" 14 = "2", "15" "zmm15" 15 = "0",
            "16" "zmm16" 16 = "1", "17" "zmm17" 17 = "2", "18" "zmm18" 18 = "0", "19" "zmm19" 19 = "1",
            "20" "zmm20" 20 = "2", "21" "zmm21" 21 = "0", "22" "zmm22" 22 = "1", "23" "zmm23" 23 = "2"
        ], ["24", "25", "26"], ["{a}", "{b}", "{c}"], [
            pixel!($broadcast, $multiply, "{a}", "0" "24", "1" "25", "2" "26"),
            pixel!($broadcast, $multiply, "{a} + {px}", "3" "24", "4" "25", "5" "26"),
            pixel!($broadcast, $multiply, "{a} + 2 * {px}", "6" "24", "7" "25", "8" "26"),
            pixel!($broadcast, $multiply, "{b}", "9" "24", "10" "25", "11" "26"),
            pixel!($broadcast, $multiply, "{b} + {px}", "12" "24", "13" "25", "14" "26"),
            pixel!($broadcast, $multiply, "{b} + 2 * {px}", "15" "24", "16" "25", "17" "26"),
            pixel!($broadcast, $multiply, "{c}", "18" "24", "19" "25", "20" "26"),
            pixel!($broadcast, $multiply, "{c} + {px}", "21" "24", "22" "25", "23" "26")
        ]);
        rows!(rows_12x2, 12 x 2, "3", [
            "0" "zmm0" 0 = "0", "1" "zmm1" 1 = "1", "2" "zmm2" 2 = "0", "3" "zmm3" 3 = "1",
            "4" "zmm4" 4 = "0", "5" "zmm5" 5 = "1", "6" "zmm6" 6 = "0", "7" "zmm7" 7 = "1",
            "8" "zmm8" 8 = "0", "9" "zmm9" 9 = "1", "10" "zmm10" 10 = "0", "11" "zmm11" 11 = "1",
            "12" "zmm12" 12 = "0", "13" "zmm13" 13 = "1", "14" "zmm14" 14 = "0", "15" "zmm15" 15 = "1",
            "16" "zmm16" 16 = "0", "17" "zmm17" 17 = "1", "18" "zmm18" 18 = "0", "19" "zmm19" 19 = "1",
            "20" "zmm20" 20 = "0", "21" "zmm21" 21 = "1", "22" "zmm22" 22 = "0", "23" "zmm23" 23 = "1"
        ], ["24", "25"], ["{a}", "{b}", "{c}", "{d}"], [
            pixel!($broadcast, $multiply, "{a}", "0" "24", "1" "25"),
            pixel!($broadcast, $multiply, "{a} + {px}", "2" "24", "3" "25"),
            pixel!($broadcast, $multiply, "{a} + 2 * {px}", "4" "24", "5" "25"),
            pixel!($broadcast, $multiply, "{b}", "6" "24", "7" "25"),
            pixel!($broadcast, $multiply, "{b} + {px}", "8" "24", "9" "25"),
            pixel!($broadcast, $multiply, "{b} + 2 * {px}", "10" "24", "11" "25"),
            pixel!($broadcast, $multiply, "{c}", "12" "24", "13" "25"),
            pixel!($broadcast, $multiply, "{c} + {px}", "14" "24", "15" "25"),
            pixel!($broadcast, $multiply, "{c} + 2 * {px}", "16" "24", "17" "25"),
            pixel!($broadcast, $multiply, "{d}", "18" "24", "19" "25"),
            pixel!($broadcast, $multiply, "{d} + {px}", "20" "24", "21" "25"),
            pixel!($broadcast, $multiply, "{d} + 2 * {px}", "22" "24", "23" "25")
        ]);
        rows!(rows_16x1, 16 x 1, "5", [
            "0" "zmm0" 0 = "0", "1" "zmm1" 1 = "0", "2" "zmm2" 2 = "0", "3" "zmm3" 3 = "0",
            "4" "zmm4" 4 = "0", "5" "zmm5" 5 = "0", "6" "zmm6" 6 = "0", "7" "zmm7" 7 = "0",
            "8" "zmm8" 8 = "0", "9" "zmm9" 9 = "0", "10" "zmm10" 10 = "0", "11" "zmm11" 11 = "0",
            "12" "zmm12" 12 = "0", "13" "zmm13" 13 = "0", "14" "zmm14" 14 = "0", "15" "zmm15" 15 = "0"
        ], ["24"], ["{a}", "{b}", "{c}", "{d}"], [
            pixel!($broadcast, $multiply, "{a}", "0" "24"),
            pixel!($broadcast, $multiply, "{a} + {px}", "1" "24"),
            pixel!($broadcast, $multiply, "{a} + 2 * {px}", "2" "24"),
            pixel!($broadcast, $multiply, "{a} + {px3}", "3" "24"),
            pixel!($broadcast, $multiply, "{a} + 4 * {px}", "4" "24"),
            pixel!($broadcast, $multiply, "{b}", "5" "24"),
            pixel!($broadcast, $multiply, "{b} + {px}", "6" "24"),
            pixel!($broadcast, $multiply, "{b} + 2 * {px}", "7" "24"),
            pixel!($broadcast, $multiply, "{b} + {px3}", "8" "24"),
            pixel!($broadcast, $multiply, "{b} + 4 * {px}", "9" "24"),
            pixel!($broadcast, $multiply, "{c}", "10" "24"),
            pixel!($broadcast, $multiply, "{c} + {px}", "11" "24"),
            pixel!($broadcast, $multiply, "{c} + 2 * {px}", "12" "24"),
            pixel!($broadcast, $multiply, "{c} + {px3}", "13" "24"),
            pixel!($broadcast, $multiply, "{c} + 4 * {px}", "14" "24"),
            pixel!($broadcast, $multiply, "{d}", "15" "24")
        ]);
    };
}

/// Four 8-bit values a group.
pub(crate) mod int8 {
    use crate::cpu::x86::avx512::depth::Depth;
    use core::arch::{asm, x86_64::__m512i};
    tiles!("vpbroadcastd", "vpdpbusd");

    /// Sixteen pixels and one vector under a kernel of three columns: a pixel's activations are read once and go to the sums
    /// of the three output pixels that see them, with the weights of one column each. With one vector of output channels,
    /// reading them for every column would take all that the processor can load.
    ///
    /// # Safety
    /// As `Tile::sums`; [`Depth::fits_columns`]; the processor has AVX-512 VNNI.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub unsafe fn columns_16x1(depth: &Depth<'_>) -> [__m512i; 16] {
        // SAFETY: all vectors are written below; a vector of zeros is one.
        let mut sums: [__m512i; 16] = unsafe { core::mem::zeroed() };
        // SAFETY: as the others; of each row the block reads the values under the kernel of 16 pixels, which are 18 pixels,
        // and the weights of its three columns.
        unsafe {
            asm!(
                "vmovdqu64 zmm0, [{t}]",
                "vmovdqa64 zmm1, zmm0",
                "vmovdqa64 zmm2, zmm0",
                "vmovdqa64 zmm3, zmm0",
                "vmovdqa64 zmm4, zmm0",
                "vmovdqa64 zmm5, zmm0",
                "vmovdqa64 zmm6, zmm0",
                "vmovdqa64 zmm7, zmm0",
                "vmovdqa64 zmm8, zmm0",
                "vmovdqa64 zmm9, zmm0",
                "vmovdqa64 zmm10, zmm0",
                "vmovdqa64 zmm11, zmm0",
                "vmovdqa64 zmm12, zmm0",
                "vmovdqa64 zmm13, zmm0",
                "vmovdqa64 zmm14, zmm0",
                "vmovdqa64 zmm15, zmm0",
                "3:",
                "mov {a}, [{taps}]",
                "add {taps}, 8",
                "add {a}, {at}",
                "mov {n}, {px}",
                "shr {n}, 2",
                "2:",
                "vmovdqu64 zmm24, [{w}]",
                "vmovdqu64 zmm25, [{w} + {column}]",
                "vmovdqu64 zmm26, [{w} + 2 * {column}]",
                pixel!("vpbroadcastd", "vpdpbusd", "{a}", "0" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{a} + {px}", "0" "25", "1" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{a} + 2 * {px}", "0" "26", "1" "25", "2" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{a} + {px3}", "1" "26", "2" "25", "3" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{a} + 4 * {px}", "2" "26", "3" "25", "4" "24"),
                "lea {t}, [{a} + {px5}]",
                pixel!("vpbroadcastd", "vpdpbusd", "{t}", "3" "26", "4" "25", "5" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + {px}", "4" "26", "5" "25", "6" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + 2 * {px}", "5" "26", "6" "25", "7" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + {px3}", "6" "26", "7" "25", "8" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + 4 * {px}", "7" "26", "8" "25", "9" "24"),
                "lea {t}, [{t} + {px5}]",
                pixel!("vpbroadcastd", "vpdpbusd", "{t}", "8" "26", "9" "25", "10" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + {px}", "9" "26", "10" "25", "11" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + 2 * {px}", "10" "26", "11" "25", "12" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + {px3}", "11" "26", "12" "25", "13" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + 4 * {px}", "12" "26", "13" "25", "14" "24"),
                "lea {t}, [{t} + {px5}]",
                pixel!("vpbroadcastd", "vpdpbusd", "{t}", "13" "26", "14" "25", "15" "24"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + {px}", "14" "26", "15" "25"),
                pixel!("vpbroadcastd", "vpdpbusd", "{t} + 2 * {px}", "15" "26"),
                "add {a}, 4",
                "add {w}, 64",
                "dec {n}",
                "jnz 2b",
                "lea {w}, [{w} + 2 * {column}]",
                "cmp {taps}, {end}",
                "jne 3b",
                t = inout(reg) depth.bias => _,
                w = inout(reg) depth.w => _,
                taps = inout(reg) depth.taps.as_ptr() => _,
                end = in(reg) depth.taps.as_ptr_range().end,
                at = in(reg) depth.at,
                px = in(reg) depth.px,
                px3 = in(reg) 3 * depth.px,
                px5 = in(reg) 5 * depth.px,
                column = in(reg) 16 * depth.px,
                n = out(reg) _,
                a = out(reg) _,
                out("zmm0") sums[0], out("zmm1") sums[1], out("zmm2") sums[2], out("zmm3") sums[3],
                out("zmm4") sums[4], out("zmm5") sums[5], out("zmm6") sums[6], out("zmm7") sums[7],
                out("zmm8") sums[8], out("zmm9") sums[9], out("zmm10") sums[10], out("zmm11") sums[11],
                out("zmm12") sums[12], out("zmm13") sums[13], out("zmm14") sums[14], out("zmm15") sums[15],
                out("zmm24") _, out("zmm25") _, out("zmm26") _, out("zmm28") _,
                options(readonly, nostack)
            );
        }
        sums
    }
}

/// Two 16-bit values a group.
pub(crate) mod int16 {
    use crate::cpu::x86::avx512::depth::Depth;
    use core::arch::{asm, x86_64::__m512i};
    tiles!("vpbroadcastd", "vpdpwssd");
}

/// One float a group, multiplied and added with one rounding. Vectors are named after the bits that they hold.
pub(crate) mod float {
    use crate::cpu::x86::avx512::depth::Depth;
    use core::arch::{asm, x86_64::__m512i};
    tiles!("vbroadcastss", "vfmadd231ps");
}
