//! The attention of every instruction set against a direct computation: equal, not close, over all sizes of
//! heads, numbers of keys and extreme values.

use super::*;
use crate::cpu::isa::Isa;
use crate::program::{MAX_BIAS, MAX_QUERY};
use crate::testing::Rng;
use alloc::{vec, vec::Vec};

/// [`weight`] in wide integers, straight from the definition.
fn slow_weight(e: i64) -> i64 {
    let high = |a: i64, b: i64| (a * b + (1 << 14)) >> 15;
    let x = (e % 2048) * 16;
    let p = i64::from(C2) - high(x, i64::from(C3));
    let p = i64::from(C1) - high(x, p);
    (32767 - high(x, p)) >> (e / 2048)
}

#[test]
fn weights_are_powers_of_two() {
    for e in 0..=32767_i16 {
        let expected = 32767.0 * libm::exp2(-f64::from(e) / 2048.0);
        let found = f64::from(weight(e));
        // Half a step of 15 bits from the polynomial, a step from the shift.
        assert!(
            found <= expected * 1.000_13 + 0.5 && found > expected * 0.999_87 - 1.5,
            "{e}: {found}, {expected}"
        );
        assert_eq!(i64::from(weight(e)), slow_weight(i64::from(e)));
    }
    assert_eq!((weight(0), weight(2048), weight(32767)), (32767, 16383, 0));
}

struct Case {
    channels: usize,
    slots: Vec<u8>,
    shift: u32,
    /// Queries, keys and values are at their largest.
    extreme: bool,
}

fn cases() -> Vec<Case> {
    let mut cases = vec![];
    for channels in (1..=18).chain([24, 31, 32]) {
        for (count, shift) in [(64, 7), (1, 0), (15, 12), (32, 3), (9, 9)] {
            let slots = (0..count as u8).map(|n| if count == 32 { n + 32 } else { n }).collect();
            cases.push(Case { channels, slots, shift, extreme: false });
        }
        cases.push(Case { channels, slots: (0..64).collect(), shift: 4, extreme: true });
    }
    cases
}

#[test]
fn every_instruction_set_equals_a_direct_computation() {
    let mut rng = Rng(3);
    for case in cases() {
        let Case { channels, ref slots, shift, extreme } = case;
        let (stride, pairs, keys) = (40, channels.div_ceil(2), slots.len());
        let mut value = |limit: i32| match (extreme, rng.unit()) {
            (true, x) => (if x > 0.0 { limit } else { -limit }) as i16,
            (false, x) => (x * limit as f32) as i16,
        };
        let limit = if extreme { MAX_QUERY } else { 2000 };
        let mut queries: Vec<i16> = (0..pairs * QUERIES * 2).map(|_| value(limit)).collect();
        let mut key_channels: Vec<i16> = (0..MAX_KEYS * stride).map(|_| value(255)).collect();
        let mut values: Vec<i16> = (0..MAX_KEYS * stride).map(|_| value(255)).collect();
        if channels % 2 == 1 {
            (0..QUERIES).for_each(|q| queries[((pairs - 1) * QUERIES + q) * 2 + 1] = 0);
            (0..keys).for_each(|n| key_channels[n * stride + channels] = 0);
        }
        let mut ones = vec![[1, 1]; 32];
        if keys % 2 == 1 {
            ones[keys / 2] = [1, 0];
            (0..channels).for_each(|c| values[(keys / 2 * stride + c) * 2 + 1] = 0);
        }
        let unit = if extreme { MAX_BIAS } else { 3 << (shift + EXPONENT_BITS) };
        let bias: Vec<i32> = (0..MAX_KEYS * QUERIES).map(|_| (rng.unit() * unit as f32) as i32).collect();
        for isa in Isa::available() {
            let attention = isa.cpu().unwrap().attention;
            let first = usize::from(slots[0]) / attention.lanes * attention.lanes;
            let blocks: Vec<usize> = (first..QUERIES).step_by(attention.lanes).collect();
            let head = Head {
                queries: &queries,
                blocks: &blocks,
                keys: slots,
                key_channels: &key_channels,
                values: &values,
                ones: &ones,
                stride,
                channels,
                bias: &bias,
                shift,
            };
            let mut sums = Sums::new();
            attend(attention, &head, &mut sums);
            for q in first..QUERIES {
                let scores: Vec<i64> = (0..keys)
                    .map(|n| {
                        let dot: i64 = (0..channels)
                            .map(|c| {
                                let query = queries[(c / 2 * QUERIES + q) * 2 + c % 2];
                                i64::from(query) * i64::from(key_channels[n * stride + c])
                            })
                            .sum();
                        dot + i64::from(bias[usize::from(slots[n]) * QUERIES + q])
                    })
                    .collect();
                let largest = *scores.iter().max().unwrap();
                let weights: Vec<i64> =
                    scores.iter().map(|s| slow_weight(((largest - s) >> shift).min(32767))).collect();
                let name = isa.name();
                assert_eq!(i64::from(sums.total[q]), weights.iter().sum::<i64>(), "{name} {channels} {keys}");
                for c in 0..channels {
                    let value = |n: usize| i64::from(values[(n / 2 * stride + c) * 2 + n % 2]);
                    let expected: i64 = (0..keys).map(|n| weights[n] * value(n)).sum();
                    assert_eq!(i64::from(sums.values[c][q]), expected, "{name} {channels} {keys} {c} {q}");
                }
            }
        }
    }
}
