//! Winograd's F(4x4, 3x3) on x86-64; see [`winograd_4x4`](crate::cpu::conv::winograd_4x4). Sets of 256 bits
//! share it: what they differ in are the products of 16-bit pairs, and how weights are packed.
//!
//! Tiles side by side go through it in passes: their inputs are transformed; then, for every panel of output channels, its
//! weights, which is a twentieth of the work; then, for a group of tiles at a time, the 36 small matrix products, whose sums go to
//! memory, the transformation back, and the epilogue that all convolutions share. A panel's weights and a group's sums fit the
//! second- and the first-level cache.

use crate::cpu::conv::row::PostOpsAt;
use crate::cpu::conv::tile::{Destination, Tile};
use crate::cpu::conv::winograd_4x4::{MAX_CHANNELS, PATCH, PLACES, StripArgs, TILE};
use core::arch::x86_64::*;

/// Channels of a vector of transformed inputs.
pub(crate) const CHANNELS: usize = 16;
/// Tiles of a pass: with many channels so many that their inputs are about as large as the weights of a panel, with few so many
/// that transforming these is little beside it.
const PASS: usize = 48;
const PASS_CHANNELS: usize = 24 * MAX_CHANNELS;
/// Tiles of a group, whose sums fit the first-level cache.
const GROUP: usize = 12;
/// Output channels of a panel: two vectors of 8 sums.
const PANEL: usize = 16;
/// Values that keep places from lying a power of two apart, where they would share few lines of the cache.
const GAP: usize = 32;
const SUM_GAP: usize = 16;

/// Values of 16 bits from a place of the transformed weights to the next.
const fn weight_stride(channels: usize) -> usize {
    channels * PANEL + GAP
}

/// Tiles of a pass.
const fn tiles_at_once(channels: usize) -> usize {
    let most = PASS_CHANNELS / channels;
    if most < PASS { most } else { PASS }
}

/// Values of 16 bits from a place of the transformed inputs to the next.
const fn input_stride(channels: usize) -> usize {
    tiles_at_once(channels) * channels + GAP
}

/// Values of 32 bits from a place of the sums to the next.
const SUM_STRIDE: usize = GROUP * PANEL + SUM_GAP;

/// Bytes of working memory: weights `[place][pair of channels][vector][lane][2]`, inputs `[place][tile][channel]`, sums
/// `[place][tile][output channel]`.
pub(crate) const fn scratch_bytes(channels: usize) -> usize {
    PLACES * (2 * (weight_stride(channels) + input_stride(channels)) + 4 * SUM_STRIDE)
}

/// Vector operations on sums, beyond those of a tile of 16-bit activations.
///
/// # Safety
/// Implementations access exactly the memory that the method's description names. All methods may only be
/// called on a processor with the instruction set.
pub(crate) unsafe trait Sums: Tile {
    /// Tiles whose sums fill the registers, six or four.
    const TILES: usize;
    /// Values of the depth in a group of the weights as they are packed for the direct convolution, two or four.
    const PACKED: usize;
    /// No sums yet.
    unsafe fn zero() -> Self::V;
    /// LANES sums.
    unsafe fn load(p: *const i32) -> Self::V;
    unsafe fn put(v: Self::V, p: *mut i32);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// Times four.
    unsafe fn quadruple(v: Self::V) -> Self::V;
    /// What is 576 times a sum, modulo 2³², divided by it.
    unsafe fn unscaled(v: Self::V) -> Self::V;
    /// Products of `MR` tiles, whose inputs lie `px` bytes apart, with so many pairs of channels.
    #[inline(always)]
    unsafe fn products<const MR: usize, const NV: usize>(
        inputs: *const u8,
        px: usize,
        groups: usize,
        weights: *const u8,
    ) -> [[Self::V; NV]; MR]
    where
        Self: Sized,
    {
        // SAFETY: passed on.
        unsafe {
            let mut sums = [[Self::zero(); NV]; MR];
            Self::depth(&mut sums, &[inputs], groups, px, weights);
            sums
        }
    }
}

/// Four rows; activations are signed, or have their sign bit flipped.
///
/// # Safety
/// As [`Strip`](crate::cpu::conv::winograd_4x4::Strip), with weights packed for panels of at most two vectors of eight lanes; `T`
/// is a tile of such vectors.
#[inline(always)]
pub(crate) unsafe fn strip<T: Sums, const SIGNED: bool>(args: &mut StripArgs<'_, '_>) {
    let (channels, out_channels) = (args.weights.in_channels, args.weights.out_channels);
    assert!(size_of_val(args.scratch) >= scratch_bytes(channels), "the working memory is there");
    let (store, requant) = (args.store, args.requant);
    let px_out = out_channels * store.size_bytes();
    let mut rows = [core::ptr::null_mut(); TILE];
    for (row, out) in rows.iter_mut().zip(args.out.iter_mut()) {
        *row = out.as_mut_ptr();
    }
    let rows = &rows[..args.out.len()];
    let mut post_ops = [None; TILE];
    for (to, post_ops) in post_ops.iter_mut().zip(args.post_ops.iter_mut()) {
        *to = Some(PostOpsAt::new(post_ops));
    }
    // The last tile ends with the row; what it has in common with the one before is computed twice.
    let last = args.pixels - TILE;
    let tiles = args.pixels.div_ceil(TILE);
    // Passes of about the same size.
    let most = tiles_at_once(channels);
    let at_once = tiles.div_ceil(tiles.div_ceil(most)).next_multiple_of(4).min(most);
    // SAFETY: parts of the working memory, which was found large enough.
    let (weights, inputs, sums) = unsafe {
        let weights: *mut i16 = args.scratch.as_mut_ptr().cast();
        let inputs = weights.add(PLACES * weight_stride(channels));
        (weights, inputs, inputs.add(PLACES * input_stride(channels)).cast::<i32>())
    };
    let mut first = 0;
    while first < tiles {
        let count = at_once.min(tiles - first);
        let start = |t: usize| (TILE * (first + t)).min(last);
        // SAFETY: `winograd_4x4::strip` checked that the taps hold `pixels + 2` pixels, of which a tile that starts at `last`
        // reads the last six; that channels are whole vectors and few enough; that weights, initial sums and multipliers are
        // there for all lanes; and that output rows hold `pixels` pixels.
        unsafe {
            for t in 0..count {
                for c in (0..channels).step_by(CHANNELS) {
                    let taps = args.taps.map(|tap| tap.as_ptr().add(start(t) * channels + c));
                    transform::<SIGNED>(taps, channels, inputs.add(t * channels + c), input_stride(channels));
                }
            }
            for panel in &args.packed.panels {
                let packed = args.packed.weights.as_ptr().cast::<u8>().add(panel.offset);
                let to = Destination {
                    mult: requant.mult.as_ptr().add(panel.first),
                    offset: core::ptr::null(),
                    products: requant.products,
                    store: &store,
                    out: core::ptr::null_mut(),
                    px_bytes: px_out,
                    lanes: (out_channels - panel.first).min(panel.nv * T::LANES),
                };
                transform_weights::<T>(packed, (channels, panel.nv), weights, weight_stride(channels));
                let bias = requant.bias.as_ptr().add(4 * panel.first);
                let all = Pass { inputs, weights, sums, bias, channels, to, rows, post_ops: &post_ops };
                let place = |t: usize| start(t) * out_channels + panel.first;
                if panel.nv == 1 {
                    all.run::<T, 1>(count, place);
                } else {
                    all.run::<T, 2>(count, place);
                }
            }
        }
        first += count;
    }
}

/// What the tiles of a pass have in common.
struct Pass<'a> {
    inputs: *const i16,
    weights: *const i16,
    sums: *mut i32,
    bias: *const u8,
    channels: usize,
    to: Destination<'a>,
    rows: &'a [*mut u8],
    post_ops: &'a [Option<PostOpsAt>; TILE],
}

impl Pass<'_> {
    /// Products of so many tiles and what follows; `place` is the first value of a tile in the output rows.
    ///
    /// # Safety
    /// As [`strip`].
    #[inline(always)]
    unsafe fn run<T: Sums, const NV: usize>(&self, count: usize, place: impl Fn(usize) -> usize) {
        let (px, channels) = (NV * T::LANES, self.channels);
        let mut first = 0;
        while first < count {
            let tiles = GROUP.min(count - first);
            // SAFETY: as promised by the caller; the sums of a group fit.
            unsafe {
                for p in 0..PLACES {
                    let inputs = self.inputs.add(p * input_stride(channels) + first * channels);
                    let weights = self.weights.add(p * weight_stride(channels));
                    let sums = self.sums.add(p * SUM_STRIDE);
                    let mut t = 0;
                    while t + T::TILES <= tiles {
                        self.multiply::<T, NV>(T::TILES, inputs.add(t * channels), weights, sums.add(t * px));
                        t += T::TILES;
                    }
                    while t < tiles {
                        let n = if t + 4 <= tiles { 4 } else { 1 + usize::from(t + 2 <= tiles) };
                        self.multiply::<T, NV>(n, inputs.add(t * channels), weights, sums.add(t * px));
                        t += n;
                    }
                }
                for t in 0..tiles {
                    self.finish::<T, NV>(self.sums.add(t * px), place(first + t));
                }
            }
            first += tiles;
        }
    }

    /// Products of one, two, four or six tiles at a place.
    ///
    /// # Safety
    /// As [`strip`].
    #[inline(always)]
    unsafe fn multiply<T: Sums, const NV: usize>(
        &self,
        tiles: usize,
        inputs: *const i16,
        weights: *const i16,
        to: *mut i32,
    ) {
        // SAFETY: as promised by the caller.
        unsafe {
            match tiles {
                6 if T::TILES == 6 => self.multiply_by::<T, 6, NV>(inputs, weights, to),
                4 => self.multiply_by::<T, 4, NV>(inputs, weights, to),
                2 => self.multiply_by::<T, 2, NV>(inputs, weights, to),
                _ => self.multiply_by::<T, 1, NV>(inputs, weights, to),
            }
        }
    }

    /// Products of `MR` tiles at a place.
    ///
    /// # Safety
    /// As [`strip`].
    #[inline(always)]
    unsafe fn multiply_by<T: Sums, const MR: usize, const NV: usize>(
        &self,
        inputs: *const i16,
        weights: *const i16,
        to: *mut i32,
    ) {
        // SAFETY: as promised by the caller.
        unsafe {
            let (px, groups) = (2 * self.channels, self.channels / 2);
            let sums = T::products::<MR, NV>(inputs.cast(), px, groups, weights.cast());
            for (m, sums) in sums.iter().enumerate() {
                for (n, &sum) in sums.iter().enumerate() {
                    T::put(sum, to.add((m * NV + n) * T::LANES));
                }
            }
        }
    }

    /// `Aᵀ m A` of a tile, divided by the scale, with the initial sums, to four rows of four pixels.
    ///
    /// # Safety
    /// As [`strip`].
    #[inline(always)]
    #[expect(clippy::needless_range_loop, reason = "columns become rows")]
    unsafe fn finish<T: Sums, const NV: usize>(&self, sums: *const i32, at: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            let zero = T::zero();
            let mut columns = [[[zero; PATCH]; NV]; TILE];
            for n in 0..NV {
                for x in 0..PATCH {
                    let column = core::array::from_fn(|y| {
                        T::load(sums.add((y * PATCH + x) * SUM_STRIDE + n * T::LANES))
                    });
                    let column = back::<T>(column);
                    for y in 0..TILE {
                        columns[y][n][x] = column[y];
                    }
                }
            }
            for (y, (&row, post_ops)) in self.rows.iter().zip(self.post_ops).enumerate() {
                let mut pixels = [[zero; NV]; TILE];
                for n in 0..NV {
                    let bias = T::bias(self.bias.add(4 * n * T::LANES));
                    let values = back::<T>(columns[y][n]);
                    for x in 0..TILE {
                        pixels[x][n] = T::add(bias, T::unscaled(values[x]));
                    }
                }
                let to = Destination { out: row.add(at * self.to.store.size_bytes()), ..self.to };
                if T::POST_OPS
                    && let Some(post_ops) = post_ops
                {
                    T::store_post_ops(&pixels, &to, &post_ops.after(at));
                } else {
                    T::store_tile(&pixels, &to);
                }
            }
        }
    }
}

/// `Aᵀ m` for a line of six, for the scaled transformation of the weights.
///
/// # Safety
/// The processor has the instruction set.
#[inline(always)]
unsafe fn back<T: Sums>(m: [T::V; PATCH]) -> [T::V; TILE] {
    // SAFETY: as promised by the caller.
    unsafe {
        let (p, q) = (T::add(m[1], m[2]), T::sub(m[1], m[2]));
        let (r, s) = (T::add(m[3], m[4]), T::sub(m[3], m[4]));
        let twice = T::add(s, s);
        [
            T::add(T::add(m[0], p), r),
            T::add(q, twice),
            T::add(p, T::quadruple(r)),
            T::add(q, T::quadruple(T::add(twice, m[5]))),
        ]
    }
}

/// `Bᵀ d B` for 16 channels of a tile: 6x6 pixels to 36 places, `stride` values apart.
///
/// # Safety
/// Reads 16 bytes of each of six pixels, `px` bytes apart, of each tap; writes 16 values for each place. The processor has AVX2.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "columns become rows")]
unsafe fn transform<const SIGNED: bool>(taps: [*const u8; PATCH], px: usize, to: *mut i16, stride: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let zero = _mm256_setzero_si256();
        let mut rows = [[zero; PATCH]; PATCH];
        for x in 0..PATCH {
            let mut column = [zero; PATCH];
            for (value, tap) in column.iter_mut().zip(taps) {
                let bytes = _mm_loadu_si128(tap.add(x * px).cast());
                *value = if SIGNED { _mm256_cvtepi8_epi16(bytes) } else { _mm256_cvtepu8_epi16(bytes) };
            }
            let column = line(column);
            for y in 0..PATCH {
                rows[y][x] = column[y];
            }
        }
        for (y, row) in rows.iter().enumerate() {
            for (x, &value) in line(*row).iter().enumerate() {
                _mm256_storeu_si256(to.add((y * PATCH + x) * stride).cast(), value);
            }
        }
    }
}

/// `Bᵀ d` for a line of six.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn line(d: [__m256i; PATCH]) -> [__m256i; PATCH] {
    // SAFETY: as promised by the caller.
    unsafe {
        let even = _mm256_sub_epi16(d[4], _mm256_slli_epi16::<2>(d[2]));
        let odd = _mm256_sub_epi16(d[3], _mm256_slli_epi16::<2>(d[1]));
        let near = _mm256_sub_epi16(d[4], d[2]);
        let half = _mm256_sub_epi16(d[3], d[1]);
        let far = _mm256_add_epi16(half, half);
        [
            _mm256_add_epi16(_mm256_slli_epi16::<2>(_mm256_sub_epi16(d[0], d[2])), near),
            _mm256_add_epi16(even, odd),
            _mm256_sub_epi16(even, odd),
            _mm256_add_epi16(near, far),
            _mm256_sub_epi16(near, far),
            _mm256_sub_epi16(_mm256_sub_epi16(d[5], d[3]), _mm256_add_epi16(far, far)),
        ]
    }
}

/// `G g Gᵀ` of a panel, from weights in the order of the direct convolution.
///
/// # Safety
/// Reads nine times `channels · nv · 8` bytes and writes, `stride` values apart, 36 times as many values. The processor has AVX2.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "a tap of two vectors")]
unsafe fn transform_weights<T: Sums>(
    packed: *const u8,
    (channels, nv): (usize, usize),
    to: *mut i16,
    stride: usize,
) {
    let tap = channels * nv * 8;
    for i in 0..tap / 32 {
        // SAFETY: as promised by the caller.
        unsafe {
            let zero = _mm256_setzero_si256();
            let mut taps = [[zero; 9]; 2];
            for t in 0..9 {
                let bytes = _mm256_loadu_si256(packed.add(t * tap + 32 * i).cast());
                let bytes = if T::PACKED == 4 { pairs_apart(bytes) } else { bytes };
                taps[0][t] = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(bytes));
                taps[1][t] = _mm256_cvtepi8_epi16(_mm256_extracti128_si256::<1>(bytes));
            }
            // Where the two vectors of 16 values go.
            let places = if T::PACKED == 4 {
                let first = i / nv * 2 * nv + i % nv;
                [first, first + nv]
            } else {
                [2 * i, 2 * i + 1]
            };
            for (taps, place) in taps.iter().zip(places) {
                transform_taps(taps, to.add(16 * place), stride);
            }
        }
    }
}

/// Of eight lanes with two pairs each the first pairs, then the second.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn pairs_apart(bytes: __m256i) -> __m256i {
    // SAFETY: as promised by the caller.
    unsafe {
        let half = _mm256_setr_epi8(
            0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10,
            11, 14, 15,
        );
        _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_shuffle_epi8(bytes, half))
    }
}

/// `G g Gᵀ` of 16 kernels, with the factors of [`winograd_4x4`](crate::cpu::conv::winograd_4x4).
///
/// # Safety
/// Writes 16 values for each place, `stride` values apart. The processor has AVX2.
#[inline(always)]
unsafe fn transform_taps(taps: &[__m256i; 9], to: *mut i16, stride: usize) {
    // SAFETY: as promised by the caller.
    unsafe {
        let zero = _mm256_setzero_si256();
        let mut rows = [[zero; 3]; PATCH];
        for x in 0..3 {
            let column = spread([taps[x], taps[3 + x], taps[6 + x]]);
            for y in 0..PATCH {
                rows[y][x] = column[y];
            }
        }
        for (y, &row) in rows.iter().enumerate() {
            for (x, &value) in spread(row).iter().enumerate() {
                _mm256_storeu_si256(to.add((y * PATCH + x) * stride).cast(), value);
            }
        }
    }
}

/// `G g` for a line of three.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn spread([a, b, c]: [__m256i; 3]) -> [__m256i; PATCH] {
    // SAFETY: as promised by the caller.
    unsafe {
        let (six, minus_four) = (_mm256_set1_epi16(6), _mm256_set1_epi16(-4));
        let ends = _mm256_add_epi16(a, c);
        let far = _mm256_add_epi16(a, _mm256_slli_epi16::<2>(c));
        let twice = _mm256_add_epi16(b, b);
        [
            _mm256_mullo_epi16(a, six),
            _mm256_mullo_epi16(_mm256_add_epi16(ends, b), minus_four),
            _mm256_mullo_epi16(_mm256_sub_epi16(ends, b), minus_four),
            _mm256_add_epi16(far, twice),
            _mm256_sub_epi16(far, twice),
            _mm256_mullo_epi16(c, six),
        ]
    }
}
