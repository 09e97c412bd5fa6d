//! Change of dtype: quantize, dequantize or requantize.

use super::rows::{CHUNK, Codec, chunks};
use super::{Io, dtypes, scale_of};
use crate::kernel::{Elementwise, Isa};
use crate::model::{Model, NodeId};

/// `round(q · si/so)`.
pub(crate) struct ConvertStep {
    from: Codec,
    to: Codec,
    factor: f32,
}

impl ConvertStep {
    pub fn new(model: &Model, id: NodeId, isa: Isa) -> Self {
        let ([from, _], to) = dtypes(model, id);
        let xor = isa.table().xor;
        let factor = scale_of(from) / scale_of(to);
        Self { from: Codec::new(from, xor), to: Codec::new(to, xor), factor }
    }

    pub fn run(&self, io: &mut Io<'_>) {
        let cols = io.out.cols();
        for y in io.rows.clone() {
            let input = io.inputs[0].pixels(y, cols.clone());
            io.isa.run(Row { step: self, input, out: io.out.row_mut(y) });
        }
    }
}

struct Row<'a> {
    step: &'a ConvertStep,
    input: &'a [u8],
    out: &'a mut [u8],
}

impl Elementwise for Row<'_> {
    #[inline(always)]
    fn run(self) {
        let ConvertStep { from, to, factor } = *self.step;
        let mut x = [0.0; CHUNK];
        chunks(self.out.len() / to.size_bytes(), |at, n| {
            from.load(self.input, at, &mut x[..n]);
            x[..n].iter_mut().for_each(|x| *x *= factor);
            to.store(&x[..n], self.out, at);
        });
    }
}
