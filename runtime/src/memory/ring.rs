//! Ring buffers of rows: where each lies, and the rows that an operator reads.

use core::ops::Range;

/// Most bytes that a kernel may read past the last pixel of a row: one vector of activations.
pub(crate) const SLACK_BYTES: usize = 64;

/// Place and geometry of an edge's ring buffer in the arena.
///
/// Rows are `[left padding][pixels][right padding][slack]`, channels innermost. Row `y` of the image lives in
/// slot `y % rows`; one more slot holds a row of padding, which stands for rows above and below the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ring {
    /// Byte offset in the arena, a multiple of 64.
    pub offset: usize,
    /// Slots for image rows.
    pub rows: usize,
    /// Distance of two slots in bytes, a multiple of 64.
    pub row_bytes: usize,
    /// Padding pixels at either side.
    pub pad: usize,
    /// Pixels of a row without padding.
    pub width: usize,
    /// Bytes of a pixel.
    pub px_bytes: usize,
}

impl Ring {
    /// Bytes of all slots.
    pub fn bytes(&self) -> usize {
        (self.rows + 1) * self.row_bytes
    }

    /// Range in the arena.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.bytes()
    }

    /// Row stride for a width, padding and pixel size.
    pub fn stride(width: usize, pad: usize, px_bytes: usize) -> usize {
        ((width + 2 * pad) * px_bytes + SLACK_BYTES).next_multiple_of(64)
    }

    pub(crate) fn slot(&self, y: usize) -> usize {
        y % self.rows * self.row_bytes
    }
}

/// Rows of an edge, for reading.
#[derive(Clone, Copy)]
pub(crate) struct RingReader<'a> {
    ring: &'a Ring,
    bytes: &'a [u8],
    height: usize,
}

impl<'a> RingReader<'a> {
    /// Reads the ring `bytes`, holding an image of `height` rows.
    pub fn new(ring: &'a Ring, bytes: &'a [u8], height: usize) -> Self {
        assert_eq!(bytes.len(), ring.bytes(), "the slice is this ring's");
        Self { ring, bytes, height }
    }

    /// Rows of the image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Pixels of a row.
    pub fn width(&self) -> usize {
        self.ring.width
    }

    /// Padding pixels at either side of a row.
    pub fn pad(&self) -> usize {
        self.ring.pad
    }

    /// Row `y` with its padding and slack; the padding row outside of the image.
    pub fn padded_row(&self, y: isize) -> &'a [u8] {
        let start = match usize::try_from(y) {
            Ok(y) if y < self.height => self.ring.slot(y),
            _ => self.ring.rows * self.ring.row_bytes,
        };
        &self.bytes[start..start + self.ring.row_bytes]
    }

    /// Pixels `cols` of row `y`, which is in the image.
    pub fn pixels(&self, y: usize, cols: Range<usize>) -> &'a [u8] {
        debug_assert!(y < self.height && cols.end <= self.ring.width, "row {y} and columns exist");
        let start = self.ring.slot(y);
        let at = |x: usize| start + (self.ring.pad + x) * self.ring.px_bytes;
        &self.bytes[at(cols.start)..at(cols.end)]
    }
}
