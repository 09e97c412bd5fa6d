//! The table of checksums that holds for every processor (`tests/bare-metal`), as far as its models run on a GPU.

#[path = "../../../tests/src/skip.rs"]
mod skip;

use mcir_gpu::{Error, Gpu, Network, Options, Selection};
use mcir_runtime::arch::{edsr, stand_in, swinir};
use mcir_runtime::model::Model;
use std::path::Path;
use std::time::Duration;

#[test]
fn the_table_of_all_processors_holds_for_a_gpu() {
    let options = Options { timeout: Duration::from_secs(300), ..Options::default() };
    let gpu = match Gpu::open(Selection::Any, options) {
        Ok(gpu) => gpu,
        Err(error @ (Error::NoLoader { .. } | Error::NoDevice { .. })) => return skip::skip(error),
        Err(error) => panic!("{error}"),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bare-metal");
    let table = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
    let paper = edsr::Config { num_feat: 20, num_block: 2, ..edsr::Config::light(3) };
    let blocks = edsr::graph(&edsr::Config { num_feat: 32, num_block: 2, ..edsr::Config::light(2) });
    let mut models = vec![
        ("edsr x3 int8", stand_in::weighted(stand_in::int8(&edsr::graph(&paper))).unwrap()),
        ("edsr x2 for winograd", stand_in::weighted_winograd(stand_in::int8_winograd(&blocks)).unwrap()),
    ];
    for name in ["edsr-edge-x2 int8", "edsr-edge-x4 int8", "edsr-edge-m-x4 int8"] {
        let file = folder.join("models").join(name.replace(" int8", ".int8.mcir"));
        models.push((name, Model::from_bytes(std::fs::read(file).unwrap()).unwrap()));
    }
    let mut held = 0;
    for (name, model) in models {
        let network = Network::new(&gpu, &model).unwrap();
        for (width, height) in [(1, 1), (13, 9), (72, 5), (40, 24)] {
            let of_case = format!("{name} {width}x{height} ");
            let line = table.lines().find_map(|line| line.strip_prefix(&of_case));
            let mut frames = network.frames(width, height).unwrap();
            let crc = crc32fast::hash(frames.run(&draw(width, height)).unwrap());
            assert_eq!(Some(format!("{crc:08x}").as_str()), line, "{of_case}");
            held += 1;
        }
    }
    assert_eq!(held, 20);
    // The others are in floats, or have attention.
    let small = swinir::Config {
        embed_dim: 24,
        depths: vec![2],
        num_heads: vec![2],
        window_size: 4,
        ..swinir::Config::light(2)
    };
    let swinir = stand_in::weighted(stand_in::int8(&swinir::graph(&small))).unwrap();
    assert!(matches!(Network::new(&gpu, &swinir), Err(Error::Unsupported { operator: "LayerNorm", .. })));
}

/// Smooth and busy parts in every channel, as the table's images have.
fn draw(width: usize, height: usize) -> Vec<u8> {
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        (x * (5 + c) + y * 7 + ((x ^ y) & 7) * 17) as u8
    };
    (0..width * height * 3).map(value).collect()
}
