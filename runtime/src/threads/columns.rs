//! The columns of a ring that one thread writes, while others write others.

use crate::memory::ring::Ring;
use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::NonNull;

/// The columns of an edge's rows that one thread writes.
pub(crate) struct RingWriter<'a> {
    ring: &'a Ring,
    base: NonNull<u8>,
    cols: Range<usize>,
    life: PhantomData<&'a mut [u8]>,
}

impl<'a> RingWriter<'a> {
    /// Columns `cols` of the ring that starts at `base`.
    ///
    /// # Safety
    /// `base` is valid for reads and writes of `ring.bytes()` bytes for `'a`; during `'a` nobody else reads
    /// the ring, and nobody else writes these columns.
    pub unsafe fn columns(ring: &'a Ring, base: NonNull<u8>, cols: Range<usize>) -> Self {
        assert!(cols.start <= cols.end && cols.end <= ring.width, "columns exist");
        Self { ring, base, cols, life: PhantomData }
    }

    /// The columns that may be written.
    pub fn cols(&self) -> Range<usize> {
        self.cols.clone()
    }

    /// Rows that can be written at once, each with a place of its own.
    pub fn slots(&self) -> usize {
        self.ring.rows
    }

    /// This writer's pixels of rows `first..first + N`, for a kernel that writes several at once.
    pub fn rows_mut<const N: usize>(&mut self, first: usize) -> [&mut [u8]; N] {
        assert!(N <= self.ring.rows, "the rows have slots of their own");
        core::array::from_fn(|i| {
            let row: *mut [u8] = self.row_mut(first + i);
            // SAFETY: no more than `rows` rows that follow each other lie in different slots, so the slices do
            // not overlap; the writer stays borrowed for as long as they live.
            unsafe { &mut *row }
        })
    }

    /// This writer's pixels of some rows.
    pub fn rows_at_mut<const N: usize>(&mut self, rows: [usize; N]) -> [&mut [u8]; N] {
        let slots = rows.map(|y| self.ring.slot(y));
        let apart = slots.iter().enumerate().all(|(i, slot)| !slots[..i].contains(slot));
        assert!(apart, "the rows have slots of their own");
        rows.map(|y| {
            let row: *mut [u8] = self.row_mut(y);
            // SAFETY: the rows lie in different slots, so the slices do not overlap; the writer stays borrowed for as
            // long as they live.
            unsafe { &mut *row }
        })
    }

    /// This writer's pixels of row `y`.
    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let start = self.ring.slot(y) + (self.ring.pad + self.cols.start) * self.ring.px_bytes;
        let len = self.cols.len() * self.ring.px_bytes;
        // SAFETY: `slot` is below `rows * row_bytes` and a row holds pad + width pixels, of which `cols` are
        // some (checked by the constructors), so the range lies in the ring that the constructor was given.
        // The writer has exclusive use of these columns, and `&mut self` of the writer.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr().add(start), len) }
    }
}
