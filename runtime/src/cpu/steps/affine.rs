//! `weight[c] · x + bias[c]`: the mean shift and range of published checkpoints.

use crate::cpu::codec::{CHUNK, Codec};
use crate::cpu::steps::Pointwise;
use crate::cpu::table::Cpu;
use crate::model::{Model, NodeId, Role};
use crate::program::edges::{dtypes, scale_of};
use alloc::vec::Vec;

/// `round(q · weight[c]·si/so + bias[c]/so)`.
pub(crate) struct AffineStep {
    from: Codec,
    to: Codec,
    factors: Vec<f32>,
    offsets: Vec<f32>,
}

impl AffineStep {
    pub fn new(model: &Model, id: NodeId, cpu: Cpu) -> Self {
        let ([from, _], to) = dtypes(model, id);
        let (from_scale, to_scale) = (scale_of(from), scale_of(to));
        let factors = model.f32s(id, Role::Weight).iter().map(|w| w * from_scale / to_scale).collect();
        let offsets = model.f32s(id, Role::Bias).iter().map(|b| b / to_scale).collect();
        let xor = cpu.xor;
        Self { from: Codec::new(from, xor), to: Codec::new(to, xor), factors, offsets }
    }
}

impl Pointwise for AffineStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        let AffineStep { from, to, factors, offsets } = self;
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
