//! Properties of the arena and of its rings, whatever their sizes.

use super::arena::{Life, lay_out};
use super::ring::Ring;
use alloc::vec::Vec;
use proptest::prelude::*;

pub(crate) fn config() -> ProptestConfig {
    // Miri is a thousand times slower.
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 })
    }
}

pub(crate) fn ring() -> impl Strategy<Value = Ring> {
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
}
