//! Networks to measure a machine's speed with: the usual shapes, with weights of no meaning.
//!
//! Speed does not depend on the weights, but it does on the ratio of multiplications to what steps write; the
//! networks here span it.

use crate::error::{Error, Result};
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::arch::stand_in;
use mcir_runtime::model::Model;

/// Names and shapes, small to large.
pub const NETWORKS: [(&str, Config); 5] = [
    ("edge 16x4 x4", Config::edge(4, 16, 4)),
    ("edge 16x4 x2", Config::edge(2, 16, 4)),
    ("edge 32x8 x2", Config::edge(2, 32, 8)),
    ("edge 48x4 x3", Config::edge(3, 48, 4)),
    ("light x2", Config::light(2)),
];

/// A network of this shape in f32 or int8.
///
/// # Errors
/// [`Error::Load`] never, unless a shape above is impossible.
pub fn network(name: &str, config: &Config, float: bool) -> Result<Model> {
    let graph = edsr::graph(config);
    let graph = if float { graph } else { stand_in::int8(&graph) };
    stand_in::weighted(graph).map_err(|source| Error::Load { name: name.into(), source })
}
