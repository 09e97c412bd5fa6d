//! FFA-Net against PyTorch.

use super::*;
use crate::import;

fn reference() -> Tensors {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/ffanet.safetensors");
    import::read(&path).expect("the test data can be read")
}

/// The tensors whose names begin so, under the graph's names, and the network's shape.
fn part(all: &Tensors, prefix: &str) -> (ffanet::Config, Tensors) {
    let named = all.iter().filter_map(|(name, shape, values)| {
        Some((name.strip_prefix(prefix)?.to_string(), shape.to_vec(), values.to_vec()))
    });
    let (config, named) = ffanet::published(named.collect(), true).expect("fits");
    let mut tensors = Tensors::default();
    named.into_iter().for_each(|(name, shape, values)| tensors.insert(name, shape, values));
    (config, tensors)
}

#[test]
fn output_and_gradients_are_those_of_pytorch() {
    let all = reference();
    let ((config, tensors), (_, expected)) = (part(&all, "net/"), part(&all, "grad/"));
    assert_eq!(config, ffanet::Config { num_group: 2, num_block: 1, num_feat: 16, normalize: true });
    let device = Device::flex().autodiff();
    let image = |name: &str, device: &Device| {
        let values = all.get(name, &[2, 3, 10, 7]).expect("there").to_vec();
        Tensor::<4>::from_data(TensorData::new(values, [2, 3, 10, 7]), device)
    };
    let net = GraphNet::from_tensors(&ffanet::graph(&config), &tensors, &device).expect("fits");
    let y = net.forward(image("in", &device));
    let output = image("out", &Device::flex());
    let worst = (y.clone().inner() - output.clone()).abs().max().into_scalar::<f32>();
    assert!(worst < 1e-4 * output.abs().max().into_scalar::<f32>(), "{worst}");
    let grads = (y.clone() * y).mean().backward();
    let mut compared = 0;
    for (node, layer) in net.graph.nodes.iter().zip(&net.layers) {
        let Layer::Conv(conv) = layer else { continue };
        let found = [
            ("weight", conv.weight.val().grad(&grads).map(|g| g.into_data())),
            ("bias", conv.bias.val().grad(&grads).map(|g| g.into_data())),
        ];
        for (part, found) in found {
            let name = format!("{}.{part}", node.name);
            if ffanet::is_constant(node) {
                assert!(found.is_none(), "{name} is not trained");
                continue;
            }
            let found = found.expect(&name).try_into_vec::<f32>().expect("f32");
            // One bias of the publication's is the sum of several here, which have its gradient each.
            let name = if name.starts_with("ca.1.") && part == "bias" { "ca.1.0.bias".into() } else { name };
            let shape = expected.shape(&name).expect(&name).to_vec();
            let expected = expected.get(&name, &shape).expect(&name);
            let size = expected.iter().fold(1e-6f32, |m, v| m.max(v.abs()));
            for (f, e) in found.iter().zip(expected) {
                assert!((f - e).abs() < 1e-3 * size, "{name}: {f} for {e}");
            }
            compared += found.len();
        }
    }
    assert!(compared > 15_000, "{compared}");
}

#[test]
fn what_repeats_a_channel_stays_as_it_is() {
    let graph = ffanet::graph(&ffanet::Config::edge());
    let device = Device::flex();
    let (a, b) = (
        GraphNet::random(&graph, 1, &device).expect("valid"),
        GraphNet::random(&graph, 2, &device).expect("valid"),
    );
    let mut mixed = a.clone();
    for _ in 0..100 {
        mixed = mixed.blend(&b, 0.999);
    }
    let tensors = mixed.to_tensors();
    let weight = tensors.get("palayer.spread.weight", &[16, 1, 1, 1]).expect("there");
    assert_eq!(weight, [1.0; 16]);
    assert_ne!(
        tensors.get("post.0.bias", &[16]).expect("there"),
        a.to_tensors().get("post.0.bias", &[16]).expect("there")
    );
}
