//! The way back: when the gate fails, the convolutions that cost most climb from int8 to 16-bit activations, and
//! from there to floats, until it holds.
//!
//! The order is that of the dB that a step gains for the convolution alone, or of the noise that it takes away where the pictures'
//! agreement is limited. What a step costs on a board is
//! told by [`cost`](crate::cost).

use crate::error::QuantizeError;
use crate::gate::{Baseline, Drops, Limits};
use crate::pipeline::{Calibrated, Kept};
use crate::rewrite::{Precision, Rewritten};
use crate::sensitivity::Sensitivity;
use mcir_runtime::model::NodeId;

/// A quantized model, what it costs, and which convolutions are not in int8.
pub struct Candidate {
    /// The model and where the nodes went.
    pub rewritten: Rewritten,
    /// Measured on held-out images.
    pub drops: Drops,
    /// Convolutions of the folded model that are in something better than int8, in the order that they were
    /// moved in.
    pub kept: Vec<(NodeId, Precision)>,
}

/// Builds the model with these convolutions kept in something better than int8, and measures it against the
/// baseline.
///
/// # Errors
/// What building and measuring refuse.
pub fn try_with(
    baseline: &Baseline<'_>,
    calibrated: &Calibrated<'_>,
    kept: Vec<(NodeId, Precision)>,
) -> Result<Candidate, QuantizeError> {
    let rewritten = calibrated.build(&kept)?;
    let settings = calibrated.settings();
    let drops = baseline.measure(&rewritten.model, settings.threads, settings.progress)?;
    Ok(Candidate { rewritten, drops, kept })
}

/// Moves one more, and then ever more, convolutions up the ladder, beyond those of `first`, until the drops
/// are within the limits; then goes back half way, and half of that, to where it just holds, so that no more are kept
/// than need be. If even all in floats do not help, the best candidate is returned.
///
/// # Errors
/// What building and measuring refuse.
pub fn climb(
    baseline: &Baseline<'_>,
    calibrated: &Calibrated<'_>,
    first: Candidate,
    costs: &[Sensitivity],
    limits: Limits,
) -> Result<Candidate, QuantizeError> {
    let fixed = first.kept.clone();
    let moves = moves(costs, &fixed, limits.least_agreement_db.is_some());
    let mut best = first;
    fewest(moves.len(), |taken| {
        let candidate = try_with(baseline, calibrated, after(&fixed, &moves[..taken]))?;
        let passes = candidate.drops.passes(limits);
        if passes || candidate.drops.excess_db(limits) < best.drops.excess_db(limits) {
            best = candidate;
        }
        Ok::<_, QuantizeError>(passes)
    })?;
    Ok(best)
}

/// Tries numbers of moves, 1 to `most`, for a small one that passes; the last one that passes is tried after all larger
/// ones that do.
fn fewest<E>(most: usize, mut passes: impl FnMut(usize) -> Result<bool, E>) -> Result<(), E> {
    let (mut fails, mut taken) = (0, 0);
    loop {
        if taken == most {
            return Ok(());
        }
        taken = (taken + 1 + taken / 4).min(most);
        if passes(taken)? {
            break;
        }
        fails = taken;
    }
    while taken - fails > 1 {
        let middle = fails.midpoint(taken);
        if passes(middle)? { taken = middle } else { fails = middle }
    }
    Ok(())
}

/// What is kept after some moves.
fn after(fixed: &Kept, moves: &Kept) -> Vec<(NodeId, Precision)> {
    let mut kept = fixed.to_vec();
    for &(node, precision) in moves {
        match kept.iter_mut().find(|(other, _)| *other == node) {
            Some(entry) => entry.1 = precision,
            None => kept.push((node, precision)),
        }
    }
    kept
}

/// All steps up the ladder, the most useful first; those of one convolution in their order. Convolutions that
/// are `fixed` already do not move.
fn moves(costs: &[Sensitivity], fixed: &Kept, by_noise: bool) -> Vec<(NodeId, Precision)> {
    let mut moves: Vec<(f64, (NodeId, Precision))> = Vec::new();
    for cost in costs.iter().filter(|c| !fixed.iter().any(|(node, _)| *node == c.node)) {
        let (int8, int16) = match by_noise {
            true => (cost.noise, cost.noise_int16),
            false => (cost.drop_db, cost.drop_int16_db),
        };
        match int16.filter(|&int16| int16 < int8) {
            Some(left) => {
                let gain = int8 - left;
                moves.push((gain, (cost.node, Precision::Int16)));
                moves.push((left.min(gain), (cost.node, Precision::F32)));
            }
            None => moves.push((int8, (cost.node, Precision::F32))),
        }
    }
    moves.sort_by(|a, b| b.0.total_cmp(&a.0));
    moves.into_iter().map(|(_, step)| step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(node: NodeId, drop_db: f64, drop_int16_db: Option<f64>) -> Sensitivity {
        // The other way round in noise.
        let noise = 1.0 / drop_db;
        let noise_int16 = drop_int16_db.map(|_| 0.5 / drop_db);
        Sensitivity {
            node,
            name: format!("{node}"),
            drop_db,
            drop_int16_db,
            noise,
            noise_int16,
            macs_per_pixel: 1,
        }
    }

    #[test]
    fn useful_steps_come_first_and_in_their_order() {
        use Precision::{F32, Int16};
        let costs = [
            // Nearly all is gained by 16 bits; most of it is left; nothing is gained; not possible; fixed.
            cost(1, 0.10, Some(0.01)),
            cost(2, 0.09, Some(0.08)),
            cost(3, 0.05, Some(0.06)),
            cost(4, 0.02, None),
            cost(5, 9.0, None),
        ];
        let expected = [(1, Int16), (3, F32), (4, F32), (1, F32), (2, Int16), (2, F32)];
        assert_eq!(moves(&costs, &[(5, Int16)], false), expected);
        // Half of the noise goes with each step; without 16 bits all of it at once.
        let expected = [(4, F32), (3, Int16), (3, F32), (2, Int16), (2, F32), (1, Int16), (1, F32)];
        assert_eq!(moves(&costs, &[(5, Int16)], true), expected);
        let last = |node| moves(&costs, &[], false).iter().rev().find(|m| m.0 == node).map(|m| m.1);
        assert!((1..=5).all(|node| last(node) == Some(F32)), "in the end all are floats");
    }

    #[test]
    fn no_more_moves_than_needed() {
        for most in 0..60 {
            for needed in 1..=most + 1 {
                let (mut tried, mut last) = (Vec::new(), None);
                let try_one = |n: usize| {
                    tried.push(n);
                    let passes = n >= needed;
                    last = if passes { Some(n) } else { last };
                    Ok::<_, ()>(passes)
                };
                fewest(most, try_one).unwrap();
                assert_eq!(last, (needed <= most).then_some(needed), "{most} {needed}: {tried:?}");
                assert!(tried.iter().all(|&n| (1..=most).contains(&n)) && tried.len() <= 20, "{tried:?}");
            }
        }
    }
}
