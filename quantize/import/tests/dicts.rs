//! State dicts (`../shared/data/exports`, `networks` and `reference`): each is found by its tensors and computes what PyTorch
//! computed with it, or is refused for a reason that is written down here.

#[path = "../../../tests/src/skip.rs"]
mod skip;
mod support;

use mcir_checkpoint::Tensors;
use mcir_import::dict::{self, Fault, Options};
use mcir_import::{ImportError, Range};
use skip::skip;
use std::path::{Path, PathBuf};
use support::{Planes, near, same};

/// Beginnings of the names of files that are refused, and a part of the reason.
const REFUSED: &[(&str, &str)] = &[("nafsr", "NAFNet: it is not read from weights")];

fn data(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(folder);
    path.is_dir().then_some(path)
}

fn read(path: &Path) -> Tensors {
    mcir_checkpoint::read(path, &|_| true).unwrap_or_else(|e| panic!("{e}"))
}

/// What the tensors of a file do not say.
fn options(file: &str) -> Options {
    let none = Options::default();
    match file.split('_').next().unwrap_or_default() {
        "fsrcnn" => Options { scale: Some(2), ..none },
        "edsr" => Options { res_scale: Some(0.3), ..none },
        // The test network brings its input to −0.75..0.75.
        "span" => Options { range: Some(1.5), ..none },
        _ => none,
    }
}

#[test]
fn state_dicts_compute_what_pytorch_computed() {
    let Some(folder) = data("exports") else { return skip("there is no ../shared/data/exports") };
    let manifest = std::fs::read_to_string(folder.join("manifest.tsv")).expect("a manifest");
    let (mut right, mut refused) = (0, 0);
    for line in manifest.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [file, data, sizes, _, _, half, range, ..] = columns[..] else { panic!("{line}") };
        if !(file.ends_with(".pth") || file.ends_with(".safetensors")) {
            continue;
        }
        let model = match dict::import(&read(&folder.join(file)), &options(file), data) {
            Ok(found) => found.model,
            Err(error) => {
                let why = error.to_string();
                let known = REFUSED.iter().any(|(name, part)| file.starts_with(name) && why.contains(part));
                assert!(known, "{file} is refused: {why}");
                refused += 1;
                continue;
            }
        };
        let range = if range.starts_with("0..255") { 255.0 } else { 1.0 };
        // Means are folded into biases, in f32.
        let tolerance = if half == "1" || file.contains("half") { 4e-3 } else { 1e-4 };
        for size in sizes.split(',') {
            same(&model, &folder.join(format!("io/{data}_{size}")), range, tolerance)
                .unwrap_or_else(|why| panic!("{file}: {why}"));
        }
        right += 1;
    }
    println!("{right} right, {refused} refused");
    assert!(right >= 17, "{right}");
}

/// Small networks of the published definitions with random weights in half precision, what goes in and what PyTorch makes of it
/// in f32 (`dicts/chains.py`, `dicts/deep.py`).
const NETWORKS: [(&str, &str); 20] = [
    ("abpn", "QuickSRNet or ABPN"),
    ("carn_multi_x3", "CARN"),
    ("carn_single_x4", "CARN"),
    ("compact_x1", "Compact (SRVGGNetCompact)"),
    ("ecbsr_expanded", "ECBSR"),
    ("espcn_example_x3", "ESPCN"),
    ("esrgan_numbered_x2", "ESRGAN (RRDB)"),
    ("esrgan_plus_x2", "ESRGAN (RRDB)"),
    ("esrgan_trunk_x4", "ESRGAN (RRDB)"),
    ("fsrcnn_x3", "FSRCNN"),
    ("msrresnet_x4", "MSRResNet"),
    ("plainusr_ultra", "PlainUSR"),
    ("quicksrnet_large", "QuickSRNet or ABPN"),
    ("quicksrnet_small", "QuickSRNet or ABPN"),
    ("sesr_collapsed", "SESR"),
    ("sesr_expanded", "SESR"),
    ("sesr_prelu", "SESR"),
    ("span_trained", "SPAN"),
    ("srgan_x2", "SRResNet"),
    ("xlsr", "XLSR"),
];

fn network(name: &str) -> (Tensors, Planes, Planes) {
    let path = |end: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/dicts/{name}{end}.safetensors"))
    };
    let pair = read(&path(".io"));
    let planes = |name: &str| {
        let (shape, values) = pair.get(name).expect("an image");
        Planes {
            dims: [shape[1], shape[2], shape[3]],
            values: values.iter().map(|v| f64::from(*v)).collect(),
        }
    };
    (read(&path("")), planes("in"), planes("out"))
}

fn scale_of(name: &str) -> Option<usize> {
    name.contains("_x3").then_some(3)
}

#[test]
fn every_family_computes_what_its_definition_computes() {
    let mut wrong = Vec::new();
    for (name, family) in NETWORKS {
        let (tensors, x, expected) = network(name);
        let options = Options { scale: scale_of(name), ..Options::default() };
        let found = dict::import(&tensors, &options, name).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(found.family, family, "{name}");
        if let Err(why) = near(&found.model, &x, &expected, 1e-4) {
            wrong.push(format!("{name}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The trainer's test data has FFA-Net's tensors in one file with what PyTorch made of a normalised image with them.
#[test]
fn an_ffanet_computes_what_its_definition_computes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../trainer/testdata/ffanet.safetensors");
    let all = read(&path);
    let mut plain = Tensors::default();
    for (name, shape, values) in all.iter() {
        if let Some(name) = name.strip_prefix("net/") {
            plain.insert(name.into(), shape.to_vec(), values.to_vec());
        }
    }
    let found = dict::import(&plain, &Options::default(), "n").expect("imported");
    assert_eq!(found.family, "FFA-Net");
    // The first of two images.
    let planes = |name: &str| {
        let (shape, values) = all.get(name).expect("an image");
        let values = values[..values.len() / 2].iter().map(|v| f64::from(*v)).collect();
        Planes { dims: [shape[1], shape[2], shape[3]], values }
    };
    near(&found.model, &planes("in"), &planes("out"), 1e-4).expect("the same");
    let plain_input = Options { range: Some(1.0), ..Options::default() };
    let without = dict::import(&plain, &plain_input, "n").expect("imported");
    assert!(near(&without.model, &planes("in"), &planes("out"), 1e-4).is_err());
    let other = Options { mean: Some([0.5; 3]), ..Options::default() };
    assert!(refused(&plain, &other).contains("FFA-Net: it normalises its input as published"));
    plain.remove("ca.3.bias");
    assert!(refused(&plain, &Options::default()).contains("FFA-Net: ca.3.bias is missing"));
}

/// EDSR and SwinIR of the reference models, whose inputs are whole levels of pixels: within a level by the engine itself.
#[test]
fn architectures_of_the_engine_keep_their_output() {
    let Some(folder) = data("reference/models") else { return skip("there is no ../shared/data/reference") };
    let cases = [
        ("edsr_small_x2/weights.pth", "48x48", "EDSR"),
        ("edsr_small_x3/weights.safetensors", "48x48", "EDSR"),
        ("edsr_pytorch_small_x4/weights.pth", "48x48", "EDSR"),
        ("edsr_pytorch_small_x4/weights_legacy.pt", "48x48", "EDSR"),
        ("swinir_small_x2/weights.pth", "37x53", "SwinIR"),
        ("swinir_small_x4/weights.pth", "48x48", "SwinIR"),
    ];
    for (file, size, family) in cases {
        let found = dict::import(&read(&folder.join(file)), &Options::default(), "n")
            .unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(found.family, family);
        let folder = folder.join(file);
        let folder = folder.parent().expect("a folder");
        support::same_pixels(
            &found.model,
            &folder.join(format!("in_{size}.npy")),
            &folder.join(format!("out_{size}.npy")),
        )
        .unwrap_or_else(|why| panic!("{file}: {why}"));
    }
}

fn refused(tensors: &Tensors, options: &Options) -> String {
    dict::import(tensors, options, "n").expect_err("refused").to_string()
}

#[test]
fn what_does_not_fit_is_named() {
    let none = Options::default();
    // Several scales in one, and one that is not there.
    let (carn, ..) = network("carn_multi_x3");
    assert!(
        refused(&carn, &none)
            .contains("nearest to those of CARN: by how much it enlarges has to be said: --scale 2, 3, 4")
    );
    let five = Options { scale: Some(5), ..Options::default() };
    assert!(refused(&carn, &five).contains("no weights for x5"));
    for scale in 2..=4 {
        let found =
            dict::import(&carn, &Options { scale: Some(scale), ..Options::default() }, "n").expect("there");
        assert_eq!(usize::from(found.model.upscale()), scale);
    }
    // A stride that no shape tells.
    let (fsrcnn, ..) = network("fsrcnn_x3");
    let error = dict::import(&fsrcnn, &none, "n").expect_err("no scale");
    assert!(matches!(error, ImportError::Weights { why: Fault::Scale { given: None, .. }, .. }), "{error}");
    // Tensors too many, too few and of another shape.
    let (mut tensors, ..) = network("ecbsr_expanded");
    tensors.insert("extra.weight".into(), vec![2], vec![0.0; 2]);
    assert!(refused(&tensors, &none).contains("nearest to those of ECBSR: it has no place for extra.weight"));
    tensors.remove("extra.weight");
    tensors.remove("backbone.1.conv3x3.bias");
    tensors.remove("backbone.1.conv1x1_sbx.scale");
    assert!(refused(&tensors, &none).contains("backbone.1.conv1x1_sbx.scale is missing"));
    tensors.insert("backbone.1.conv1x1_sbx.scale".into(), vec![1], vec![0.0]);
    assert!(refused(&tensors, &none).contains("ECBSR: backbone.1.conv1x1_sbx.scale has 1 values"));
    // Something else altogether, and a network that is known and not run.
    let mut other = Tensors::default();
    other.insert("features.0.weight".into(), vec![1], vec![0.0]);
    assert!(refused(&other, &none).contains("(features.0.weight); export it to ONNX"));
    for name in ["residual_layer.0.residual_layer.0.layer.0.fn.0.weight", "input.weight", "up.0.weight"] {
        other.insert(name.into(), vec![1], vec![0.0]);
    }
    assert!(refused(&other, &none).contains("OmniSR: its attention is of a kind"));
    assert!(refused(&Tensors::default(), &none).contains("no network"));
}

#[test]
fn a_dictionary_of_many_tensors_is_answered_in_time() {
    let mut chain = Tensors::default();
    let mut blocks = Tensors::default();
    for i in 0..12_500 {
        chain.insert(format!("body.{}.weight", 2 * i), vec![3, 3, 1, 1], vec![0.0; 9]);
        chain.insert(format!("body.{}.bias", 2 * i), vec![3], vec![0.0; 3]);
        blocks.insert(format!("body.{i}.conv1.weight"), vec![1, 1, 1, 1], vec![0.0]);
        blocks.insert(format!("body.{i}.conv2.weight"), vec![1, 1, 1, 1], vec![0.0]);
    }
    assert!(refused(&chain, &Options::default()).contains("at most 4096"));
    for name in ["conv_first", "conv_after_body", "upsample.0"] {
        blocks.insert(format!("{name}.weight"), vec![4, 1, 1, 1], vec![0.0; 4]);
    }
    assert!(refused(&blocks, &Options::default()).contains("12500 blocks; at most 1000"));
}

#[test]
fn the_range_of_a_network_is_found_out() {
    let range =
        |tensors: &Tensors, options: &Options| dict::import(tensors, options, "n").expect("imported").range;
    // The image, with everything below so much of the range made brighter: biases that mean nothing with a larger range, and
    // drown the image with a smaller one.
    let network = |level: f32| {
        let mut tensors = Tensors::default();
        let from_image = (0..36).map(|i| if i % 3 == i / 12 { -1.0 } else { 0.0 }).collect();
        tensors.insert("backbone.0.weight".into(), vec![12, 3, 1, 1], from_image);
        tensors.insert("backbone.0.bias".into(), vec![12], vec![level; 12]);
        tensors.insert("backbone.1.weight".into(), vec![12], vec![0.0; 12]);
        let each = (0..144).map(|i| if i % 13 == 0 { 0.3 } else { 0.0 }).collect();
        tensors.insert("backbone.2.weight".into(), vec![12, 12, 1, 1], each);
        tensors
    };
    let found = range(&network(102.0), &Options::default());
    assert!(matches!(found, Range::Found { range: 255.0, .. }), "{found:?}");
    // Made for 0..1 it is better without.
    let found = range(&network(0.4), &Options::default());
    assert!(matches!(found, Range::Unclear([unit, bytes]) if unit < bytes), "{found:?}");
    assert_eq!(range(&network(0.0), &Options::default()), Range::Either);
    let given = Options { range: Some(1.0), ..Options::default() };
    assert_eq!(range(&network(102.0), &given), Range::Given(1.0));
    // Random weights make no enlarged picture, or are better without their biases: what is usual is taken.
    for (name, _) in NETWORKS {
        let options = Options { scale: scale_of(name), ..Options::default() };
        let found = range(&self::network(name).0, &options);
        assert_eq!(found.largest(), 1.0, "{name}: {found:?}");
    }
}
