//! Gradients of whole steps: against finite differences on the CPU, and against the CPU on other backends.

use super::*;
use crate::config::Config;
use crate::seed::{Purpose, Stream};
use burn::module::{ModuleMapper, ModuleVisitor, Param};

/// Every architecture, small.
const NETWORKS: [(&str, &[&str]); 10] = [
    ("edsr-edge-x2", &["model.num_feat=8", "model.num_block=1"]),
    ("edsr-light-x3", &["model.num_feat=8", "model.num_block=2", "model.mean_shift=true"]),
    ("swinir-light-x2", &["model.embed_dim=12", "model.depths=[2]", "model.num_heads=[2]"]),
    ("swinir-edge-x4", &["model.embed_dim=12", "model.depths=[2]", "model.num_heads=[3]"]),
    ("nafnet-w8", &["model.enc_blk_nums=[1,1]", "model.dec_blk_nums=[1,1]"]),
    // The tail of the larger SwinIR.
    (
        "swinir-light-x3",
        &["model.embed_dim=12", "model.depths=[2]", "model.num_heads=[2]", "model.tail={classical=8}"],
    ),
    ("ffanet-edge", &["model.num_block=1", "model.num_feat=8"]),
    (
        "idt",
        &[
            "model.embed_dim=2",
            "model.depths=[1,1,1,1,1,1,1,1,1]",
            "model.num_heads=[1,1,1,1,1,1,1,1,1]",
            "model.win_size=1",
            "model.mlp_ratio=1",
        ],
    ),
    (
        "swinir-jpeg",
        &["model.embed_dim=12", "model.depths=[2]", "model.num_heads=[2]", "model.window_size=3"],
    ),
    (
        "dehazeformer-t",
        &[
            "model.embed_dims=[8,8,8,8,8]",
            "model.depths=[1,2,1,1,1]",
            "model.num_heads=[1,2,2,1,1]",
            "model.window_size=4",
        ],
    ),
];

fn config(network: usize, more: &[&str]) -> Config {
    let (preset, settings) = NETWORKS[network];
    let common = [
        "train.batch=2",
        "data.patch=8",
        "train.warmup=0",
        "spn.lambda=0.05",
        "spn.steps=[1,2]",
        "spn.pretrained=given",
    ];
    let features = ["spn.features.layers=['relu1_1']", "spn.features.weights=[1.0]"];
    let all = [settings, &common, &features, more].concat();
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    Config::resolve(Some(preset), "", &all).expect("valid")
}

fn batch(config: &Config) -> Batch {
    let (n, r) = (config.train.batch * 3 * config.data.patch.pow(2), config.model.upscale());
    let mut stream = Stream::new(9, Purpose::Batch, 1);
    let mut draw = |n: usize| (0..n).map(|_| 0.5 + stream.symmetric(0.5)).collect::<Vec<f32>>();
    Batch { step: 0, lr: draw(n), hr: draw(n * r * r), teacher: Vec::new() }
}

/// A run whose weights are larger than at its start, so that every part of the network matters. Its pretrained negative
/// model, if it has one, is a random one of another seed.
fn trainer(config: &Config, device: &Device) -> Trainer {
    let other = Net::random(&config.model.architecture(), 77, &Device::flex()).expect("valid").to_tensors();
    let mut trainer = Trainer::new(config.clone(), None, Some(&other), device).expect("starts");
    struct Shake(u64);
    impl ModuleMapper for Shake {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            if !param.val().is_require_grad() {
                return param;
            }
            let mut stream = Stream::new(7, Purpose::Weights, self.0);
            let shape: [usize; D] = param.val().dims();
            let values = (0..shape.iter().product()).map(|_| stream.symmetric(0.1)).collect::<Vec<f32>>();
            param.map(|value| {
                let value = value.inner();
                let shift = Tensor::from_data(TensorData::new(values, shape), &value.device());
                // A leaf again, that gradients are computed for.
                Tensor::from_inner(value + shift).require_grad()
            })
        }
    }
    trainer.net = trainer.net.map(&mut Shake(0));
    trainer
}

/// The total loss of the step and its gradient, parameter by parameter.
fn gradients(trainer: &Trainer, batch: &Batch) -> (f64, GradientsParams) {
    let parts = trainer.parts(batch);
    let [part] = &parts[..] else { panic!("the step has one part") };
    let (losses, grads) =
        part.gradients(&trainer.net, trainer.spn.as_ref(), &trainer.device).expect("finite");
    let spn = trainer.config.spn.as_ref().expect("set");
    let sign = if spn.negative.is_added() { 1.0 } else { -1.0 };
    let negative = f64::from(losses.negative.expect("computed"));
    (f64::from(losses.reconstruction) + sign * spn.lambda * negative, grads)
}

/// All gradients in the order of the parameters.
struct Collect<'a> {
    grads: &'a GradientsParams,
    values: Vec<Vec<f32>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            self.values.push(grad.into_data().try_into_vec().expect("f32"));
        }
    }
}

fn collect(net: &Net, grads: &GradientsParams) -> Vec<Vec<f32>> {
    let mut visitor = Collect { grads, values: Vec::new() };
    net.visit(&mut visitor);
    visitor.values
}

/// Moves all parameters along the gradient.
struct Along<'a> {
    grads: &'a GradientsParams,
    by: f64,
}

impl ModuleMapper for Along<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.grads.get::<D>(param.id) {
            Some(grad) => param.map(|v| Tensor::from_inner(v.inner() + grad * self.by).require_grad()),
            None => param,
        }
    }
}

/// Along the gradient, the loss must rise by the gradient's length.
fn check_finite_differences(config: &Config) {
    let mut trainer = trainer(config, &Device::flex());
    let batch = batch(config);
    let (_, grads) = gradients(&trainer, &batch);
    let norm = |values: &[f32]| values.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let values = collect(&trainer.net, &grads).concat();
    let length = norm(&values);
    let name =
        format!("{} {:?} {:?}", config.name, config.train.loss, config.spn.as_ref().map(|s| s.negative));
    // A wrong gradient of the contrastive loss must not hide behind that of the reconstruction.
    let part = &trainer.parts(&batch)[0];
    let (_, plain) = part.gradients(&trainer.net, None, &trainer.device).expect("finite");
    let contrast: Vec<f32> =
        collect(&trainer.net, &plain).concat().iter().zip(&values).map(|(p, g)| g - p).collect();
    assert!(norm(&contrast) > 0.3 * length, "{name}: {} of {length} is contrastive", norm(&contrast));
    let net = trainer.net.clone();
    let mut at = |by: f64| {
        trainer.net = net.clone().map(&mut Along { grads: &grads, by: by / length });
        gradients(&trainer, &batch).0
    };
    // Far enough that the difference is well above rounding, near enough to stay on one slope.
    let step = (1e-3 / length).clamp(1e-4, 1e-2);
    let slope = (at(step) - at(-step)) / (2.0 * step);
    assert!((slope - length).abs() < 0.04 * length, "{name}: {slope} for {length}");
}

#[test]
fn every_architecture_agrees_with_finite_differences() {
    for network in 0..NETWORKS.len() {
        check_finite_differences(&config(
            network,
            &["spn.negative=random", "spn.lambda=0.5", "train.loss=l1"],
        ));
    }
}

/// Patches that are no whole number of windows, or do not halve evenly.
#[test]
fn odd_sizes_agree_with_finite_differences() {
    for network in [2, 4, 5] {
        check_finite_differences(&config(
            network,
            &["spn.negative=random", "spn.lambda=0.5", "data.patch=11", "train.loss=l1"],
        ));
    }
}

#[test]
fn every_loss_agrees_with_finite_differences() {
    for loss in ["l1", "charbonnier", "l2", "psnr"] {
        let loss = format!("train.loss={loss}");
        let lambda = if loss.ends_with("psnr") { "spn.lambda=0.9" } else { "spn.lambda=0.5" };
        check_finite_differences(&config(0, &["spn.negative=random", &loss, lambda]));
    }
    for negative in ["latency", "pretrained", "input", "pcl"] {
        let settings = [&format!("spn.negative={negative}"), "spn.lambda=0.9", "spn.temperature=0.1"];
        check_finite_differences(&config(0, &settings.map(|s| s as &str)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let others = [5, 6].map(|seed| other_network(&config(0, &[]), seed, folder.path())).join(",");
    let others = format!("spn.others=[{others}]");
    check_finite_differences(&config(0, &["spn.negative=ccr", "spn.lambda=0.9", &others]));
    for more in [["spn.features.net=pixels", "spn.lambda=0.9"], ["spn.draw=1", "spn.lambda=0.9"]] {
        check_finite_differences(&config(0, &[&more[..], &["spn.negative=random"]].concat()));
    }
}

/// The path, as TOML, of a model file: another network for the same task, of another architecture.
fn other_network(config: &Config, seed: u64, folder: &std::path::Path) -> String {
    let mut architecture = config.clone();
    if let crate::config::Model::Edsr(edsr) = &mut architecture.model {
        edsr.num_block = 2;
    }
    let net = Net::random(&architecture.model.architecture(), seed, &Device::flex()).expect("valid");
    let path = folder.join(format!("{seed}.mcir"));
    crate::export::write(&crate::export::model(&net, Vec::new()).expect("exported"), &path).expect("written");
    format!("{:?}", path.to_str().expect("a path in Unicode"))
}

/// Of networks for another factor no distance can be measured.
#[test]
fn others_are_for_the_same_task() {
    let folder = tempfile::tempdir().expect("a folder");
    let x3 = other_network(&config(1, &["model.mean_shift=false"]), 5, folder.path());
    let refused = |others: String| {
        let config = config(0, &["spn.negative=ccr", &format!("spn.others=[{others}]")]);
        Trainer::new(config, None, None, &Device::flex()).err().expect("refused").to_string()
    };
    let error = refused(x3);
    assert!(error.contains("5.mcir enlarges 3 times") && error.contains("enlarges 2 times"), "{error}");
    let error = refused("'nowhere.mcir'".into());
    assert!(error.contains("spn.others") && error.contains("nowhere.mcir"), "{error}");
}

/// Fewer negatives a step are an estimate of the loss with all of them: without bias, loss and gradient alike.
#[test]
fn the_mean_over_drawn_negatives_is_the_loss_with_all_of_them() {
    let settings = ["spn.negative=random", "spn.lambda=0.9", "spn.steps=[1,2,3]", "train.batch=3"];
    let whole = trainer(&config(0, &settings), &Device::flex());
    let batch = batch(&whole.config);
    let flat = |trainer: &Trainer| {
        let (loss, grads) = gradients(trainer, &batch);
        let grads = collect(&trainer.net, &grads).concat().into_iter().map(f64::from);
        [loss].into_iter().chain(grads).collect::<Vec<f64>>()
    };
    let expected = flat(&whole);
    for draw in [1, 2] {
        let some = config(0, &[&settings[..], &[&format!("spn.draw={draw}") as &str]].concat());
        let mut trainer = trainer(&some, &Device::flex());
        let mut mean = vec![0.0; expected.len()];
        const STEPS: u64 = 120;
        for step in 0..STEPS {
            trainer.step = step;
            mean.iter_mut().zip(flat(&trainer)).for_each(|(m, v)| *m += v / STEPS as f64);
        }
        assert!((mean[0] - expected[0]).abs() < 2e-3 * expected[0].abs(), "{} for {}", mean[0], expected[0]);
        let distance =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        let length = distance(&expected[1..], &vec![0.0; expected.len() - 1]);
        let off = distance(&mean[1..], &expected[1..]);
        assert!(off < 0.03 * length, "draw {draw}: gradients are {off} of {length} apart");
    }
}

/// Backends that this build has and this machine runs, beside the CPU.
fn others() -> Vec<(&'static str, Device)> {
    use crate::device::{Backend, DeviceError};
    let mut found = Vec::new();
    for (name, backend) in [
        ("vulkan", Backend::Vulkan),
        ("wgpu", Backend::Wgpu),
        ("cuda", Backend::Cuda),
        ("ndarray", Backend::Ndarray),
    ] {
        match backend.devices(1) {
            Ok(mut devices) => found.push((name, devices.remove(0))),
            Err(DeviceError::NotBuilt(_)) => {}
            Err(error) => eprintln!("skipped {name}: {error}"),
        }
    }
    if found.is_empty() {
        eprintln!("skipped: no backend to compare the CPU with; build with --features vulkan or ndarray");
    }
    found
}

/// One whole step of every architecture, with every kind of loss somewhere.
#[test]
fn other_backends_do_the_step_of_the_cpu() {
    for (name, device) in others() {
        for (network, more) in [
            (0, &["spn.negative=latency", "train.loss=l1"][..]),
            (1, &["spn.negative=input", "train.loss=charbonnier"]),
            (2, &["spn.negative=pcl", "train.loss=l2"]),
            (3, &["spn.negative=random"]),
            (4, &["spn.negative=latency", "train.loss=psnr"]),
            (5, &["spn.negative=pretrained"]),
        ] {
            let config = config(network, more);
            if name == "ndarray" && config.name.starts_with("swinir") {
                eprintln!("skipped {} on {name}, because burn-ndarray ends at 6 dimensions", config.name);
                continue;
            }
            let batch = batch(&config);
            let (mut cpu, mut other) = (trainer(&config, &Device::flex()), trainer(&config, &device));
            let ((loss, grads), (other_loss, other_grads)) =
                (gradients(&cpu, &batch), gradients(&other, &batch));
            let about = format!("{} on {name}", config.name);
            assert!(
                (loss - other_loss).abs() < 1e-4 * loss.abs().max(0.1),
                "{about}: {other_loss} for {loss}"
            );
            let (grads, other_grads) = (collect(&cpu.net, &grads), collect(&other.net, &other_grads));
            assert_eq!(grads.len(), other_grads.len());
            for (k, (a, b)) in grads.iter().zip(&other_grads).enumerate() {
                let size = a.iter().fold(1e-5f32, |m, v| m.max(v.abs()));
                let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 5e-3 * size, "{about}: gradient {k} differs by {worst} of {size}");
            }
            let started = std::time::Instant::now();
            let losses = other.step(batch.clone()).expect("finite");
            let after = other.net.to_tensors();
            eprintln!(
                "{about}: {:.0} ms, loss {:.5}",
                started.elapsed().as_secs_f64() * 1e3,
                losses.reconstruction
            );
            cpu.step(batch).expect("finite");
            // Adam's first step is ±lr for every weight, so it can differ only where rounding decides the sign.
            let (lr, before) = (config.train.lr as f32, cpu.net.to_tensors());
            let (mut differ, mut count) = (0, 0);
            for ((_, _, a), (_, _, b)) in before.iter().zip(after.iter()) {
                count += a.len();
                differ += a.iter().zip(b).filter(|(a, b)| (*a - *b).abs() > 0.1 * lr).count();
            }
            assert!(differ * 100 < count, "{about}: {differ} of {count} weights differ after a step");
        }
    }
}
