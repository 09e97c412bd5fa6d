//! `weight[c] · x + bias[c]`: the mean shift and range of published checkpoints.

use crate::cpu::codec::{CHUNK, Codec};
use crate::cpu::steps::step::{Dtypes, Pointwise};
use crate::program::Affine;
use alloc::sync::Arc;

/// `round(q · weight[c]·si/so + bias[c]/so)`.
pub(crate) struct AffineStep {
    from: Codec,
    to: Codec,
    numbers: Arc<Affine>,
}

impl AffineStep {
    pub fn new(numbers: Arc<Affine>, dtypes: Dtypes) -> Self {
        let (from, to) = dtypes.codecs();
        Self { from, to, numbers }
    }
}

impl Pointwise for AffineStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        let AffineStep { from, to, numbers } = self;
        let Affine { factors, offsets } = &**numbers;
        let channels = factors.len();
        let total = out.len() / to.size_bytes();
        let mut x = [0.0; CHUNK];
        for pixel in (0..total).step_by(channels) {
            for first in (0..channels).step_by(CHUNK) {
                let n = CHUNK.min(channels - first);
                let (factors, offsets) = (&factors[first..first + n], &offsets[first..first + n]);
                from.load(input, pixel + first, &mut x[..n]);
                for ((x, f), o) in x[..n].iter_mut().zip(factors).zip(offsets) {
                    *x = *x * f + o;
                }
                to.store(&x[..n], out, pixel + first);
            }
        }
    }
}
