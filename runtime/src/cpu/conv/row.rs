//! What a row of a convolution needs, and the checked way to the kernels that compute it.

use crate::cpu::conv::form::{Geometry, Narrowing, Products, Store};
use crate::cpu::conv::pack::Packed;
use crate::memory::ring::SLACK_BYTES;

/// Everything that a row of a convolution needs.
pub(crate) struct RowArgs<'a> {
    /// For every kernel row the input row, starting at the leftmost value under the first pixel's kernel.
    pub taps: &'a [&'a [u8]],
    /// Bytes from a pixel to the next in the input.
    pub px_bytes: usize,
    /// Pixels to compute.
    pub pixels: usize,
    pub packed: &'a Packed,
    /// Initial value of the sums, `padded_out` values: `i32`, or `f32` bits.
    pub bias: &'a [u8],
    /// Multiplier of every output channel, `padded_out` values.
    pub mult: &'a [f32],
    /// `−MAGIC · mult` of every output channel, if the sums are floats in disguise (see [`requant`]).
    ///
    /// [`requant`]: crate::cpu::conv::requant
    pub offset: Option<&'a [f32]>,
    /// How far products can be from zero.
    pub products: Products,
    pub store: Store,
    /// What else is done with the values before they leave the registers; only where 16 bits are stored, and only on
    /// instruction sets whose table says that they have them.
    pub post_ops: Option<PostOps<'a>>,
    /// `pixels · out_channels` values.
    pub out: &'a mut [u8],
}

/// What follows a convolution to 16 bits: a residual sum, which is stored instead of the convolution's own values, and a
/// copy in 8 bits of what is stored.
pub(crate) struct PostOps<'a> {
    /// Values `r` that make `round(conv · factors[0] + r · factors[1])` of the convolution's, and the factors.
    pub residual: Option<(&'a [i16], [f32; 2])>,
    /// Where `round(stored · factor)` goes, the factor, and the 8-bit edge.
    pub narrow: Option<(&'a mut [u8], f32, Narrowing)>,
}

impl PostOps<'_> {
    /// Asserts that there are rows of so many values.
    pub fn check(&self, store: Store, values: usize) {
        assert!(matches!(store, Store::I16 { .. }), "16 bits are worked on");
        assert!(self.residual.is_none_or(|(row, _)| row.len() == values), "the residual row fits");
        assert!(self.narrow.as_ref().is_none_or(|(row, ..)| row.len() == values), "the 8-bit row fits");
    }

    /// The part of it for these values of the row.
    pub fn part(&mut self, values: core::ops::Range<usize>) -> PostOps<'_> {
        PostOps {
            residual: self.residual.map(|(row, factors)| (&row[values.clone()], factors)),
            narrow: self.narrow.as_mut().map(|(row, factor, to)| (&mut row[values], *factor, *to)),
        }
    }
}

/// The place of a tile's first value in the rows of a [`PostOps`].
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "only VNNI sets do them in registers"))]
pub(crate) struct PostOpsAt {
    /// Residual; null if there is none.
    pub residual: *const i16,
    pub factors: [f32; 2],
    /// 8-bit copy; null if there is none.
    pub narrow: *mut u8,
    pub factor: f32,
    pub to: Narrowing,
}

impl PostOpsAt {
    /// Of a row's first value.
    pub fn new(post_ops: &mut PostOps<'_>) -> Self {
        let (residual, factors) =
            post_ops.residual.map_or((core::ptr::null(), [1.0; 2]), |(row, factors)| (row.as_ptr(), factors));
        let nothing = Narrowing { zero_point: 0, xor: 0 };
        let (narrow, factor, to) =
            post_ops.narrow.as_mut().map_or((core::ptr::null_mut(), 1.0, nothing), |(row, factor, to)| {
                (row.as_mut_ptr(), *factor, *to)
            });
        Self { residual, factors, narrow, factor, to }
    }

    /// So many values further on; what is not there stays null.
    pub fn after(self, values: usize) -> Self {
        let Self { residual, narrow, .. } = self;
        let residual = if residual.is_null() { residual } else { residual.wrapping_add(values) };
        let narrow = if narrow.is_null() { narrow } else { narrow.wrapping_add(values) };
        Self { residual, narrow, ..self }
    }
}

/// Entry of an instruction set: one row of a convolution.
///
/// # Safety
/// The processor has the instruction set. The arguments were checked by [`conv_row`].
pub(crate) type ConvRow = unsafe fn(&mut RowArgs<'_>);

/// A convolution of an instruction set: its entry, and what goes with it.
#[derive(Clone, Copy)]
pub(crate) struct ConvKernel {
    row: ConvRow,
    /// How weights are packed for it.
    pub geometry: Geometry,
    /// Bytes of an activation.
    pub element_bytes: usize,
}

impl ConvKernel {
    /// # Safety
    /// The entry was made for this geometry and for activations of this size. The value gets to others only in the
    /// [`Kernels`](crate::cpu::kernels::Kernels) of the entry's instruction set.
    pub const unsafe fn new(row: ConvRow, geometry: Geometry, element_bytes: usize) -> Self {
        Self { row, geometry, element_bytes }
    }
}

/// Checks the lengths of all slices and runs the kernel, for whose geometry the weights were packed.
pub(crate) fn conv_row(kernel: &ConvKernel, mut args: RowArgs<'_>) {
    let ConvKernel { row, ref geometry, element_bytes } = *kernel;
    let shape = args.packed.shape;
    assert_eq!(args.taps.len(), shape.kernel, "one input row for every kernel row");
    assert_eq!(args.px_bytes, shape.in_channels * element_bytes, "pixels are dense");
    let span = args.pixels.saturating_sub(1) * args.px_bytes;
    // The last group of the last pixel may reach past the kernel's values, by less than the slack.
    let depth = shape.columns * args.px_bytes;
    assert!(
        args.taps.iter().all(|row| row.len() >= span + depth + SLACK_BYTES),
        "rows reach over the last pixel's kernel"
    );
    let group_bytes = args.packed.groups * geometry.kt * element_bytes;
    assert!(group_bytes < depth + SLACK_BYTES, "groups end within the slack");
    let panel_bytes: usize = args.packed.panels.iter().map(|p| p.nv).sum::<usize>()
        * (geometry.lanes * geometry.kt * element_bytes)
        * args.packed.groups
        * shape.kernel;
    assert!(size_of_val(args.packed.weights.as_slice()) >= panel_bytes, "all panels are there");
    assert!(
        args.packed.panels.iter().all(|p| p.nv >= 1 && p.nv <= geometry.max_nv),
        "panels have known widths"
    );
    assert!(args.bias.len() == 4 * args.packed.padded_out, "one bias for every lane");
    assert!(args.mult.len() == args.packed.padded_out, "one multiplier for every lane");
    assert!(args.offset.is_none_or(|o| o.len() == args.packed.padded_out), "one offset for every lane");
    let store_bytes = args.store.size_bytes();
    let values = args.pixels * shape.out_channels;
    assert_eq!(args.out.len(), values * store_bytes, "the output row fits");
    if let Some(post_ops) = &args.post_ops {
        post_ops.check(args.store, values);
    }
    // SAFETY: lengths checked above; a `Cpu` hands out kernels only on a processor that has the instruction set.
    unsafe { row(&mut args) }
}
