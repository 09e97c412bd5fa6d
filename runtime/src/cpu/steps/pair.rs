//! What operators of two edges have in common: a value of each, one of the result, row by row.

use crate::cpu::codec::{CHUNK, Codec, chunks};
use crate::cpu::kernels::Elementwise;

/// A row of two edges, and of the one that is made of them.
pub(crate) struct Pair<'a, F> {
    pub codecs: [Codec; 2],
    pub to: Codec,
    pub rows: [&'a [u8]; 2],
    pub out: &'a mut [u8],
    /// The result of two values. Inlined, to be compiled for every instruction set.
    pub of: F,
}

impl<F: Fn(f32, f32) -> f32> Elementwise for Pair<'_, F> {
    #[inline(always)]
    fn run(self) {
        let Pair { codecs, to, rows, out, of } = self;
        let (mut x, mut y) = ([0.0; CHUNK], [0.0; CHUNK]);
        chunks(out.len() / to.size_bytes(), |at, n| {
            codecs[0].load(rows[0], at, &mut x[..n]);
            codecs[1].load(rows[1], at, &mut y[..n]);
            for (x, y) in x[..n].iter_mut().zip(&y[..n]) {
                *x = of(*x, *y);
            }
            to.store(&x[..n], out, at);
        });
    }
}
