//! Types of edges in the metadata of a float model: from here to the trainer and back.
//!
//! `mcir-quantize prepare` writes them; `mcir-train qat` tunes the weights for them; `mcir-quantize run` takes them as
//! they are. One line for each node: its name, the type where a convolution reads its edge, and the type where
//! an addition does.
//!
//! ```text
//! body.0.conv1 i8:0.003921569:-128 i16:0.00012
//! ```

use crate::error::QuantizeError;
use crate::params::{EdgeTypes, hold_pixels};
use mcir_runtime::model::{DType, Model};
use std::fmt::Write as _;

/// Key of the metadata.
pub const KEY: &str = "quantize.types";

/// The types of all edges as the text of the metadata.
///
/// # Panics
/// If there is not one entry for each node.
pub fn to_text(model: &Model, types: &[EdgeTypes]) -> String {
    assert_eq!(types.len(), model.graph().nodes.len(), "one entry for each node");
    let mut text = String::new();
    for (node, types) in model.graph().nodes.iter().zip(types) {
        let _ = writeln!(text, "{} {} {}", node.name, word(types.narrow), word(types.wide));
    }
    text
}

/// The types of all edges that a model's metadata holds; `None` when it has no such key.
///
/// # Errors
/// [`QuantizeError::Types`] for a line that is no node with two types, or a node without a line.
pub fn from_metadata(model: &Model) -> Result<Option<Vec<EdgeTypes>>, QuantizeError> {
    let Some(text) = model.meta(KEY) else { return Ok(None) };
    let nodes = &model.graph().nodes;
    let mut found: Vec<Option<EdgeTypes>> = vec![None; nodes.len()];
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let entry = match words[..] {
            [name, narrow, wide] => nodes
                .iter()
                .position(|n| n.name == name)
                .zip(parse(narrow).filter(|t| matches!(t, DType::I8 { .. })))
                .zip(parse(wide)),
            _ => None,
        };
        let ((id, narrow), wide) =
            entry.ok_or_else(|| QuantizeError::Types { what: format!("line `{line}`") })?;
        found[id] = Some(EdgeTypes { narrow, wide });
    }
    let missing = |name: &str| QuantizeError::Types { what: format!("the lack of a line for node `{name}`") };
    let all = nodes.iter().zip(found).map(|(node, types)| types.ok_or_else(|| missing(&node.name)));
    all.collect::<Result<Vec<EdgeTypes>, QuantizeError>>().map(Some)
}

/// Whether the types are those of a [symmetric](crate::pipeline::Purpose::Symmetric) model.
///
/// # Errors
/// [`QuantizeError::ZeroPoint`] for an edge with another zero point than 0 that does not hold pixels.
pub fn symmetric(model: &Model, types: &[EdgeTypes]) -> Result<(), QuantizeError> {
    all_symmetric(model, types.iter().map(|types| types.narrow))
}

/// The same of the types that edges have.
///
/// # Errors
/// As [`symmetric`].
pub fn all_symmetric(model: &Model, types: impl Iterator<Item = DType>) -> Result<(), QuantizeError> {
    let nodes = model.graph().nodes.iter().zip(hold_pixels(model.graph()));
    for ((node, pixels), dtype) in nodes.zip(types) {
        if let DType::I8 { zero_point, .. } = dtype
            && zero_point != 0
            && !pixels
        {
            return Err(QuantizeError::ZeroPoint { node: node.name.clone(), zero_point });
        }
    }
    Ok(())
}

fn word(dtype: DType) -> String {
    match dtype {
        DType::F32 => unreachable!("edge types are integers"),
        DType::I8 { scale, zero_point } => format!("i8:{scale}:{zero_point}"),
        DType::I16 { scale } => format!("i16:{scale}"),
    }
}

fn parse(word: &str) -> Option<DType> {
    let parts: Vec<&str> = word.split(':').collect();
    let scale = |text: &str| text.parse::<f32>().ok().filter(|s| s.is_finite() && (1e-12..=1e12).contains(s));
    match parts[..] {
        ["i8", s, zero] => Some(DType::I8 { scale: scale(s)?, zero_point: zero.parse().ok()? }),
        ["i16", s] => Some(DType::I16 { scale: scale(s)? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_survive_the_text() {
        for dtype in [
            DType::PIXEL,
            DType::I8 { scale: 1.234_567_9e-5, zero_point: 127 },
            DType::I16 { scale: 1.0 / 3.0 },
            DType::I16 { scale: 1e-11 },
        ] {
            assert_eq!(parse(&word(dtype)), Some(dtype));
        }
        for wrong in ["", "f32", "i8", "i8:1", "i8:1:200", "i8:0:0", "i16:NaN", "i16:1:2", "i16:1e30"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
