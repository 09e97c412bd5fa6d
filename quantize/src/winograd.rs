//! Models for Winograd's F(2, 3) in 8 bits (`--winograd`), which the engine has for aarch64 with the dot product and for
//! AVX-512 VNNI.
//!
//! The engine computes the same with or without it, so the file is an int8 model as any other; but it is only fast
//! where the algorithm's sums fit 8 bits (`runtime/src/cpu/conv/winograd_2x1.rs`). Weights: the sum of three below each
//! other, whatever the sign of the middle one. So scales are larger, by 1.4 to 2.4 in trained networks. Activations: the
//! sum and the difference of two, so levels for the values that were seen lie in the middle half of the range; values
//! beyond, on other images, are still exact up to the range's ends, only slower.

use crate::histogram::Histogram;
use crate::params::{EdgeTypes, exact};
use mcir_runtime::model::{Conv2d, DType, Model, NodeId, Op};

/// Most that three weights may add up to before they are rounded, each by up to half a step.
const MAX_SUM: f32 = 125.4;
/// Levels of the middle half, and the lowest of them.
const LEVELS: f64 = 127.0;
const LOWEST: f64 = -64.0;
/// Multiples of which the channels must be.
const IN_CHANNELS: u16 = 16;
const OUT_CHANNELS: u16 = 8;

/// Whether the algorithm is for this node.
pub fn is_for(model: &Model, id: NodeId) -> bool {
    let Op::Conv2d(Conv2d { kernel: 3, in_channels, out_channels, .. }) = model.graph().node(id).op else {
        return false;
    };
    in_channels.is_multiple_of(IN_CHANNELS) && out_channels.is_multiple_of(OUT_CHANNELS)
}

/// Moves the 8-bit types of the edges that such convolutions read to the middle half of the range.
///
/// # Panics
/// If there is not one type and one histogram for each edge.
pub fn narrow(model: &Model, seen: &[Histogram], types: &mut [EdgeTypes]) {
    let graph = model.graph();
    assert!(types.len() == graph.nodes.len() && seen.len() == types.len(), "one for each edge");
    for id in (0..graph.nodes.len() as NodeId).filter(|&id| is_for(model, id)) {
        let mut edge = graph.node(id).inputs[0];
        let mut edges = vec![edge];
        // A shuffle copies what it reads.
        while let Op::PixelShuffle { .. } = graph.node(edge).op {
            edge = graph.node(edge).inputs[0];
            edges.push(edge);
        }
        let is_input = matches!(graph.node(edge).op, Op::Input { .. });
        if is_input || exact(model, edge).is_some() {
            continue;
        }
        let dtype = middle_half(&seen[usize::from(edge)]);
        for edge in edges {
            types[usize::from(edge)].narrow = dtype;
        }
    }
}

/// The type in which all values that were seen are in −64..=63.
fn middle_half(seen: &Histogram) -> DType {
    let (lo, hi) = (f64::from(seen.min()).min(0.0), f64::from(seen.max()).max(0.0));
    // Any scale will do for an edge that was only seen to be zero.
    let range = if hi > lo { hi - lo } else { 1.0 };
    let scale = (range / LEVELS).max(1e-11);
    let zero_point = (LOWEST - lo / scale).round().clamp(LOWEST, LOWEST + LEVELS);
    DType::I8 { scale: scale as f32, zero_point: zero_point as i8 }
}

/// The least scale with which the weights of an output channel, `[3, 3, in]`, fit.
pub fn least_scale(row: &[f32]) -> f32 {
    let third = row.len() / 3;
    let sums = (0..third).map(|i| {
        let (a, b, c) = (row[i], row[i + third], row[i + 2 * third]);
        (a + b + c).abs().max((a - b + c).abs())
    });
    sums.fold(0.0, f32::max) / MAX_SUM
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::quantize_from;

    #[test]
    fn quantized_weights_of_a_column_add_up_to_8_bits() {
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let (out, inputs) = (8, 16);
        let depth = 9 * inputs;
        let weights: Vec<f32> = (0..out * depth).map(|_| next()).collect();
        let found = quantize_from(&weights, &vec![1.0; depth], &vec![0.0; out], 0.01, least_scale);
        let mut largest = 0;
        for row in found.values.chunks_exact(depth) {
            for i in 0..depth / 3 {
                let [a, b, c] = [0, 1, 2].map(|y| i32::from(row[i + y * depth / 3]));
                largest = largest.max((a + b + c).abs()).max((a - b + c).abs());
            }
        }
        assert!((120..=127).contains(&largest), "{largest}: as large as they may be");
    }

    #[test]
    fn seen_values_are_in_the_middle_half_and_zero_is_a_level() {
        for values in [[0.0, 3.0], [-1.0, 2.0], [-5.0, -1.0], [0.0, 0.0]] {
            let mut seen = Histogram::default();
            seen.add(&values);
            let DType::I8 { scale, zero_point } = middle_half(&seen) else { unreachable!("8 bits") };
            for value in values.into_iter().chain([0.0]) {
                let level = (value / scale).round() as i32 + i32::from(zero_point);
                assert!((-64..=63).contains(&level), "{value} of {values:?} is level {level}");
            }
        }
    }
}
