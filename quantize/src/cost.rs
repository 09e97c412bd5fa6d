//! What it costs to keep a convolution in more than int8: multiply-accumulates, and a predicted latency.
//!
//! The prediction is for one thread of a common board's core, with its multipliers always busy. Real convolutions
//! come near that; conversions, which a mixture of types adds, are left out. It is a number that depends on
//! the model only, so that it can be stored in the file; for real ones measure on the board.

use crate::rewrite::{Precision, Rewritten};
use mcir_runtime::model::{DType, Model, NodeId};
use serde::Serialize;

/// The core that predictions are for, and what they leave out.
pub const BASIS: &str = "one thread of a Cortex-A76 at 2.4 GHz at its peak of 32 (int8), 16 (int16) or 8 (f32) \
                         multiply-accumulates a cycle, image of 320x180; conversions not counted";
const CYCLES_PER_MS: f64 = 2.4e6;
const PIXELS: f64 = 320.0 * 180.0;

/// Milliseconds that a convolution takes in this precision, as [`BASIS`] says.
pub fn predicted_ms(macs_per_pixel: u64, precision: Precision) -> f64 {
    let per_cycle = match precision {
        Precision::Int8 => 32.0,
        Precision::Int16 => 16.0,
        Precision::F32 => 8.0,
    };
    macs_per_pixel as f64 * PIXELS / per_cycle / CYCLES_PER_MS
}

/// A convolution that is not in int8, and its price.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptNode {
    /// Name.
    pub name: String,
    /// What it is in.
    pub precision: Precision,
    /// Multiply-accumulates for one pixel of the input image.
    pub macs_per_pixel: u64,
    /// Part of the model's, 0..1.
    pub macs_part: f64,
    /// Predicted milliseconds; see [`BASIS`].
    pub predicted_ms: f64,
    /// What they would be in int8.
    pub predicted_int8_ms: f64,
}

/// The convolutions of a quantized model that are kept in more than int8, in the order in which they were; `folded` is
/// the float model that it was made from.
pub fn kept_nodes(folded: &Model, int8: &Rewritten, kept: &[(NodeId, Precision)]) -> Vec<KeptNode> {
    let total = folded.macs_per_pixel().max(1) as f64;
    let price = |&(id, _): &(NodeId, Precision)| {
        let macs_per_pixel = folded.node_macs_per_pixel(id);
        // What it reads in the end, which for exact inputs is less than what was asked for.
        let precision = precision_of(&int8.model, int8.node[usize::from(id)]);
        KeptNode {
            name: folded.graph().node(id).name.clone(),
            precision,
            macs_per_pixel,
            macs_part: macs_per_pixel as f64 / total,
            predicted_ms: predicted_ms(macs_per_pixel, precision),
            predicted_int8_ms: predicted_ms(macs_per_pixel, Precision::Int8),
        }
    };
    kept.iter().map(price).filter(|node| node.precision != Precision::Int8).collect()
}

/// What a node computes in: the type of what it reads first.
pub fn precision_of(model: &Model, id: NodeId) -> Precision {
    let input = model.graph().node(id).inputs.first();
    match input.map(|&input| model.graph().node(input).dtype) {
        Some(DType::I8 { .. }) => Precision::Int8,
        Some(DType::I16 { .. }) => Precision::Int16,
        Some(DType::F32) | None => Precision::F32,
    }
}

/// Predicted milliseconds of all convolutions of a model; see [`BASIS`].
pub fn total_ms(model: &Model) -> f64 {
    (0..model.graph().nodes.len() as NodeId)
        .map(|id| predicted_ms(model.node_macs_per_pixel(id), precision_of(model, id)))
        .sum()
}

/// One line a node, for metadata and messages.
pub fn describe(kept: &[KeptNode]) -> String {
    let lines = kept.iter().map(|k| {
        format!(
            "{}: {}, {} MAC/px, {:.2} ms (int8 {:.2} ms)",
            k.name,
            k.precision.name(),
            k.macs_per_pixel,
            k.predicted_ms,
            k.predicted_int8_ms
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_better_precision_costs_more() {
        let ms = [Precision::Int8, Precision::Int16, Precision::F32].map(|p| predicted_ms(10_000, p));
        assert!(ms[0] < ms[1] && ms[1] < ms[2]);
        // 10000 · 57600 / 32 / 2.4e6
        assert!((ms[0] - 7.5).abs() < 1e-9, "{ms:?}");
    }
}
