//! Pixels of any dtype as floats and back, in chunks that stay in the first-level cache.
//!
//! Pointwise operators are written once on floats. For integers the float is the stored value minus the
//! zero point, exact, and not yet scaled: operators fold the ratio of the scales into their own factors, so
//! that a value is multiplied once and rounded once.

use crate::arithmetic::{stored_byte, stored_short};
use crate::cpu::conv::form::{Narrowing, Store};
use crate::model::DType;
use crate::program::I16_MAX;

/// Elements of a chunk.
pub(crate) const CHUNK: usize = 128;

/// How an edge's bytes are read and written on an instruction set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Codec {
    F32,
    I8 { zero_point: i32, xor: u8 },
    I16,
}

impl Codec {
    /// The codec of a dtype, with 8-bit values stored as `value ^ xor`.
    pub fn new(dtype: DType, xor: u8) -> Self {
        match dtype {
            DType::F32 => Self::F32,
            DType::I8 { zero_point, .. } => Self::I8 { zero_point: i32::from(zero_point), xor },
            DType::I16 { .. } => Self::I16,
        }
    }

    /// Bytes of an element.
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I8 { .. } => 1,
            Self::I16 => 2,
        }
    }

    /// Smallest and largest value that can be stored, relative to the zero point.
    pub fn limits(self) -> (f32, f32) {
        match self {
            Self::F32 => (f32::MIN, f32::MAX),
            Self::I8 { zero_point, .. } => ((-128 - zero_point) as f32, (127 - zero_point) as f32),
            Self::I16 => (-I16_MAX, I16_MAX),
        }
    }

    /// How the sums of a quantized convolution are stored.
    pub fn stored(self, relu: bool) -> Store {
        let (lo, hi) = self.limits();
        // A zero point of 127 leaves no positive values; the range stays in order all the same.
        let lo = if relu { lo.max(0.0).min(hi) } else { lo };
        match self {
            Self::I8 { zero_point, xor } => Store::I8 { lo, hi, zero_point, xor },
            Self::I16 => Store::I16 { lo, hi },
            Self::F32 => Store::F32 { relu },
        }
    }

    /// What kernels have to know to write 8 bits; `None` for other dtypes.
    pub fn narrowing(self) -> Option<Narrowing> {
        match self {
            Self::I8 { zero_point, xor } => Some(Narrowing { zero_point, xor }),
            Self::F32 | Self::I16 => None,
        }
    }

    /// The byte that fills padding: real zero.
    pub fn padding_byte(self) -> u8 {
        match self {
            Self::F32 | Self::I16 => 0,
            Self::I8 { zero_point, xor } => zero_point as u8 ^ xor,
        }
    }

    /// Stored values, relative to the zero point, from element `at` on.
    #[inline(always)]
    pub fn load(self, bytes: &[u8], at: usize, out: &mut [f32]) {
        let n = out.len();
        match self {
            Self::F32 => out.copy_from_slice(&bytemuck::cast_slice::<u8, f32>(bytes)[at..at + n]),
            Self::I8 { zero_point, xor } => {
                for (o, &b) in out.iter_mut().zip(&bytes[at..at + n]) {
                    *o = (i32::from((b ^ xor).cast_signed()) - zero_point) as f32;
                }
            }
            Self::I16 => {
                let values = &bytemuck::cast_slice::<u8, i16>(bytes)[at..at + n];
                for (o, &v) in out.iter_mut().zip(values) {
                    *o = f32::from(v);
                }
            }
        }
    }

    /// Rounds to the nearest stored value, half to even, and clamps.
    #[inline(always)]
    pub fn store(self, values: &[f32], bytes: &mut [u8], at: usize) {
        let n = values.len();
        let limits = self.limits();
        match self {
            Self::F32 => bytemuck::cast_slice_mut::<u8, f32>(bytes)[at..at + n].copy_from_slice(values),
            Self::I8 { zero_point, xor } => {
                for (b, &v) in bytes[at..at + n].iter_mut().zip(values) {
                    *b = stored_byte(v, limits, zero_point, xor);
                }
            }
            Self::I16 => {
                let out = &mut bytemuck::cast_slice_mut::<u8, i16>(bytes)[at..at + n];
                for (o, &v) in out.iter_mut().zip(values) {
                    *o = stored_short(v, limits);
                }
            }
        }
    }
}

/// Calls `f(start, length)` for chunks that cover `0..n`.
#[inline(always)]
pub(crate) fn chunks(n: usize, mut f: impl FnMut(usize, usize)) {
    let mut at = 0;
    while at < n {
        let len = CHUNK.min(n - at);
        f(at, len);
        at += len;
    }
}
