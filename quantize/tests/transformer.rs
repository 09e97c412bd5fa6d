//! SwinIR becomes int8: norms and attention between integer edges, with channels that were balanced first.

mod support;

use mcir_quantize::calibrate::{Detail, observe};
use mcir_quantize::engine::Runner;
use mcir_quantize::fold::fold;
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_quantize::rewrite::Precision;
use mcir_quantize::spread::spread;
use mcir_quantize::transformer::balance;
use mcir_runtime::arch::swinir::{Config, Tail, graph};
use mcir_runtime::metrics::psnr_rgb;
use mcir_runtime::model::{DType, Model, NodeId, Op, TensorData};
use support::{lr_image, node, random, samples};

const SETTINGS: Settings<'static> =
    Settings { effort: Effort::Normal, purpose: Purpose::Engine, threads: 2, progress: &() };

fn small(upscale: u8) -> Config {
    Config {
        embed_dim: 12,
        depths: vec![2, 1],
        num_heads: vec![2, 3],
        window_size: 4,
        ..Config::light(upscale)
    }
}

/// A network whose norms write channels of very different sizes, and whose output is about an image.
fn uneven(config: &Config, seed: u64) -> Model {
    let model = random(graph(config), seed);
    let params: Vec<_> = (0..model.graph().nodes.len() as NodeId)
        .map(|id| {
            let mut params = model.params(id);
            if let (Op::LayerNorm { .. }, [TensorData::F32(weight), ..]) =
                (model.graph().node(id).op, params.as_mut_slice())
            {
                for (c, w) in weight.iter_mut().enumerate() {
                    *w = 0.1 * 1.4_f32.powi(c as i32 % 9) * w.signum();
                }
            }
            params
        })
        .collect();
    Model::new(model.graph().clone(), &params, vec![]).unwrap()
}

fn agreement(float: &Model, int8: &Model) -> f64 {
    let lr = lr_image(77, 37, 29, 3);
    let [a, b] = [float, int8].map(|m| Runner::new(m).upscale(&lr).unwrap());
    psnr_rgb(&a, &b, 0).unwrap()
}

fn quantized(model: &Model, float: &[NodeId]) -> Model {
    let kept: Vec<_> = float.iter().map(|&id| (id, Precision::F32)).collect();
    let samples = samples(4, 32, 24, 3);
    Calibrated::new(model, &samples, SETTINGS).unwrap().build(&kept).unwrap().model
}

#[test]
fn every_configuration_becomes_int8() {
    let configs = [
        ("x2", small(2)),
        ("x3", small(3)),
        ("x4", small(4)),
        ("x2, mean shift", Config { mean_shift: true, ..small(2) }),
        ("x4, classical tail", Config { tail: Tail::Classical(8), ..small(4) }),
        ("x2, windows of 8", Config { window_size: 8, ..small(2) }),
    ];
    for (i, (name, config)) in configs.into_iter().enumerate() {
        let model = uneven(&config, 40 + i as u64);
        let int8 = quantized(&model, &[]);
        let psnr = agreement(&model, &int8);
        assert!(psnr > 30.0, "{name}: {psnr:.1} dB");
        let graph = int8.graph();
        for n in &graph.nodes {
            let reads = |k: usize| graph.node(n.inputs[k]).dtype;
            let narrow = |dtype| matches!(dtype, DType::I8 { .. });
            let ok = match n.op {
                Op::Conv2d(_) => narrow(reads(0)),
                Op::WindowAttention { .. } | Op::Activation(_) => narrow(reads(0)) && narrow(n.dtype),
                Op::PRelu => matches!(reads(0), DType::I16 { .. }) && narrow(n.dtype),
                Op::LayerNorm { .. } => matches!(reads(0), DType::I16 { .. }),
                Op::Input { .. }
                | Op::Add { .. }
                | Op::Mul
                | Op::Affine
                | Op::PixelShuffle { .. }
                | Op::Resize { .. }
                | Op::MaxPool(_)
                | Op::GlobalPool { .. }
                | Op::Interpolate { .. }
                | Op::Reduce { .. }
                | Op::Convert => n.dtype != DType::F32,
            };
            assert!(ok, "{name}: {} reads or writes the wrong type", n.name);
        }
    }
}

#[test]
fn parts_of_a_block_can_stay_in_floats() {
    let model = uneven(&small(2), 50);
    let folded = fold(&model).unwrap();
    let all = agreement(&model, &quantized(&model, &[]));
    for name in ["attn.qkv", "attn", "attn.proj", "mlp.fc1", "mlp.fc2"] {
        let id = node(&folded, &format!("layers.0.residual_group.blocks.0.{name}"));
        let int8 = quantized(&model, &[id]);
        let kept = int8.graph().node(node(&int8, &folded.graph().node(id).name));
        assert_eq!(int8.graph().node(kept.inputs[0]).dtype, DType::F32, "{name}");
        let psnr = agreement(&model, &int8);
        assert!(psnr > all - 3.0, "{name}: {psnr:.1} dB, {all:.1} dB without");
    }
}

#[test]
fn balancing_keeps_the_function_and_evens_channels_out() {
    let model = uneven(&small(2), 60);
    let samples = samples(4, 32, 24, 3);
    let folded = fold(&model).unwrap();
    let see = |m: &Model| observe(m, &samples, Detail::Moments, 1, &()).unwrap();
    let balanced = balance(&folded, &see(&folded)).unwrap();
    assert!(agreement(&folded, &balanced) > 70.0, "only rounding differs");

    let [before, after] = [&folded, &balanced].map(see);
    let at = |name: &str| usize::from(node(&folded, &format!("layers.0.residual_group.blocks.0.{name}")));
    for name in ["norm1", "norm2"] {
        let [before, after] = [&before, &after].map(|o| ratio(&o.moments[at(name)].variance));
        assert!(before > 3.0 && after < before.powf(0.4), "{name}: from {before} to {after}");
    }
    let (qkv, c) = (&after.moments[at("attn.qkv")], 12);
    for i in 0..c {
        let query = qkv.variance[i] + qkv.mean[i].powi(2);
        let ratio = query / qkv.variance[c + i];
        assert!((ratio - 1.0).abs() < 0.01, "query and key {i} share their size: {ratio}");
        assert!(qkv.mean[c + i].abs() < 1e-3 && qkv.mean[2 * c + i].abs() < 1e-3);
    }
    assert!(ratio(&qkv.variance[2 * c..]) < 1.01, "values are alike");
}

/// The deviation of the largest channel as a multiple of the least.
fn ratio(variance: &[f64]) -> f64 {
    let largest = variance.iter().fold(0.0_f64, |m, v| m.max(*v));
    let least = variance.iter().fold(f64::MAX, |m, v| m.min(*v));
    (largest / least).sqrt()
}

#[test]
fn sums_with_uneven_channels_are_evened_out_for_the_convolutions_that_read_them() {
    let even = random(graph(&small(2)), 61);
    let first = node(&even, "conv_first");
    let params: Vec<_> = (0..even.graph().nodes.len() as NodeId)
        .map(|id| {
            let mut params = even.params(id);
            if let (true, [TensorData::F32(weight), ..]) = (id == first, params.as_mut_slice()) {
                weight[..2 * 27].iter_mut().for_each(|w| *w *= 30.0);
            }
            params
        })
        .collect();
    let uneven = fold(&Model::new(even.graph().clone(), &params, vec![]).unwrap()).unwrap();
    let samples = samples(4, 32, 24, 3);
    let see = |m: &Model| observe(m, &samples, Detail::Moments, 1, &()).unwrap();
    let model = spread(&uneven, &see(&uneven)).unwrap();
    assert!(agreement(&uneven, &model) > 70.0, "only rounding differs");
    let seen = see(&model);
    let of = |id: NodeId| ratio(&seen.moments[usize::from(id)].variance);
    let added: Vec<NodeId> = (0..model.graph().nodes.len() as NodeId)
        .filter(|&id| model.graph().node(id).name.ends_with(".spread"))
        .collect();
    assert!(!added.is_empty(), "the sum of the last two is read by a convolution");
    for id in added {
        let sum = model.graph().node(id).inputs[0];
        assert!(of(id) < of(sum).powf(0.5), "node {id}: from {} to {}", of(sum), of(id));
        let convolution = |r: NodeId| matches!(model.graph().node(r).op, Op::Conv2d(_));
        assert!(model.graph().readers(id).all(convolution));
        assert!(!model.graph().readers(sum).any(convolution));
    }
    // In 8 bits, such a node reads 16 and writes 8.
    let int8 = quantized(&uneven, &[]);
    let nodes = &int8.graph().nodes;
    for n in nodes.iter().filter(|n| n.name.ends_with(".spread")) {
        let from = nodes[usize::from(n.inputs[0])].dtype;
        assert!(matches!((from, n.dtype), (DType::I16 { .. }, DType::I8 { .. })), "{}", n.name);
    }
}

#[test]
fn streams_that_are_equalized_as_one_need_no_such_node() {
    let config = mcir_runtime::arch::edsr::Config::edge(2, 16, 4);
    let model = fold(&random(mcir_runtime::arch::edsr::graph(&config), 62)).unwrap();
    let seen = observe(&model, &samples(4, 32, 24, 3), Detail::Moments, 1, &()).unwrap();
    assert_eq!(spread(&model, &seen).unwrap().graph().nodes.len(), model.graph().nodes.len());
}

#[test]
fn a_prepared_transformer_comes_back_with_its_nodes_and_types() {
    let model = uneven(&Config { mean_shift: true, ..small(4) }, 70);
    let samples = samples(4, 32, 24, 3);
    let first = Calibrated::new(&model, &samples, SETTINGS).unwrap();
    let prepared = first.prepared().unwrap();
    let again = Calibrated::new(&prepared, &samples, SETTINGS).unwrap();
    assert_eq!(again.folded().graph(), first.folded().graph());
    assert!(again.seen().is_none(), "nothing is chosen anew");
    let [a, b] = [&first, &again].map(|c| c.build(&[]).unwrap().model);
    assert_eq!(a.graph(), b.graph(), "the same types on the same edges");
    let psnr = agreement(&model, &b);
    assert!(psnr > 30.0, "{psnr:.1} dB");
}
