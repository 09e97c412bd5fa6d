//! Change of dtype: quantize, dequantize or requantize.

use crate::cpu::codec::{CHUNK, Codec, chunks};
use crate::cpu::steps::step::{Dtypes, Pointwise};

/// `round(q · si/so)`.
pub(crate) struct ConvertStep {
    from: Codec,
    to: Codec,
    factor: f32,
}

impl ConvertStep {
    pub fn new(factor: f32, dtypes: Dtypes) -> Self {
        let (from, to) = dtypes.codecs();
        Self { from, to, factor }
    }
}

impl Pointwise for ConvertStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        let ConvertStep { from, to, factor } = *self;
        let mut x = [0.0; CHUNK];
        chunks(out.len() / to.size_bytes(), |at, n| {
            from.load(input, at, &mut x[..n]);
            x[..n].iter_mut().for_each(|x| *x *= factor);
            to.store(&x[..n], out, at);
        });
    }
}
