//! Corrected biases: every convolution of an int8 model has the means of the float model's.

mod support;

use mcir_quantize::bias;
use mcir_quantize::calibrate::{Detail, observe};
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_quantize::rewrite::Precision;
use mcir_runtime::arch::edsr::{Config, graph};
use mcir_runtime::model::{Conv2d, DType, Filter, Graph, Model, NodeId, Op, Role, TensorData};
use support::{node, random, samples};

const SETTINGS: Settings<'static> =
    Settings { effort: Effort::Normal, purpose: Purpose::Engine, threads: 2, progress: &() };

/// Convolutions and PReLUs in a row, as SRVGGNetCompact has them: no skip carries a mean past any of them.
fn chain(convolutions: usize) -> Graph {
    let conv =
        |from, to| Op::Conv2d(Conv2d { in_channels: from, out_channels: to, kernel: 3, activation: None });
    let mut g = Graph::new(3, DType::F32);
    let mut x = 0;
    for i in 0..convolutions {
        x = g.push(format!("conv{i}"), conv(if i == 0 { 3 } else { 12 }, 12), &[x], DType::F32);
        if i + 1 < convolutions {
            x = g.push(format!("prelu{i}"), Op::PRelu, &[x], DType::F32);
        }
    }
    let x = g.push("shuffle", Op::PixelShuffle { upscale: 2 }, &[x], DType::F32);
    let base = g.push("base", Op::Resize { upscale: 2, filter: Filter::Nearest }, &[0], DType::F32);
    g.push("image", Op::Add { res_scale: 1.0 }, &[base, x], DType::F32);
    g
}

#[test]
fn means_hold_through_a_long_chain() {
    for convolutions in [3, 12, 30] {
        let model = random(chain(convolutions), convolutions as u64);
        let samples = samples(6, 32, 24, 3);
        let calibrated =
            Calibrated::new(&model, &samples, Settings { effort: Effort::Low, ..SETTINGS }).unwrap();
        let int8 = calibrated.build(&[]).unwrap().model;
        let seen = observe(&int8, &samples, Detail::Moments, 2, &()).unwrap();
        for i in 0..convolutions {
            let name = format!("conv{i}");
            let [float, quantized] = [calibrated.folded(), &int8].map(|m| usize::from(node(m, &name)));
            let (float, quantized) = (&calibrated.seen().unwrap().moments[float], &seen.moments[quantized]);
            let pairs = float.mean.iter().zip(&quantized.mean);
            let off: f64 = pairs.map(|(a, b)| (a - b).powi(2)).sum();
            let part = (off / float.variance.iter().sum::<f64>()).sqrt();
            assert!(part < 3e-3, "{convolutions} in a row: {name} is off by {part:.5} of its deviation");
        }
    }
}

#[test]
fn biases_restore_the_means() {
    let model = random(graph(&Config::edge(2, 8, 2)), 8);
    let samples = samples(6, 32, 24, 3);
    let calibrated = Calibrated::new(&model, &samples, Settings { effort: Effort::Low, ..SETTINGS }).unwrap();
    let corrected = calibrated.build(&[]).unwrap();
    let folded = calibrated.folded();
    // The same model with the float biases, rounded.
    let params: Vec<Vec<TensorData>> = (0..corrected.model.graph().nodes.len() as NodeId)
        .map(|id| {
            let new = corrected.model.graph().node(id);
            let mut params = corrected.model.params(id);
            if let (Op::Conv2d(_), [_, TensorData::I32(bias), TensorData::F32(scales)]) =
                (new.op, &mut params[..])
            {
                let DType::I8 { scale, .. } = corrected.model.graph().node(new.inputs[0]).dtype else {
                    panic!()
                };
                let float = folded.f32s(node(folded, &new.name), Role::Bias);
                for ((b, f), s) in bias.iter_mut().zip(float).zip(scales) {
                    *b = (f / (scale * *s)).round() as i32;
                }
            }
            params
        })
        .collect();
    let plain = Model::new(corrected.model.graph().clone(), &params, vec![]).unwrap();
    let error = |int8: &Model| -> f64 {
        let seen = observe(int8, &samples, Detail::Moments, 2, &()).unwrap();
        let last = [folded, int8].map(|m| usize::from(node(m, "conv_last")));
        let pairs = calibrated.seen().unwrap().moments[last[0]].mean.iter().zip(&seen.moments[last[1]].mean);
        pairs.map(|(a, b)| (a - b).abs()).sum::<f64>()
    };
    let (before, after) = (error(&plain), error(&corrected.model));
    assert!(after < 0.25 * before, "{after} after, {before} before");
}

#[test]
fn a_perfect_recipe_leaves_the_bias_alone() {
    let model = random(graph(&Config::edge(2, 4, 1)), 8);
    let samples = samples(4, 32, 24, 3);
    let calibrated = Calibrated::new(&model, &samples, SETTINGS).unwrap();
    let model = calibrated.folded();
    let nodes = model.graph().nodes.len();
    let recipe = mcir_quantize::rewrite::Recipe {
        types: mcir_quantize::params::edge_types(
            model,
            &calibrated.seen().unwrap().histograms,
            mcir_quantize::params::Levels::Any,
        ),
        precision: vec![Precision::F32; nodes],
        weights: vec![None; nodes],
        bias: vec![],
    };
    let bias = bias::corrected(model, calibrated.seen().unwrap(), &recipe, None);
    for id in calibrated.convolutions() {
        let expected = model.f32s(id, Role::Bias);
        assert!(bias[usize::from(id)].iter().zip(&expected).all(|(a, &b)| (a - f64::from(b)).abs() < 1e-9));
    }
}
