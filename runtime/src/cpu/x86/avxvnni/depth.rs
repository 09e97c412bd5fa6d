//! The sums of a tile over the whole depth, in assembly, as AVX-512's: `ymm0` to `ymm11` are the sums, `ymm12` and `ymm13`
//! the weights, `ymm14` the activations of a pixel: four bytes, broadcast.
//!
//! On registers and first-level cache alone, six pixels and two vectors reach 98 % of the instruction's peak for 64 channels
//! and 94 % for 16 (Emerald Rapids); 4x3 and 3x4, which load less, are 2 to 5 % slower, and so is a loop
//! that is unrolled.

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

/// Broadcasts a group of activations and adds its products to the sums of one pixel. (`vex` names the instruction of AVX-VNNI;
/// the other one is AVX-512's.)
macro_rules! pixel {
    ($multiply:literal, $at:literal, $($sum:literal $w:literal),+) => {
        concat!(
            "vpbroadcastd ymm14, dword ptr [", $at, "]\n",
            $("{{vex}} ", $multiply, " ymm", $sum, ", ymm14, ymm", $w, "\n",)+
        )
    };
}

/// All groups of a kernel row after one another. `{a}`, `{b}`, `{c}` and `{d}` point to pixels 0, 3, 6 and 9.
macro_rules! rows {
    ($name:ident, $nv:literal, [$($sum:literal $reg:tt $at:literal = $bias:literal),+],
     [$($weight:literal),+], [$($bump:literal),+], [$($pixel:expr),+]) => {
        /// # Safety
        /// As `Tile::sums`; at least one row and group; the processor has AVX-VNNI.
        #[inline]
        #[target_feature(enable = "avx2,avxvnni")]
        pub(crate) unsafe fn $name(depth: &Depth<'_>) -> [__m256i; 12] {
            // SAFETY: all vectors are written below; a vector of zeros is one.
            let mut sums: [__m256i; 12] = unsafe { core::mem::zeroed() };
            // SAFETY: the block reads, as `Tile::sums` allows, 32 bytes of bias for each vector, and for every row and
            // group 4 bytes of each of the tile's pixels and 32 bytes of each weight vector; it changes only the
            // registers named.
            unsafe {
                asm!(
                    $(concat!("vmovdqu ymm", $sum, ", [{w} + 32 * ", $bias, "]"),)+
                    "mov {w}, {weights}",
                    "3:",
                    "mov {a}, [{taps}]",
                    "add {taps}, 8",
                    "add {a}, {at}",
                    "lea {b}, [{px} + 2 * {px}]",
                    "lea {c}, [{a} + 2 * {b}]",
                    "lea {d}, [{c} + {b}]",
                    "add {b}, {a}",
                    "mov {n}, {groups}",
                    "2:",
                    $(concat!("vmovdqu ymm", $weight, ", [{w} + 32 * (", $weight, " - 12)]"),)+
                    $($pixel,)+
                    $(concat!("add ", $bump, ", 4"),)+
                    concat!("add {w}, 32 * ", $nv),
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
                    $(out($reg) sums[$at],)+
                    out("ymm12") _, out("ymm13") _, out("ymm14") _,
                    options(readonly, nostack)
                );
            }
            sums
        }
    };
}

/// All tiles, with this instruction.
macro_rules! tiles {
    ($multiply:literal) => {
        rows!(rows_6x2, 2, [
            "0" "ymm0" 0 = "0", "1" "ymm1" 1 = "1", "2" "ymm2" 2 = "0", "3" "ymm3" 3 = "1",
            "4" "ymm4" 4 = "0", "5" "ymm5" 5 = "1", "6" "ymm6" 6 = "0", "7" "ymm7" 7 = "1",
            "8" "ymm8" 8 = "0", "9" "ymm9" 9 = "1", "10" "ymm10" 10 = "0", "11" "ymm11" 11 = "1"
        ], ["12", "13"], ["{a}", "{b}"], [
            pixel!($multiply, "{a}", "0" "12", "1" "13"),
            pixel!($multiply, "{a} + {px}", "2" "12", "3" "13"),
            pixel!($multiply, "{a} + 2 * {px}", "4" "12", "5" "13"),
            pixel!($multiply, "{b}", "6" "12", "7" "13"),
            pixel!($multiply, "{b} + {px}", "8" "12", "9" "13"),
            pixel!($multiply, "{b} + 2 * {px}", "10" "12", "11" "13")
        ]);
        rows!(rows_12x1, 1, [
            "0" "ymm0" 0 = "0", "1" "ymm1" 1 = "0", "2" "ymm2" 2 = "0", "3" "ymm3" 3 = "0",
            "4" "ymm4" 4 = "0", "5" "ymm5" 5 = "0", "6" "ymm6" 6 = "0", "7" "ymm7" 7 = "0",
            "8" "ymm8" 8 = "0", "9" "ymm9" 9 = "0", "10" "ymm10" 10 = "0", "11" "ymm11" 11 = "0"
        ], ["12"], ["{a}", "{b}", "{c}", "{d}"], [
            pixel!($multiply, "{a}", "0" "12"),
            pixel!($multiply, "{a} + {px}", "1" "12"),
            pixel!($multiply, "{a} + 2 * {px}", "2" "12"),
            pixel!($multiply, "{b}", "3" "12"),
            pixel!($multiply, "{b} + {px}", "4" "12"),
            pixel!($multiply, "{b} + 2 * {px}", "5" "12"),
            pixel!($multiply, "{c}", "6" "12"),
            pixel!($multiply, "{c} + {px}", "7" "12"),
            pixel!($multiply, "{c} + 2 * {px}", "8" "12"),
            pixel!($multiply, "{d}", "9" "12"),
            pixel!($multiply, "{d} + {px}", "10" "12"),
            pixel!($multiply, "{d} + 2 * {px}", "11" "12")
        ]);
    };
}

/// Four 8-bit values a group.
pub(crate) mod int8 {
    use crate::cpu::x86::avxvnni::depth::Depth;
    use core::arch::{asm, x86_64::__m256i};
    tiles!("vpdpbusd");
}

/// Two 16-bit values a group.
pub(crate) mod int16 {
    use crate::cpu::x86::avxvnni::depth::Depth;
    use core::arch::{asm, x86_64::__m256i};
    tiles!("vpdpwssd");
}
