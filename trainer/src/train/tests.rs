use super::*;
use crate::config::{Negative, PerModel};
use crate::data::batches::Batch;
use crate::data::pairs::Pair;
use crate::seed::{Purpose, Stream};
use mcir_runtime::image::Image;
use std::path::PathBuf;

/// A smooth random picture and its downscaled copy.
fn pair(index: u64, upscale: usize) -> Pair {
    let hr = crate::shared::picture(index, 48, 36);
    let (lr, hr) = crate::data::degrade::downscale(&hr, upscale).expect("large enough");
    Pair { name: format!("p{index}"), path: PathBuf::from("p"), lr, hr, grey: false }
}

fn config(steps: u64) -> Config {
    let settings = [
        &format!("train.steps={steps}"),
        "train.batch=2",
        "train.warmup=3",
        "train.lr=0.003",
        "train.val_every=1000",
        "train.save_every=4",
        "train.log_every=2",
        "train.ema=0.9",
        "data.patch=8",
        "model.num_feat=8",
        "model.num_block=1",
    ];
    let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
    Config::resolve(Some("edsr-edge-x2"), "", &settings).expect("valid")
}

struct Quiet(Vec<f32>);

impl Progress for Quiet {
    fn step(&mut self, _: u64, losses: &Losses) {
        self.0.push(losses.reconstruction);
    }
    fn validated(&mut self, _: u64, _: &[SetScores]) {}
    fn saved(&mut self, _: u64) {}
}

/// Runs to the end in `folder`, from its checkpoint if there is one; returns the losses and the final state.
fn train(config: Config, folder: &Path, stop: bool) -> (Vec<f32>, Checkpoint) {
    let device = Device::flex();
    let mut trainer = match Checkpoint::load(folder) {
        Ok(checkpoint) => Trainer::resume(&checkpoint, Some(config), None, &device).expect("resumes"),
        Err(_) => Trainer::new(config, None, None, &device).expect("starts"),
    };
    let pairs = Arc::new(vec![pair(1, 2), pair(2, 2)].into());
    let mut progress = Quiet(Vec::new());
    let val = Set { name: "one".into(), pairs: vec![pair(3, 2)] };
    run(&mut trainer, pairs, &[val], folder, &AtomicBool::new(stop), &mut progress).expect("trains");
    (progress.0, Checkpoint::load(folder).expect("saved"))
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one_to_the_bit() {
    let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (losses, end) = train(config(9), whole.path(), false);
    assert_eq!(losses.len(), 9);
    // Interrupted after its first step, as by Ctrl-C, then run to the end.
    let (first, stopped) = train(config(9), parts.path(), true);
    assert_eq!((first.len(), stopped.step), (1, 1));
    let (rest, resumed) = train(config(9), parts.path(), false);
    assert_eq!([first, rest].concat(), losses);
    // Not assert_eq: nobody can read thousands of weights.
    assert!((&resumed.net, &resumed.ema) == (&end.net, &end.ema), "the weights differ");
    let log = |folder: &Path| std::fs::read_to_string(folder.join("log.csv")).expect("a log");
    let steps =
        |text: String| text.lines().map(|l| l.split(',').next().map(str::to_string)).collect::<Vec<_>>();
    assert_eq!(steps(log(parts.path())), steps(log(whole.path())));
    let curves = std::fs::read_to_string(parts.path().join("curves.svg")).expect("curves");
    // The loss, and the one validation.
    assert_eq!((curves.matches("<polyline").count(), curves.matches("<circle").count()), (1, 1));
    let sample = crate::data::pairs::decode(&parts.path().join("samples/p3.png")).expect("a sample");
    assert_eq!((sample.width(), sample.height()), (48, 36));
    // A run that is over has nothing left to do and loses nothing.
    let (none, again) = train(config(9), parts.path(), false);
    assert!(none.is_empty());
    assert!((&again.net, &again.ema, again.step) == (&resumed.net, &resumed.ema, 9), "the weights differ");
}

#[test]
fn the_loss_falls_and_the_network_beats_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let device = Device::flex();
    let start = Trainer::new(config(60), None, None, &device).expect("starts");
    let val = [pair(1, 2), pair(2, 2)];
    let before = eval::evaluate(start.averaged(), &val).expect("evaluates");
    let (_, end) = train(config(60), folder.path(), false);
    let net = Net::from_tensors(&config(60).model.architecture(), &end.ema, &device).expect("fits");
    let after = eval::evaluate(&net, &val).expect("evaluates");
    assert!(after.psnr_y_db > before.psnr_y_db + 0.5, "{} to {}", before.psnr_y_db, after.psnr_y_db);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_before_it_does_harm() {
    let mut trainer = Trainer::new(config(5), None, None, &Device::flex()).expect("starts");
    let before = trainer.checkpoint().expect("saved");
    let n = 2 * 3 * 8 * 8;
    let mut batch = Batch { step: 0, lr: vec![0.5; n], hr: vec![0.5; 4 * n], teacher: Vec::new() };
    batch.hr[7] = f32::NAN;
    let error = trainer.step(batch).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 0, .. }), "{error}");
    assert!(error.to_string().contains("start again"), "{error}");
    assert_eq!(trainer.checkpoint().expect("saved").net, before.net);
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let checkpoint =
        Trainer::new(config(5), None, None, &Device::flex()).expect("starts").checkpoint().expect("saved");
    let mut other = config(5);
    let crate::config::Model::Edsr(model) = &mut other.model else { panic!("an EDSR") };
    model.num_feat = 4;
    let error = Trainer::resume(&checkpoint, Some(other), None, &Device::flex()).err().expect("refused");
    assert!(matches!(error, TrainError::OtherModel), "{error}");
    let mut damaged = checkpoint;
    damaged.net.remove("conv_last.bias");
    let error = Trainer::resume(&damaged, None, None, &Device::flex()).err().expect("refused");
    assert!(error.to_string().contains("conv_last.bias"), "{error}");
}

#[test]
fn weights_are_taken_over_where_they_fit() {
    let device = Device::flex();
    let x2 = Trainer::new(config(5), None, None, &device).expect("starts");
    let mut other = config(5);
    (other.seed, other.name) = (99, "x3".into());
    let crate::config::Model::Edsr(model) = &mut other.model else { panic!("an EDSR") };
    model.upscale = 3;
    let x3 = Trainer::new(other, Some(&x2.averaged().to_tensors()), None, &device).expect("starts");
    let (from, to) = (x2.averaged().to_tensors(), x3.averaged().to_tensors());
    let shape: [usize; 4] = [8, 8, 3, 3];
    let conv = |t: &Tensors| t.get("body.0.conv1.weight", &shape).expect("there").to_vec();
    assert_eq!(conv(&from), conv(&to));
    assert_ne!(from.shape("conv_last.weight"), to.shape("conv_last.weight"));
    let mut foreign = Tensors::default();
    foreign.insert("intro.weight".into(), vec![1], vec![0.0]);
    let error = Trainer::new(config(5), Some(&foreign), None, &device).err().expect("refused").to_string();
    assert!(error.contains("none of the 1 tensors"), "{error}");
}

/// Restoration at one size, by an architecture that the engine does not have, with the SPN loss.
#[test]
fn a_nafnet_learns_to_restore() {
    let settings = [
        "model.width=8",
        "model.enc_blk_nums=[1]",
        "model.dec_blk_nums=[1]",
        "data.patch=16",
        "train.batch=2",
        "train.steps=40",
        "train.warmup=3",
        "train.lr=0.003",
        "train.ema=0.9",
        "spn.steps=[5]",
        "spn.features.layers=['relu1_1']",
        "spn.features.weights=[1.0]",
    ];
    let config = Config::resolve(Some("nafnet-w8"), "", &settings.map(String::from)).expect("valid");
    // Target and a blurred copy of it.
    let blurred = |index| {
        let sharp = pair(index, 2).hr;
        let (w, data) = (sharp.width(), sharp.data());
        let at = |i: usize| u32::from(data[i.min(data.len() - 1)]);
        let blur = (0..data.len()).map(|i| ((at(i) + at(i + 3) + at(i + 3 * w)) / 3) as u8).collect();
        let lr = Image::new(w, sharp.height(), 3, blur).expect("an image");
        Pair { name: "p".into(), path: PathBuf::from("p"), lr, hr: sharp, grey: false }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut trainer = Trainer::new(config, None, None, &Device::flex()).expect("starts");
    let val = [blurred(1), blurred(2)];
    let before = eval::evaluate(trainer.averaged(), &val).expect("evaluates");
    let stop = AtomicBool::new(false);
    run(&mut trainer, Arc::new(val.to_vec().into()), &[], folder.path(), &stop, &mut Quiet(Vec::new()))
        .expect("trains");
    let after = eval::evaluate(trainer.averaged(), &val).expect("evaluates");
    assert!(after.psnr_rgb_db > before.psnr_rgb_db + 1.0, "{} to {}", before.psnr_rgb_db, after.psnr_rgb_db);
    let resumed =
        Trainer::resume(&Checkpoint::load(folder.path()).expect("saved"), None, None, &Device::flex());
    assert_eq!(resumed.expect("resumes").averaged().to_tensors(), trainer.averaged().to_tensors());
}

/// SPN on a stand-in feature network, small enough for a test.
fn with_spn(lambda: f64) -> Config {
    let mut config = config(9);
    let mut spn = Spn { lambda, steps: vec![2, 3], crop: Some(16), ..Spn::default() };
    (spn.features.layers, spn.features.weights) = (vec!["relu1_1".into()], vec![1.0]);
    config.data.patch = 12;
    config.spn = Some(spn);
    config
}

#[test]
fn a_resumed_spn_run_equals_an_uninterrupted_one_to_the_bit() {
    let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (losses, end) = train(with_spn(1e-3), whole.path(), false);
    let mut joined = Vec::new();
    for stop in [true, true, true, false] {
        joined.extend(train(with_spn(1e-3), parts.path(), stop).0);
    }
    assert_eq!(joined, losses);
    let resumed = Checkpoint::load(parts.path()).expect("saved");
    assert!((&resumed.net, &resumed.negatives) == (&end.net, &end.negatives), "the weights differ");
    assert_eq!(end.negatives.len(), 2);
    let log = std::fs::read_to_string(whole.path().join("log.csv")).expect("a log");
    let negative: f64 = log.lines().nth(1).and_then(|l| l.split(',').nth(3)?.parse().ok()).expect("l_neg");
    assert!(negative > 0.0, "{log}");
}

/// Everything else equal: λ = 0 is the plain run, and a λ pushes the output away from its history.
#[test]
fn lambda_alone_makes_the_difference() {
    let run = |config| train(config, tempfile::tempdir().expect("a folder").path(), false).0;
    let mut plain = with_spn(0.0);
    plain.spn = None;
    let (none, zero, some) = (run(plain), run(with_spn(0.0)), run(with_spn(0.01)));
    assert_eq!(none, zero);
    assert_eq!(none[0], some[0], "the first batch meets the same weights");
    assert_ne!(none, some);
}

/// The alternatives of the paper's ablation run in the same loop.
#[test]
fn other_negatives_train_and_resume() {
    let other = tempfile::tempdir().expect("a folder");
    train(with_spn(0.0), other.path(), false);
    for negative in [Negative::Random, Negative::Input, Negative::Pcl, Negative::Ccr] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = with_spn(0.01);
        let spn = config.spn.as_mut().expect("set");
        (spn.negative, spn.others) = (negative, vec![other.path().into()]);
        let (first, _) = train(config.clone(), folder.path(), true);
        let (rest, end) = train(config, folder.path(), false);
        assert_eq!((first.len(), rest.len(), end.step), (1, 8, 9), "{negative:?}");
    }
}

/// A plain run may be continued with the SPN loss; its negatives then start from the weights of that moment.
#[test]
fn a_plain_run_can_go_on_with_negatives_but_not_exchange_them() {
    let device = Device::flex();
    let mut plain = with_spn(1e-3);
    plain.spn.as_mut().expect("set").negative = Negative::None;
    let trainer = Trainer::new(plain, None, None, &device).expect("starts");
    assert!(trainer.spn.is_none());
    let checkpoint = trainer.checkpoint().expect("saved");
    let mut config = with_spn(1e-3);
    config.spn.as_mut().expect("set").nu = PerModel::Each(vec![0.0, 1.0]);
    let resumed = Trainer::resume(&checkpoint, Some(config.clone()), None, &device).expect("resumes");
    let negatives = resumed.checkpoint().expect("saved").negatives;
    assert_eq!(negatives.len(), 2);
    assert_near(&negatives[0], &checkpoint.net, 1e-6);
    assert_ne!(negatives[1], checkpoint.net);
    let checkpoint = resumed.checkpoint().expect("saved");
    config.spn.as_mut().expect("set").negative = Negative::Random;
    let error = Trainer::resume(&checkpoint, Some(config), None, &device).err().expect("refused").to_string();
    assert!(error.contains("2 latency in the checkpoint, 2 random in the configuration"), "{error}");
}

#[test]
fn too_large_a_lambda_is_stopped_and_the_good_checkpoint_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = with_spn(0.9);
    (config.train.steps, config.train.lr) = (400, 0.02);
    (config.train.divergence_window, config.train.save_every) = (10, 2);
    let mut trainer = Trainer::new(config, None, None, &Device::flex()).expect("starts");
    let pairs = Arc::new(vec![pair(1, 2), pair(2, 2)].into());
    let stop = AtomicBool::new(false);
    let error =
        run(&mut trainer, pairs, &[], folder.path(), &stop, &mut Quiet(Vec::new())).expect_err("diverges");
    let text = error.to_string();
    let TrainError::Diverged { step, mean, best, kept: Some(saved) } = error else { panic!("{error}") };
    assert!(text.contains(&format!("checkpoint of step {saved} is kept")), "{text}");
    assert!(mean > 2.0 * best);
    let curves = std::fs::read_to_string(folder.path().join("curves.svg")).expect("drawn");
    assert!(curves.contains("contrastive loss"), "the collapse can be looked at");
    let kept = Checkpoint::load(folder.path()).expect("kept");
    assert!(kept.step == saved && saved < step, "{} before {step}", kept.step);
}

fn batch(config: &Config, index: u64) -> Batch {
    let (n, p) = (config.train.batch * 3, config.data.patch);
    let mut stream = Stream::new(9, Purpose::Batch, index);
    let mut draw = |n: usize| (0..n).map(|_| 0.5 + stream.symmetric(0.5)).collect::<Vec<f32>>();
    Batch { step: 0, lr: draw(n * p * p), hr: draw(n * 4 * p * p), teacher: Vec::new() }
}

/// Two steps of a run; the losses and the weights after them.
fn two_steps(config: &Config, devices: usize) -> (Vec<Losses>, Tensors) {
    let more: Vec<Device> = (1..devices).map(|_| Device::flex()).collect();
    let trainer = Trainer::new(config.clone(), None, None, &Device::flex()).expect("starts");
    let mut trainer = trainer.with_devices(&more).expect("divides");
    let losses = (0..2).map(|i| trainer.step(batch(config, i)).expect("finite")).collect();
    (losses, trainer.net.to_tensors())
}

fn assert_near(a: &Tensors, b: &Tensors, tolerance: f32) {
    for ((name, _, a), (_, _, b)) in a.iter().zip(b.iter()) {
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < tolerance, "{name}: {worst}");
    }
}

/// The same step in parts, and on several devices (here the CPU again and again).
#[test]
fn parts_and_devices_give_the_step_of_the_whole_batch() {
    let mut config = with_spn(0.01);
    config.train.batch = 8;
    // Two of four parts are without a contrastive loss, or have it on part of their patches.
    config.spn.as_mut().expect("set").batch = Some(3);
    let (whole, weights) = two_steps(&config, 1);
    for (accumulate, devices) in [(2, 1), (4, 1), (1, 2), (2, 2), (1, 4)] {
        config.train.accumulate = accumulate;
        let (losses, found) = two_steps(&config, devices);
        for (found, whole) in losses.iter().zip(&whole) {
            assert!((found.reconstruction - whole.reconstruction).abs() < 1e-5, "{accumulate} {devices}");
            let negative = [found, whole].map(|l| l.negative.expect("computed"));
            assert!((negative[0] - negative[1]).abs() < 1e-5, "{accumulate} {devices}: {negative:?}");
        }
        // Adam's first steps are as large for the smallest gradients, where rounding decides, as for others.
        assert_near(&found, &weights, 1e-3);
    }
    config.train.accumulate = 2;
    let trainer = Trainer::new(config, None, None, &Device::flex()).expect("starts");
    let more = [Device::flex(), Device::flex()];
    let error = trainer.with_devices(&more).err().expect("refused").to_string();
    assert!(error.contains("8 patches") && error.contains("6 equal parts"), "{error}");
}

#[test]
fn half_precision_is_near_the_whole_and_keeps_the_weights_whole() {
    let mut config = with_spn(0.01);
    let (losses, whole) = two_steps(&config, 1);
    config.train.precision = Precision::Bf16;
    let (half_losses, half) = two_steps(&config, 1);
    assert_ne!(losses, half_losses);
    for (a, b) in losses.iter().zip(&half_losses) {
        assert!((a.reconstruction - b.reconstruction).abs() < 0.01 * a.reconstruction, "{a:?} {b:?}");
    }
    assert_near(&half, &whole, 0.01);
    // Weights that had been rounded to bf16 would have zeros in their lower 16 bits.
    let fine = half.iter().flat_map(|(_, _, v)| v).filter(|v| v.to_bits() & 0xffff != 0).count();
    assert!(fine > 100, "{fine}");
}

/// The configuration with more settings.
fn with(steps: u64, more: &[&str]) -> Config {
    let more: Vec<String> = more.iter().map(ToString::to_string).collect();
    Config::resolve(None, &config(steps).to_toml(), &more).expect("valid")
}

#[test]
fn damaged_patches_and_branches_resume_to_the_bit() {
    let config = |steps| with(steps, &["data.degrade=camera", "train.expand=12"]);
    let (whole, parts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (losses, end) = train(config(8), whole.path(), false);
    // The rate falls to the last step: the same number of steps, stopped in between.
    train(config(8), parts.path(), true);
    let (rest, resumed) = train(config(8), parts.path(), false);
    assert!(!rest.is_empty() && rest.len() < losses.len(), "{} steps were left", rest.len());
    assert_eq!(rest, losses[losses.len() - rest.len()..]);
    assert_eq!((resumed.net, resumed.ema), (end.net, end.ema));
}

/// A branch changes what is learnt, not what is computed: before the first step, and folded at any time.
#[test]
fn branches_fold_into_the_weights() {
    let device = Device::flex();
    let plain = Trainer::new(with(6, &[]), None, None, &device).expect("starts");
    let mut branched = Trainer::new(with(6, &["train.expand=12"]), None, None, &device).expect("starts");
    let lr = pair(1, 2).lr;
    assert_eq!(branched.averaged().to_tensors().len(), plain.averaged().to_tensors().len());
    let apart = |a: &Image, b: &Image| a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max();
    let upscale = |net: &Net| eval::upscale(net, &lr).expect("upscales");
    assert!(apart(&upscale(branched.averaged()), &upscale(plain.averaged())) <= Some(1));
    for i in 0..6 {
        branched.step(batch(&branched.config.clone(), i)).expect("a step");
    }
    let (net, folded) = (branched.net.valid(), branched.net.folded().valid());
    assert!(net.to_tensors().len() > folded.to_tensors().len());
    assert!(apart(&upscale(&net), &upscale(&folded)) <= Some(1));
    let moved = branched.checkpoint().expect("saved").net;
    let start = Trainer::new(with(6, &["train.expand=12"]), None, None, &device).expect("starts");
    let start = start.checkpoint().expect("saved").net;
    for (name, _, values) in start.iter() {
        let shape = moved.shape(name).expect("the same tensors").to_vec();
        assert_ne!(moved.get(name, &shape).expect("finite"), values, "{name} is trained");
    }
}

#[test]
fn a_teacher_has_its_share_of_the_loss() {
    let device = Device::flex();
    let loss = |weight: f64, teacher: bool| {
        let config = with(1, &[&format!("train.teacher_weight={weight}")]);
        let mut batch = batch(&config, 0);
        if teacher {
            batch.teacher = batch.hr.iter().map(|v| v + 0.5).collect();
        }
        let mut trainer = Trainer::new(config, None, None, &device).expect("starts");
        trainer.step(batch).expect("a step").reconstruction
    };
    let plain = loss(0.5, false);
    let (none, half, whole) = (loss(0.0, true), loss(0.5, true), loss(1.0, true));
    assert!((none - plain).abs() < 1e-6);
    assert!((half - 0.5 * (none + whole)).abs() < 1e-6 && whole > none, "{none} {half} {whole}");
}
