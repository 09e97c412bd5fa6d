//! Properties of rings and of the arena, whatever their sizes.

use super::arena::{Life, lay_out};
use super::ring::{Ring, RingReader, RingWriter};
use alloc::{vec, vec::Vec};
use core::ptr::NonNull;
use proptest::prelude::*;

fn config() -> ProptestConfig {
    // Miri is a thousand times slower.
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 })
    }
}

fn ring() -> impl Strategy<Value = Ring> {
    (1..6_usize, 0..4_usize, 1..40_usize, 1..9_usize).prop_map(|(rows, pad, width, px_bytes)| Ring {
        offset: 0,
        rows,
        row_bytes: Ring::stride(width, pad, px_bytes),
        pad,
        width,
        px_bytes,
    })
}

/// A ring, and when it is there: always, or during some steps.
fn living_ring() -> impl Strategy<Value = (Ring, Option<Life>)> {
    (ring(), proptest::option::of((0..20_usize, 0..6_usize)))
        .prop_map(|(ring, life)| (ring, life.map(|(from, steps)| Life { from, to: from + steps })))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rings_that_are_there_at_the_same_time_do_not_overlap(
        all in proptest::collection::vec(living_ring(), 1..30)
    ) {
        let (mut rings, lives): (Vec<Ring>, Vec<Option<Life>>) = all.into_iter().unzip();
        let bytes = lay_out(&mut rings, &lives);
        for (i, (a, life)) in rings.iter().zip(&lives).enumerate() {
            prop_assert!(a.offset % 64 == 0 && a.range().end as u64 <= bytes);
            for (b, other) in rings[..i].iter().zip(&lives) {
                let meet = life.zip(*other).is_none_or(|(a, b)| a.meets(b));
                let apart = a.range().end <= b.offset || b.range().end <= a.offset;
                prop_assert!(apart || !meet);
            }
        }
        // Never more than without sharing.
        prop_assert!(bytes <= rings.iter().map(|r| r.bytes() as u64).sum());
    }

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
