use super::*;
use mcir_runtime::arch::edsr::{Config, Tail, graph};
use mcir_runtime::model::{Element, TensorData};

/// Values between −1 and 1 from a fixed sequence.
fn uniform(n: usize) -> impl Iterator<Item = f32> {
    let mut state = 1_u32;
    (0..n).map(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// Sums of twelve uniform values: nearly a normal distribution with variance 4.
fn normal(n: usize) -> Vec<f32> {
    let values: Vec<f32> = uniform(12 * n).collect();
    values.chunks(12).map(|c| c.iter().sum()).collect()
}

fn seen(values: &[f32]) -> Histogram {
    let mut histogram = Histogram::default();
    histogram.add(values);
    histogram
}

fn parts(dtype: DType) -> (f32, i32) {
    let DType::I8 { scale, zero_point } = dtype else { panic!("{dtype:?} has 8 bits") };
    (scale, i32::from(zero_point))
}

#[test]
fn uniform_values_keep_their_whole_range() {
    let values: Vec<f32> = uniform(20_000).map(|x| 3.0 * x + 1.0).collect();
    let (scale, zero_point) = parts(search_i8(&seen(&values), Levels::Any));
    assert!((scale * 255.0 / 6.0 - 1.0).abs() < 0.01, "{scale}");
    assert_eq!(zero_point, -43);
}

#[test]
fn values_after_a_relu_use_all_levels() {
    let values: Vec<f32> = uniform(20_000).map(|x| (5.0 * x).max(0.0)).collect();
    let (scale, zero_point) = parts(search_i8(&seen(&values), Levels::Any));
    assert_eq!(zero_point, -128);
    assert!((scale * 255.0 / 5.0 - 1.0).abs() < 0.01, "{scale}");
    let (_, zero_point) = parts(search_i8(&seen(&[-1.0, -0.5, 0.0]), Levels::Any));
    assert_eq!(zero_point, 127);
}

#[test]
fn symmetric_levels_lie_around_zero() {
    let values: Vec<f32> = uniform(20_000).map(|x| 5.0 * x).collect();
    let positive: Vec<f32> = values.iter().map(|x| x.max(0.0)).collect();
    let negative: Vec<f32> = values.iter().map(|x| x.min(0.0)).collect();
    for values in [values, positive, negative] {
        let (scale, zero_point) = parts(search_i8(&seen(&values), Levels::Symmetric));
        assert_eq!(zero_point, 0);
        // Half a step at the ends may be clipped as well as rounded.
        assert!((scale * 127.0 / 5.0 - 1.0).abs() < 0.02, "{scale}");
    }
    // One wild value among many is clipped, on whichever side it is.
    let mut histogram = seen(&normal(100_000));
    for _ in 0..10 {
        let copy = histogram.clone();
        histogram.merge(&copy);
    }
    histogram.add(&[-60.0]);
    let (scale, _) = parts(search_i8(&histogram, Levels::Symmetric));
    assert!(127.0 * scale < 30.0, "{scale}");
    let (scale, zero_point) = parts(search_i8(&Histogram::default(), Levels::Symmetric));
    assert_eq!((scale, zero_point), (1.0 / 127.0, 0));
}

/// The image and what is sent out keep all levels of a pixel; everything between has a zero point of 0.
#[test]
fn symmetric_models_keep_pixels() {
    let model = model(&Config { mean_shift: true, ..Config::edge(2, 4, 2) }, [1.0; 3], [-110.0 / 255.0; 3]);
    let histograms = vec![seen(&[-1.0, 2.0]); model.graph().nodes.len()];
    let types = edge_types(&model, &histograms, Levels::Symmetric);
    let pixels = hold_pixels(model.graph());
    for ((node, types), pixels) in model.graph().nodes.iter().zip(&types).zip(pixels) {
        let (_, zero_point) = parts(types.narrow);
        assert!(pixels || zero_point == 0, "{}: {zero_point}", node.name);
    }
    assert_eq!(types[0].narrow, DType::PIXEL);
    assert_eq!(types.last().unwrap().narrow, DType::PIXEL);
    assert!(crate::types::symmetric(&model, &types).is_ok());
    let free = edge_types(&model, &histograms, Levels::Any);
    assert!(crate::types::symmetric(&model, &free).is_err());
}

#[test]
fn the_range_of_a_normal_distribution_is_the_best_one() {
    let values = normal(50_000);
    let (scale, zero_point) = parts(search_i8(&seen(&values), Levels::Any));
    let error = |scale: f32, zero_point: i32| -> f64 {
        let level = |x: f32| (x / scale).round().clamp((-128 - zero_point) as f32, (127 - zero_point) as f32);
        values.iter().map(|&x| f64::from((x - level(x) * scale).abs()).powi(3)).sum()
    };
    let found = error(scale, zero_point);
    let whole = values.iter().fold(0.0_f32, |m, x| m.max(x.abs())) / 127.0;
    assert!(found < 0.95 * error(whole, 0), "clipping pays");
    for clip in 50..=100 {
        let other = error(whole * clip as f32 / 100.0, 0);
        assert!(found < 1.02 * other, "{clip} %: {other}, found {found}");
    }
}

#[test]
fn a_wild_value_counts_by_how_rare_it_is() {
    let mut histogram = seen(&normal(100_000));
    let with_one = |histogram: &Histogram| {
        let mut histogram = histogram.clone();
        histogram.add(&[60.0]);
        255.0 * parts(search_i8(&histogram, Levels::Any)).0
    };
    let often = with_one(&histogram);
    assert!(often > 60.0, "one in a hundred thousand is kept: {often}");
    for _ in 0..10 {
        let copy = histogram.clone();
        histogram.merge(&copy);
    }
    let rare = with_one(&histogram);
    assert!(rare < 50.0, "one in a hundred million is clipped: {rare}");
}

#[test]
fn an_edge_of_zeros_gets_a_sane_type() {
    let (scale, zero_point) = parts(search_i8(&Histogram::default(), Levels::Any));
    assert_eq!((scale, zero_point), (1.0 / 255.0, -128));
    assert_eq!(i16_for(0.0), DType::I16 { scale: 2.0 / 32767.0 });
}

#[test]
fn sums_have_headroom() {
    let DType::I16 { scale } = i16_for(3.0) else { panic!("16 bits") };
    assert!((scale * 32767.0 - 6.0).abs() < 1e-5);
}

/// A model whose weights do not matter, with the given affine parameters.
fn model(config: &Config, weight: [f32; 3], bias: [f32; 3]) -> Model {
    let graph = graph(config);
    let shapes = mcir_runtime::model::infer(&graph).unwrap();
    let params: Vec<Vec<TensorData>> = graph
        .nodes
        .iter()
        .map(|node| {
            let input = node.inputs.first().map(|&i| (graph.node(i).dtype, shapes[usize::from(i)]));
            let specs = mcir_runtime::model::param_specs_of(node, input);
            if node.op == Op::Affine {
                return vec![TensorData::F32(weight.to_vec()), TensorData::F32(bias.to_vec())];
            }
            assert!(specs.iter().all(|s| s.element == Element::F32));
            specs.iter().map(|s| TensorData::F32(vec![0.1; s.len()])).collect()
        })
        .collect();
    Model::new(graph, &params, vec![]).unwrap()
}

fn types_of(model: &Model) -> Vec<EdgeTypes> {
    edge_types(model, &vec![seen(&[-1.0, 2.0]); model.graph().nodes.len()], Levels::Any)
}

fn index(model: &Model, name: &str) -> usize {
    model.graph().nodes.iter().position(|n| n.name == name).unwrap()
}

#[test]
fn interpolated_pixels_are_exact() {
    for (filter, wide) in [
        (Filter::Nearest, Some(DType::PIXEL)),
        (Filter::Bilinear, Some(DType::I16 { scale: 1.0 / (255.0 * 36.0) })),
        (Filter::Bicubic, None),
        (Filter::SharpBicubic, None),
    ] {
        let config = Config { image_residual: Some(filter), ..Config::edge(3, 4, 1) };
        let model = model(&config, [1.0; 3], [0.0; 3]);
        let found = types_of(&model)[index(&model, "base")].wide;
        assert_eq!(found, wide.unwrap_or(i16_for(2.0)), "{filter:?}");
    }
}

#[test]
fn the_output_is_pixels_back_to_the_last_computation() {
    let direct = Config { image_residual: None, ..Config::edge(2, 4, 1) };
    let model = model(&direct, [1.0; 3], [0.0; 3]);
    let types = types_of(&model);
    for name in ["shuffle", "conv_last"] {
        assert_eq!(types[index(&model, name)].narrow, DType::PIXEL, "{name}");
    }
    assert_eq!(types[0].narrow, DType::PIXEL);
    let (scale, zero_point) = parts(types[index(&model, "body_add")].narrow);
    assert!((scale * 255.0 - 3.0).abs() < 0.1 && (zero_point + 43).abs() <= 1);
}

#[test]
fn pixels_shifted_by_whole_levels_are_exact() {
    let config = Config { mean_shift: true, tail: Tail::Paper, ..Config::light(2) };
    let config = Config { num_feat: 4, num_block: 1, ..config };
    let shifted = model(&config, [1.0; 3], [-110.0 / 255.0; 3]);
    let found = types_of(&shifted)[index(&shifted, "sub_mean")].narrow;
    assert_eq!(found, DType::I8 { scale: 1.0 / 255.0, zero_point: -18 });
    let uneven = model(&config, [1.0; 3], [-110.0 / 255.0, -111.0 / 255.0, -110.0 / 255.0]);
    assert_eq!(types_of(&uneven)[index(&uneven, "sub_mean")].wide, i16_for(2.0));
}

#[test]
fn edges_that_meet_in_sums_share_the_largest_scale() {
    let config = Config { num_block: 2, ..Config::edge(2, 4, 2) };
    let chained = model(&config, [1.0; 3], [0.0; 3]);
    let scale = |types: &[EdgeTypes], name: &str| match types[index(&chained, name)].wide {
        DType::I16 { scale } => scale,
        other => panic!("{name}: {other:?}"),
    };
    let with = |name: &str, largest: f32| {
        let mut histograms = vec![seen(&[-1.0, 1.0]); chained.graph().nodes.len()];
        histograms[index(&chained, name)] = seen(&[-largest, largest]);
        edge_types(&chained, &histograms, Levels::Any)
    };
    let DType::I16 { scale: of_eight } = i16_for(8.0) else { unreachable!() };
    let found = with("body.1.conv2", 8.0);
    for name in ["conv_first", "body.0.conv2", "body.0.add", "body.1.conv2", "body.1.add", "body_add"] {
        assert_eq!(scale(&found, name), of_eight, "{name}");
    }
    // What only convolutions read has nothing to do with it, nor has the correction to the image and its exact base.
    assert_eq!(found[index(&chained, "body.0.conv1")].wide, i16_for(1.0));
    assert_eq!(found[index(&chained, "shuffle")].wide, i16_for(1.0));
    assert_eq!(found[index(&chained, "conv_last")].wide, i16_for(1.0));
    assert_eq!(found[index(&chained, "base")], exact(&chained, index(&chained, "base") as NodeId).unwrap());
    // An edge that is far smaller than the others keeps its bits.
    let found = with("body.1.conv2", 1000.0);
    assert_eq!(found[index(&chained, "body.1.conv2")].wide, i16_for(1000.0));
    assert_eq!(found[index(&chained, "body.1.add")].wide, i16_for(1.0));
}

/// What only a saturating activation reads has its levels where that is steep.
#[test]
fn levels_are_where_the_activation_is_steep() {
    let values: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 100.0).collect();
    let mut seen = Histogram::default();
    seen.add(&values);
    let hard = Activation::HardSwish { alpha: 1.0 / 6.0, beta: 0.5 };
    for (activation, low, high) in [
        (Activation::Sigmoid, -15.0, 15.0),
        (Activation::Tanh, -8.0, 8.0),
        (Activation::Silu, -15.0, 41.0),
        (hard, -4.0, 41.0),
    ] {
        let off = |dtype: DType| {
            let DType::I8 { scale, zero_point } = dtype else { panic!("8 bits") };
            let real = |stored: f64| (stored - f64::from(zero_point)) * f64::from(scale);
            let error = |&x: &f32| {
                let stored = (f64::from(x) / f64::from(scale) + f64::from(zero_point)).round();
                let found = activated(activation, real(stored.clamp(-128.0, 127.0)));
                (found - activated(activation, x.into())).powi(2)
            };
            (real(-128.0), real(127.0), values.iter().map(error).sum::<f64>())
        };
        let (from, to, error) = off(search_i8_through(&seen, activation, Levels::Any));
        assert!(low <= from && to <= high, "{activation:?}: {from} .. {to}");
        let (.., plain) = off(search_i8(&seen, Levels::Any));
        assert!(error < 0.6 * plain, "{activation:?}: {error} against {plain}");
    }
}
