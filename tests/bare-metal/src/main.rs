#![cfg_attr(target_os = "none", no_std, no_main)]
//! Upscales drawn images and prints the checksums of the outputs. On every processor, with and without an operating
//! system, on every instruction set, with every band height and every number of threads they have to be those of
//! `expected.txt`.

extern crate alloc;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
mod aarch64;
#[cfg(all(target_os = "none", target_arch = "arm"))]
mod cortex_m;

use alloc::{borrow::Cow, string::String, vec, vec::Vec};
use core::fmt;
use mcir_runtime::Isa;
use mcir_runtime::arch::{edsr, stand_in, swinir};
use mcir_runtime::model::{Graph, Model};
use mcir_runtime::plan::{Plan, PlanOptions};

/// Trained models of the project, as they shipped in November 2026: the table outlives those that ship now.
const SHIPPED: [(&str, &[u8]); 4] = [
    ("edsr-edge-x2 int8", include_bytes!("../models/edsr-edge-x2.int8.mcir")),
    ("edsr-edge-x4 int8", include_bytes!("../models/edsr-edge-x4.int8.mcir")),
    ("edsr-edge-x4 f32", include_bytes!("../models/edsr-edge-x4.f32.mcir")),
    ("edsr-edge-m-x4 int8", include_bytes!("../models/edsr-edge-m-x4.int8.mcir")),
];

/// Width and height of the images.
const SIZES: [(usize, usize); 4] = [(1, 1), (13, 9), (72, 5), (40, 24)];

/// Most threads, of wide images, where each has columns of its own.
const MAX_THREADS: usize = if cfg!(feature = "threads") { 8 } else { 1 };
/// Images of at most this many rows are run with bands of every height.
const ALL_BANDS: usize = if SMALL { 0 } else { 9 };

/// Without an operating system memory is never given back: three models on three images are all that fits.
const SMALL: bool = cfg!(target_os = "none");

/// Fused multiplications in software: 40x24 pixels would take minutes.
const SLOW_FLOATS: bool = SMALL && cfg!(target_arch = "arm");

/// The shipped models, and networks with the operators that these do not have: attention, layer norm, GELU, the
/// paper's tail; and one for Winograd's algorithm in 8 bits.
fn models() -> Vec<(String, Model)> {
    let shipped = SHIPPED.map(|(name, bytes)| {
        (name.into(), Model::from_bytes(Cow::Borrowed(bytes)).expect("a shipped model loads"))
    });
    let small = swinir::Config {
        embed_dim: 24,
        depths: vec![2, 2],
        num_heads: vec![2, 3],
        window_size: 4,
        ..swinir::Config::light(2)
    };
    let paper = edsr::Config { num_feat: 20, num_block: 2, ..edsr::Config::light(3) };
    let weighted = |name: &str, graph: Graph| {
        let model = stand_in::weighted(graph).expect("a sound graph");
        (name.into(), model)
    };
    let (swinir, edsr) = (swinir::graph(&small), edsr::graph(&paper));
    // Two rows at a time and residual sums in blocks of 32 channels.
    let blocks = edsr::graph(&edsr::Config { num_feat: 32, num_block: 2, ..edsr::Config::light(2) });
    let winograd = stand_in::weighted_winograd(stand_in::int8_winograd(&blocks)).expect("a sound graph");
    if SMALL {
        return shipped.into_iter().take(3).collect();
    }
    shipped
        .into_iter()
        .chain([
            weighted("swinir x2 int8", stand_in::int8(&swinir)),
            weighted("swinir x2 f32", swinir),
            weighted("edsr x3 int8", stand_in::int8(&edsr)),
            weighted("edsr x3 f32", edsr),
            ("edsr x2 for winograd".into(), winograd),
        ])
        .collect()
}

/// How a model is run.
#[derive(Debug, Clone, Copy)]
struct Way {
    isa: Isa,
    band: Option<usize>,
    threads: usize,
}

/// All ways to run an image of this size, the scalar one first.
fn ways(width: usize, height: usize) -> impl Iterator<Item = Way> {
    let most_band = if height <= ALL_BANDS { height + 1 } else { 0 };
    let most_threads = if width >= 64 { MAX_THREADS } else { 1 };
    Isa::available().flat_map(move |isa| {
        let plain = Way { isa, band: None, threads: 1 };
        let bands = (1..=most_band).map(move |band| Way { band: Some(band), ..plain });
        let threads = (2..=most_threads).map(move |threads| Way { threads, ..plain });
        core::iter::once(plain).chain(bands).chain(threads)
    })
}

/// Runs everything; `line` gets one line of text for each model and size. Returns the number of runs.
fn report(line: &mut dyn FnMut(fmt::Arguments<'_>)) -> usize {
    let mut runs = 0;
    for (name, model) in models() {
        let widest = match () {
            () if SLOW_FLOATS && name.ends_with("f32") => 39,
            () if SMALL => 63,
            () => usize::MAX,
        };
        for (width, height) in SIZES.into_iter().filter(|&(width, _)| width <= widest) {
            let pixels = draw(width, height);
            let mut expected = None;
            for way in ways(width, height) {
                let found = upscale(&model, way, &pixels, width, height);
                let expected = *expected.get_or_insert(found);
                assert_eq!(found, expected, "{name} {width}x{height} with {way:?}");
                runs += 1;
            }
            line(format_args!(
                "{name} {width}x{height} {:08x}",
                expected.expect("the scalar set is always there")
            ));
        }
    }
    runs
}

/// Checksum of the upscaled image.
fn upscale(model: &Model, way: Way, pixels: &[u8], width: usize, height: usize) -> u32 {
    let Way { isa, band, threads } = way;
    let options = PlanOptions::default().isa(isa).band(band).threads(threads);
    let plan = Plan::new(model, width, &options).unwrap_or_else(|e| panic!("{way:?}: {e}"));
    let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
    plan.run_image(&mut plan.workspace(), pixels, height, &mut out).expect("the lengths fit");
    let first = out[0];
    assert!(width * height == 1 || out.iter().any(|&v| v != first), "an image of one value shows nothing");
    crc32fast::hash(&out)
}

/// Smooth and busy parts in every channel.
fn draw(width: usize, height: usize) -> Vec<u8> {
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        (x * (5 + c) + y * 7 + ((x ^ y) & 7) * 17) as u8
    };
    (0..width * height * 3).map(value).collect()
}

#[cfg(not(target_os = "none"))]
fn main() {
    let runs = report(&mut |line| println!("{line}"));
    let names: Vec<&str> = Isa::available().map(Isa::name).collect();
    eprintln!("{runs} runs on {}", names.join(", "));
}
