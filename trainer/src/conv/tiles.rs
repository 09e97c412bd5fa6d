//! What stays in registers: tiles of the direct convolution and of its weight gradient, for every width of vectors.

use pulp::{Simd, WithSimd};

/// Output channels that are computed together.
pub const BLOCK: usize = 8;
/// The same where a block has no more.
pub const NARROW: usize = 4;
/// Taps of a tile of the weight gradient: a row of the usual kernel.
pub const TAPS: usize = 3;
/// Floats by which the length of a plane is divided without a rest: the longest vector.
pub const SPAN: usize = LANES;
/// Floats of the longest vector.
pub const LANES: usize = 16;
/// Vectors of each channel that the weight gradient reads before it goes on to the next taps. Those of 8
/// channels then stay in 48 KB of level-1 cache.
const CHUNK: usize = 72;

/// One block of output channels over a whole plane.
pub struct Forward<'a> {
    /// Padded planes.
    pub x: &'a [f32],
    /// Of the taps.
    pub distances: &'a [usize],
    /// Of the taps, by channel.
    pub weights: &'a [[f32; BLOCK]],
    /// Channels, [`NARROW`] or [`BLOCK`].
    pub rows: usize,
    /// `[rows, span]`
    pub y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.rows {
            NARROW => self.rows::<S, NARROW>(simd),
            _ => self.rows::<S, BLOCK>(simd),
        }
    }
}

impl Forward<'_> {
    /// Registers decide how many vectors a tile is wide: AVX-512 has 32 of them, the others half as many.
    #[inline(always)]
    fn rows<S: Simd, const C: usize>(mut self, simd: S) {
        let vectors = self.y.len() / C / S::F32_LANES;
        let whole = |width: usize| vectors / width * width;
        if S::F32_LANES == 16 {
            self.run::<S, C, 3>(simd, 0, whole(3));
            self.run::<S, C, 2>(simd, whole(3), vectors - vectors % 3 % 2);
            self.run::<S, C, 1>(simd, vectors - vectors % 3 % 2, vectors);
        } else if C == NARROW {
            self.run::<S, C, 2>(simd, 0, whole(2));
            self.run::<S, C, 1>(simd, whole(2), vectors);
        } else {
            self.run::<S, C, 1>(simd, 0, vectors);
        }
    }

    /// The vectors `from..to`, `V` at a time.
    #[inline(always)]
    fn run<S: Simd, const C: usize, const V: usize>(&mut self, simd: S, from: usize, to: usize) {
        let (width, span) = (V * S::F32_LANES, self.y.len() / C);
        for at in (from * S::F32_LANES..to * S::F32_LANES).step_by(width) {
            let mut sums = [[simd.splat_f32s(0.0); V]; C];
            for (distance, weights) in self.distances.iter().zip(self.weights) {
                let x = vectors::<S, V>(&self.x[at + distance..at + distance + width]);
                for (sums, &weight) in sums.iter_mut().zip(weights) {
                    let weight = simd.splat_f32s(weight);
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum = simd.mul_add_e_f32s(weight, x, *sum);
                    }
                }
            }
            for (c, sums) in sums.iter().enumerate() {
                let y = &mut self.y[c * span + at..c * span + at + width];
                S::as_mut_simd_f32s(y).0.copy_from_slice(sums);
            }
        }
    }
}

/// Adds an image to the weight gradient of up to one block of output channels, all taps. Positions are summed in
/// the lanes of vectors, which [`Reduce`] adds up when the last image is done.
pub struct WeightGradient<'a> {
    /// Padded planes.
    pub x: &'a [f32],
    /// `[≤ BLOCK, plane]`
    pub dy: &'a [f32],
    /// Length of a plane.
    pub plane: usize,
    /// Place of the first position in a plane of `dy`.
    pub first: usize,
    /// Positions.
    pub span: usize,
    /// Of the taps.
    pub distances: &'a [usize],
    /// `[group of taps, channel, TAPS, LANES]`; shorter vectors leave the rest unused.
    pub sums: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let channels = self.dy.len() / self.plane;
        let mut done = 0;
        // 8 channels x 3 taps fit into 32 registers, 4 x 3 into 16.
        if S::F32_LANES == 16 && channels == BLOCK {
            return self.run::<S, BLOCK>(simd, 0);
        }
        while done < channels {
            match channels - done {
                1 => self.run::<S, 1>(simd, done),
                2 => self.run::<S, 2>(simd, done),
                3 => self.run::<S, 3>(simd, done),
                _ => self.run::<S, 4>(simd, done),
            }
            done += 4;
        }
    }
}

impl WeightGradient<'_> {
    /// `C` channels from `first` on.
    #[inline(always)]
    fn run<S: Simd, const C: usize>(&mut self, simd: S, first: usize) {
        let (lanes, taps, span) = (S::F32_LANES, self.distances.len(), self.span);
        let channels = self.dy.len() / self.plane;
        let planes: [&[S::f32s]; C] = std::array::from_fn(|c| {
            let from = (first + c) * self.plane + self.first;
            S::as_simd_f32s(&self.dy[from..from + span]).0
        });
        let all = span / lanes;
        let chunk = all.div_ceil(all.div_ceil(CHUNK));
        for start in (0..all).step_by(chunk) {
            let n = chunk.min(all - start);
            let dy = planes.map(|plane| &plane[start..start + n]);
            for (group, sums) in self.sums.chunks_exact_mut(channels * TAPS * LANES).enumerate() {
                // The last group repeats its last tap; the repeated sums are dropped.
                let x = std::array::from_fn(|k| {
                    let distance = self.distances[(group * TAPS + k).min(taps - 1)];
                    let from = start * lanes + distance;
                    S::as_simd_f32s(&self.x[from..from + n * lanes]).0
                });
                let sums = &mut sums[first * TAPS * LANES..(first + C) * TAPS * LANES];
                let place = |c: usize, k: usize| (c * TAPS + k) * LANES;
                let vector = |at: usize| S::as_simd_f32s(&sums[at..at + lanes]).0[0];
                let before = std::array::from_fn(|c| std::array::from_fn(|k| vector(place(c, k))));
                let after = products::<S, C>(simd, dy, x, before);
                for (c, row) in after.iter().enumerate() {
                    for (k, &sum) in row.iter().enumerate() {
                        S::as_mut_simd_f32s(&mut sums[place(c, k)..place(c, k) + lanes]).0[0] = sum;
                    }
                }
            }
        }
    }
}

/// `sums[c][k] + Σ dy[c]·x[k]`, lane by lane. All slices have one length.
#[inline(always)]
fn products<S: Simd, const C: usize>(
    simd: S,
    dy: [&[S::f32s]; C],
    x: [&[S::f32s]; TAPS],
    mut sums: [[S::f32s; TAPS]; C],
) -> [[S::f32s; TAPS]; C] {
    let n = x[0].len();
    let (dy, x) = (dy.map(|dy| &dy[..n]), x.map(|x| &x[..n]));
    for p in 0..n {
        let x = [x[0][p], x[1][p], x[2][p]];
        for c in 0..C {
            let dy = dy[c][p];
            for k in 0..TAPS {
                sums[c][k] = simd.mul_add_e_f32s(dy, x[k], sums[c][k]);
            }
        }
    }
    sums
}

/// Adds up the lanes.
pub struct Reduce<'a> {
    /// As [`WeightGradient`] leaves them.
    pub sums: &'a [f32],
    /// Taps.
    pub taps: usize,
    /// `[≤ BLOCK, taps]`
    pub dw: &'a mut [f32],
}

impl WithSimd for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.dw.len() / self.taps;
        for (c, row) in self.dw.chunks_exact_mut(self.taps).enumerate() {
            for (tap, w) in row.iter_mut().enumerate() {
                let at = ((tap / TAPS * channels + c) * TAPS + tap % TAPS) * LANES;
                *w = simd.reduce_sum_f32s(S::as_simd_f32s(&self.sums[at..at + S::F32_LANES]).0[0]);
            }
        }
    }
}

#[inline(always)]
fn vectors<S: Simd, const V: usize>(x: &[f32]) -> &[S::f32s; V] {
    S::as_simd_f32s(x).0.first_chunk().expect("the slice holds V vectors")
}
