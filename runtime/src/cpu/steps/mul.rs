//! Product of two edges, value by value.

use crate::cpu::codec::{CHUNK, Codec, chunks};
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::program::Mul;

/// `round((qa · qb) · sa·sb/so)`, the `q` without their zero points.
pub(crate) struct MulStep {
    codecs: [Codec; 2],
    factor: f32,
    out: Codec,
}

impl MulStep {
    pub fn new(mul: Mul, dtypes: Dtypes) -> Self {
        Self {
            codecs: dtypes.from.map(|dtype| dtypes.codec(dtype)),
            factor: mul.factor,
            out: dtypes.codec(dtypes.to),
        }
    }
}

impl Step for MulStep {
    fn run(&self, io: &mut Io<'_>) {
        let cols = io.out.cols();
        for y in io.rows.clone() {
            let [a, b] = io.inputs.map(|ring| ring.pixels(y, cols.clone()));
            io.cpu.run(Row { step: self, a, b, out: io.out.row_mut(y) });
        }
    }
}

struct Row<'a> {
    step: &'a MulStep,
    a: &'a [u8],
    b: &'a [u8],
    out: &'a mut [u8],
}

impl Elementwise for Row<'_> {
    #[inline(always)]
    fn run(self) {
        let MulStep { codecs, factor, out } = *self.step;
        let (mut x, mut y) = ([0.0; CHUNK], [0.0; CHUNK]);
        chunks(self.out.len() / out.size_bytes(), |at, n| {
            codecs[0].load(self.a, at, &mut x[..n]);
            codecs[1].load(self.b, at, &mut y[..n]);
            for (x, y) in x[..n].iter_mut().zip(&y[..n]) {
                *x = *x * *y * factor;
            }
            out.store(&x[..n], self.out, at);
        });
    }
}
