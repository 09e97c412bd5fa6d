//! The attention of one head, window after window, for every width of vectors.
//!
//! A window's matrices of scores lie transposed, a row for each key, with the queries in the lanes of vectors: then
//! softmax needs no sum across lanes. Every product is one small matrix times one with rows of queries, by [`product`].

use crate::exp::exp;
use pulp::{Simd, WithSimd};

/// The inputs of a head in one image. Planes are `[depth, pixels]`.
pub struct Head<'a> {
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    /// `[keys, queries]`
    pub bias: &'a [f32],
    /// Place of each pixel, window by window.
    pub places: &'a [usize],
    /// Side of the seams of each pixel, in the same order; empty if there are none.
    pub sides: &'a [u8],
    /// Added to the scores of pixels from different sides.
    pub masked: f32,
    /// Factor of the scores.
    pub scale: f32,
    /// Pixels of a window, a multiple of two vectors.
    pub area: usize,
    /// Channels.
    pub depth: usize,
}

impl Head<'_> {
    /// Copies a window's pixels together, `[depth, area]`.
    #[inline(always)]
    fn gather(&self, planes: &[f32], places: &[usize], factor: f32, to: &mut [f32]) {
        let pixels = planes.len() / self.depth;
        for (plane, to) in planes.chunks_exact(pixels).zip(to.chunks_exact_mut(self.area)) {
            to.iter_mut().zip(places).for_each(|(to, &place)| *to = plane[place] * factor);
        }
    }

    /// The opposite of [`Head::gather`].
    #[inline(always)]
    fn scatter(&self, from: &[f32], places: &[usize], factor: f32, planes: &mut [f32]) {
        let pixels = planes.len() / self.depth;
        for (plane, from) in planes.chunks_exact_mut(pixels).zip(from.chunks_exact(self.area)) {
            from.iter().zip(places).for_each(|(from, &place)| plane[place] = from * factor);
        }
    }

    /// The softmax over keys, `[keys, queries]`. `q` comes with the factor of the scores.
    #[inline(always)]
    fn probabilities<S: Simd>(&self, simd: S, q: &[f32], k: &[f32], sides: &[u8], p: &mut [f32]) {
        let area = self.area;
        product(simd, k, (1, area), q, area, p);
        let mut most = vec![f32::NEG_INFINITY; area];
        for (key, (row, bias)) in p.chunks_exact_mut(area).zip(self.bias.chunks_exact(area)).enumerate() {
            row.iter_mut().zip(bias).for_each(|(s, bias)| *s += bias);
            if let Some(&side) = sides.get(key) {
                let masked = self.masked;
                row.iter_mut()
                    .zip(sides)
                    .for_each(|(s, &other)| *s += if other == side { 0.0 } else { masked });
            }
            most.iter_mut().zip(&*row).for_each(|(m, &s)| *m = if s > *m { s } else { *m });
        }
        let mut sums = vec![0.0; area];
        for row in p.chunks_exact_mut(area) {
            for ((s, m), sum) in row.iter_mut().zip(&most).zip(&mut sums) {
                *s = exp(*s - m);
                *sum += *s;
            }
        }
        sums.iter_mut().for_each(|sum| *sum = 1.0 / *sum);
        for row in p.chunks_exact_mut(area) {
            row.iter_mut().zip(&sums).for_each(|(s, by)| *s *= by);
        }
    }

    /// Sides of the pixels of a window; empty if they are all the same.
    #[inline(always)]
    fn sides_of(&self, window: usize) -> &[u8] {
        let sides = self.sides.get(window * self.area..(window + 1) * self.area).unwrap_or_default();
        if sides.iter().all(|side| Some(side) == sides.first()) { &[] } else { sides }
    }
}

/// The output of a head.
pub struct Forward<'a> {
    pub head: Head<'a>,
    pub y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, y } = self;
        let n = head.depth * head.area;
        let [mut q, mut k, mut v, mut out] = [(); 4].map(|()| vec![0.0; n]);
        let mut p = vec![0.0; head.area * head.area];
        for (window, places) in head.places.chunks_exact(head.area).enumerate() {
            head.gather(head.q, places, head.scale, &mut q);
            head.gather(head.k, places, 1.0, &mut k);
            head.gather(head.v, places, 1.0, &mut v);
            head.probabilities(simd, &q, &k, head.sides_of(window), &mut p);
            product(simd, &v, (head.area, 1), &p, head.area, &mut out);
            head.scatter(&out, places, 1.0, y);
        }
    }
}

/// The gradients of a head.
pub struct Backward<'a> {
    pub head: Head<'a>,
    /// Gradient of the output.
    pub dy: &'a [f32],
    pub dq: &'a mut [f32],
    pub dk: &'a mut [f32],
    pub dv: &'a mut [f32],
    /// Gradient of the bias, added to.
    pub bias: &'a mut [f32],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, dy, dq, dk, dv, bias } = self;
        let (area, n) = (head.area, head.depth * head.area);
        let [mut q, mut k, mut v, mut g, mut out] = [(); 5].map(|()| vec![0.0; n]);
        let [mut p, mut ds, mut turned] = [(); 3].map(|()| vec![0.0; area * area]);
        for (window, places) in head.places.chunks_exact(area).enumerate() {
            head.gather(head.q, places, head.scale, &mut q);
            head.gather(head.k, places, 1.0, &mut k);
            head.gather(head.v, places, 1.0, &mut v);
            head.gather(dy, places, 1.0, &mut g);
            head.probabilities(simd, &q, &k, head.sides_of(window), &mut p);
            transpose(&p, area, &mut turned);
            product(simd, &g, (area, 1), &turned, area, &mut out);
            head.scatter(&out, places, 1.0, dv);
            // Through the softmax: ds = p·(dp − Σ_keys p·dp).
            product(simd, &v, (1, area), &g, area, &mut ds);
            let mut sums = vec![0.0; area];
            for (p, dp) in p.chunks_exact(area).zip(ds.chunks_exact(area)) {
                sums.iter_mut().zip(p.iter().zip(dp)).for_each(|(sum, (p, dp))| *sum += p * dp);
            }
            for ((p, ds), bias) in
                p.chunks_exact(area).zip(ds.chunks_exact_mut(area)).zip(bias.chunks_exact_mut(area))
            {
                for (((p, ds), sum), bias) in p.iter().zip(ds).zip(&sums).zip(bias) {
                    *ds = p * (*ds - sum);
                    *bias += *ds;
                }
            }
            product(simd, &k, (area, 1), &ds, area, &mut out);
            head.scatter(&out, places, head.scale, dq);
            transpose(&ds, area, &mut turned);
            product(simd, &q, (area, 1), &turned, area, &mut out);
            head.scatter(&out, places, 1.0, dk);
        }
    }
}

/// `out[r, i] = Σ_m a[r, m]·b[m, i]`; rows of `b` and `out` have length `area`, `a[r, m]` lies at
/// `r·strides.0 + m·strides.1`.
#[inline(always)]
fn product<S: Simd>(simd: S, a: &[f32], strides: (usize, usize), b: &[f32], area: usize, out: &mut [f32]) {
    let rows = out.len() / area;
    let mut row = 0;
    while row < rows {
        let a = &a[row * strides.0..];
        let rest = rows - row;
        let out = &mut out[row * area..];
        row += match rest {
            4.. => block::<S, 4>(simd, a, strides, b, area, out),
            3 => block::<S, 3>(simd, a, strides, b, area, out),
            2 => block::<S, 2>(simd, a, strides, b, area, out),
            _ => block::<S, 1>(simd, a, strides, b, area, out),
        };
    }
}

/// `R` rows of [`product`]; returns `R`.
#[inline(always)]
fn block<S: Simd, const R: usize>(
    simd: S,
    a: &[f32],
    (stride, step): (usize, usize),
    b: &[f32],
    area: usize,
    out: &mut [f32],
) -> usize {
    let width = 2 * S::F32_LANES;
    for at in (0..area).step_by(width) {
        let mut sums = [[simd.splat_f32s(0.0); 2]; R];
        for (m, b) in b.chunks_exact(area).enumerate() {
            let b: &[S::f32s; 2] = two::<S>(&b[at..at + width]);
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = simd.splat_f32s(a[r * stride + m * step]);
                for (sum, &b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_e_f32s(a, b, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let out = &mut out[r * area + at..r * area + at + width];
            S::as_mut_simd_f32s(out).0.copy_from_slice(sums);
        }
    }
    R
}

#[inline(always)]
fn two<S: Simd>(x: &[f32]) -> &[S::f32s; 2] {
    S::as_simd_f32s(x).0.first_chunk().expect("the slice holds two vectors")
}

#[inline(always)]
fn transpose(from: &[f32], area: usize, to: &mut [f32]) {
    for (i, to) in to.chunks_exact_mut(area).enumerate() {
        to.iter_mut().zip(from[i..].iter().step_by(area)).for_each(|(to, from)| *to = *from);
    }
}
