//! Winograd's F(2, 3) with AVX-512 VNNI; see [`winograd_2x1`](crate::cpu::conv::winograd_2x1).
//!
//! The four input rows are transformed once for all output channels. Then tiles of six pixels and 32 output channels, in
//! two phases. The first has the sums of the two places that both rows share in 24 registers. Half of their sum and half of
//! their difference are what the second adds the products of the other two places to. The weights of 32 channels stay in
//! the first-level cache for all tiles of a pass; those of 64 would not.

use crate::cpu::conv::row::PostOpsAt;

use crate::cpu::conv::tile::Destination;
use crate::cpu::conv::winograd_2x1::{CHANNELS, Kernel, SCRATCH_BYTES, TAPS, TILE, Winograd2x1Args};
use crate::cpu::x86::avx512::post_ops;
use crate::memory::line::Line;
use core::arch::{asm, x86_64::*};
use core::mem::MaybeUninit;

pub(crate) const KERNEL: Kernel = Kernel { pass, block: BLOCK };

/// Vectors of sums in a block of output channels.
const NV: usize = 2;
/// Output channels of a block of weights.
const BLOCK: usize = 16 * NV;
/// Bytes of a vector.
const VECTOR: usize = 64;

/// Transformed rows: `[place][pixel][channels]`.
#[repr(align(64))]
struct Rows(MaybeUninit<[u8; SCRATCH_BYTES]>);

/// # Safety
/// As [`Pass`](crate::cpu::conv::winograd_2x1::Pass).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
unsafe fn pass(args: &mut Winograd2x1Args<'_, '_>) -> bool {
    let (weights, requant) = (args.weights, args.requant);
    let (channels, out_channels) = (weights.in_channels, weights.out_channels);
    // Written by `transform` before anything reads it.
    let mut rows = Rows(MaybeUninit::uninit());
    let rows: *mut u8 = rows.0.as_mut_ptr().cast();
    let plane = (args.pixels + 2) * channels;
    // Three columns of the kernel.
    let units = 3 * channels / CHANNELS;
    let post_ops = args.post_ops.as_mut().map(|post_ops| post_ops.each_mut().map(PostOpsAt::new));
    let (store, pixels) = (args.store, args.pixels);
    let size = store.size_bytes();
    // SAFETY: `winograd_2x1` checked that the taps hold `pixels + 2` pixels of whole units, that four such rows fit the
    // scratch, that weights, sums and multipliers are there for all output channels, which are whole blocks, and that
    // output rows, and rows of post-ops, hold `pixels` pixels, at least a tile's.
    unsafe {
        // So many bytes of each row are transformed.
        let mut ready = 0;
        for first in (0..out_channels).step_by(BLOCK) {
            let w = weights.weights.as_ptr().cast::<u8>().add(first * TAPS * 3 * channels);
            let bias = weights.bias.each_ref().map(|bias| bias.as_ptr().add(first));
            let to = args.out.each_mut().map(|row| Destination {
                mult: requant.mult.as_ptr().add(first),
                offset: core::ptr::null(),
                products: requant.products,
                store: &store,
                out: row.as_mut_ptr().add(first * size),
                px_bytes: out_channels * size,
                lanes: BLOCK,
            });
            for x in (0..pixels).step_by(TILE) {
                // The last tile ends with the row; what it has in common with the one before is computed twice.
                let x = x.min(pixels - TILE);
                // Just before it is needed for the first time: the processor loads the rows while it still multiplies.
                let needed = (x + TILE + 2) * channels;
                if ready < needed {
                    let taps = args.taps.map(|tap| tap.as_ptr().add(ready));
                    if !transform(taps, rows.add(ready), plane, needed - ready) {
                        return false;
                    }
                    ready = needed;
                }
                let at = x * out_channels;
                let tile = Depth { at: rows.add(x * channels), plane, px: channels, units, w, bias };
                let to = to.map(|to| Destination { out: to.out.add(at * size), ..to });
                let to = to.each_ref();
                // The sums of each arm stay in registers.
                match post_ops {
                    None => {
                        let [above, below] = sums(&tile);
                        crate::cpu::x86::avx512::store::store_tiles([&above, &below], to);
                    }
                    Some(post_ops) => {
                        let [above, below] = sums(&tile);
                        let post_ops = post_ops.map(|post_ops| post_ops.after(at + first));
                        post_ops::store([&above, &below], to, post_ops.each_ref());
                    }
                }
            }
        }
    }
    true
}

/// `len` bytes of the four transformed rows of the four rows `taps`; `to` is the place in the first of them. Whether no sum
/// left the range of 8 bits.
///
/// # Safety
/// Reads `len` bytes of each tap and writes as many at `to` and three times `plane` bytes further on; the processor has
/// AVX-512 BW.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn transform(taps: [*const u8; TAPS], to: *mut u8, plane: usize, len: usize) -> bool {
    let sign = _mm512_set1_epi8(i8::MIN);
    let mut exact = sign;
    for i in (0..len).step_by(VECTOR) {
        let mask = u64::MAX >> (VECTOR - (len - i).min(VECTOR));
        // SAFETY: masked loads and stores touch no bytes beyond `len`.
        unsafe {
            // With their sign bits flipped, as they are stored.
            let [u0, u1, u2, u3] = taps.map(|tap| _mm512_mask_loadu_epi8(sign, mask, tap.add(i).cast()));
            let [d0, d1, d2, d3] = [u0, u1, u2, u3].map(|u| _mm512_xor_si512(u, sign));
            // What wraps around comes with its sign bit flipped again.
            let wrapped = [
                _mm512_sub_epi8(u0, d2),
                _mm512_add_epi8(u1, d2),
                _mm512_sub_epi8(u2, d1),
                _mm512_sub_epi8(u3, d1),
            ];
            let saturated = [
                _mm512_subs_epi8(d0, d2),
                _mm512_adds_epi8(d1, d2),
                _mm512_subs_epi8(d2, d1),
                _mm512_subs_epi8(d3, d1),
            ];
            for (place, (wrapped, saturated)) in wrapped.into_iter().zip(saturated).enumerate() {
                // The sign bit stays as long as those of the two differ, which they do unless one saturated.
                exact = _mm512_ternarylogic_epi32::<0x60>(exact, wrapped, saturated);
                _mm512_mask_storeu_epi8(to.add(place * plane + i).cast(), mask, wrapped);
            }
        }
    }
    _mm512_movepi8_mask(exact) == u64::MAX
}

/// What a tile computes with.
struct Depth {
    /// The first pixel in the first of the transformed rows.
    at: *const u8,
    /// Bytes to the same pixel of the next.
    plane: usize,
    /// Bytes to the next pixel.
    px: usize,
    /// [`CHANNELS`] values of the depth each.
    units: usize,
    w: *const u8,
    /// Initial sums of the places that both rows share.
    bias: [*const i32; 2],
}

/// Four values of six pixels, from byte `$at` on, times two vectors of weights, into twelve sums.
#[rustfmt::skip]
macro_rules! group {
    ($row:literal, $behind:literal, $at:literal, $w:literal,
     $($s:literal $t:literal),+) => {
        concat!(
            "vmovdqu64 zmm24, [{w} + ", $w, "]\n",
            "vmovdqu64 zmm25, [{w} + ", $w, " + 64]\n",
            group!(pixels [$row, $row " + {px}", $row " + 2 * {px}", $behind, $behind " + {px}", $behind " + 2 * {px}"],
                $at, $($s $t),+)
        )
    };
    (pixels [$($px:literal $($and:literal)?),+], $at:literal, $($s:literal $t:literal),+) => {
        concat!($(
            "vpbroadcastd zmm28, dword ptr [", $px, $($and,)? " + ", $at, "]\n",
            "vpdpbusd zmm", $s, ", zmm28, zmm24\n",
            "vpdpbusd zmm", $t, ", zmm28, zmm25\n",
        )+)
    };
}

/// [`CHANNELS`] values of one place.
#[rustfmt::skip]
macro_rules! place {
    ($row:literal, $behind:literal, [$w0:literal, $w1:literal, $w2:literal, $w3:literal], $($sums:tt)+) => {
        concat!(
            group!($row, $behind, "0", $w0, $($sums)+),
            group!($row, $behind, "4", $w1, $($sums)+),
            group!($row, $behind, "8", $w2, $($sums)+),
            group!($row, $behind, "12", $w3, $($sums)+),
        )
    };
}

/// [`CHANNELS`] values of two places.
#[rustfmt::skip]
macro_rules! two_places {
    () => {
        concat!(
            place!("{a}", "{a3}", ["0", "128", "256", "384"],
                "0" "1", "2" "3", "4" "5", "6" "7", "8" "9", "10" "11"),
            place!("{b}", "{b3}", ["512", "640", "768", "896"],
                "12" "13", "14" "15", "16" "17", "18" "19", "20" "21", "22" "23"),
            "add {a}, 16\n",
            "add {a3}, 16\n",
            "add {b}, 16\n",
            "add {b3}, 16\n",
            "add {w}, 1024\n",
        )
    };
}

/// Half of the sum and half of the difference of registers `$a` and `$b`, in their place.
#[rustfmt::skip]
macro_rules! butterfly {
    ($($a:literal $b:literal),+) => {
        concat!($(
            "vpaddd zmm", $a, ", zmm", $a, ", zmm", $b, "\n",
            "vpsrad zmm", $a, ", zmm", $a, ", 1\n",
            "vpsubd zmm", $b, ", zmm", $a, ", zmm", $b, "\n",
        )+)
    };
}

/// The sums of a tile: `[row][pixel][vector]`.
///
/// # Safety
/// The processor has AVX-512 VNNI. At least one unit; reads `CHANNELS · units` values of six pixels in each of the four
/// transformed rows, `TAPS · CHANNELS · BLOCK` bytes of weights for every unit, and twice BLOCK initial sums.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sums(depth: &Depth) -> [[[__m512i; NV]; TILE]; 2] {
    const { assert!(BLOCK * CHANNELS * 2 == 1024 && size_of::<Line>() == VECTOR) };
    // SAFETY: all vectors are written below; a vector of zeros is one. The block reads what is promised above and changes
    // only the registers named.
    unsafe {
        let mut s: [[[__m512i; NV]; TILE]; 2] = core::mem::zeroed();
        asm!(
            "vmovdqu64 zmm0, [{t}]",
            "vmovdqu64 zmm1, [{t} + 64]",
            "vmovdqu64 zmm12, [{n}]",
            "vmovdqu64 zmm13, [{n} + 64]",
            "vmovdqa64 zmm2, zmm0", "vmovdqa64 zmm4, zmm0", "vmovdqa64 zmm6, zmm0", "vmovdqa64 zmm8, zmm0",
            "vmovdqa64 zmm10, zmm0",
            "vmovdqa64 zmm3, zmm1", "vmovdqa64 zmm5, zmm1", "vmovdqa64 zmm7, zmm1", "vmovdqa64 zmm9, zmm1",
            "vmovdqa64 zmm11, zmm1",
            "vmovdqa64 zmm14, zmm12", "vmovdqa64 zmm16, zmm12", "vmovdqa64 zmm18, zmm12", "vmovdqa64 zmm20, zmm12",
            "vmovdqa64 zmm22, zmm12",
            "vmovdqa64 zmm15, zmm13", "vmovdqa64 zmm17, zmm13", "vmovdqa64 zmm19, zmm13", "vmovdqa64 zmm21, zmm13",
            "vmovdqa64 zmm23, zmm13",
            // The places that both rows share.
            "lea {a}, [{at} + {plane}]",
            "lea {b}, [{at} + 2 * {plane}]",
            "lea {t}, [{px} + 2 * {px}]",
            "lea {a3}, [{a} + {t}]",
            "lea {b3}, [{b} + {t}]",
            "mov {n}, {units}",
            "2:",
            two_places!(),
            "dec {n}",
            "jnz 2b",
            butterfly!("0" "12", "1" "13", "2" "14", "3" "15", "4" "16", "5" "17"),
            butterfly!("6" "18", "7" "19", "8" "20", "9" "21", "10" "22", "11" "23"),
            // That of the row above and that of the row below.
            "lea {b}, [{plane} + 2 * {plane}]",
            "add {b}, {at}",
            "lea {a3}, [{at} + {t}]",
            "lea {b3}, [{b} + {t}]",
            "mov {a}, {at}",
            "mov {n}, {units}",
            "3:",
            two_places!(),
            "dec {n}",
            "jnz 3b",
            at = in(reg) depth.at,
            plane = in(reg) depth.plane,
            px = in(reg) depth.px,
            units = in(reg) depth.units,
            w = inout(reg) depth.w => _,
            t = inout(reg) depth.bias[0] => _,
            n = inout(reg) depth.bias[1] => _,
            a = out(reg) _,
            a3 = out(reg) _,
            b = out(reg) _,
            b3 = out(reg) _,
            out("zmm0") s[0][0][0], out("zmm1") s[0][0][1], out("zmm2") s[0][1][0], out("zmm3") s[0][1][1],
            out("zmm4") s[0][2][0], out("zmm5") s[0][2][1], out("zmm6") s[0][3][0], out("zmm7") s[0][3][1],
            out("zmm8") s[0][4][0], out("zmm9") s[0][4][1], out("zmm10") s[0][5][0], out("zmm11") s[0][5][1],
            out("zmm12") s[1][0][0], out("zmm13") s[1][0][1], out("zmm14") s[1][1][0], out("zmm15") s[1][1][1],
            out("zmm16") s[1][2][0], out("zmm17") s[1][2][1], out("zmm18") s[1][3][0], out("zmm19") s[1][3][1],
            out("zmm20") s[1][4][0], out("zmm21") s[1][4][1], out("zmm22") s[1][5][0], out("zmm23") s[1][5][1],
            out("zmm24") _, out("zmm25") _, out("zmm28") _,
            options(readonly, nostack)
        );
        s
    }
}
