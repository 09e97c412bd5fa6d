//! Properties of rings that several threads write, whatever their sizes.

use super::columns::RingWriter;
use crate::memory::ring::RingReader;
use crate::memory::tests::{config, ring};
use alloc::vec;
use core::ptr::NonNull;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rows_are_read_as_they_were_written(
        ring in ring(), height in 1..20_usize, cut in 0..40_usize, padding: u8
    ) {
        let mut memory = vec![padding; ring.bytes()];
        let base = NonNull::from(memory.as_mut_slice()).cast();
        let cut = cut.min(ring.width);
        let pixel = |y: usize, i: usize| (31 * y + i) as u8;
        for y in 0..height {
            // By two threads, one after the other.
            for cols in [0..cut, cut..ring.width] {
                // SAFETY: the memory is the ring's, and nobody else has it while the writer is used.
                let mut out = unsafe { RingWriter::columns(&ring, base, cols.clone()) };
                for (i, byte) in out.row_mut(y).iter_mut().enumerate() {
                    *byte = pixel(y, cols.start * ring.px_bytes + i);
                }
            }
        }
        let reader = RingReader::new(&ring, &memory, height);
        for y in height.saturating_sub(ring.rows)..height {
            let row = reader.padded_row(y as isize);
            let (left, rest) = row.split_at(ring.pad * ring.px_bytes);
            let (pixels, right) = rest.split_at(ring.width * ring.px_bytes);
            prop_assert!(pixels.iter().enumerate().all(|(i, &b)| b == pixel(y, i)), "row {}", y);
            prop_assert!(left.iter().chain(right).all(|&b| b == padding), "padding of row {}", y);
            prop_assert_eq!(reader.pixels(y, cut..ring.width), &pixels[cut * ring.px_bytes..]);
        }
        for outside in [-1, height as isize] {
            prop_assert!(reader.padded_row(outside).iter().all(|&b| b == padding), "row {}", outside);
        }
    }
}
