//! Change of dtype: quantize, dequantize or requantize.

use crate::arithmetic::short;
use crate::cpu::codec::{CHUNK, Codec, chunks};
use crate::cpu::steps::Pointwise;
use crate::cpu::table::Cpu;
use crate::model::{Model, NodeId};
use crate::program::edges::{dtypes, scale_of};

/// `round(q · si/so)`.
pub(crate) struct ConvertStep {
    from: Codec,
    to: Codec,
    factor: f32,
}

impl ConvertStep {
    pub fn new(model: &Model, id: NodeId, cpu: Cpu) -> Self {
        let ([from, _], to) = dtypes(model, id);
        let xor = cpu.xor;
        let factor = short(scale_of(from) / scale_of(to));
        Self { from: Codec::new(from, xor), to: Codec::new(to, xor), factor }
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
