//! Networks of the kinds that are hard to import, as PyTorch's exporters write them (`graphs/make.py`): U-Nets, pixels gathered into
//! channels, aligned corners, attention in windows. Each is imported, and the engine computes what PyTorch computed, also with
//! images of other sizes than the file was made with.

mod support;

use mcir_import::{Options, import, onnx};
use mcir_runtime::model::{Model, Op, PadMode};
use std::path::{Path, PathBuf};
use support::{Planes, run, without_margin};

/// Name; what the image's sides are extended to a multiple of, and with what; and the margin.
const NETWORKS: [(&str, usize, PadMode, u16); 10] = [
    ("nafnet", 4, PadMode::Zero, 0),
    ("nafnet_fixed", 4, PadMode::Zero, 0),
    ("cunet", 2, PadMode::Edge, 18),
    ("gathered_unshuffle", 4, PadMode::Reflect, 0),
    ("gathered_slices", 2, PadMode::Reflect, 0),
    ("gathered_view", 3, PadMode::Reflect, 0),
    ("aligned", 1, PadMode::Reflect, 0),
    ("swinir_shifted", 4, PadMode::Reflect, 0),
    ("swinir_padded", 4, PadMode::Reflect, 0),
    ("swinir_apart", 4, PadMode::Reflect, 0),
];

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/graphs").join(name)
}

fn imported(name: &str) -> Model {
    let bytes = std::fs::read(path(&format!("{name}.onnx"))).expect("read");
    let net = onnx::read(&bytes, &|_| Err(std::io::ErrorKind::NotFound.into())).expect("an ONNX file");
    let options = Options { name: name.into(), range: Some(1.0), mean: None };
    import(&net, &options).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Images and what PyTorch made of them.
fn pairs(name: &str) -> Vec<(Planes, Planes)> {
    let tensors = mcir_checkpoint::read(&path(&format!("{name}.io.safetensors")), &|_| true);
    let tensors = tensors.unwrap_or_else(|error| panic!("{error}"));
    let planes = |name: &str| {
        let (shape, values) = tensors.get(name)?;
        let values = values.iter().map(|v| f64::from(*v)).collect();
        Some(Planes { dims: [shape[1], shape[2], shape[3]], values })
    };
    let sizes = tensors.iter().filter_map(|(name, ..)| name.strip_suffix(".in"));
    sizes
        .map(|size| {
            (
                planes(&format!("{size}.in")).expect("an image"),
                planes(&format!("{size}.out")).expect("its result"),
            )
        })
        .collect()
}

#[test]
fn graphs_compute_what_pytorch_computed() {
    for (name, multiple, mode, margin) in NETWORKS {
        let model = imported(name);
        let graph = model.graph();
        assert_eq!((graph.pad_multiple(), graph.pad_mode, graph.margin), (multiple, mode, margin), "{name}");
        let pairs = pairs(name);
        assert!(!pairs.is_empty(), "{name}");
        for (x, expected) in pairs {
            // Of a network without padding what it makes of an image that has its margin.
            let around = usize::from(margin) * usize::from(model.upscale());
            let found = run(&without_margin(&model), &x).unwrap_or_else(|why| panic!("{name}: {why}"));
            let found = found.cropped(around);
            let size = expected.values.iter().fold(1.0f64, |most, v| most.max(v.abs()));
            let why = found.differs(&expected, 1e-4 * size);
            assert_eq!(why, None, "{name} of {size}");
        }
    }
}

/// Their operators are the engine's own, so that they stream and are quantized as those of other networks.
#[test]
fn attention_becomes_one_operator() {
    for (name, heads) in [("swinir_shifted", 3), ("swinir_padded", 3), ("swinir_apart", 2)] {
        let model = imported(name);
        let found = model.graph().nodes.iter().filter_map(|node| match node.op {
            Op::WindowAttention { num_heads, window_size, shift } => Some((num_heads, window_size, shift)),
            _ => None,
        });
        assert_eq!(found.collect::<Vec<_>>(), [(heads, 4, 0), (heads, 4, 2)], "{name}");
        let others = ["Add", "LayerNorm", "Conv2d", "Activation", "PixelShuffle", "Input", "WindowAttention"];
        let strange = model.graph().nodes.iter().find(|node| !others.contains(&node.op.name()));
        assert_eq!(strange.map(|node| node.op.name()), None, "{name}");
    }
}
