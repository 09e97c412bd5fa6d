//! Product of two edges, value by value.

use crate::cpu::codec::Codec;
use crate::cpu::steps::pair::Pair;
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
        let MulStep { codecs, factor, out } = *self;
        for y in io.rows.clone() {
            let rows = io.inputs.map(|ring| ring.pixels(y, cols.clone()));
            io.cpu.run(Pair {
                codecs,
                to: out,
                rows,
                out: io.out.row_mut(y),
                of: move |x, y| x * y * factor,
            });
        }
    }
}
