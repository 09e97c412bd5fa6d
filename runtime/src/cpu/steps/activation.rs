//! Pointwise non-linearities: on floats by formula, from 8 bits by a table of 256 entries.

use crate::cpu::codec::{CHUNK, Codec, chunks};
use crate::cpu::steps::step::{Dtypes, Pointwise};
use crate::cpu::table::Cpu;
use crate::model::Activation;
use crate::program::apply;
use alloc::boxed::Box;

/// An activation from one edge to another.
pub(crate) struct ActivationStep {
    activation: Activation,
    from: Codec,
    to: Codec,
    from_scale: f32,
    to_scale: f32,
    /// For an input of 8 bits.
    table: Option<Table>,
    cpu: Cpu,
}

/// What is stored for each byte that is stored.
enum Table {
    Bytes(Box<[u8; 256]>),
    Shorts(Box<[i16; 256]>),
}

impl ActivationStep {
    pub fn new(activation: Activation, dtypes: Dtypes, cpu: Cpu) -> Self {
        let ((from_codec, to_codec), (from_scale, to_scale)) = (dtypes.codecs(), dtypes.scales());
        let mut step =
            Self { activation, from: from_codec, to: to_codec, from_scale, to_scale, table: None, cpu };
        let bytes: [u8; 256] = core::array::from_fn(|b| b as u8);
        step.table = match (from_codec, to_codec) {
            (Codec::I8 { .. }, Codec::I8 { .. }) => {
                let mut table = [0; 256];
                step.by_formula(&bytes, &mut table);
                Some(Table::Bytes(Box::new(table)))
            }
            (Codec::I8 { .. }, Codec::I16) => {
                let mut table = [0_i16; 256];
                step.by_formula(&bytes, bytemuck::cast_slice_mut(&mut table));
                Some(Table::Shorts(Box::new(table)))
            }
            _ => None,
        };
        step
    }

    #[inline(always)]
    fn by_formula(&self, input: &[u8], out: &mut [u8]) {
        let mut x = [0.0; CHUNK];
        chunks(out.len() / self.to.size_bytes(), |at, n| {
            self.from.load(input, at, &mut x[..n]);
            x[..n].iter_mut().for_each(|x| *x *= self.from_scale);
            apply(self.activation, &mut x[..n]);
            x[..n].iter_mut().for_each(|x| *x /= self.to_scale);
            self.to.store(&x[..n], out, at);
        });
    }
}

impl Pointwise for ActivationStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        match &self.table {
            Some(Table::Bytes(table)) => self.cpu.look_up(table, input, out),
            Some(Table::Shorts(table)) => {
                let out: &mut [i16] = bytemuck::cast_slice_mut(out);
                for (out, &b) in out.iter_mut().zip(input) {
                    *out = table[usize::from(b)];
                }
            }
            None => self.by_formula(input, out),
        }
    }
}
