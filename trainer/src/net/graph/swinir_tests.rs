//! SwinIR with the tails that the reference data has not, against PyTorch.

use super::*;
use crate::import;
use mcir_import::dict;
use mcir_runtime::arch::swinir::{Config, Tail, graph};

fn reference() -> Tensors {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/swinir.safetensors");
    import::read(&path).expect("the test data can be read")
}

/// The tensors whose names begin so, under the graph's names, and the network's shape.
fn part(all: &Tensors, prefix: &str) -> (Config, Tensors) {
    let mut published = mcir_checkpoint::Tensors::default();
    for (name, shape, values) in all.iter() {
        if let Some(name) = name.strip_prefix(prefix) {
            published.insert(name.into(), shape.to_vec(), values.to_vec());
        }
    }
    let (config, named) = dict::arch::swinir(published, &dict::Options::default()).expect("recognised");
    let mut tensors = Tensors::default();
    named.into_iter().for_each(|(name, (shape, values))| tensors.insert(name, shape, values));
    (config, tensors)
}

fn check(kind: &str, expected: Config) {
    let all = reference();
    let ((config, tensors), (_, gradients)) =
        (part(&all, &format!("{kind}/net/")), part(&all, &format!("{kind}/grad/")));
    assert_eq!(config, expected);
    let device = Device::flex().autodiff();
    let scale = usize::from(config.upscale);
    let image = |name: &str, shape: [usize; 4], device: &Device| {
        let values = all.get(name, &shape).expect("there").to_vec();
        Tensor::<4>::from_data(TensorData::new(values, shape), device)
    };
    let net = GraphNet::from_tensors(&graph(&config), &tensors, &device).expect("fits");
    let y = net.forward(image("in", [2, 3, 17, 10], &device));
    let output = image(&format!("{kind}/out"), [2, 3, 17 * scale, 10 * scale], &Device::flex());
    let worst = (y.clone().inner() - output.clone()).abs().max().into_scalar::<f32>();
    assert!(worst < 1e-4 * output.abs().max().into_scalar::<f32>(), "{kind}: {worst}");
    let grads = (y.clone() * y).mean().backward();
    let mut compared = 0;
    for (node, layer) in net.graph.nodes.iter().zip(&net.layers) {
        let found = match layer {
            Layer::Conv(conv) => vec![
                ("weight", conv.weight.val().grad(&grads).map(|g| g.into_data())),
                ("bias", conv.bias.val().grad(&grads).map(|g| g.into_data())),
            ],
            Layer::Norm(norm) => vec![
                ("weight", norm.weight.val().grad(&grads).map(|g| g.into_data())),
                ("bias", norm.bias.val().grad(&grads).map(|g| g.into_data())),
            ],
            Layer::Attention(attention) => {
                vec![(TABLE, attention.table.val().grad(&grads).map(|g| g.into_data()))]
            }
            _ => Vec::new(),
        };
        for (part, found) in found {
            let name = format!("{}.{part}", node.name);
            let found = found.expect(&name).try_into_vec::<f32>().expect("f32");
            let shape = gradients.shape(&name).expect(&name).to_vec();
            let expected = gradients.get(&name, &shape).expect(&name);
            let size = expected.iter().fold(1e-5f32, |m, v| m.max(v.abs()));
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 2e-3 * size, "{kind}: {name}: {f} for {e}");
            }
            compared += found.len();
        }
    }
    assert!(compared > 3000, "{compared}");
}

#[test]
fn the_network_that_keeps_the_size_is_that_of_pytorch() {
    check(
        "restoration",
        Config {
            embed_dim: 8,
            depths: vec![2],
            num_heads: vec![2],
            mean_shift: true,
            ..Config::restoration(7)
        },
    );
}

#[test]
fn the_network_with_the_classical_tail_is_that_of_pytorch() {
    check(
        "classical",
        Config {
            embed_dim: 8,
            depths: vec![2],
            num_heads: vec![2],
            window_size: 4,
            mean_shift: true,
            tail: Tail::Classical(8),
            ..Config::light(2)
        },
    );
}
