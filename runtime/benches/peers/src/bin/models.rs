//! Writes `edsr-light-x4.f32.mcir` and `edsr-light-x4.int8.mcir`, with random weights, into a folder.

use mcir_runtime::arch::edsr::{self, Config};
use networks::{int8, random_model};
use std::path::Path;

#[path = "../../../support/networks.rs"]
mod networks;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).expect("usage: make-models FOLDER");
    let graph = edsr::graph(&Config::light(4));
    for (form, graph) in [("int8", int8(&graph)), ("f32", graph)] {
        let path = Path::new(&folder).join(format!("edsr-light-x4.{form}.mcir"));
        std::fs::write(path, random_model(graph).to_bytes())?;
    }
    Ok(())
}
