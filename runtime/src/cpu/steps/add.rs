//! Residual sum: `a + res_scale · b`.

use crate::cpu::codec::Codec;
use crate::cpu::steps::pair::Pair;
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
        let AddStep { codecs, factors, out } = *self;
        for y in io.rows.clone() {
            let rows = io.inputs.map(|ring| ring.pixels(y, cols.clone()));
            if let (Some(kernels), [Codec::I16, Codec::I16], Some(to)) =
                (io.cpu.rows, codecs, out.narrowing())
            {
                let [a, b] = rows.map(bytemuck::cast_slice);
                if (kernels.add)(a, b, factors, to, io.out.row_mut(y)) {
                    continue;
                }
            }
            io.cpu.run(Pair {
                codecs,
                to: out,
                rows,
                out: io.out.row_mut(y),
                of: move |x, y| x * factors[0] + y * factors[1],
            });
        }
    }
}
