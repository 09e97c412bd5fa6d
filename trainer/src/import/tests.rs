use super::*;
use crate::config::Model;
use crate::export;
use crate::net::Net;
use crate::shared;
use burn::tensor::{Device, Tensor, TensorData};
use mcir_runtime::arch::{edsr, ffanet, swinir};

/// Output of the network in burn against the stored one.
fn check(folder: &str, file: &str, case: &str) {
    let Some(folder) = shared::path(&format!("reference/models/{folder}")) else { return };
    let Trained { architecture, tensors } = load(&folder.join(file), &Options::default()).expect(file);
    let net = Net::from_tensors(&architecture, &tensors, &Device::flex()).expect(file);
    let (shape, x) = shared::npy(&folder.join(format!("in_{case}.npy")));
    let shape: [usize; 4] = shape.try_into().expect("four dimensions");
    let y = net.forward(Tensor::from_data(TensorData::new(x, shape), &Device::flex()));
    let (shape, expected) = shared::npy(&folder.join(format!("out_{case}.npy")));
    assert_eq!(y.dims().to_vec(), shape, "{file}");
    let y = y.into_data().try_into_vec::<f32>().expect("f32");
    let worst = y.iter().zip(&expected).map(|(a, e)| (a - e).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-4, "{}/{file}: {worst}", folder.display());
    // The model file holds the same values.
    let model = export::model(&net, Vec::new()).expect("a valid model");
    assert_eq!(export::tensors(&model), tensors, "{file}");
}

#[test]
fn basicsr_networks_give_their_reference_output() {
    for folder in ["edsr_small_x2", "edsr_small_x3", "edsr_small_x4"] {
        check(folder, "weights.pth", "48x48");
        check(folder, "weights.safetensors", "48x48");
    }
    check("edsr_light_x4", "weights.pth", "48x48");
}

#[test]
fn edsr_pytorch_networks_give_their_reference_output() {
    for file in ["weights.pth", "weights_legacy.pt", "weights.safetensors"] {
        check("edsr_pytorch_small_x4", file, "48x48");
    }
}

#[test]
fn swinir_networks_give_their_reference_output() {
    check("swinir_small_x2", "weights.pth", "48x48");
    check("swinir_small_x2", "weights.safetensors", "37x53");
    check("swinir_small_x4", "weights.pth", "48x48");
    check("swinir_light_x4", "weights.pth", "48x48");
}

#[test]
fn architecture_is_recognised() {
    let Some(folder) = shared::path("reference/models") else { return };
    let detect =
        |f: &str| load(&folder.join(f).join("weights.pth"), &Options::default()).expect(f).architecture;
    let of = |model: Model| model.architecture();
    let light = edsr::Config { mean_shift: true, ..edsr::Config::light(4) };
    assert_eq!(detect("edsr_light_x4"), of(Model::Edsr(light)));
    let small = edsr::Config { num_feat: 16, num_block: 4, upscale: 3, ..light };
    assert_eq!(detect("edsr_small_x3"), of(Model::Edsr(small)));
    let light = swinir::Config { mean_shift: true, ..swinir::Config::light(4) };
    assert_eq!(detect("swinir_light_x4"), of(Model::Swinir(light.clone())));
    let small =
        swinir::Config { embed_dim: 24, depths: vec![2, 2], num_heads: vec![4, 4], upscale: 2, ..light };
    assert_eq!(detect("swinir_small_x2"), of(Model::Swinir(small)));
}

#[test]
fn other_files_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = |name: &str| load(&folder.path().join(name), &Options::default()).unwrap_err().to_string();
    assert!(error("none.pth").contains("none.pth"));
    std::fs::write(folder.path().join("empty.pth"), b"").expect("written");
    assert!(error("empty.pth").contains("empty.pth"));
    std::fs::write(folder.path().join("text.safetensors"), b"not weights").expect("written");
    assert!(error("text.safetensors").contains("text.safetensors"));
    let Some(vgg) = shared::path("reference/vgg19/weights.safetensors") else { return };
    let error = load(&vgg, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("features.0.bias"), "{error}");
}

#[test]
fn a_nafnet_is_recognised() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nafnet.safetensors");
    let config = nafnet::Config {
        enc_blk_nums: vec![2, 0, 1],
        dec_blk_nums: vec![1, 0, 3],
        ..nafnet::Config::small(4)
    };
    let net = Net::random(&Model::Nafnet(config.clone()).architecture(), 1, &Device::flex()).expect("valid");
    safetensors(&net.to_tensors(), &path);
    let found = load(&path, &Options::default()).expect("recognised");
    assert_eq!(found, Trained { architecture: config.into(), tensors: net.to_tensors() });
}

#[test]
fn an_ffanet_is_recognised_and_what_does_not_fit_is_named() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/ffanet.safetensors");
    let mut published = Tensors::default();
    for (name, shape, values) in read(&reference).expect("the test data can be read").iter() {
        if let Some(name) = name.strip_prefix("net/") {
            published.insert(format!("module.{name}"), shape.to_vec(), values.to_vec());
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ffanet.safetensors");
    safetensors(&published, &path);
    let options = Options::default();
    for normalize in [true, false] {
        let found = load(&path, &Options { mean_shift: normalize, ..options }).expect("recognised");
        let config = ffanet::Config { num_group: 2, num_block: 1, num_feat: 16, normalize };
        assert_eq!(found.architecture, Model::Ffanet(config).architecture());
        found.net(&Device::flex()).expect("fits");
    }
    for (name, shape) in [
        ("pre.0.weight", vec![16, 4, 3, 3]),
        ("ca.1.weight", vec![1, 31, 1, 1]),
        ("ca.3.weight", vec![31, 1, 1, 1]),
        ("ca.3.bias", vec![31]),
        ("g2.gp.1.weight", vec![15, 16, 3, 3]),
    ] {
        let mut wrong = published.clone();
        wrong.insert(format!("module.{name}"), shape.clone(), vec![0.0; shape.iter().product()]);
        safetensors(&wrong, &path);
        let error = match load(&path, &options) {
            Err(error) => error.to_string(),
            Ok(found) => found.net(&Device::flex()).unwrap_err().to_string(),
        };
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn an_idt_is_recognised_below_the_prefix_of_several_gpus() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/idt.safetensors");
    let [mut published, mut expected] = [Tensors::default(), Tensors::default()];
    for (name, shape, values) in read(&reference).expect("the test data can be read").iter() {
        if let Some(name) = name.strip_prefix("net/") {
            published.insert(format!("module.{name}"), shape.to_vec(), values.to_vec());
            expected.insert(name.into(), shape.to_vec(), values.to_vec());
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("idt.safetensors");
    safetensors(&published, &path);
    let config = idt::Config {
        embed_dim: 2,
        depths: [1; idt::LEVELS],
        num_heads: [1, 2, 2, 1, 2, 1, 2, 1, 1],
        win_size: 2,
        mlp_ratio: 2,
    };
    let found = load(&path, &Options::default()).expect("recognised");
    assert_eq!(found, Trained { architecture: config.into(), tensors: expected });
    found.net(&Device::flex()).expect("fits");
    // Heads that no window could be divided among.
    published.insert(
        "module.encoderlayer_0.blocks.0.attn.relative_position_bias_table".into(),
        vec![225, 3],
        vec![0.0; 675],
    );
    safetensors(&published, &path);
    let error = load(&path, &Options::default()).expect_err("refused").to_string();
    assert!(error.contains("encoderlayer_0.blocks.0.attn") && error.contains("[225, 3]"), "{error}");
}

/// Every damage is an error or another network, never a panic or an abort for memory that the file does not
/// have.
#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("net.safetensors");
    let config = edsr::Config { num_feat: 8, num_block: 1, ..edsr::Config::light(2) };
    let net = Net::random(&Model::Edsr(config).architecture(), 1, &Device::flex()).expect("valid");
    safetensors(&net.to_tensors(), &path);
    let mut files = vec![
        ("safetensors", std::fs::read(&path).expect("read")),
        ("pth", include_bytes!("../../../tests/fuzz/checkpoint/seeds/small.pth").to_vec()),
        ("pt", include_bytes!("../../../tests/fuzz/checkpoint/seeds/small.pt").to_vec()),
    ];
    for (extension, file) in [("pth", "weights.pth"), ("pt", "weights_legacy.pt")] {
        if let Some(path) = shared::path(&format!("reference/models/edsr_pytorch_small_x4/{file}")) {
            files.push((extension, std::fs::read(path).expect("read")));
        }
    }
    let mut state = 1_u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut refused = 0;
    for (extension, bytes) in files {
        let path = folder.path().join(format!("damaged.{extension}"));
        std::fs::write(&path, &bytes).expect("written");
        load(&path, &Options::default()).expect("nothing is damaged yet");
        // Names, shapes and lengths stand in the first and the last part of these formats.
        let interesting = bytes.len().min(4096);
        for round in 0..500 {
            let mut damaged = bytes.clone();
            match round % 4 {
                0 => damaged.truncate(below(bytes.len())),
                1 => (0..8).for_each(|i| damaged[i] = below(256) as u8),
                _ => {
                    for _ in 0..=below(4) {
                        let at = below(interesting);
                        let at = if round % 4 == 2 { at } else { bytes.len() - 1 - at };
                        damaged[at] = [0, 0x7f, 0x80, 0xff, below(256) as u8][below(5)];
                    }
                }
            }
            std::fs::write(&path, &damaged).expect("written");
            let loaded = std::panic::catch_unwind(|| {
                let Ok(found) = load(&path, &Options::default()) else { return false };
                // What is accepted is another network, which is made and written like any.
                if let Ok(net) = found.net(&Device::flex()) {
                    let _ = export::model(&net, Vec::new());
                }
                true
            });
            let loaded = loaded.unwrap_or_else(|_| {
                let kept = std::env::temp_dir().join(format!("mcir-import-panic.{extension}"));
                let _ = std::fs::copy(&path, &kept);
                panic!("round {round} of {extension} panics: {}", kept.display());
            });
            refused += usize::from(!loaded);
        }
    }
    assert!(refused > 200, "{refused} damaged files were refused");
}

/// A file of 674 bytes with a view of one number as a tensor of 1 GiB.
#[test]
fn views_do_not_unfold_without_limit() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/checkpoint/seeds/views.pth");
    let error = load(&path, &Options::default()).expect_err("too much").to_string();
    assert!(error.contains("more than 4 times the bytes of the file"), "{error}");
}

/// The format: length of a JSON header, the header, the values.
fn safetensors(tensors: &Tensors, path: &Path) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors.iter() {
        let start = data.len();
        data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        let entry =
            serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name.into(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    std::fs::write(path, bytes).expect("written");
}
