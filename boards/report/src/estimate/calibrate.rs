//! Networks to measure a machine's speed with: the usual shapes, with weights of no meaning.
//!
//! Speed does not depend on the weights, but it does on the ratio of multiplications to what steps write, and with window
//! attention on the number of channels and the size of heads; the networks here span it.

use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::arch::{stand_in, swinir};
use mcir_runtime::model::{Graph, Model};
use mcir_upscale::error::{Error, Result};

/// Names and graphs, small to large.
pub fn networks() -> Vec<(&'static str, Graph)> {
    let edsr = |config: Config| edsr::graph(&config);
    let swinir = |embed_dim, heads| {
        let light = swinir::Config::light(2);
        swinir::graph(&swinir::Config { embed_dim, depths: vec![2], num_heads: vec![heads], ..light })
    };
    vec![
        ("edge 16x4 x4", edsr(Config::edge(4, 16, 4))),
        ("edge 16x4 x2", edsr(Config::edge(2, 16, 4))),
        ("edge 32x8 x2", edsr(Config::edge(2, 32, 8))),
        ("edge 48x4 x3", edsr(Config::edge(3, 48, 4))),
        ("light x2", edsr(Config::light(2))),
        ("swinir 32/4", swinir(32, 4)),
        ("swinir 60/6", swinir(60, 6)),
        ("swinir 64/4", swinir(64, 4)),
    ]
}

/// A network of this graph in f32 or int8.
///
/// # Errors
/// [`Error::Load`] never, unless a graph above is impossible.
pub fn network(name: &str, graph: &Graph, float: bool) -> Result<Model> {
    let graph = if float { graph.clone() } else { stand_in::int8(graph) };
    stand_in::weighted(graph).map_err(|source| Error::Load { name: name.into(), source })
}
