//! Rows of convolutions to a few channels.

use crate::cpu::conv::form::{MAX_KERNEL, Store};
use crate::cpu::conv::narrow_out::{CHUNK, MAX_CHANNELS, NarrowOutArgs};
use crate::cpu::x86::avx2::epilogue;
use core::arch::x86_64::*;

/// Sums of a tile: as many as there are registers for.
const SUMS: usize = 12;
/// Vectors that are added up at once: as many as one has lanes.
const LANES: usize = 8;

/// # Safety
/// As [`NarrowOutRow`](crate::cpu::conv::narrow_out::NarrowOutRow).
#[target_feature(enable = "avx2,fma,avxvnni")]
pub(crate) unsafe fn row(args: &mut NarrowOutArgs<'_>) {
    // SAFETY: passed on.
    unsafe {
        match args.weights.shape.out_channels {
            1 => pixels::<12, 1>(args),
            2 => pixels::<6, 2>(args),
            3 => pixels::<4, 3>(args),
            _ => pixels::<3, 4>(args),
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
        let mut sums = [[_mm256_setzero_si256(); N]; MR];
        let mut w = args.weights.weights.as_ptr().cast::<u8>();
        for &tap in taps {
            let mut a = tap.add(x * px);
            for _ in 0..chunks {
                for half in [0, CHUNK / 2] {
                    let mut weights = [_mm256_setzero_si256(); N];
                    for (n, weights) in weights.iter_mut().enumerate() {
                        *weights = _mm256_load_si256(w.add(CHUNK * n + half).cast());
                    }
                    for (m, sums) in sums.iter_mut().enumerate() {
                        let values = _mm256_loadu_si256(a.add(m * px + half).cast());
                        for (sum, &weights) in sums.iter_mut().zip(&weights) {
                            *sum = _mm256_dpbusd_avx_epi32(*sum, values, weights);
                        }
                    }
                }
                w = w.add(CHUNK * N);
                a = a.add(CHUNK);
            }
        }
        let mut flat = [_mm256_setzero_si256(); 2 * LANES];
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                flat[m * N + n] = sum;
            }
        }
        let (parts, _) = flat.as_chunks::<LANES>();
        let totals = [total(parts[0]), total(parts[1])];
        finish.store(totals, args.out.as_mut_ptr().add(x * N), MR * N);
    }
}

/// The sums of the lanes of each vector, in their order.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn total(v: [__m256i; LANES]) -> __m256i {
    // SAFETY: the processor has AVX2.
    unsafe {
        // Inside the halves of four vectors: sums of a, b, c, d.
        let mut halves = [_mm256_setzero_si256(); 2];
        for (i, halves) in halves.iter_mut().enumerate() {
            let (a, b, c, d) = (v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]);
            let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            *halves = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
        }
        let [p, q] = halves;
        _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(p, q), _mm256_permute2x128_si256::<0x31>(p, q))
    }
}

/// What makes bytes of the sums, channel after channel, pixel after pixel.
struct Finish {
    bias: [i32; 2 * LANES],
    mult: [f32; 2 * LANES],
    store: Store,
}

impl Finish {
    fn new<const N: usize>(args: &NarrowOutArgs<'_>) -> Self {
        let mut finish = Self { bias: [0; 2 * LANES], mult: [0.0; 2 * LANES], store: args.store };
        for lane in 0..SUMS {
            finish.bias[lane] = args.weights.bias[lane % N];
            finish.mult[lane] = args.weights.mult[lane % N];
        }
        finish
    }

    /// # Safety
    /// `out` takes the first `lanes` values; the processor has AVX2.
    #[inline(always)]
    unsafe fn store(&self, sums: [__m256i; 2], out: *mut u8, lanes: usize) {
        // SAFETY: 8 values from each place; the caller's contract.
        unsafe {
            let bias = self.bias.as_ptr();
            let first = _mm256_add_epi32(sums[0], _mm256_loadu_si256(bias.cast()));
            epilogue::store(first, self.mult.as_ptr(), &self.store, out, lanes.min(LANES));
            if lanes > LANES {
                let second = _mm256_add_epi32(sums[1], _mm256_loadu_si256(bias.add(LANES).cast()));
                let mult = self.mult.as_ptr().add(LANES);
                epilogue::store(second, mult, &self.store, out.add(LANES), lanes - LANES);
            }
        }
    }
}
