//! Writes the seeds of `model_load` and `model_run` that are made and not taken from elsewhere: small networks that
//! together have every operator, in both precisions.
//!
//!     cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds

use mcir_runtime::arch::{edsr, stand_in, swinir};
use mcir_runtime::model::{Activation, Conv2d, DType, Filter, Graph, Model, Op, Pool, Statistic};
use std::path::Path;

/// The smallest of a kind, and whether there is an 8-bit one: LeakyReLU of the classical tail is in f32 only.
fn graphs() -> Vec<(&'static str, Graph, bool)> {
    let paper = edsr::Config { num_feat: 8, num_block: 1, ..edsr::Config::light(3) };
    let edge = edsr::Config::edge(4, 12, 1);
    let bicubic = edsr::Config { image_residual: Some(Filter::Bicubic), ..edsr::Config::edge(2, 16, 1) };
    let grey = edsr::Config { channels: 1, mean_shift: false, ..edsr::Config::edge(2, 8, 1) };
    let direct = swinir::Config {
        embed_dim: 8,
        depths: vec![2],
        num_heads: vec![2],
        window_size: 4,
        ..swinir::Config::light(2)
    };
    let classical = swinir::Config { tail: swinir::Tail::Classical(8), upscale: 4, ..direct.clone() };
    vec![
        ("edsr-x3", edsr::graph(&paper), true),
        ("edge-x4", edsr::graph(&edge), true),
        ("edge-bicubic-x2", edsr::graph(&bicubic), true),
        ("edge-grey-x2", edsr::graph(&grey), true),
        ("prelu-x2", prelu(), true),
        ("attention-x2", attention(), true),
        ("pooled-x2", pooled(), false),
        ("reduced-x2", reduced(), true),
        ("margin-x2", Graph { margin: 5, ..edsr::graph(&grey) }, true),
        ("swinir-x2", swinir::graph(&direct), true),
        ("swinir-classical-x4", swinir::graph(&classical), false),
    ]
}

/// A network by 2 with PReLUs, as FSRCNN has them; no architecture of ours does.
fn prelu() -> Graph {
    let conv = |in_channels, out_channels, kernel| {
        Op::Conv2d(Conv2d { in_channels, out_channels, kernel, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let x = g.push("feature", conv(3, 8, 5), &[0], DType::F32);
    let x = g.push("feature.prelu", Op::PRelu, &[x], DType::F32);
    let x = g.push("map", conv(8, 8, 3), &[x], DType::F32);
    let x = g.push("map.prelu", Op::PRelu, &[x], DType::F32);
    let x = g.push("upsample", conv(8, 12, 3), &[x], DType::F32);
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], DType::F32);
    g
}

/// A network by 2 with attention on every pixel, as SPAN has it, and the activations of imported networks.
fn attention() -> Graph {
    let conv = |in_channels, out_channels, kernel| {
        Op::Conv2d(Conv2d { in_channels, out_channels, kernel, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let mut push = |name: &str, op, inputs: &[u16]| g.push(name, op, inputs, DType::F32);
    let x = push("first", conv(3, 8, 3), &[0]);
    let y = push("first.silu", Op::Activation(Activation::Silu), &[x]);
    let y = push("second", conv(8, 8, 3), &[y]);
    let gate = push("sigmoid", Op::Activation(Activation::Sigmoid), &[y]);
    let y = push("mul", Op::Mul, &[x, gate]);
    let y = push("hard_swish", Op::Activation(Activation::HardSwish { alpha: 0.2, beta: 0.5 }), &[y]);
    let gate = push("hard_sigmoid", Op::Activation(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }), &[y]);
    let y = push("tanh", Op::Activation(Activation::Tanh), &[y]);
    let y = push("gate", Op::Mul, &[y, gate]);
    let y = push("upsample", conv(8, 12, 3), &[y]);
    push("shuffle", Op::PixelShuffle { upscale: 2 }, &[y]);
    g
}

/// A network by 2 that pools its image, as RLFN does, and looks at all of it. The fuzzer's images are small, so are its windows.
fn pooled() -> Graph {
    let conv = |in_channels, out_channels, kernel| {
        Op::Conv2d(Conv2d { in_channels, out_channels, kernel, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let mut push = |name: &str, op, inputs: &[u16]| g.push(name, op, inputs, DType::F32);
    let x = push("first", conv(3, 8, 3), &[0]);
    let y = push("half", Op::MaxPool(Pool { window: 1, stride: 2, before: -1, after: 0 }), &[x]);
    let y = push("pool", Op::MaxPool(Pool { window: 3, stride: 2, before: 1, after: 1 }), &[y]);
    let y = push("low", conv(8, 8, 3), &[y]);
    let y = push("up", Op::Interpolate { filter: Filter::Bilinear }, &[y, x]);
    let y = push("sum", Op::Add { res_scale: 1.0 }, &[x, y]);
    let gate = push("mean", Op::GlobalPool { statistic: Statistic::Mean }, &[y]);
    let deviation = push("deviation", Op::GlobalPool { statistic: Statistic::Deviation }, &[y]);
    let gate = push("contrast", Op::Add { res_scale: 1.0 }, &[gate, deviation]);
    let gate = push("point", conv(8, 8, 1), &[gate]);
    let gate = push("sigmoid", Op::Activation(Activation::Sigmoid), &[gate]);
    let gate = push("spread", Op::Interpolate { filter: Filter::Nearest }, &[gate, y]);
    let y = push("gate", Op::Mul, &[y, gate]);
    let y = push("upsample", conv(8, 12, 3), &[y]);
    push("shuffle", Op::PixelShuffle { upscale: 2 }, &[y]);
    g
}

/// A network that enlarges by 4 and halves the result.
fn reduced() -> Graph {
    let conv = |in_channels, out_channels| {
        Op::Conv2d(Conv2d { in_channels, out_channels, kernel: 3, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let mut push = |name: &str, op, inputs: &[u16]| g.push(name, op, inputs, DType::F32);
    let x = push("first", conv(3, 8), &[0]);
    let x = push("prelu", Op::PRelu, &[x]);
    let x = push("last", conv(8, 48), &[x]);
    let x = push("shuffle", Op::PixelShuffle { upscale: 4 }, &[x]);
    let base = push("base", Op::Resize { upscale: 4, filter: Filter::Nearest }, &[0]);
    let x = push("image", Op::Add { res_scale: 1.0 }, &[base, x]);
    push("half", Op::Reduce { factor: 2, filter: Filter::SharpBicubic }, &[x]);
    g
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let winograd = edsr::graph(&edsr::Config { num_feat: 32, num_block: 1, ..edsr::Config::edge(2, 32, 1) });
    let mut models: Vec<(String, Model)> =
        vec![("winograd-x2.int8".into(), stand_in::weighted_winograd(stand_in::int8_winograd(&winograd))?)];
    for (name, graph, has_int8) in graphs() {
        if has_int8 {
            models.push((format!("{name}.int8"), stand_in::weighted(stand_in::int8(&graph))?));
        }
        models.push((format!("{name}.f32"), stand_in::weighted(graph)?));
    }
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (name, model) in models {
        // Loading does not care for the operators; the 8-bit models have every kind of tensor.
        let targets = ["model_run", "model_load"];
        for target in &targets[..1 + usize::from(model.is_quantized())] {
            std::fs::write(seeds.join(target).join(format!("{name}.mcir")), model.to_bytes())?;
        }
    }
    Ok(())
}
