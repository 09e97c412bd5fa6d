//! A row of an 8-bit convolution to at most [`MAX_CHANNELS`] channels, with the depth in the lanes of a vector: the values
//! under a kernel row lie next to each other, so whole vectors of them are multiplied with whole vectors of weights,
//! and the lanes are added up once for each output. Nothing is multiplied in vain but the end of the row, where three
//! channels would leave most lanes of a vector of outputs empty.

use crate::cpu::conv::form::{MAX_KERNEL, Store};
use crate::cpu::conv::pack::ConvShape;
use crate::memory::line::{Line, aligned};
use crate::memory::ring::SLACK_BYTES;
use alloc::vec::Vec;

/// Most output channels.
pub(crate) const MAX_CHANNELS: usize = 4;
/// Values in a vector of activations, or of weights.
pub(crate) const CHUNK: usize = 64;

/// Entry of an instruction set.
///
/// # Safety
/// The processor has the instruction set. The arguments were checked by [`narrow_out_row`].
pub(crate) type NarrowOutRow = unsafe fn(&mut NarrowOutArgs<'_>);

/// Weights `[kernel row][chunk][output channel][64]`, zero behind the end of a row, with what else an output channel has.
pub(crate) struct NarrowOutWeights {
    pub shape: ConvShape,
    pub chunks: usize,
    pub weights: Vec<Line>,
    pub bias: [i32; MAX_CHANNELS],
    pub mult: [f32; MAX_CHANNELS],
}

impl NarrowOutWeights {
    /// Packs `weights`, `[out, kernel, columns, in]`.
    ///
    /// # Panics
    /// If the lengths are not those of the shape, or it has too many channels.
    pub fn new(shape: ConvShape, weights: &[i8], bias: &[i32], mult: &[f32]) -> Self {
        let (channels, row) = (shape.out_channels, shape.row_len());
        assert!(channels <= MAX_CHANNELS && shape.kernel <= MAX_KERNEL, "a shape for these kernels");
        assert_eq!(weights.len(), channels * shape.kernel * row, "weights have the shape's size");
        let chunks = row.div_ceil(CHUNK);
        let mut lines = aligned(shape.kernel * chunks * channels * CHUNK);
        let packed: &mut [i8] = bytemuck::cast_slice_mut(&mut lines);
        for (channel, rows) in weights.chunks_exact(shape.kernel * row).enumerate() {
            for (ky, values) in rows.chunks_exact(row).enumerate() {
                for (chunk, values) in values.chunks(CHUNK).enumerate() {
                    let at = ((ky * chunks + chunk) * channels + channel) * CHUNK;
                    packed[at..at + values.len()].copy_from_slice(values);
                }
            }
        }
        let mut all = Self { shape, chunks, weights: lines, bias: [0; 4], mult: [0.0; 4] };
        all.bias[..channels].copy_from_slice(bias);
        all.mult[..channels].copy_from_slice(mult);
        all
    }
}

/// Everything that a row needs.
pub(crate) struct NarrowOutArgs<'a> {
    /// For every kernel row the input row, starting at the leftmost value under the first pixel's kernel.
    pub taps: &'a [&'a [u8]],
    /// Pixels to compute.
    pub pixels: usize,
    pub weights: &'a NarrowOutWeights,
    /// 8 bits.
    pub store: Store,
    /// `pixels · out_channels` values.
    pub out: &'a mut [u8],
}

/// Checks the lengths of all slices and runs `entry`, which must belong to the processor's instruction set.
///
/// # Panics
/// If they do not fit together.
pub(crate) fn narrow_out_row(entry: NarrowOutRow, mut args: NarrowOutArgs<'_>) {
    let NarrowOutWeights { shape, chunks, ref weights, .. } = *args.weights;
    assert!((1..=MAX_CHANNELS).contains(&shape.out_channels), "few channels");
    assert!(
        args.taps.len() == shape.kernel && shape.kernel <= MAX_KERNEL,
        "one input row for every kernel row"
    );
    let span = args.pixels.saturating_sub(1) * shape.in_channels;
    let depth = shape.row_len();
    assert!(chunks * CHUNK < depth + SLACK_BYTES, "chunks end within the slack");
    assert!(
        args.taps.iter().all(|row| row.len() >= span + depth + SLACK_BYTES),
        "rows reach over the last pixel's kernel"
    );
    let bytes = shape.kernel * chunks * shape.out_channels * CHUNK;
    assert!(size_of_val(weights.as_slice()) >= bytes, "all weights are there");
    assert!(matches!(args.store, Store::I8 { .. }), "8 bits are stored");
    assert_eq!(args.out.len(), args.pixels * shape.out_channels, "the output row fits");
    // SAFETY: lengths checked above; the instruction set was established by `Isa::table`, which hands out an
    // entry only on a processor that has it.
    unsafe { entry(&mut args) }
}
