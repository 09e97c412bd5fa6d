//! Pointwise non-linearities: on floats by formula, from 8 bits to 8 bits by a table of 256 entries.

use crate::arithmetic::{gelu, relu_f32};
use crate::cpu::codec::{CHUNK, Codec, chunks};
use crate::cpu::steps::step::{Dtypes, Pointwise};
use crate::cpu::table::Cpu;
use crate::model::Activation;

/// The activation of a real value.
#[inline(always)]
pub(crate) fn apply(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::Relu => relu_f32(x),
        Activation::LeakyRelu { slope } => {
            if x > 0.0 {
                x
            } else {
                x * slope
            }
        }
        Activation::Gelu => gelu(x),
    }
}

/// An activation from one edge to another.
pub(crate) struct ActivationStep {
    activation: Activation,
    from: Codec,
    to: Codec,
    from_scale: f32,
    to_scale: f32,
    /// Stored byte to stored byte, where both edges have 8 bits.
    table: Option<[u8; 256]>,
    cpu: Cpu,
}

impl ActivationStep {
    pub fn new(activation: Activation, dtypes: Dtypes, cpu: Cpu) -> Self {
        let ((from_codec, to_codec), (from_scale, to_scale)) = (dtypes.codecs(), dtypes.scales());
        let mut step =
            Self { activation, from: from_codec, to: to_codec, from_scale, to_scale, table: None, cpu };
        if matches!((from_codec, to_codec), (Codec::I8 { .. }, Codec::I8 { .. })) {
            let bytes: [u8; 256] = core::array::from_fn(|b| b as u8);
            let mut table = [0; 256];
            step.by_formula(&bytes, &mut table);
            step.table = Some(table);
        }
        step
    }

    #[inline(always)]
    fn by_formula(&self, input: &[u8], out: &mut [u8]) {
        let mut x = [0.0; CHUNK];
        chunks(out.len() / self.to.size_bytes(), |at, n| {
            self.from.load(input, at, &mut x[..n]);
            for x in &mut x[..n] {
                *x = apply(self.activation, *x * self.from_scale) / self.to_scale;
            }
            self.to.store(&x[..n], out, at);
        });
    }
}

impl Pointwise for ActivationStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        match &self.table {
            Some(table) => self.cpu.look_up(table, input, out),
            None => self.by_formula(input, out),
        }
    }
}
