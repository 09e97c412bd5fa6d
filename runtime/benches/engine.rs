//! Frames of the usual networks, one thread: time, GMAC/s, share of the core's int8 peak, time a node.
//!
//! `cargo bench -p mcir-runtime --bench engine -- [--isa NAME] [--size WxH] [--threads N] [--band ROWS]
//! [--only NETWORK] [--f32] [--winograd] [--luma] [--nodes] [--frames N] [--assert SHARE]`
//!
//! `--frames` runs just so many frames without a clock: for counting instructions from outside, also of a
//! build for another processor under an emulator. Two counts with different numbers give those of a frame.
//! `--winograd` runs int8 networks as they are when quantized for Winograd's convolution in 8 bits, `--luma` the form of networks
//! for brightness alone.
//! Weights are random: as long as they are distributed like trained ones, speed does not depend on them. `--assert`
//! fails when an int8 EDSR-light frame reaches less than this share of the peak that was measured in the same run.

use cpu_time::ThreadTime;
use mcir_runtime::Isa;
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::arch::{stand_in, swinir};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1).cloned());
    let isa =
        value("--isa").map_or_else(Isa::best, |n| Isa::from_name(&n).expect("a compiled instruction set"));
    let size = value("--size").unwrap_or_else(|| "160x90".into());
    let (w, h) = size.split_once('x').expect("--size is WIDTHxHEIGHT");
    let (width, height): (usize, usize) = (w.parse().expect("width"), h.parse().expect("height"));
    let threads = value("--threads").map_or(1, |n| n.parse().expect("a number of threads"));
    let band = value("--band").map(|n| n.parse().expect("a number of rows"));
    let only = value("--only");
    let [winograd, luma] = ["--winograd", "--luma"].map(|name| args.iter().any(|a| a == name));
    let frames: Option<usize> = value("--frames").map(|n| n.parse().expect("a number of frames"));
    let options = PlanOptions::default().isa(isa).threads(threads).band(band);

    println!("{} {:?}, {width}x{height}, {threads} thread(s)", isa.name(), isa.kernels());
    let mut share_of_light = 0.0;
    let networks = [
        ("edsr-light x4", edsr::graph(&Config::light(4))),
        ("edsr-light x2", edsr::graph(&Config::light(2))),
        ("edge 16x4 x4", edsr::graph(&Config::edge(4, 16, 4))),
        ("edge 32x8 x4", edsr::graph(&Config::edge(4, 32, 8))),
        ("edge 16x4 x2", edsr::graph(&Config::edge(2, 16, 4))),
        ("swinir-light x4", swinir::graph(&swinir::Config::light(4))),
        ("swinir-edge x4", swinir::graph(&swinir::Config::edge(4))),
    ];
    for (name, graph) in networks {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let int8 = if winograd { stand_in::int8_winograd(&graph) } else { stand_in::int8(&graph) };
        for (kind, graph) in [("int8", int8), ("f32", graph.clone())] {
            if kind == "f32" && !args.iter().any(|a| a == "--f32") {
                continue;
            }
            let model = if winograd { stand_in::weighted_winograd(graph) } else { stand_in::weighted(graph) };
            let mut model = model.expect("the graph is sound");
            if luma {
                model = model.luma().expect("both ends are linear");
            }
            let macs = model.macs_per_pixel() * (width * height) as u64;
            let plan = Plan::new(&model, width, &options).expect("the engine runs it");
            let mut workspace = plan.workspace();
            let pixels: Vec<u8> = (0..plan.in_row_bytes() * height).map(|i| (i * 31 % 251) as u8).collect();
            let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
            let mut seconds = vec![];
            let mut peak = vec![];
            if let Some(frames) = frames {
                for _ in 0..frames {
                    plan.run_image(&mut workspace, &pixels, height, &mut out).expect("lengths fit");
                }
                println!("{name} {kind}: {frames} frame(s) of {macs} MAC");
                continue;
            }
            let begin = Instant::now();
            while seconds.len() < 5 || begin.elapsed().as_secs_f64() < 1.5 {
                peak.push(peak_gmacs(isa));
                let stopwatch = Stopwatch::new(threads);
                plan.run_image(&mut workspace, &pixels, height, &mut out).expect("lengths fit");
                seconds.push(stopwatch.seconds());
            }
            // The fastest frame and the fastest peak: what is left when nothing else runs.
            let (best, peak) = (min(&seconds), peak.iter().copied().fold(0.0, f64::max) * threads as f64);
            let rate = macs as f64 / best * 1e-9;
            println!(
                "{name:15} {kind:4}  best {:8.2} ms  median {:8.2} ms  p99 {:8.2} ms  {rate:7.1} GMAC/s  {:5.1} % of {peak:.0}  {:.1} MB",
                best * 1e3,
                median(&mut seconds) * 1e3,
                seconds[(seconds.len() - 1).min(seconds.len() * 99 / 100)] * 1e3,
                100.0 * rate / peak,
                plan.memory_bytes(height).expect("it was run") as f64 * 1e-6,
            );
            if args.iter().any(|a| a == "--nodes") {
                let stopwatch = Stopwatch::new(threads);
                let mut clock = || (stopwatch.seconds() * 1e9) as u64;
                let mut spent = vec![u64::MAX; model.graph().nodes.len()];
                for _ in 0..seconds.len().min(9) {
                    let once =
                        plan.profile(&mut workspace, &pixels, height, &mut clock).expect("lengths fit");
                    spent.iter_mut().zip(once).for_each(|(least, ns)| *least = ns.min(*least));
                }
                for (id, (node, ns)) in (0..).zip(model.graph().nodes.iter().zip(&spent)) {
                    let macs = model.node_macs_per_pixel(id) * (width * height) as u64;
                    println!(
                        "    {:28} {:14} {:9.1} us {:7.1} GMAC/s {:7.2} ns/px",
                        node.name,
                        node.op.name(),
                        *ns as f64 * 1e-3,
                        macs as f64 / *ns as f64,
                        *ns as f64 / (width * height) as f64
                    );
                }
            }
            if name == "edsr-light x4" && kind == "int8" {
                share_of_light = rate / peak;
            }
        }
    }
    if let Some(floor) = value("--assert") {
        let floor: f64 = floor.parse().expect("a share");
        assert!(
            share_of_light >= floor,
            "edsr-light x4 reaches {share_of_light:.3} of the peak, not {floor}"
        );
    }
}

/// Processor time of one thread, which other programs on the machine are not part of; elapsed time of several.
enum Stopwatch {
    Thread(ThreadTime),
    Elapsed(Instant),
}

impl Stopwatch {
    fn new(threads: usize) -> Self {
        if threads == 1 { Self::Thread(ThreadTime::now()) } else { Self::Elapsed(Instant::now()) }
    }

    fn seconds(&self) -> f64 {
        match self {
            Self::Thread(start) => start.elapsed().as_secs_f64(),
            Self::Elapsed(start) => start.elapsed().as_secs_f64(),
        }
    }
}

fn peak_gmacs(isa: Isa) -> f64 {
    let stopwatch = Stopwatch::new(1);
    let macs = isa.exercise_i8(100_000);
    macs as f64 / stopwatch.seconds() * 1e-9
}

fn min(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
