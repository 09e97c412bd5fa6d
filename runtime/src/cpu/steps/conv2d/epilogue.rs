//! What is done with the sums of a convolution, beyond storing them: an activation of floats, or a residual sum and a copy in
//! 8 bits. It is done while the values are in registers, where the instruction set's kernels can; otherwise row by row,
//! while the row is in the first-level cache.

use crate::arithmetic::{stored_byte, stored_short};
use crate::cpu::codec::Codec;
use crate::cpu::conv::requant::SingleRounding;
use crate::cpu::conv::row::PostOps;
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::Io;
use crate::cpu::table::Cpu;
use crate::memory::ring::RingReader;
use crate::model::{Activation, DType};
use crate::program::{self, I16_MAX};
use crate::threads::columns::RingWriter;
use core::ops::Range;

pub(super) enum Epilogue {
    /// They are stored.
    Nothing,
    /// An activation that the kernel does not fuse; on floats only.
    Activation(Activation),
    /// On 16 bits: the residual sum and the conversion.
    PostOps {
        sum: Option<Sum>,
        convert: Option<Convert>,
        /// Whether the kernel does it, while the values are in its registers.
        in_registers: bool,
    },
}

/// `round(conv · factors[0] + residual · factors[1])`, as the operator `Add` computes it.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    factors: [f32; 2],
}

/// `round(value · factor)`, as the operator `Convert` computes it.
#[derive(Clone, Copy)]
pub(super) struct Convert {
    factor: f32,
    to: Codec,
    /// For an instruction set that does the sum and the conversion in one pass.
    single: Option<SingleRounding>,
}

impl Epilogue {
    /// Of a convolution that reads an edge of this dtype.
    pub fn new(epilogue: &program::Epilogue, input: DType, cpu: Cpu) -> Self {
        let sum = epilogue.residual.map(|factors| Sum { factors });
        let convert = epilogue.narrow.map(|narrow| {
            let (factor, to) = (narrow.factor, Codec::new(narrow.dtype, cpu.xor));
            let narrowing =
                to.narrowing().filter(|to| to.xor == 0 && cpu.rows.is_some_and(|r| r.post_ops.is_some()));
            let single = narrowing.and_then(|to| SingleRounding::new(factor, to.zero_point));
            Convert { factor, to, single }
        });
        if sum.is_some() || convert.is_some() {
            let in_registers = cpu.post_ops && matches!(input, DType::I8 { .. });
            return Self::PostOps { sum, convert, in_registers };
        }
        match epilogue.activation {
            Some(activation) if input == DType::F32 && activation != Activation::Relu => {
                Self::Activation(activation)
            }
            Some(_) | None => Self::Nothing,
        }
    }

    pub fn has_post_ops(&self) -> bool {
        matches!(self, Self::PostOps { .. })
    }

    /// Whether the kernel does it.
    pub fn in_registers(&self) -> bool {
        matches!(self, Self::PostOps { in_registers: true, .. })
    }

    /// What the kernel does with row `y`, if it does something.
    pub fn post_ops<'a>(
        &self,
        residual: RingReader<'a>,
        second: Option<&'a mut RingWriter<'_>>,
        cols: &Range<usize>,
        y: usize,
    ) -> Option<PostOps<'a>> {
        let &Self::PostOps { sum, convert, in_registers: true } = self else { return None };
        let residual = residual.pixels(y, cols.clone());
        Some(post_ops(sum, residual, convert, second.map(|second| second.row_mut(y))))
    }

    /// The same of `N` rows from `y` on.
    pub fn post_ops_of<'a, const N: usize>(
        &self,
        residual: RingReader<'a>,
        second: Option<&'a mut RingWriter<'_>>,
        cols: &Range<usize>,
        y: usize,
    ) -> Option<[PostOps<'a>; N]> {
        let &Self::PostOps { sum, convert, in_registers: true } = self else { return None };
        let mut narrow = second.map(|second| second.rows_mut::<N>(y).into_iter());
        Some(core::array::from_fn(|i| {
            let residual = residual.pixels(y + i, cols.clone());
            post_ops(sum, residual, convert, narrow.as_mut().and_then(Iterator::next))
        }))
    }

    /// Does it with row `y`, which the kernel has stored.
    pub fn finish(&self, io: &mut Io<'_>, y: usize) {
        let rows = io.cpu.rows;
        let cols = io.out.cols();
        let row = io.out.row_mut(y);
        match *self {
            Self::Nothing => {}
            Self::Activation(activation) => {
                io.cpu.run(Activate { activation, values: bytemuck::cast_slice_mut(row) });
            }
            Self::PostOps { sum, convert, .. } => {
                let values: &mut [i16] = bytemuck::cast_slice_mut(row);
                let at_once =
                    rows.and_then(|rows| rows.post_ops).zip(convert.and_then(|convert| convert.single));
                if let (Some((post_ops, single)), Some(second)) = (at_once, &mut io.second)
                    && sum.is_none_or(|sum| sum.factors == [1.0; 2])
                {
                    let residual = sum.map(|_| bytemuck::cast_slice(io.inputs[1].pixels(y, cols)));
                    post_ops(values, residual, &single, second.row_mut(y));
                    return;
                }
                if let Some(sum) = sum {
                    let residual = bytemuck::cast_slice(io.inputs[1].pixels(y, cols));
                    match rows {
                        Some(rows) => (rows.residual)(values, residual, sum.factors),
                        None => io.cpu.run(Residual { sum, residual, values }),
                    }
                }
                if let (Some(convert), Some(second)) = (convert, &mut io.second) {
                    let out = second.row_mut(y);
                    let done = match (rows, convert.to.narrowing()) {
                        (Some(rows), Some(to)) => (rows.narrow)(values, convert.factor, to, out),
                        _ => false,
                    };
                    if !done {
                        io.cpu.run(Narrow { convert, values, out });
                    }
                }
            }
        }
    }
}

/// What the kernel does with a row, of which `residual` is the row to add and `narrow` that of the conversion.
fn post_ops<'a>(
    sum: Option<Sum>,
    residual: &'a [u8],
    convert: Option<Convert>,
    narrow: Option<&'a mut [u8]>,
) -> PostOps<'a> {
    let residual = sum.map(|sum| (bytemuck::cast_slice(residual), sum.factors));
    let narrow =
        convert.zip(narrow).and_then(|(convert, row)| Some((row, convert.factor, convert.to.narrowing()?)));
    PostOps { residual, narrow }
}

struct Residual<'a> {
    sum: Sum,
    residual: &'a [i16],
    values: &'a mut [i16],
}

impl Elementwise for Residual<'_> {
    #[inline(always)]
    fn run(self) {
        let [mine, theirs] = self.sum.factors;
        for (value, &residual) in self.values.iter_mut().zip(self.residual) {
            let sum = f32::from(*value) * mine + f32::from(residual) * theirs;
            *value = stored_short(sum, (-I16_MAX, I16_MAX));
        }
    }
}

struct Narrow<'a> {
    convert: Convert,
    values: &'a [i16],
    out: &'a mut [u8],
}

impl Elementwise for Narrow<'_> {
    #[inline(always)]
    fn run(self) {
        let Convert { factor, to, .. } = self.convert;
        let Codec::I8 { zero_point, xor } = to else { unreachable!("narrowed to 8 bits") };
        let limits = to.limits();
        for (out, &value) in self.out.iter_mut().zip(self.values) {
            *out = stored_byte(f32::from(value) * factor, limits, zero_point, xor);
        }
    }
}

struct Activate<'a> {
    activation: Activation,
    values: &'a mut [f32],
}

impl Elementwise for Activate<'_> {
    #[inline(always)]
    fn run(self) {
        program::apply(self.activation, self.values);
    }
}
