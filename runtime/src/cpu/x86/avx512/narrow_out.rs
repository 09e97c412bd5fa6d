//! Rows of convolutions to a few channels.

use crate::cpu::conv::form::{MAX_KERNEL, Store};
use crate::cpu::conv::narrow_out::{CHUNK, MAX_CHANNELS, NarrowOutArgs};
use crate::cpu::x86::avx512::epilogue;
use core::arch::x86_64::*;

/// Sums that are reduced at once: as many as a vector has lanes.
const SUMS: usize = 16;

/// # Safety
/// As [`NarrowOutRow`](crate::cpu::conv::narrow_out::NarrowOutRow).
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,fma")]
pub(crate) unsafe fn row(args: &mut NarrowOutArgs<'_>) {
    // SAFETY: passed on.
    unsafe {
        match args.weights.shape.out_channels {
            1 => pixels::<16, 1>(args),
            2 => pixels::<8, 2>(args),
            3 => pixels::<5, 3>(args),
            _ => pixels::<4, 4>(args),
        }
    }
}

/// Tiles of `MR` pixels and `N` channels.
///
/// # Safety
/// As [`row`], with `N` channels.
#[inline(always)]
unsafe fn pixels<const MR: usize, const N: usize>(args: &mut NarrowOutArgs<'_>) {
    let mut taps = [core::ptr::null(); MAX_KERNEL];
    for (to, tap) in taps.iter_mut().zip(args.taps) {
        *to = tap.as_ptr();
    }
    let taps = &taps[..args.taps.len()];
    let pixels = args.pixels;
    let finish = Finish::new::<N>(args);
    // SAFETY: every call is for `MR` pixels, or one, that are there; `narrow_out_row` checked the lengths for all of them.
    unsafe {
        if pixels >= MR {
            let mut x = 0;
            while x + MR <= pixels {
                tile::<MR, N>(args, taps, x, &finish);
                x += MR;
            }
            if x < pixels {
                // The last pixels once more as a full tile: the same values are written again.
                tile::<MR, N>(args, taps, pixels - MR, &finish);
            }
        } else {
            for x in 0..pixels {
                tile::<1, N>(args, taps, x, &finish);
            }
        }
    }
}

/// Pixels `x..x + MR`.
///
/// # Safety
/// As [`row`], with `N` channels; the row has these pixels.
#[inline(always)]
unsafe fn tile<const MR: usize, const N: usize>(
    args: &mut NarrowOutArgs<'_>,
    taps: &[*const u8],
    x: usize,
    finish: &Finish,
) {
    const { assert!(MR * N <= SUMS && N <= MAX_CHANNELS) };
    let (px, chunks) = (args.weights.shape.in_channels, args.weights.chunks);
    // SAFETY: for every pixel of the tile a row has `chunks` chunks, and there are weights for each, by contract.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); N]; MR];
        let mut w = args.weights.weights.as_ptr().cast::<u8>();
        for &tap in taps {
            let mut a = tap.add(x * px);
            for _ in 0..chunks {
                let mut weights = [_mm512_setzero_si512(); N];
                for (n, weights) in weights.iter_mut().enumerate() {
                    *weights = _mm512_load_si512(w.add(CHUNK * n).cast());
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let values = _mm512_loadu_si512(a.add(m * px).cast());
                    for (sum, &weights) in sums.iter_mut().zip(&weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, values, weights);
                    }
                }
                w = w.add(CHUNK * N);
                a = a.add(CHUNK);
            }
        }
        let mut flat = [_mm512_setzero_si512(); SUMS];
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                flat[m * N + n] = sum;
            }
        }
        finish.store(total(flat), args.out.as_mut_ptr().add(x * N), MR * N);
    }
}

/// The sums of the lanes of each vector, in their order.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn total(v: [__m512i; SUMS]) -> __m512i {
    // SAFETY: the processor has AVX-512.
    unsafe {
        // Inside the quarters of four vectors: sums of a, b, c, d.
        let mut quarters = [_mm512_setzero_si512(); 4];
        for (i, quarters) in quarters.iter_mut().enumerate() {
            let (a, b, c, d) = (v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]);
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            *quarters = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        }
        let [p, q, r, s] = quarters;
        // The four quarters of each.
        let pq = _mm512_add_epi32(_mm512_shuffle_i32x4::<0x44>(p, q), _mm512_shuffle_i32x4::<0xee>(p, q));
        let rs = _mm512_add_epi32(_mm512_shuffle_i32x4::<0x44>(r, s), _mm512_shuffle_i32x4::<0xee>(r, s));
        _mm512_add_epi32(_mm512_shuffle_i32x4::<0x88>(pq, rs), _mm512_shuffle_i32x4::<0xdd>(pq, rs))
    }
}

/// What makes bytes of 16 sums, channel after channel, pixel after pixel.
struct Finish {
    bias: [i32; SUMS],
    mult: [f32; SUMS],
    store: Store,
}

impl Finish {
    fn new<const N: usize>(args: &NarrowOutArgs<'_>) -> Self {
        let mut finish = Self { bias: [0; SUMS], mult: [0.0; SUMS], store: args.store };
        for lane in 0..SUMS {
            finish.bias[lane] = args.weights.bias[lane % N];
            finish.mult[lane] = args.weights.mult[lane % N];
        }
        finish
    }

    /// # Safety
    /// `out` takes the first `lanes` values; the processor has AVX-512 BW and VL.
    #[inline(always)]
    unsafe fn store(&self, sums: __m512i, out: *mut u8, lanes: usize) {
        // SAFETY: 16 values each; the caller's contract.
        unsafe {
            let sums = _mm512_add_epi32(sums, _mm512_loadu_si512(self.bias.as_ptr().cast()));
            epilogue::store(sums, self.mult.as_ptr(), &self.store, out, lanes);
        }
    }
}
