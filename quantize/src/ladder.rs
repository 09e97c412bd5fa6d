//! The way back: when the gate fails, the convolutions that cost most return to floats until it holds.
//!
//! The rung between, 16-bit activations, needs a kernel that the engine does not have; a convolution is
//! either int8 or f32. Its cost on a board is told as the part of the multiply-accumulates in floats.

use crate::error::QuantizeError;
use crate::gate::{Drops, measure};
use crate::pipeline::Calibrated;
use crate::rewrite::Rewritten;
use crate::sensitivity::Sensitivity;
use mcir_runtime::model::{Model, NodeId};
use std::path::PathBuf;

/// A quantized model, what it costs, and which convolutions are in floats.
pub struct Candidate {
    /// The model and where the nodes went.
    pub rewritten: Rewritten,
    /// Measured on held-out images.
    pub drops: Drops,
    /// Convolutions of the folded model that stayed in floats.
    pub float: Vec<NodeId>,
}

/// Builds the model with these convolutions in floats and measures it against the original.
///
/// # Errors
/// What building and measuring refuse.
pub fn try_with(
    original: &Model,
    calibrated: &Calibrated<'_>,
    float: Vec<NodeId>,
    held_out: &[PathBuf],
) -> Result<Candidate, QuantizeError> {
    let rewritten = calibrated.build(&float)?;
    let settings = calibrated.settings();
    let drops = measure(original, &rewritten.model, held_out, settings.threads, settings.progress)?;
    Ok(Candidate { rewritten, drops, float })
}

/// Keeps one more, and then ever more, of the costliest convolutions in floats, beyond those of `first`,
/// until the mean drop is within `max_drop_db`. If even all do not help, the best candidate is returned.
///
/// # Errors
/// What building and measuring refuse.
pub fn climb(
    original: &Model,
    calibrated: &Calibrated<'_>,
    first: Candidate,
    costs: &[Sensitivity],
    held_out: &[PathBuf],
    max_drop_db: f64,
) -> Result<Candidate, QuantizeError> {
    let mut best = first;
    let fixed = best.float.clone();
    let order: Vec<NodeId> = costs.iter().map(|c| c.node).filter(|node| !fixed.contains(node)).collect();
    let mut kept = 0;
    while !best.drops.passes(max_drop_db) && kept < order.len() {
        kept = (kept + 1 + kept / 4).min(order.len());
        let float = [&fixed[..], &order[..kept]].concat();
        let candidate = try_with(original, calibrated, float, held_out)?;
        if candidate.drops.mean_drop_db < best.drops.mean_drop_db {
            best = candidate;
        }
    }
    Ok(best)
}
