use super::*;
use crate::shared;
use mcir_runtime::model::{Conv2d, DType, Graph, Op};

/// Two 1x1 convolutions; the first has the three weights that the tests look at.
fn graph() -> Graph {
    let mut graph = Graph::new(1, DType::F32);
    let conv = |i, o| Op::Conv2d(Conv2d { in_channels: i, out_channels: o, kernel: 1, activation: None });
    graph.push("a", conv(1, 3), &[0], DType::F32);
    graph.push("b", conv(3, 1), &[1], DType::F32);
    graph
}

/// The network whose three values of `a.weight` are given.
fn net(values: &[f64], device: &Device) -> Net {
    let mut tensors = Net::random(&graph().into(), 1, device).expect("valid").to_tensors();
    tensors.insert("a.weight".into(), vec![3, 1, 1, 1], values.iter().map(|&v| v as f32).collect());
    Net::from_tensors(&graph().into(), &tensors, device).expect("valid")
}

fn values(tensors: &Tensors) -> Vec<f64> {
    tensors.get("a.weight", &[3, 1, 1, 1]).expect("there").iter().map(|&v| f64::from(v)).collect()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

#[test]
fn updates_are_those_of_the_reference() {
    let Some(path) = shared::path("reference/spn.json") else { return };
    let reference: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).expect("read")).expect("JSON");
    let (plain, tracked) = (Device::flex(), Device::flex().autodiff());
    let ema = &reference["ema"];
    let targets = ema["target"].as_array().expect("a list");
    let sequences = ema["sequences"].as_array().expect("a list");
    assert_eq!(sequences.len(), 9);
    for sequence in sequences {
        let (omega, every) = (sequence["w"].as_f64().expect("w"), sequence["step"].as_u64().expect("step"));
        let spn = Spn { omega: PerModel::All(omega), steps: vec![every], ..Spn::default() };
        let start = net(&numbers(&ema["neg_init"]), &plain).to_tensors();
        let target = net(&numbers(&targets[0]), &tracked);
        let mut negatives = Negatives::restore(&spn, &target, &[start], &plain).expect("restored");
        for (i, target) in targets.iter().enumerate() {
            negatives.update(i as u64 + 1, &net(&numbers(target), &tracked));
            let (found, expected) = (values(&negatives.to_tensors()[0]), numbers(&sequence["neg"][i]));
            for (f, e) in found.iter().zip(&expected) {
                // The reference is in f64, the networks in f32.
                assert!(
                    (f - e).abs() <= 1e-6 * e.abs(),
                    "w {omega}, every {every}, iteration {}: {f} for {e}",
                    i + 1
                );
            }
        }
    }
}

#[test]
fn latency_models_start_near_the_network_and_differ() {
    let target = net(&[0.5, -0.25, 1.0], &Device::flex().autodiff());
    let spn = Spn { nu: PerModel::All(0.01), steps: vec![1, 2], ..Spn::default() };
    let start = Negatives::new(&spn, &target, 7, None).expect("made").to_tensors();
    assert_ne!(start[0], start[1]);
    for tensors in &start {
        for (found, target) in values(tensors).iter().zip([0.5, -0.25, 1.0]) {
            // ν of a draw within ±1.
            assert!((found - 0.99 * target).abs() <= 0.01, "{found} near {target}");
        }
    }
    assert_eq!(Negatives::new(&spn, &target, 7, None).expect("made").to_tensors(), start);
    assert_ne!(Negatives::new(&spn, &target, 8, None).expect("made").to_tensors(), start);
}

#[test]
fn frozen_models_stay_as_they_are() {
    let target = net(&[0.5, -0.25, 1.0], &Device::flex().autodiff());
    let pretrained = net(&[1.0, 2.0, 3.0], &Device::flex()).to_tensors();
    for negative in [Negative::Random, Negative::Pretrained] {
        let spn = Spn { negative, steps: vec![1, 1], ..Spn::default() };
        let mut negatives = Negatives::new(&spn, &target, 7, Some(&pretrained)).expect("made");
        let before = negatives.to_tensors();
        negatives.update(1, &target);
        assert_eq!(negatives.to_tensors(), before, "{negative:?}");
        assert_eq!(before.len(), if negative == Negative::Random { 2 } else { 1 });
    }
    let spn = Spn { negative: Negative::Pretrained, ..Spn::default() };
    assert!(Negatives::new(&spn, &target, 7, None).expect_err("refused").to_string().contains("pretrained"));
}

#[test]
fn drawn_negatives_are_those_of_each_patch_and_all_equally_often() {
    let device = Device::flex();
    let target = net(&[0.5, -0.25, 1.0], &device.clone().autodiff());
    let spn = Spn { negative: Negative::Random, steps: vec![1, 1, 1, 1], ..Spn::default() };
    let negatives = Negatives::new(&spn, &target, 7, None).expect("made");
    let lr = Tensor::<4>::from_data([[[[1.0f32]]], [[[2.0]]], [[[3.0]]]], &device);
    let values = |x: Tensor<4>| x.into_data().try_into_vec::<f32>().expect("f32");
    let all: Vec<Vec<f32>> = negatives.forward(&lr).into_iter().map(values).collect();
    for draw in 1..=4 {
        let mut counts = [0; 4];
        for step in 0..240 {
            let found = negatives.draw(&lr, 3, draw, Stream::new(1, Purpose::NegativeDraw, step));
            let found: Vec<Vec<f32>> = found.into_iter().map(values).collect();
            assert_eq!(found.len(), draw);
            let mut seen = [0; 4];
            for patch in 0..3 {
                let of = |slot: &Vec<f32>| all.iter().position(|all| all[patch] == slot[patch]);
                let mut models: Vec<usize> = found.iter().map(|s| of(s).expect("one of them")).collect();
                models.iter().for_each(|&k| seen[k] += 1);
                models.sort_unstable();
                models.dedup();
                assert_eq!(models.len(), draw, "a patch meets no model twice");
            }
            // Three patches share them as evenly as they can.
            assert!(seen.iter().max() <= seen.iter().min().map(|least| least + 1).as_ref(), "{seen:?}");
            counts.iter_mut().zip(seen).for_each(|(c, s)| *c += s);
        }
        let expected = 240 * 3 * draw / 4;
        assert!(counts.iter().all(|&c: &usize| c.abs_diff(expected) < expected / 8), "{counts:?}");
    }
}
