//! Model files: round trip, every kind of damage, and every rule of validation.

use super::*;
use crate::arch::edsr;
use crate::arch::edsr::Config;
use crate::error::LoadError;
use crate::testing::{quantized_graph, random_model};
use alloc::{borrow::Cow, string::String, vec::Vec};
use alloc::{borrow::ToOwned, string::ToString, vec};
use proptest::prelude::*;

fn sample() -> Model {
    let meta = vec![("name".to_owned(), "test".to_owned()), ("seed".to_owned(), "7".to_owned())];
    random_model(quantized_graph(8, 2, Filter::Bilinear), 7).with_metadata(meta).unwrap()
}

/// The node that is an activation.
fn gelu_node(model: &Model) -> NodeId {
    let nodes = model.graph().nodes.iter();
    nodes.zip(0..).find(|(n, _)| matches!(n.op, Op::Activation(_))).expect("it has one").1
}

/// Makes the header fit the bytes again after a change, so that damage gets past the checksum.
fn reseal(bytes: &mut [u8]) {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..20]);
    hasher.update(&bytes[24..]);
    let crc = hasher.finalize();
    bytes[20..24].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn write_and_read_are_inverse() {
    for model in [sample(), random_model(edsr::graph(&Config::edge(4, 16, 2)), 1)] {
        let bytes = model.to_bytes();
        let read = Model::from_bytes(bytes.clone()).unwrap();
        assert_eq!(read.graph(), model.graph());
        assert_eq!(read.metadata(), model.metadata());
        for id in 0..model.graph().nodes.len() as NodeId {
            assert_eq!(read.params(id), model.params(id));
        }
        assert_eq!(read.to_bytes(), bytes);
    }
    assert_eq!(sample().meta("name"), Some("test"));
    assert_eq!(sample().meta("nothing"), None);
}

/// The format is a promise: this file, written by version 1, must stay readable.
#[test]
fn the_golden_file_stays_readable() {
    let golden = include_bytes!("tests/golden-v1.mcir");
    let model = Model::from_bytes(golden.as_slice()).unwrap();
    assert_eq!(model.graph(), sample().graph());
    assert_eq!(model.metadata(), sample().metadata());
    assert_eq!(model.params(2), sample().params(2));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = sample().to_bytes();
    for n in 0..bytes.len() {
        let error = Model::from_bytes(bytes[..n].to_vec()).unwrap_err();
        assert!(matches!(error, LoadError::Truncated { .. }), "{n} bytes: {error}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(Model::from_bytes(longer), Err(LoadError::TrailingBytes { .. })));
}

#[test]
fn every_flipped_bit_is_an_error() {
    let bytes = sample().to_bytes();
    for i in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[i] ^= 1 << (i % 8);
        assert!(Model::from_bytes(damaged).is_err(), "byte {i}");
    }
}

#[test]
fn damage_is_named() {
    let change = |at: usize, value: u8| {
        let mut bytes = sample().to_bytes();
        bytes[at] = value;
        Model::from_bytes(bytes).unwrap_err()
    };
    assert_eq!(change(0, b'X'), LoadError::NotAModel { found: *b"XCIR" });
    assert_eq!(change(4, 4), LoadError::Version { found: 4, supported: 3 });
    assert_eq!(change(7, 1), LoadError::Header { field: "reserved" });
    assert_eq!(change(40, 1), LoadError::Header { field: "reserved" });
    assert!(matches!(change(12, 1), LoadError::Header { field: "weights_offset" }));
    assert!(matches!(change(100, 0xff), LoadError::Checksum { .. }));
    assert_eq!(change(4, 9).to_string(), "model format version 9 is not supported (versions 1 to 3 are)");
}

#[test]
fn a_margin_needs_a_newer_version_and_has_an_end() {
    let with = |version: u8, margin: u16| {
        let mut bytes = sample().to_bytes();
        bytes[4] = version;
        bytes[6..8].copy_from_slice(&margin.to_le_bytes());
        reseal(&mut bytes);
        Model::from_bytes(bytes)
    };
    assert_eq!(with(1, 7).unwrap_err(), LoadError::Header { field: "reserved" });
    assert_eq!(with(2, 7).unwrap().graph().margin, 7);
    assert_eq!(with(2, 0).unwrap().to_bytes(), sample().to_bytes(), "in the lowest version");
    let limit = validate::MAX_MARGIN.into();
    let what = "margin around the image in pixels";
    assert_eq!(with(2, 129).unwrap_err(), LoadError::TooLarge { what, found: 129, limit });
}

#[test]
fn a_multiple_needs_a_newer_version_and_has_an_end() {
    let with = |version: u8, multiple: u8, mode: u8| {
        let mut bytes = sample().to_bytes();
        (bytes[4], bytes[24], bytes[25]) = (version, multiple, mode);
        reseal(&mut bytes);
        Model::from_bytes(bytes)
    };
    for version in [1, 2] {
        assert_eq!(with(version, 2, 0).unwrap_err(), LoadError::Header { field: "reserved" });
        assert_eq!(with(version, 0, 0).unwrap().graph().multiple, 1);
    }
    let model = with(3, 6, 2).unwrap();
    assert_eq!((model.graph().multiple, model.graph().pad_mode), (6, PadMode::Zero));
    assert_eq!(Model::from_bytes(model.to_bytes()).unwrap().graph(), model.graph());
    assert_eq!(with(3, 1, 0).unwrap().to_bytes(), sample().to_bytes(), "in the lowest version");
    assert_eq!(with(3, 1, 3).unwrap_err(), LoadError::Header { field: "pad_mode" });
    let what = "multiple of the image's sides";
    assert_eq!(with(3, 65, 0).unwrap_err(), LoadError::TooLarge { what, found: 65, limit: 64 });
    let what = "smallest multiple of the image's sides";
    assert_eq!(with(3, 0, 0).unwrap_err(), LoadError::TooLarge { what, found: 1, limit: 0 });
}

/// Fractions are what the multiple makes exact; anything else is pooled, and cannot become an image again.
#[test]
fn a_fraction_is_exact_or_none() {
    let extents = |multiple: u8, pool: Pool| {
        let mut graph = Graph { multiple, ..Graph::new(3, DType::F32) };
        let low = graph.push("low", Op::MaxPool(pool), &[0], DType::F32);
        let high = graph.push("high", Op::Resize { upscale: 4, filter: Filter::Nearest }, &[low], DType::F32);
        graph.push("end", Op::Activation(Activation::Relu), &[high], DType::F32);
        infer(&graph).map(|shapes| [shapes[1].extent, shapes[3].extent])
    };
    let third = Pool { window: 1, stride: 3, before: 0, after: 0 };
    let found = extents(6, third).unwrap();
    assert_eq!(found, [Extent::Part { times: 1, of: 3 }, Extent::Part { times: 4, of: 3 }]);
    let half = Pool { window: 2, stride: 2, before: 0, after: 0 };
    assert_eq!(extents(6, half).unwrap(), [Extent::Part { times: 1, of: 2 }, Extent::Times(2)]);
    // Windows beyond the end, one for each stride and one more; strides that do not divide the multiple.
    for (multiple, pool) in [(6, Pool { window: 1, stride: 2, before: 0, after: 1 }), (4, third), (1, half)] {
        assert_eq!(
            extents(multiple, pool).unwrap_err(),
            LoadError::ResolutionMismatch { node: 2 },
            "{pool:?}"
        );
    }
    assert_eq!(Extent::Part { times: 3, of: 4 }.side(8), Some(6));
    // What has no end: strides behind each other.
    let mut graph = Graph { multiple: 64, ..Graph::new(3, DType::F32) };
    let mut x = 0;
    for i in 0..4 {
        let pool = Pool { window: 1, stride: 8, before: 0, after: 0 };
        x = graph.push(alloc::format!("{i}"), Op::MaxPool(pool), &[x], DType::F32);
    }
    let shapes = infer(&graph).unwrap();
    assert_eq!(shapes[2].extent, Extent::Part { times: 1, of: 64 });
    assert_eq!(shapes[4].extent, Extent::Pooled { by: 4, stride: 255 });
}

/// As in files from before there were multiples: half of an enlarged image is interpolated to the size of another edge.
#[test]
fn what_is_pooled_can_be_interpolated_without_a_multiple() {
    let graph = |interpolated: bool| {
        let mut graph = Graph::new(4, DType::F32);
        let high = graph.push("high", Op::PixelShuffle { upscale: 2 }, &[0], DType::F32);
        let pool = Pool { window: 1, stride: 2, before: 0, after: 0 };
        let low = graph.push("low", Op::MaxPool(pool), &[high], DType::F32);
        if interpolated {
            graph.push("up", Op::Interpolate { filter: Filter::Bilinear }, &[low, high], DType::F32);
        }
        infer(&graph).unwrap().iter().map(|shape| shape.extent).collect::<Vec<_>>()
    };
    let two = Extent::Times(2);
    assert_eq!(graph(true), [Extent::Times(1), two, Extent::Pooled { by: 2, stride: 2 }, two]);
    assert_eq!(graph(false), [Extent::Times(1), two, Extent::Times(1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 2000 }))]

    /// Any change that the checksum does not catch is an error or another valid model, never a panic.
    #[test]
    fn resealed_damage_never_panics(at in 24_usize..700, value: u8, second in 24_usize..700, with: u8) {
        let mut bytes = sample().to_bytes();
        bytes[at] = value;
        bytes[second] = with;
        reseal(&mut bytes);
        if let Ok(model) = Model::from_bytes(bytes) {
            let plan = crate::plan::Plan::new(&model, 3, &crate::plan::PlanOptions::default());
            if let Ok(plan) = plan {
                let pixels = vec![9; plan.in_row_bytes() * 2];
                let mut out = vec![0; plan.out_row_bytes() * 2 * usize::from(model.upscale())];
                prop_assert!(plan.run_image(&mut plan.workspace(), &pixels, 2, &mut out).is_ok());
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if bytes.len() >= 64 {
            bytes[..8].copy_from_slice(b"MCIR\x01\x00\x00\x00");
            let graph_len = (bytes.len() - 64) as u32;
            bytes[8..12].copy_from_slice(&graph_len.to_le_bytes());
            let offset = (bytes.len() as u32).next_multiple_of(64);
            bytes.resize(offset as usize, 0);
            bytes[12..16].copy_from_slice(&offset.to_le_bytes());
            bytes[16..20].fill(0);
            bytes[24..64].fill(0);
            reseal(&mut bytes);
        }
        prop_assert!(Model::from_bytes(bytes).is_err());
    }
}

/// Tensors that share bytes would be packed once for each: gigabytes from a small file.
#[test]
fn tensors_do_not_share_bytes() {
    let mut graph = Graph::new(3, DType::F32);
    let conv = Conv2d { in_channels: 3, out_channels: 3, kernel: 3, activation: None };
    let first = graph.push("a", Op::Conv2d(conv), &[0], DType::F32);
    graph.push("b", Op::Conv2d(conv), &[first], DType::F32);
    let tensors = vec![TensorData::F32(vec![0.5; 81]), TensorData::F32(vec![0.0; 3])];
    let mut model = Model::new(graph, &[vec![], tensors.clone(), tensors], vec![]).unwrap();
    let end = model.tensors[2][0].offset as usize;
    model.tensors[2] = model.tensors[1].clone();
    model.weights = alloc::sync::Arc::new(Cow::Owned(model.weights[..end].to_vec()));
    let error = Model::from_bytes(model.to_bytes()).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { found: 672, limit: 352, .. }), "{error}");
}

#[test]
fn lists_have_limits() {
    let many = |n| vec![(String::new(), String::new()); n];
    let most = sample().with_metadata(many(4096)).unwrap();
    assert_eq!(Model::from_bytes(most.to_bytes()).unwrap().metadata().len(), 4096);
    let mut more = most;
    more.metadata = many(4097);
    assert!(matches!(Model::from_bytes(more.to_bytes()), Err(LoadError::Graph)));
    assert!(matches!(sample().with_metadata(many(4097)), Err(LoadError::TooLarge { found: 4097, .. })));
    // A section that is longer than any model needs is not even decoded.
    let mut bytes = sample().to_bytes();
    bytes.resize(64 + (1 << 22) + 64, 0);
    bytes[8..12].copy_from_slice(&((1_u32 << 22) + 1).to_le_bytes());
    assert!(matches!(Model::from_bytes(bytes), Err(LoadError::TooLarge { limit: 4_194_304, .. })));
}

/// A valid model with one thing changed.
fn changed(change: impl FnOnce(&mut Graph, &mut Vec<Vec<TensorData>>)) -> LoadError {
    let model = sample();
    let mut graph = model.graph().clone();
    let mut params: Vec<_> = (0..graph.nodes.len() as NodeId).map(|id| model.params(id)).collect();
    change(&mut graph, &mut params);
    Model::new(graph, &params, vec![]).unwrap_err()
}

#[test]
fn every_rule_is_checked() {
    // Node numbers of `quantized_graph`: 1 conv_first, 2 q0, 3 conv1, 5 add, 6 q1, 12 shuffle, 13 base.
    assert_eq!(Model::new(Graph::default(), &[], vec![]).unwrap_err(), LoadError::NoInput);
    assert_eq!(
        changed(|g, _| g.nodes[2].inputs = vec![]),
        LoadError::Arity { node: 2, expected: 1, found: 0 }
    );
    assert_eq!(
        changed(|g, _| g.nodes[2].inputs = vec![2]),
        LoadError::ForwardReference { node: 2, input: 2 }
    );
    assert_eq!(changed(|g, _| g.nodes[5].inputs = vec![1, 1]), LoadError::Unused { node: 4 });
    assert_eq!(changed(|g, _| g.nodes[2].name = "add".into()), LoadError::Name { node: 5 });
    assert_eq!(changed(|g, _| g.nodes[2].name.clear()), LoadError::Name { node: 2 });
    assert_eq!(
        changed(|g, _| g.nodes[3].inputs = vec![0]),
        LoadError::ChannelMismatch { node: 3, expected: 8, found: 3 }
    );
    assert_eq!(changed(|g, _| g.nodes[14].inputs = vec![13, 0]), LoadError::ResolutionMismatch { node: 14 });
    assert_eq!(
        changed(|g, _| g.nodes[2].op = Op::Input { channels: 3 }),
        LoadError::Arity { node: 2, expected: 0, found: 1 }
    );
    let conv = |g: &mut Graph, f: fn(&mut Conv2d)| match &mut g.nodes[3].op {
        Op::Conv2d(c) => f(c),
        other => unreachable!("{}", other.name()),
    };
    assert_eq!(
        changed(|g, _| conv(g, |c| c.kernel = 2)),
        LoadError::BadParameter { node: 3, what: "kernel" }
    );
    assert_eq!(
        changed(|g, _| conv(g, |c| c.activation = Some(Activation::Gelu))),
        LoadError::UnsupportedDType { node: 3 }
    );
    for (alpha, beta, what) in [(f32::NAN, 0.5, "alpha"), (0.2, f32::INFINITY, "beta"), (1e7, 0.5, "alpha")] {
        for activation in [Activation::HardSigmoid { alpha, beta }, Activation::HardSwish { alpha, beta }] {
            let node = gelu_node(&sample());
            assert_eq!(
                changed(|g, _| g.nodes[usize::from(node)].op = Op::Activation(activation)),
                LoadError::BadParameter { node, what }
            );
        }
    }
    assert_eq!(changed(|g, _| conv(g, |c| c.out_channels = 0)), LoadError::Channels { node: 3, found: 0 });
    assert_eq!(
        changed(|g, _| g.nodes[12].op = Op::PixelShuffle { upscale: 9 }),
        LoadError::BadParameter { node: 12, what: "upscale" }
    );
    assert!(matches!(
        changed(|g, _| g.nodes[2].dtype = DType::I8 { scale: 0.0, zero_point: 0 }),
        LoadError::BadScale { node: 2, .. }
    ));
    assert!(matches!(
        changed(|g, _| g.nodes[1].dtype = DType::I16 { scale: f32::NAN }),
        LoadError::BadScale { node: 1, .. }
    ));
    assert_eq!(
        changed(|g, _| g.nodes[0].dtype = DType::I16 { scale: 1.0 }),
        LoadError::UnsupportedDType { node: 0 }
    );
    assert!(matches!(
        changed(|_, p| {
            p[3].pop();
        }),
        LoadError::Tensor { node: 3, .. }
    ));
    assert!(matches!(
        changed(|_, p| p[3][1] = TensorData::I32(vec![0; 9])),
        LoadError::Tensor { node: 3, index: 1, expected: 8, found: 9 }
    ));
    assert_eq!(
        changed(|_, p| match &mut p[3][0] {
            TensorData::I8(w) => w[5] = -128,
            _ => unreachable!(),
        }),
        LoadError::Value { node: 3, role: Role::Weight, index: 5 }
    );
    assert_eq!(
        changed(|_, p| p[3][2] = TensorData::F32(vec![f32::INFINITY; 8])),
        LoadError::Value { node: 3, role: Role::WeightScale, index: 0 }
    );
    assert_eq!(
        changed(|_, p| p[3][1] = TensorData::I32(vec![i32::MIN; 8])),
        LoadError::Accumulator { node: 3, channel: 0 }
    );
    // The same weights are too large for 16-bit activations: 32767 times their sum needs 32 bits.
    assert_eq!(
        changed(|g, p| {
            g.nodes[2].dtype = DType::I16 { scale: 1e-3 };
            p[3][0] = TensorData::I8(vec![127; 8 * 25 * 8]);
            p[3][1] = TensorData::I32(vec![i32::MAX - 32767 * 127 * 200 + 1; 8]);
        }),
        LoadError::Accumulator { node: 3, channel: 0 }
    );
    let metadata = vec![("k".to_owned(), "v".repeat(2 << 20))];
    assert!(matches!(sample().with_metadata(metadata), Err(LoadError::TooLarge { .. })));
}

#[test]
fn counts_are_the_papers() {
    // EDSR-light has 1,517,571 parameters at x4; the MACs follow from its layers.
    let model = random_model(edsr::graph(&Config::light(4)), 1);
    assert_eq!(model.num_params(), 1_517_571);
    let body = 33 * 9 * 64 * 64;
    let tail = 9 * 64 * 256 + 4 * 9 * 64 * 256 + 16 * 9 * 64 * 3;
    assert_eq!(model.macs_per_pixel(), (9 * 3 * 64 + body + tail) as u64);
    assert_eq!((model.upscale(), model.in_channels(), model.out_channels()), (4, 3, 3));
    assert!(!model.is_quantized() && sample().is_quantized());
}
