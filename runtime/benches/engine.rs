//! Frames of the usual networks, one thread: time, GMAC/s, share of the core's int8 peak, time a node.
//!
//! `cargo bench -p mcir-runtime --bench engine -- [--isa NAME] [--size WxH] [--threads N] [--band ROWS]
//! [--only NETWORK] [--f32] [--nodes] [--frames N] [--assert SHARE]`
//!
//! `--frames` runs just so many frames without a clock: for counting instructions from outside, also of a
//! build for another processor under an emulator. Two counts with different numbers give those of a frame.
//! Weights are random: as long as they are distributed like trained ones, speed does not depend on them. `--assert` fails when an int8 EDSR-light frame reaches
//! less than this share of the peak that was measured in the same run.

use mcir_runtime::Isa;
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::arch::swinir;
use mcir_runtime::model::{
    Activation, Conv2d, DType, Element, Graph, Model, NodeId, Op, Role, TensorData, infer, param_specs_of,
};
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
    let frames: Option<usize> = value("--frames").map(|n| n.parse().expect("a number of frames"));
    let options = PlanOptions { isa: Some(isa), threads, band, ..PlanOptions::default() };

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
        for (kind, graph) in [("int8", int8(&graph)), ("f32", graph.clone())] {
            if kind == "f32" && !args.iter().any(|a| a == "--f32") {
                continue;
            }
            let model = random_model(graph);
            let macs = model.macs_per_pixel() * (width * height) as u64;
            let plan = Plan::new(&model, width, &options).expect("the engine runs it");
            let mut workspace = plan.workspace();
            let pixels: Vec<u8> = (0..width * height * 3).map(|i| (i * 31 % 251) as u8).collect();
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
                let start = Instant::now();
                plan.run_image(&mut workspace, &pixels, height, &mut out).expect("lengths fit");
                seconds.push(start.elapsed().as_secs_f64());
            }
            // The fastest frame and the fastest peak: what is left when nothing else runs.
            let (best, peak) = (min(&seconds), peak.iter().copied().fold(0.0, f64::max) * threads as f64);
            let rate = macs as f64 / best * 1e-9;
            println!(
                "{name:15} {kind:4}  best {:8.2} ms  median {:8.2} ms  {rate:7.1} GMAC/s  {:5.1} % of {peak:.0}  {:.1} MB",
                best * 1e3,
                median(&mut seconds) * 1e3,
                100.0 * rate / peak,
                plan.memory_bytes() as f64 * 1e-6,
            );
            if args.iter().any(|a| a == "--nodes") {
                let start = Instant::now();
                let mut clock = || start.elapsed().as_nanos() as u64;
                let spent = plan.profile(&mut workspace, &pixels, height, &mut clock).expect("lengths fit");
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

fn peak_gmacs(isa: Isa) -> f64 {
    let start = Instant::now();
    let macs = isa.exercise_i8(100_000);
    macs as f64 / start.elapsed().as_secs_f64() * 1e-9
}

fn min(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(seconds: &mut [f64]) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// The graph that the quantizer makes of a float one, with arbitrary scales: convolutions in 8 bits,
/// residual sums in 16, attention and tables between 8 bits.
fn int8(graph: &Graph) -> Graph {
    let (q, sum) = (DType::I8 { scale: 0.02, zero_point: 0 }, DType::I16 { scale: 0.001 });
    let mut out = Graph::new(3, DType::PIXEL);
    // What is never negative uses all of the range.
    let positive = DType::I8 { scale: 0.02, zero_point: -128 };
    let mut map: Vec<NodeId> = vec![0];
    let mut quantized: Vec<Option<NodeId>> = vec![Some(0)];
    let last = graph.output();
    for (id, node) in (0..).zip(&graph.nodes).skip(1) {
        let reads_8_bits = |op: &Op| matches!(op, Op::Conv2d(_) | Op::WindowAttention { .. });
        let only_narrow = graph.readers(id).all(|r| reads_8_bits(&graph.node(r).op));
        let dtype = match node.op {
            _ if id == last => DType::PIXEL,
            _ if graph
                .readers(id)
                .all(|r| r == last && matches!(graph.node(r).op, Op::PixelShuffle { .. })) =>
            {
                DType::PIXEL
            }
            Op::WindowAttention { .. } => q,
            Op::Conv2d(conv) if only_narrow && conv.activation == Some(Activation::Relu) => positive,
            Op::Conv2d(_) | Op::LayerNorm { .. } if only_narrow => q,
            Op::PixelShuffle { .. } => out.node(map[usize::from(node.inputs[0])]).dtype,
            Op::Resize { upscale, .. } => {
                DType::I16 { scale: 1.0 / (255.0 * 4.0 * f32::from(upscale) * f32::from(upscale)) }
            }
            Op::Conv2d(_) if graph.readers(id).all(|r| shuffles_into_conv(graph, r)) => q,
            _ => sum,
        };
        let mut inputs = vec![];
        for &input in &node.inputs {
            let input = usize::from(input);
            inputs.push(match (node.op, out.node(map[input]).dtype) {
                (op, DType::I16 { .. }) if reads_8_bits(&op) => *quantized[input].get_or_insert_with(|| {
                    out.push(format!("quantize.{input}"), Op::Convert, &[map[input]], q)
                }),
                _ => map[input],
            });
        }
        map.push(match node.op {
            Op::Conv2d(conv @ Conv2d { activation: Some(Activation::Gelu), .. }) => {
                let plain = Op::Conv2d(Conv2d { activation: None, ..conv });
                let x = out.push(node.name.clone(), plain, &inputs, q);
                out.push(format!("{}.gelu", node.name), Op::Activation(Activation::Gelu), &[x], q)
            }
            op => out.push(node.name.clone(), op, &inputs, dtype),
        });
        quantized.push(None);
    }
    out
}

fn shuffles_into_conv(graph: &Graph, id: NodeId) -> bool {
    matches!(graph.node(id).op, Op::PixelShuffle { .. })
        && graph
            .readers(id)
            .next()
            .is_some_and(|_| graph.readers(id).all(|r| matches!(graph.node(r).op, Op::Conv2d(_))))
}

fn random_model(graph: Graph) -> Model {
    let shapes = infer(&graph).expect("the graph is sound");
    let mut seed = 1_u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as i8
    };
    let params: Vec<Vec<TensorData>> = graph
        .nodes
        .iter()
        .map(|node| {
            let input = node.inputs.first().map(|&i| (graph.node(i).dtype, shapes[usize::from(i)]));
            param_specs_of(node, input)
                .iter()
                .map(|spec| match (spec.element, spec.role) {
                    // Bell-shaped, as those of trained networks are: how large a sum can get decides which
                    // kernels take it.
                    (Element::I8, _) => TensorData::I8(
                        (0..spec.len())
                            .map(|_| ((0..4).map(|_| i32::from(next())).sum::<i32>() / 4).max(-127) as i8)
                            .collect(),
                    ),
                    (Element::I32, _) => TensorData::I32(vec![0; spec.len()]),
                    (Element::F32, Role::WeightScale) => TensorData::F32(vec![0.001; spec.len()]),
                    (Element::F32, _) => {
                        TensorData::F32((0..spec.len()).map(|_| f32::from(next()) / 2048.0).collect())
                    }
                })
                .collect()
        })
        .collect();
    Model::new(graph, &params, vec![]).expect("parameters fit")
}
