//! What a step is: a node of a program prepared for a processor, and what it reads and writes in one call.

use crate::cpu::codec::Codec;
use crate::cpu::kernels::Elementwise;
use crate::cpu::table::Cpu;
use crate::memory::line::Line;
use crate::memory::ring::RingReader;
use crate::model::DType;
use crate::program::scale_of;
use crate::threads::columns::RingWriter;
use core::ops::Range;

/// A node prepared for execution: packed weights, multipliers, tables.
pub(crate) trait Step: Send + Sync {
    /// Computes the rows and columns of `io`.
    fn run(&self, io: &mut Io<'_>);

    /// Bytes of packed weights and tables.
    fn weight_bytes(&self) -> usize {
        0
    }

    /// Bytes of working memory that a thread needs while it runs.
    fn scratch_bytes(&self) -> usize {
        0
    }
}

/// What a step reads and writes in one call.
pub(crate) struct Io<'a> {
    /// Rings of the edges read; the first one twice if there is only one.
    pub inputs: [RingReader<'a>; 2],
    /// The columns to write.
    pub out: RingWriter<'a>,
    /// The same columns of the other edge that a convolution may write.
    pub second: Option<RingWriter<'a>>,
    /// The rows to write.
    pub rows: Range<usize>,
    /// Working memory: what any step of the program asks for. What is in it is anything.
    pub scratch: &'a mut [Line],
    pub cpu: Cpu,
}

/// Dtypes of the edges of a node, and how 8 bits are stored.
#[derive(Clone, Copy)]
pub(crate) struct Dtypes {
    /// Of the edges read; the first one twice if there is only one.
    pub from: [DType; 2],
    pub to: DType,
    pub xor: u8,
}

impl Dtypes {
    /// Codecs of the first input and of the output.
    pub fn codecs(self) -> (Codec, Codec) {
        (self.codec(self.from[0]), self.codec(self.to))
    }

    pub fn codec(self, dtype: DType) -> Codec {
        Codec::new(dtype, self.xor)
    }

    /// Real values of a step of the first input and of the output.
    pub fn scales(self) -> (f32, f32) {
        (scale_of(self.from[0]), scale_of(self.to))
    }
}

/// An operator that computes a row from the same row of its only input.
pub(crate) trait Pointwise: Send + Sync {
    /// `#[inline(always)]`, to be compiled for every instruction set.
    fn row(&self, input: &[u8], out: &mut [u8]);
}

impl<P: Pointwise> Step for P {
    fn run(&self, io: &mut Io<'_>) {
        let cols = io.out.cols();
        for y in io.rows.clone() {
            let input = io.inputs[0].pixels(y, cols.clone());
            io.cpu.run(Row(self, input, io.out.row_mut(y)));
        }
    }
}

/// A row of a pointwise operator.
struct Row<'a, P: ?Sized>(&'a P, &'a [u8], &'a mut [u8]);

impl<P: Pointwise> Elementwise for Row<'_, P> {
    #[inline(always)]
    fn run(self) {
        self.0.row(self.1, self.2);
    }
}
