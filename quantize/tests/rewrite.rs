//! Every architecture becomes an int8 model that computes nearly the same.

mod support;

use mcir_quantize::QuantizeError;
use mcir_quantize::calibrate::{Detail, observe};
use mcir_quantize::cost;
use mcir_quantize::engine::Runner;
use mcir_quantize::equalize::{STRENGTH, equalize};
use mcir_quantize::fold::fold;
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_quantize::report::summary;
use mcir_quantize::rewrite::{Precision, Rewritten};
use mcir_quantize::samples::Sample;
use mcir_quantize::sensitivity::edge_snr;
use mcir_runtime::arch::edsr::{Config, graph};
use mcir_runtime::metrics::psnr_rgb;
use mcir_runtime::model::{
    Activation, Conv2d, DType, Extent, Filter, Graph, Model, Node, NodeId, Op, Role, TensorData,
};
use mcir_runtime::plan::{Plan, PlanOptions};
use support::{Rng, attention, lr_image, node, pooled, random, samples};

const SETTINGS: Settings<'static> =
    Settings { effort: Effort::Normal, purpose: Purpose::Engine, threads: 2, progress: &() };

/// PSNR between what two models make of a picture that was not calibrated on.
fn agreement(float: &Model, int8: &Model) -> f64 {
    let lr = lr_image(77, 37, 29, float.in_channels());
    let [a, b] = [float, int8].map(|m| Runner::new(m).upscale(&lr).unwrap());
    psnr_rgb(&a, &b, 0).unwrap()
}

fn converts(model: &Model) -> usize {
    model.graph().nodes.iter().filter(|n| n.op == Op::Convert).count()
}

fn configs() -> Vec<(&'static str, Config)> {
    let paper = Config { num_feat: 12, num_block: 2, ..Config::light(4) };
    let edge = Config::edge(2, 12, 2);
    vec![
        ("edge x2", edge),
        ("edge x3, nearest", Config { image_residual: Some(Filter::Nearest), ..Config::edge(3, 12, 2) }),
        ("edge x4, bicubic", Config { image_residual: Some(Filter::Bicubic), ..Config::edge(4, 12, 2) }),
        ("edge x2, no residual", Config { image_residual: None, ..edge }),
        ("edge x2, one block", Config { num_block: 1, ..edge }),
        ("edge x2, no block", Config { num_block: 0, ..edge }),
        ("edge x2, grey", Config { channels: 1, ..edge }),
        ("edge x2, mean shift", Config { mean_shift: true, ..edge }),
        ("paper x2", Config { upscale: 2, ..paper }),
        ("paper x3", Config { upscale: 3, ..paper }),
        ("paper x4", paper),
        ("paper x8", Config { upscale: 8, ..paper }),
        ("paper x4, residual scaling", Config { res_scale: 0.1, ..paper }),
        ("paper x2, image residual", Config { upscale: 2, image_residual: Some(Filter::Bilinear), ..paper }),
        ("paper x2, mean shift", Config { upscale: 2, mean_shift: true, ..paper }),
    ]
}

#[test]
fn every_configuration_becomes_int8() {
    for (i, (name, config)) in configs().into_iter().enumerate() {
        let model = random(graph(&config), i as u64);
        let samples = samples(4, 32, 24, model.in_channels());
        let int8 = Calibrated::new(&model, &samples, SETTINGS).unwrap().build(&[]).unwrap().model;
        let summary = summary(&int8, 32).unwrap();
        assert_eq!(summary.int8_macs_part, 1.0, "{name}: all convolutions are int8");
        assert!(int8.graph().nodes.iter().all(|n| n.dtype.is_quantized()), "{name}");
        let ends = [0, int8.graph().output()].map(|id| int8.graph().node(id).dtype);
        assert_eq!(ends, [DType::PIXEL; 2], "{name}");
        // One for each edge that a convolution and an addition read; the last addition of the body only
        // feeds a convolution.
        assert_eq!(converts(&int8), usize::from(config.num_block).max(1), "{name}");
        assert_eq!(model.macs_per_pixel(), int8.macs_per_pixel(), "{name}");
        assert!(int8.weight_bytes() * 2 < model.weight_bytes(), "{name}");
        let db = agreement(&model, &int8);
        assert!(db > 36.0, "{name}: {db:.2} dB between float and int8");
        assert_eq!(int8.meta("name"), Some("test"), "{name}");
        let again = Model::from_bytes(int8.to_bytes()).unwrap();
        assert_eq!(again.to_bytes(), int8.to_bytes(), "{name}");
    }
}

#[test]
fn dtypes_are_where_the_design_wants_them() {
    let model = random(graph(&Config::edge(4, 8, 2)), 1);
    let samples = samples(4, 32, 24, 3);
    let int8 = Calibrated::new(&model, &samples, SETTINGS).unwrap().build(&[]).unwrap().model;
    let dtype = |name: &str| int8.graph().node(node(&int8, name)).dtype;
    for name in ["conv_first", "body.0.conv2", "body.0.add", "conv_after_body", "conv_last", "shuffle"] {
        assert!(matches!(dtype(name), DType::I16 { .. }), "{name}: sums have 16 bits");
    }
    for name in ["conv_first.i8", "body.0.add.i8", "body.1.add", "body_add"] {
        assert!(matches!(dtype(name), DType::I8 { .. }), "{name}: convolutions read 8 bits");
    }
    for name in ["body.0.conv1", "body.1.conv1"] {
        assert!(matches!(dtype(name), DType::I8 { zero_point: -128, .. }), "{name}: a ReLU uses all levels");
    }
    assert_eq!(dtype("base"), DType::I16 { scale: 1.0 / (255.0 * 64.0) });
    assert_eq!(dtype("shuffle"), dtype("conv_last"));
}

#[test]
fn convolutions_can_stay_in_floats() {
    let model = random(graph(&Config { num_feat: 8, num_block: 1, ..Config::light(2) }), 3);
    let samples = samples(4, 32, 24, 3);
    let calibrated = Calibrated::new(&model, &samples, SETTINGS).unwrap();
    let all = calibrated.convolutions();
    assert_eq!(all.len(), 6);
    for &one in &all {
        let mixed = calibrated.build(&[(one, Precision::F32)]).unwrap();
        let name = &calibrated.folded().graph().node(one).name;
        let new = mixed.node[usize::from(one)];
        assert_eq!(mixed.model.f32s(new, Role::Weight), calibrated.folded().f32s(one, Role::Weight));
        let part = summary(&mixed.model, 32).unwrap().int8_macs_part;
        assert!(part > 0.0 && part < 1.0, "{name}: {part}");
        assert!(agreement(&model, &mixed.model) > 36.0, "{name}");
    }
    let float: Vec<_> = all.iter().map(|&id| (id, Precision::F32)).collect();
    let float = calibrated.build(&float).unwrap().model;
    let db = agreement(&model, &float);
    assert!(db > 55.0, "only the sums are quantized: {db:.2} dB");
}

#[test]
fn every_convolution_can_read_16_bits() {
    let configs = [
        Config { num_feat: 8, num_block: 1, ..Config::light(2) },
        Config::edge(2, 8, 2),
        Config { mean_shift: true, num_feat: 8, num_block: 1, ..Config::light(4) },
    ];
    for config in configs {
        let model = random(graph(&config), 3);
        let samples = samples(4, 32, 24, 3);
        let calibrated = Calibrated::new(&model, &samples, SETTINGS).unwrap();
        let all = calibrated.convolutions();
        let precision_of = |rewritten: &Rewritten, id: NodeId| {
            cost::precision_of(&rewritten.model, rewritten.node[usize::from(id)])
        };
        for &one in &all {
            let mixed = calibrated.build(&[(one, Precision::Int16)]).unwrap();
            let name = &calibrated.folded().graph().node(one).name;
            let expected = if name == "conv_first" { Precision::Int8 } else { Precision::Int16 };
            assert_eq!(precision_of(&mixed, one), expected, "{name}: only pixels are exact in 8 bits");
            assert_eq!(calibrated.can_be_int16(one), expected == Precision::Int16, "{name}");
            assert!(agreement(&model, &mixed.model) > 36.0, "{name}");
            let listed = cost::kept_nodes(calibrated.folded(), &mixed, &[(one, Precision::Int16)]);
            assert_eq!(listed.len(), usize::from(expected == Precision::Int16), "{name}");
        }
        let wide: Vec<_> = all.iter().map(|&id| (id, Precision::Int16)).collect();
        let wide = calibrated.build(&wide).unwrap();
        let int8 = calibrated.build(&[]).unwrap();
        let (wide, int8) = (agreement(&model, &wide.model), agreement(&model, &int8.model));
        assert!(wide > int8 + 1.0, "{wide:.2} dB with 16 bits, {int8:.2} dB with 8");
    }
}

#[test]
fn weights_are_rounded_with_regard_to_each_other() {
    let model = random(graph(&Config::edge(2, 12, 2)), 3);
    let samples = samples(8, 48, 40, 3);
    let [low, normal] = [Effort::Low, Effort::Normal].map(|effort| {
        let settings = Settings { effort, ..SETTINGS };
        let calibrated = Calibrated::new(&model, &samples, settings).unwrap();
        let int8 = calibrated.build(&[]).unwrap();
        let snr = edge_snr(calibrated.folded(), &int8, &samples, 2).unwrap();
        snr.iter().find(|e| e.name == "conv_first").unwrap().snr_db
    });
    // The first convolution reads exact pixels, so its only error is that of the weights.
    assert!(normal > low + 2.0, "{normal:.1} dB with, {low:.1} dB without");
    let threads = [1, 3].map(|threads| {
        let settings = Settings { effort: Effort::High, purpose: Purpose::Engine, threads, progress: &() };
        Calibrated::new(&model, &samples, settings).unwrap().build(&[]).unwrap().model.to_bytes()
    });
    assert!(threads[0] == threads[1], "on any number of threads");
}

/// Two convolutions with the activation fused into the first, and once more as a node of its own.
fn with_activation(activation: Activation) -> Model {
    let conv = |from, to, activation| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation })
    };
    let mut g = Graph::new(3, DType::F32);
    let x = g.push("a", conv(3, 8, Some(activation)), &[0], DType::F32);
    let x = g.push("b", conv(8, 8, None), &[x], DType::F32);
    let x = g.push("act", Op::Activation(activation), &[x], DType::F32);
    let x = g.push("c", conv(8, 12, None), &[x], DType::F32);
    g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], DType::F32);
    random(g, 5)
}

#[test]
fn activations_become_fused_or_tables_or_prelus() {
    for (activation, nodes) in [
        (Activation::Relu, 0),
        // PReLUs, which read 16 bits.
        (Activation::LeakyRelu { slope: 0.2 }, 0),
        (Activation::Gelu, 2),
        (Activation::Tanh, 2),
        (Activation::Sigmoid, 2),
        (Activation::Silu, 2),
        (Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }, 2),
        (Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 }, 2),
    ] {
        let model = with_activation(activation);
        let samples = samples(4, 32, 24, 3);
        let int8 = Calibrated::new(&model, &samples, SETTINGS).unwrap().build(&[]).unwrap().model;
        let count = int8.graph().nodes.iter().filter(|n| matches!(n.op, Op::Activation(_))).count();
        assert_eq!(count, nodes, "{activation:?}");
        let graph = int8.graph();
        for n in &graph.nodes {
            let read = |r: &Node| r.op == Op::PRelu && graph.node(r.inputs[0]).name == n.name;
            let only_prelu = graph.nodes.iter().any(read);
            let wide = matches!(n.dtype, DType::I16 { .. });
            assert_eq!((wide, n.dtype == DType::F32), (only_prelu, false), "{activation:?}: {}", n.name);
        }
        let db = agreement(&model, &int8);
        assert!(db > 36.0, "{activation:?}: {db:.2} dB");
    }
}

/// What products read has 16 bits, as what sums read.
#[test]
fn attention_on_pixels_becomes_integers() {
    let model = random(attention(), 5);
    let int8 = Calibrated::new(&model, &samples(4, 32, 24, 3), SETTINGS).unwrap().build(&[]).unwrap().model;
    let graph = int8.graph();
    assert!(graph.nodes.iter().all(|n| n.dtype.is_quantized()));
    for node in graph.nodes.iter().filter(|n| n.op == Op::Mul) {
        let wide = |&i: &NodeId| matches!(graph.node(i).dtype, DType::I16 { .. });
        assert!(node.inputs.iter().all(wide), "{}", node.name);
    }
    let db = agreement(&model, &int8);
    assert!(db > 40.0, "{db:.2} dB");
}

#[test]
fn a_margin_stays() {
    let edge = random(Graph { margin: 5, ..graph(&Config::edge(2, 12, 1)) }, 3);
    let shifted = Config { num_feat: 12, num_block: 1, mean_shift: true, ..Config::light(2) };
    let shifted = random(Graph { margin: 5, ..graph(&shifted) }, 3);
    for model in [edge, shifted] {
        let int8 = Calibrated::new(&model, &samples(4, 32, 24, 3), SETTINGS).unwrap().build(&[]).unwrap();
        assert_eq!(int8.model.graph().margin, 5);
        let db = agreement(&model, &int8.model);
        assert!(db > 36.0, "{db:.2} dB");
    }
}

/// Only what is known of the whole image, a pixel, stays in floats.
#[test]
fn pooled_networks_become_integers() {
    let model = random(pooled(), 5);
    let int8 = Calibrated::new(&model, &samples(4, 32, 24, 3), SETTINGS).unwrap().build(&[]).unwrap().model;
    for (id, node) in (0..).zip(&int8.graph().nodes) {
        let is_point = int8.shape(id).extent == Extent::One;
        assert_eq!(node.dtype == DType::F32, is_point, "{}", node.name);
        if matches!(node.op, Op::MaxPool(_)) {
            assert!(matches!(node.dtype, DType::I8 { .. }), "{}", node.name);
        }
    }
    let db = agreement(&model, &int8);
    assert!(db > 40.0, "{db:.2} dB");
}

#[test]
fn folding_keeps_the_function() {
    for (name, config) in configs() {
        let model = random(graph(&config), 9);
        let folded = fold(&model).unwrap();
        if !config.mean_shift {
            assert_eq!(folded.graph(), model.graph(), "{name}");
        }
        let (width, height) = (29, 27);
        let mut rng = Rng(4);
        let pixels: Vec<f32> =
            (0..width * height * model.in_channels()).map(|_| 0.5 + 0.5 * rng.unit()).collect();
        let [expected, found] = [&model, &folded].map(|m| {
            let plan = Plan::new(m, width, &PlanOptions::default()).unwrap();
            let mut out = vec![0.0; plan.out_row_bytes() * height * usize::from(m.upscale())];
            plan.run_image_f32(&mut plan.workspace(), &pixels, height, &mut out).unwrap();
            out
        });
        // Padding differs where a mean is subtracted; eleven pixels in, nothing of it is left.
        let margin = if config.mean_shift { 11 * usize::from(config.upscale) } else { 0 };
        let row = expected.len() / (height * usize::from(config.upscale));
        let channels = model.in_channels();
        for (y, (a, b)) in expected.chunks(row).zip(found.chunks(row)).enumerate() {
            if y < margin || y >= height * usize::from(config.upscale) - margin {
                continue;
            }
            let inner = margin * channels..row - margin * channels;
            for (a, b) in a[inner.clone()].iter().zip(&b[inner]) {
                assert!((a - b).abs() < 2e-4 * a.abs().max(1.0), "{name}, row {y}: {a} {b}");
            }
        }
    }
}

#[test]
fn equalising_keeps_the_function_and_evens_channels_out() {
    let even = random(graph(&Config { num_feat: 8, num_block: 1, ..Config::light(2) }), 9);
    // The same network with features and hidden channels scaled against each other.
    let scale = |i: usize| [1.0_f32, 30.0, 0.2, 3.0][i % 4];
    let params: Vec<Vec<TensorData>> = (0..even.graph().nodes.len() as NodeId)
        .map(|id| {
            let Op::Conv2d(conv) = even.graph().node(id).op else { return even.params(id) };
            let name = even.graph().node(id).name.as_str();
            let out =
                |n: usize| if name.starts_with("upsample") || name == "conv_last" { 1.0 } else { scale(n) };
            let read = |c: usize| if matches!(name, "conv_first" | "conv_last") { 1.0 } else { scale(c) };
            let channels = usize::from(conv.in_channels);
            let depth = 9 * channels;
            let weight = even.f32s(id, Role::Weight).into_iter().enumerate();
            let weight = weight.map(|(i, w)| w * out(i / depth) / read(i % channels)).collect();
            let bias = even.f32s(id, Role::Bias).into_iter().enumerate().map(|(n, b)| b * out(n)).collect();
            vec![TensorData::F32(weight), TensorData::F32(bias)]
        })
        .collect();
    let uneven = Model::new(even.graph().clone(), &params, vec![]).unwrap();
    let samples = samples(4, 32, 24, 3);
    let seen = observe(&uneven, &samples, Detail::Moments, 2, &()).unwrap();
    let equalized = equalize(&uneven, &seen, STRENGTH).unwrap();
    assert!(agreement(&even, &uneven) > 70.0 && agreement(&uneven, &equalized) > 70.0);

    let spread = |model: &Model| {
        let seen = observe(model, &samples, Detail::Moments, 2, &()).unwrap();
        let peak = &seen.moments[usize::from(node(model, "body.0.conv1"))].peak;
        let used: Vec<f64> = peak.iter().copied().filter(|&p| p > 0.0).collect();
        used.iter().copied().fold(0.0, f64::max) / used.iter().copied().fold(f64::MAX, f64::min)
    };
    let (before, after) = (spread(&uneven), spread(&equalized));
    assert!(after < 0.5 * before, "{after} after, {before} before");
    let int8 = Calibrated::new(&uneven, &samples, SETTINGS).unwrap().build(&[]).unwrap().model;
    let db = agreement(&uneven, &int8);
    assert!(db > 33.0, "{db:.2} dB");
}

#[test]
fn a_mean_shift_costs_one_node() {
    let config = Config { mean_shift: true, num_feat: 8, num_block: 1, ..Config::light(2) };
    let folded = fold(&random(graph(&config), 2)).unwrap();
    let affine: Vec<&str> =
        folded.graph().nodes.iter().filter(|n| n.op == Op::Affine).map(|n| n.name.as_str()).collect();
    assert_eq!(affine, ["sub_mean"]);
    let samples = samples(4, 32, 24, 3);
    let int8 = Calibrated::new(&random(graph(&config), 2), &samples, SETTINGS).unwrap();
    let int8 = int8.build(&[]).unwrap().model;
    // The mean of DIV2K's three means is 109.65 of 255.
    let shifted = int8.graph().node(node(&int8, "sub_mean")).dtype;
    assert_eq!(shifted, DType::I8 { scale: 1.0 / 255.0, zero_point: -18 });
}

#[test]
fn the_result_does_not_depend_on_the_threads() {
    let model = random(graph(&Config::edge(2, 8, 1)), 4);
    let mut samples = samples(6, 32, 24, 3);
    samples.push(&Sample { name: "other".into(), lr: lr_image(5, 40, 20, 3) }).unwrap();
    let bytes = [1, 2, 5].map(|threads| {
        let settings = Settings { threads, ..SETTINGS };
        let int8 = Calibrated::new(&model, &samples, settings).unwrap().build(&[]).unwrap();
        int8.model.to_bytes()
    });
    assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2]);
}

#[test]
fn what_cannot_be_quantized_is_refused() {
    let model = random(graph(&Config::edge(2, 4, 1)), 4);
    let samples = samples(4, 32, 24, 3);
    let int8 = Calibrated::new(&model, &samples, SETTINGS).unwrap().build(&[]).unwrap().model;
    let error = Calibrated::new(&int8, &samples, SETTINGS).err().unwrap();
    assert!(matches!(&error, QuantizeError::AlreadyQuantized { node, .. } if node == "input"), "{error}");

    let huge = support::model(graph(&Config::edge(2, 4, 1)), |_, spec| vec![9e11; spec.len()]);
    let error = Calibrated::new(&huge, &samples, SETTINGS).err().unwrap();
    assert!(matches!(&error, QuantizeError::NotFinite { .. }), "{error}");
}

#[test]
fn an_accumulator_that_could_overflow_is_refused() {
    let conv = |from, to, kernel| {
        Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let x = g.push("a", conv(3, 1024, 1), &[0], DType::F32);
    g.push("b", conv(1024, 3, 9), &[x], DType::F32);
    // All weights equal: all become 127, and 127 · 255 · 81 · 1024 needs more than 31 bits.
    let model = support::model(g, |_, spec| vec![1e-3; spec.len()]);
    let samples = samples(4, 16, 16, 3);
    let built = Calibrated::new(&model, &samples, SETTINGS).and_then(|calibrated| calibrated.build(&[]));
    let error = built.unwrap_err();
    assert!(error.to_string().contains("could overflow its 32-bit accumulator"), "{error}");
}

#[test]
fn a_model_that_comes_with_its_types_keeps_them() {
    let shifted = Config { mean_shift: true, num_feat: 8, num_block: 1, ..Config::light(4) };
    // Folding a mean shift changes what the padding at the border stands for.
    for (config, least_db) in [(Config::edge(2, 8, 2), 70.0), (shifted, 40.0)] {
        let model = random(graph(&config), 6);
        let samples = samples(4, 32, 24, 3);
        let calibrated = Calibrated::new(&model, &samples, SETTINGS).unwrap();
        let prepared = calibrated.prepared().unwrap();
        let db = agreement(&model, &prepared);
        assert!(db > least_db, "the same function in floats: {db:.1} dB");
        let again = Calibrated::new(&prepared, &samples, SETTINGS).unwrap();
        assert_eq!(again.folded().graph(), prepared.graph());
        let [first, second] = [&calibrated, &again].map(|c| c.build(&[]).unwrap().model);
        assert_eq!(first.graph(), second.graph(), "types included");
        assert!(agreement(&model, &second) > 33.0);
        for id in again.convolutions() {
            let folded = again.folded();
            let name = &folded.graph().node(id).name;
            let new = node(&second, name);
            let scales = second.f32s(new, Role::WeightScale);
            let rows = folded.f32s(id, Role::Weight);
            for (row, scale) in rows.chunks_exact(rows.len() / scales.len()).zip(scales) {
                let largest = row.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
                assert!(
                    (scale * 127.0 - largest).abs() <= 1e-6 * largest,
                    "{name}: as the trainer rounds them"
                );
            }
        }
        // What was tuned is not this model any more: neither are its means put right.
        assert!(again.seen().is_none());
        assert!(prepared.meta("quantize.types").unwrap().lines().count() == prepared.graph().nodes.len());
    }
}

#[test]
fn wrong_types_are_refused() {
    let model = random(graph(&Config::edge(2, 4, 1)), 4);
    let samples = samples(4, 32, 24, 3);
    let good = Calibrated::new(&model, &samples, SETTINGS).unwrap().prepared().unwrap();
    let text = good.meta("quantize.types").unwrap();
    let cases = [
        (text.replace("conv_last ", "conv_lost "), "line `conv_lost "),
        (text.lines().skip(1).collect::<Vec<_>>().join("\n"), "the lack of a line for node `input`"),
        (text.replace("i8:", "i9:"), "line `input i9:"),
        (text.replace(" i16:", " i16:-"), "i16:-"),
        (String::new(), "the lack of a line"),
    ];
    for (text, message) in cases {
        let metadata = vec![("quantize.types".into(), text)];
        let model = good.clone().with_metadata(metadata).unwrap();
        let error = Calibrated::new(&model, &samples, SETTINGS).err().unwrap();
        assert!(
            matches!(error, QuantizeError::Types { .. }) && error.to_string().contains(message),
            "{error}"
        );
    }
}

#[test]
fn high_effort_is_at_least_as_close_on_the_calibration_images() {
    let model = random(graph(&Config::edge(2, 8, 2)), 9);
    let samples = samples(4, 40, 32, 3);
    let mean_db = |effort: Effort| {
        let calibrated = Calibrated::new(&model, &samples, Settings { effort, ..SETTINGS }).unwrap();
        let int8 = calibrated.build(&[]).unwrap().model;
        let images = samples.entries().iter().map(|entry| {
            let sample = samples.read(entry).unwrap();
            let [a, b] = [&model, &int8].map(|m| Runner::new(m).upscale(&sample.lr).unwrap());
            psnr_rgb(&a, &b, 0).unwrap()
        });
        images.sum::<f64>() / samples.len() as f64
    };
    let [low, normal, high] = [Effort::Low, Effort::Normal, Effort::High].map(mean_db);
    assert!(low != normal, "rounding changes something");
    // The two measures differ by what is added for equal images.
    assert!(high >= low.max(normal) - 1e-3, "{low:.3} {normal:.3} {high:.3} dB");
}

#[test]
fn edsr_light_x4_is_at_most_1600_kilobytes() {
    let model = random(graph(&Config::light(4)), 2);
    let samples = samples(4, 16, 16, 3);
    let settings = Settings { effort: Effort::Low, ..SETTINGS };
    let int8 = Calibrated::new(&model, &samples, settings).unwrap().build(&[]).unwrap().model;
    let bytes = int8.to_bytes().len();
    // A byte a weight, eight for each output channel, and the layer list.
    assert!((1_500_000..1_600_000).contains(&bytes), "{bytes} bytes");
}
