//! `x` where positive, `slope[c] · x` elsewhere.
//!
//! One multiplication for each value, whatever its sign: the factor is chosen, not the product, so that it vectorizes. A float
//! that is not positive, and one that is no number, has the channel's factor.

use crate::arithmetic::stored_byte;
use crate::cpu::codec::{CHUNK, Codec};
use crate::cpu::steps::step::{Dtypes, Pointwise};
use crate::program::PRelu;
use alloc::sync::Arc;

/// `round(q · (q > 0 ? si/so : slope[c]·si/so))`.
pub(crate) struct PReluStep {
    from: Codec,
    to: Codec,
    numbers: Arc<PRelu>,
}

impl PReluStep {
    pub fn new(numbers: Arc<PRelu>, dtypes: Dtypes) -> Self {
        let (from, to) = dtypes.codecs();
        Self { from, to, numbers }
    }
}

/// From 16 to 8 bits, which is what follows a convolution: one loop over a pixel's channels, 2.5 times as fast as three.
#[inline(always)]
fn short_to_byte(input: &[i16], out: &mut [u8], numbers: &PRelu, to: Codec) {
    let Codec::I8 { zero_point, xor } = to else { unreachable!("the caller asked for 8 bits") };
    let (limits, positive) = (to.limits(), numbers.positive);
    let channels = numbers.negative.len();
    for (pixel, out) in input.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        for ((out, &x), &negative) in out.iter_mut().zip(pixel).zip(&numbers.negative) {
            let x = f32::from(x);
            let factor = if x > 0.0 { positive } else { negative };
            *out = stored_byte(x * factor, limits, zero_point, xor);
        }
    }
}

impl Pointwise for PReluStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        let PReluStep { from, to, numbers } = self;
        if let (Codec::I16, Codec::I8 { .. }) = (from, to) {
            return short_to_byte(bytemuck::cast_slice(input), out, numbers, *to);
        }
        let PRelu { positive, negative } = &**numbers;
        let (channels, positive) = (negative.len(), *positive);
        let total = out.len() / to.size_bytes();
        let mut x = [0.0; CHUNK];
        for pixel in (0..total).step_by(channels) {
            for first in (0..channels).step_by(CHUNK) {
                let n = CHUNK.min(channels - first);
                from.load(input, pixel + first, &mut x[..n]);
                for (x, &negative) in x[..n].iter_mut().zip(&negative[first..first + n]) {
                    *x *= if *x > 0.0 { positive } else { negative };
                }
                to.store(&x[..n], out, pixel + first);
            }
        }
    }
}
