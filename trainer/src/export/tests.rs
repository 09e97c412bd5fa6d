use super::*;
use crate::net::Architecture;
use crate::seed::{Purpose, Stream};
use crate::trained;
use burn::tensor::{Device, Tensor, TensorData as Values};
use mcir_runtime::arch::{edsr, ffanet, swinir};
use mcir_runtime::model::{Activation, Conv2d, DType, Filter, Pool, Statistic};
use mcir_runtime::plan::{Plan, PlanOptions};

/// The same graph and weights in burn and in the engine: two independent implementations.
fn compare(graph: &Graph, tolerance: f32) {
    let device = Device::flex();
    let mut tensors = Net::random(&graph.clone().into(), 11, &device).expect("valid").to_tensors();
    for (k, (name, shape, values)) in tensors.clone().iter().enumerate() {
        // Biases and position tables that matter, too; scaled so that activations keep their size.
        let mut stream = Stream::new(4, Purpose::Weights, k as u64);
        let fan_in: usize = shape[1..].iter().product::<usize>().max(16);
        let bound = (3.0 / fan_in as f32).sqrt();
        if !name.contains("mean") && !name.contains("norm") {
            tensors.insert(
                name.into(),
                shape.to_vec(),
                values.iter().map(|_| stream.symmetric(bound)).collect(),
            );
        }
    }
    let net = Net::from_tensors(&graph.clone().into(), &tensors, &device).expect("valid");
    let model = model(&net, Vec::new()).expect("valid");
    let model = Model::from_bytes(model.to_bytes()).expect("reads back");
    let upscale = net.upscale();
    for (w, h) in [(13, 9), (1, 6), (24, 17)] {
        let mut stream = Stream::new(4, Purpose::Batch, (w * h) as u64);
        let image: Vec<f32> = (0..h * w * 3).map(|_| 0.5 + stream.symmetric(0.5)).collect();
        let x =
            Tensor::<4>::from_data(Values::new(image.clone(), [1, h, w, 3]), &device).permute([0, 3, 1, 2]);
        let burn = net.forward(x).permute([0, 2, 3, 1]).into_data().try_into_vec::<f32>().expect("f32");
        let plan = Plan::new(&model, w, &PlanOptions::default()).expect("a plan");
        let mut engine = vec![0.0; burn.len()];
        plan.run_image_f32(&mut plan.workspace(), &image, h, &mut engine).expect("runs");
        let largest = burn.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        let worst = burn.iter().zip(&engine).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < tolerance * largest, "x{upscale} {w}x{h}: {worst} of {largest}");
        assert!(burn.iter().any(|v| (v - burn[0]).abs() > 0.01), "the output is not constant");
    }
}

#[test]
fn the_engine_computes_what_was_trained() {
    for upscale in [2, 3, 4] {
        compare(&edsr::graph(&edsr::Config::edge(upscale, 16, 2)), 1e-4);
        let paper =
            edsr::Config { num_feat: 8, num_block: 2, mean_shift: true, ..edsr::Config::light(upscale) };
        compare(&edsr::graph(&paper), 1e-4);
        let filter = if upscale == 3 { Filter::Nearest } else { Filter::Bicubic };
        let other = edsr::Config {
            image_residual: Some(filter),
            res_scale: 0.5,
            ..edsr::Config::edge(upscale, 8, 1)
        };
        compare(&edsr::graph(&other), 1e-4);
    }
    let swinir =
        swinir::Config { depths: vec![2], num_heads: vec![2], embed_dim: 12, ..swinir::Config::light(2) };
    compare(&swinir::graph(&swinir), 1e-4);
    compare(&pooled(), 1e-4);
    let ffanet = ffanet::Config { normalize: true, num_block: 1, ..ffanet::Config::edge() };
    compare(&ffanet::graph(&ffanet), 1e-4);
}

/// A network that pools its image, and looks at all of it.
fn pooled() -> Graph {
    let conv = |in_channels, out_channels, kernel| {
        Op::Conv2d(Conv2d { in_channels, out_channels, kernel, activation: None })
    };
    let mut g = Graph::new(3, DType::F32);
    let mut push = |name: &str, op, inputs: &[NodeId]| g.push(name, op, inputs, DType::F32);
    let mut x = push("first", conv(3, 8, 3), &[0]);
    for (i, statistic) in [Statistic::Mean, Statistic::Deviation].into_iter().enumerate() {
        let name = |part: &str| format!("{i}.{part}");
        let pool = Pool { window: 3, stride: 2 + i as u8, before: 1, after: 1 };
        let y = push(&name("half"), Op::MaxPool(pool), &[x]);
        let y = push(&name("low"), conv(8, 8, 3), &[y]);
        let y = push(&name("up"), Op::Interpolate { filter: Filter::Bilinear }, &[y, x]);
        let y = push(&name("sum"), Op::Add { res_scale: 1.0 }, &[x, y]);
        let z = push(&name("pool"), Op::GlobalPool { statistic }, &[y]);
        let z = push(&name("point"), conv(8, 8, 1), &[z]);
        let z = push(&name("sigmoid"), Op::Activation(Activation::Sigmoid), &[z]);
        let z = push(&name("spread"), Op::Interpolate { filter: Filter::Nearest }, &[z, y]);
        x = push(&name("gate"), Op::Mul, &[y, z]);
    }
    let y = push("upsample", conv(8, 12, 3), &[x]);
    push("shuffle", Op::PixelShuffle { upscale: 2 }, &[y]);
    g
}

#[test]
fn a_file_that_cannot_be_written_is_named_and_nothing_is_left() {
    let net =
        Net::random(&edsr::graph(&edsr::Config::edge(2, 8, 1)).into(), 1, &Device::flex()).expect("valid");
    let model = model(&net, vec![("name".into(), "x".into())]).expect("valid");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("none/model.mcir");
    let error = write(&model, &path).expect_err("refused").to_string();
    assert!(error.contains("none"), "{error}");
    let path = folder.path().join("model.mcir");
    write(&model, &path).expect("written");
    let read = Model::from_bytes(std::fs::read(&path).expect("read")).expect("valid");
    assert_eq!(read.meta("name"), Some("x"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
}

#[test]
fn weights_that_are_not_finite_are_not_exported() {
    let graph = edsr::graph(&edsr::Config::edge(2, 8, 1));
    let net = Net::random(&graph.clone().into(), 1, &Device::flex()).expect("valid");
    let mut tensors = net.to_tensors();
    tensors.insert("conv_last.bias".into(), vec![12], vec![f32::INFINITY; 12]);
    let last = (0..).zip(&graph.nodes).find(|(_, n)| n.name == "conv_last").map(|(i, _)| i).expect("there");
    let error = node(&graph, last, &tensors).expect_err("refused").to_string();
    assert!(error.contains("conv_last.bias"), "{error}");
}

#[test]
fn a_network_that_the_engine_does_not_have_is_refused() {
    let config = crate::net::nafnet::Config {
        enc_blk_nums: vec![1],
        dec_blk_nums: vec![1],
        ..crate::net::nafnet::Config::small(4)
    };
    let net = Net::random(&crate::net::Architecture::Nafnet(config), 1, &Device::flex()).expect("valid");
    let error = model(&net, Vec::new()).expect_err("refused").to_string();
    assert!(error.contains("nafnet") && error.contains("mcir-train eval"), "{error}");
}

#[test]
fn what_is_between_two_networks_is_in_the_middle() {
    let net = |seed| {
        let architecture = Architecture::from(edsr::graph(&edsr::Config::edge(2, 8, 1)));
        let tensors = Net::random(&architecture, seed, &Device::flex()).expect("a network").to_tensors();
        trained::Trained { architecture, tensors }
    };
    let (a, b) = (net(1), net(2));
    assert_eq!(trained::blend(&a, &b, 0.0).expect("blended"), a);
    let middle = trained::blend(&a, &b, 0.25).expect("blended");
    for (name, shape, values) in middle.tensors.iter() {
        let [a, b] = [&a, &b].map(|of| of.tensors.get(name, shape).expect("there"));
        for ((m, a), b) in values.iter().zip(a).zip(b) {
            assert!((m - (0.75 * a + 0.25 * b)).abs() < 1e-6, "{name}");
        }
    }
    let other = Architecture::from(edsr::graph(&edsr::Config::edge(2, 8, 2)));
    let error = trained::blend(&a, &trained::Trained { architecture: other, ..b }, 0.5).expect_err("refused");
    assert!(error.to_string().contains("one architecture"), "{error}");
}
