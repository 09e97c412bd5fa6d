use super::*;
use crate::seed::{Purpose, Stream};
use mcir_runtime::arch::edsr;
use mcir_runtime::model::{Conv2d, DType, Filter, Pool, Statistic};

/// Every operator that can be trained, in one small graph.
fn everything() -> Graph {
    let mut g = Graph::new(3, DType::F32);
    let mut push = |name: &str, op, inputs: &[NodeId]| g.push(name, op, inputs, DType::F32);
    let conv =
        |i, o, kernel, activation| Op::Conv2d(Conv2d { in_channels: i, out_channels: o, kernel, activation });
    push("sub_mean", Op::Affine, &[0]);
    push("first", conv(3, 4, 3, Some(Activation::LeakyRelu { slope: 0.1 })), &[1]);
    push("a", conv(4, 4, 3, Some(Activation::Gelu)), &[2]);
    push("b", conv(4, 4, 1, None), &[3]);
    push("sum", Op::Add { res_scale: 0.5 }, &[2, 4]);
    push("twice", Op::Add { res_scale: 1.0 }, &[5, 5]);
    push("relu", Op::Activation(Activation::Relu), &[6]);
    push("norm", Op::LayerNorm { eps: 1e-5 }, &[7]);
    push("qkv", conv(4, 12, 1, None), &[8]);
    push("attn", Op::WindowAttention { num_heads: 2, window_size: 4, shift: 2 }, &[9]);
    push("last", conv(4, 12, 3, None), &[10]);
    push("shuffle", Op::PixelShuffle { upscale: 2 }, &[11]);
    push("base", Op::Resize { upscale: 2, filter: Filter::Bicubic }, &[1]);
    push("image", Op::Add { res_scale: 1.0 }, &[13, 12]);
    push("same", Op::Convert, &[14]);
    push("sigmoid", Op::Activation(Activation::Sigmoid), &[15]);
    push("silu", Op::Activation(Activation::Silu), &[15]);
    push("gate", Op::Mul, &[16, 17]);
    push("tanh", Op::Activation(Activation::Tanh), &[18]);
    push("hard_sigmoid", Op::Activation(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }), &[19]);
    push("hard_swish", Op::Activation(Activation::HardSwish { alpha: 0.25, beta: 0.5 }), &[15]);
    push("gates", Op::Mul, &[20, 21]);
    // A window of one pixel: where another one becomes the largest there is no slope.
    let pool = Pool { window: 1, stride: 2, before: 0, after: 0 };
    push("half", Op::MaxPool(pool), &[22]);
    push("low", conv(3, 3, 3, None), &[23]);
    push("up", Op::Interpolate { filter: Filter::Bilinear }, &[24, 22]);
    push("deviation", Op::GlobalPool { statistic: Statistic::Deviation }, &[25]);
    push("point", conv(3, 3, 1, None), &[26]);
    push("spread", Op::Interpolate { filter: Filter::Nearest }, &[27, 25]);
    push("weighted", Op::Mul, &[25, 28]);
    push("pooled", Op::Add { res_scale: 1.0 }, &[22, 29]);
    push("add_mean", Op::Affine, &[30]);
    g
}

fn image(device: &Device) -> Tensor<4> {
    let mut stream = Stream::new(1, Purpose::Batch, 9);
    let values = (0..2 * 3 * 5 * 4).map(|_| 0.5 + stream.symmetric(0.5)).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, [2, 3, 5, 4]), device)
}

/// Not linear in the output, so that every gradient depends on every value.
fn loss(net: &GraphNet, device: &Device) -> Tensor<1> {
    let y = net.forward(image(device));
    (y.clone() * y).mean()
}

#[test]
fn gradients_agree_with_finite_differences() {
    let graph = everything();
    let (plain, device) = (Device::flex(), Device::flex().autodiff());
    let mut tensors = GraphNet::random(&graph, 3, &plain).expect("valid").to_tensors();
    for (k, (name, shape, values)) in tensors.clone().iter().enumerate() {
        // Larger than at the start of a training, so that every part matters.
        let mut stream = Stream::new(2, Purpose::Weights, k as u64);
        let values = values.iter().map(|_| stream.symmetric(0.5)).collect();
        if !name.contains("mean") {
            tensors.insert(name.into(), shape.to_vec(), values);
        }
    }
    let net = GraphNet::from_tensors(&graph, &tensors, &device).expect("valid");
    let grads = loss(&net, &device).backward();
    for (node, layer) in net.graph.nodes.iter().zip(&net.layers) {
        let Layer::Conv(conv) = layer else { continue };
        let grad = conv
            .weight
            .val()
            .grad(&grads)
            .expect("a gradient")
            .into_data()
            .try_into_vec::<f32>()
            .expect("f32");
        let name = format!("{}.weight", node.name);
        let shape = tensors.shape(&name).expect("there").to_vec();
        // Along the gradient the loss must rise by the gradient's length.
        let length = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let moved = |by: f64| {
            let mut tensors = tensors.clone();
            let values = tensors.get(&name, &shape).expect("there").iter().zip(&grad);
            let values = values.map(|(v, g)| v + (by * f64::from(*g) / length) as f32).collect();
            tensors.insert(name.clone(), shape.clone(), values);
            let net = GraphNet::from_tensors(&graph, &tensors, &plain).expect("valid");
            f64::from(loss(&net, &plain).into_scalar::<f32>())
        };
        // Deviations bend more than the rest: a longer step would measure that.
        let step = 2e-3;
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        assert!((slope - length).abs() < 0.005 * length, "{name}: {slope} for {length}");
    }
}

#[test]
fn tensors_go_in_and_out_unchanged() {
    let graph = everything();
    let net = GraphNet::random(&graph, 3, &Device::flex()).expect("valid");
    let tensors = net.to_tensors();
    let again = GraphNet::from_tensors(&graph, &tensors, &Device::flex()).expect("valid");
    assert_eq!(again.to_tensors(), tensors);
    let mut more = tensors.clone();
    more.insert("other".into(), vec![1], vec![0.0]);
    assert!(matches!(
        GraphNet::from_tensors(&graph, &more, &Device::flex()),
        Err(WeightsError::Count { .. })
    ));
    let mut bad = tensors.clone();
    bad.insert("first.bias".into(), vec![4], vec![0.0, f32::NAN, 0.0, 0.0]);
    let error = GraphNet::from_tensors(&graph, &bad, &Device::flex()).expect_err("refused").to_string();
    assert!(error.contains("first.bias holds NaN at 1"), "{error}");
    let mut bad = tensors;
    bad.insert("first.bias".into(), vec![3], vec![0.0; 3]);
    assert!(matches!(GraphNet::from_tensors(&graph, &bad, &Device::flex()), Err(WeightsError::Shape { .. })));
}

#[test]
fn a_fresh_edge_network_starts_near_its_interpolation() {
    let device = Device::flex();
    let config = edsr::Config::edge(2, 8, 2);
    let net = GraphNet::random(&edsr::graph(&config), 1, &device).expect("valid");
    let x = image(&device);
    let base = resize::resize(x.clone(), 2, Filter::Bilinear);
    let worst = (net.forward(x) - base).abs().max().into_scalar::<f32>();
    assert!(worst > 0.0 && worst < 0.2, "{worst}");
}

#[test]
fn initial_weights_depend_on_the_seed_only() {
    let graph = edsr::graph(&edsr::Config::edge(4, 8, 2));
    let tensors = |seed| GraphNet::random(&graph, seed, &Device::flex()).expect("valid").to_tensors();
    assert_eq!(tensors(5), tensors(5));
    assert_ne!(tensors(5), tensors(6));
}

#[test]
fn blending_is_an_average() {
    let graph = everything();
    let device = Device::flex();
    let (a, b) = (
        GraphNet::random(&graph, 1, &device).expect("valid"),
        GraphNet::random(&graph, 2, &device.clone().autodiff()).expect("valid"),
    );
    let mixed = a.clone().blend(&b, 0.75).to_tensors();
    for ((name, _, mixed), ((_, _, a), (_, _, b))) in
        mixed.iter().zip(a.to_tensors().iter().zip(b.to_tensors().iter()))
    {
        for ((m, a), b) in mixed.iter().zip(a).zip(b) {
            let expected = if name.contains("mean") { *a } else { 0.75 * a + 0.25 * b };
            assert!((m - expected).abs() < 1e-6 * (1.0 + expected.abs()), "{name}: {m} for {expected}");
        }
    }
}

/// With a margin a network does what it does without one to an image that has it, and crops.
#[test]
fn a_margin_repeats_the_edges_and_crops() {
    let device = Device::flex();
    let config = edsr::Config { num_feat: 4, num_block: 1, ..edsr::Config::light(2) };
    let graph = Graph { margin: 3, ..edsr::graph(&config) };
    let net = GraphNet::random(&graph, 3, &device).expect("valid");
    let whole = GraphNet::from_tensors(&edsr::graph(&config), &net.to_tensors(), &device).expect("valid");
    let x = image(&device);
    let [_, _, h, w] = x.dims();
    let (mut around, margin) = (x.clone(), 3);
    for dim in [2, 3] {
        let n = around.dims()[dim];
        let first = around.clone().narrow(dim, 0, 1);
        let last = around.clone().narrow(dim, n - 1, 1);
        let all = [vec![first; margin], vec![around], vec![last; margin]].concat();
        around = Tensor::cat(all, dim);
    }
    let expected = whole.forward(around).narrow(2, 2 * margin, 2 * h).narrow(3, 2 * margin, 2 * w);
    let values = |y: Tensor<4>| y.into_data().try_into_vec::<f32>().expect("f32");
    assert_eq!(values(net.forward(x)), values(expected));
}
