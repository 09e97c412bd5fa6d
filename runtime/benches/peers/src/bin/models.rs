//! Writes the networks of the comparison that no trained weights are shipped for, `NAME.f32.mcir` and
//! `NAME.int8.mcir` with random weights, into a folder; and `NAME.winograd.mcir` of those with convolutions for Winograd's
//! algorithm in 8 bits.

use mcir_runtime::arch::{edsr, stand_in, swinir};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: make-models FOLDER")?;
    let graphs = [
        ("edsr-light-x4", edsr::graph(&edsr::Config::light(4))),
        ("swinir-light-x4", swinir::graph(&swinir::Config::light(4))),
        ("swinir-edge-x4", swinir::graph(&swinir::Config::edge(4))),
    ];
    for (name, graph) in graphs {
        if name.starts_with("edsr") {
            let path = Path::new(&folder).join(format!("{name}.winograd.mcir"));
            std::fs::write(path, stand_in::weighted_winograd(stand_in::int8_winograd(&graph))?.to_bytes())?;
        }
        for (form, graph) in [("int8", stand_in::int8(&graph)), ("f32", graph)] {
            let path = Path::new(&folder).join(format!("{name}.{form}.mcir"));
            std::fs::write(path, stand_in::weighted(graph)?.to_bytes())?;
        }
    }
    Ok(())
}
