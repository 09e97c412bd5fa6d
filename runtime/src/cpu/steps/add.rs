//! Residual sum: `a + res_scale · b`.

use crate::cpu::codec::{CHUNK, Codec, chunks};
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::program::Add;

/// `round(qa · sa/so + qb · res_scale·sb/so)`, the `q` without their zero points.
pub(crate) struct AddStep {
    codecs: [Codec; 2],
    factors: [f32; 2],
    out: Codec,
}

impl AddStep {
    pub fn new(add: Add, dtypes: Dtypes) -> Self {
        Self {
            codecs: dtypes.from.map(|dtype| dtypes.codec(dtype)),
            factors: add.factors,
            out: dtypes.codec(dtypes.to),
        }
    }
}

impl Step for AddStep {
    fn run(&self, io: &mut Io<'_>) {
        let cols = io.out.cols();
        for y in io.rows.clone() {
            let [a, b] = io.inputs.map(|ring| ring.pixels(y, cols.clone()));
            if let (Some(rows), [Codec::I16, Codec::I16], Some(to)) =
                (io.cpu.rows, self.codecs, self.out.narrowing())
            {
                let [a, b] = [a, b].map(bytemuck::cast_slice);
                if (rows.add)(a, b, self.factors, to, io.out.row_mut(y)) {
                    continue;
                }
            }
            io.cpu.run(Row { step: self, a, b, out: io.out.row_mut(y) });
        }
    }
}

struct Row<'a> {
    step: &'a AddStep,
    a: &'a [u8],
    b: &'a [u8],
    out: &'a mut [u8],
}

impl Elementwise for Row<'_> {
    #[inline(always)]
    fn run(self) {
        let AddStep { codecs, factors, out } = *self.step;
        let (mut x, mut y) = ([0.0; CHUNK], [0.0; CHUNK]);
        chunks(self.out.len() / out.size_bytes(), |at, n| {
            codecs[0].load(self.a, at, &mut x[..n]);
            codecs[1].load(self.b, at, &mut y[..n]);
            for (x, y) in x[..n].iter_mut().zip(&y[..n]) {
                *x = *x * factors[0] + *y * factors[1];
            }
            out.store(&x[..n], self.out, at);
        });
    }
}
