//! Pointwise non-linearities: on floats by formula, from 8 bits to 8 bits by a table of 256 entries.

use super::math::gelu;
use super::rows::{CHUNK, Codec, chunks};
use super::{Io, dtypes, scale_of};
use crate::kernel::scalar::relu_f32;
use crate::kernel::{Elementwise, Isa};
use crate::model::{Activation, Model, NodeId};

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
}

impl ActivationStep {
    pub fn new(model: &Model, id: NodeId, activation: Activation, isa: Isa) -> Self {
        let ([from, _], to) = dtypes(model, id);
        let xor = isa.table().xor;
        let (from_codec, to_codec) = (Codec::new(from, xor), Codec::new(to, xor));
        let mut step = Self {
            activation,
            from: from_codec,
            to: to_codec,
            from_scale: scale_of(from),
            to_scale: scale_of(to),
            table: None,
        };
        if matches!((from_codec, to_codec), (Codec::I8 { .. }, Codec::I8 { .. })) {
            let bytes: [u8; 256] = core::array::from_fn(|b| b as u8);
            let mut table = [0; 256];
            step.by_formula(&bytes, &mut table);
            step.table = Some(table);
        }
        step
    }

    pub fn run(&self, io: &mut Io<'_>) {
        let cols = io.out.cols();
        for y in io.rows.clone() {
            let input = io.inputs[0].pixels(y, cols.clone());
            io.isa.run(Row { step: self, input, out: io.out.row_mut(y) });
        }
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

struct Row<'a> {
    step: &'a ActivationStep,
    input: &'a [u8],
    out: &'a mut [u8],
}

impl Elementwise for Row<'_> {
    #[inline(always)]
    fn run(self) {
        match &self.step.table {
            Some(table) => {
                for (out, &b) in self.out.iter_mut().zip(self.input) {
                    *out = table[usize::from(b)];
                }
            }
            None => self.step.by_formula(self.input, self.out),
        }
    }
}
