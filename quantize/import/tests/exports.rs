//! Networks in the forms in which they are passed around (`../shared/data/exports`): each is imported, and the engine computes
//! what its framework computed.

#[path = "../../../tests/src/skip.rs"]
mod skip;
mod support;

use mcir_import::{Options, import, ncnn, onnx};
use skip::skip;
use std::path::{Path, PathBuf};
use support::same;

fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("MCIR_SHARED_DATA").map_or_else(beside, PathBuf::from).join("exports");
    path.is_dir().then_some(path)
}

#[test]
fn onnx_files_compute_what_their_framework_computed() {
    let Some(folder) = folder() else { return skip("there is no ../shared/data/exports") };
    let manifest = std::fs::read_to_string(folder.join("manifest.tsv")).expect("a manifest");
    let (mut right, mut wrong) = (0, Vec::new());
    for line in manifest.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [file, data, sizes, _, _, half, range, ..] = columns[..] else { panic!("{line}") };
        if !file.ends_with(".onnx") {
            continue;
        }
        match check(&folder, file, data, sizes, half == "1", range.starts_with("0..255")) {
            Ok(()) => right += 1,
            Err(why) => wrong.push(format!("{file}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{right} right, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(right >= 122, "{right} files");
}

fn check(folder: &Path, file: &str, data: &str, sizes: &str, half: bool, bytes: bool) -> Result<(), String> {
    let content = std::fs::read(folder.join(file)).expect("read");
    let beside = |name: &str| std::fs::read(folder.join(name));
    let net = onnx::read(&content, &beside).map_err(|e| e.to_string())?;
    let range = if bytes { 255.0 } else { 1.0 };
    let options = Options { name: data.into(), range: Some(range), mean: None };
    let model = import(&net, &options).map_err(|e| e.to_string())?;
    let tolerance = if half { 4e-3 } else { 1e-4 };
    for size in sizes.split(',') {
        same(&model, &folder.join(format!("io/{data}_{size}")), range, tolerance)?;
    }
    Ok(())
}

#[test]
fn ncnn_files_compute_what_ncnn_computes() {
    let Some(folder) = folder() else { return skip("there is no ../shared/data/exports") };
    let networks = folder.join("../networks");
    let pair = |name: &str, size: &str| folder.join(format!("ncnn/{name}{size}"));
    let small = |name: &'static str| {
        (folder.join(format!("ncnn/{name}")), vec![pair(name, "_24x20"), pair(name, "_23x31")])
    };
    let large = |name: &'static str| (networks.join(name), vec![pair(name, "")]);
    let files = [
        small("compact_x2_f32"),
        small("compact_x2_f16"),
        small("carn_x2"),
        small("fsrcnn_x2"),
        small("quicksr_x2"),
        small("rrdb_x4"),
        small("xlsr_x3"),
        large("RealESRGAN_General_x4_v3"),
        small("span_x2"),
        small("espcn_x3"),
        small("rlfn_x2"),
        small("nafsr_x2"),
        small("upconv7_x2"),
        large("upconv_7_photo-scale2.0x"),
        large("realesr-animevideov3-x2"),
    ];
    for (file, pairs) in files {
        let text = std::fs::read_to_string(file.with_extension("param")).unwrap_or_else(|_| {
            // Names with a dot in them.
            std::fs::read_to_string(format!("{}.param", file.display())).expect("read")
        });
        let bin = std::fs::read(format!("{}.bin", file.display())).expect("read");
        let options = Options { name: "n".into(), ..Options::default() };
        let model = ncnn::read(&text, &bin).and_then(|net| import(&net, &options));
        let model = model.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let unpadded = file.ends_with("upconv7_x2") || file.display().to_string().contains("upconv_7");
        assert_eq!(model.graph().margin, if unpadded { 7 } else { 0 }, "{}", file.display());
        for pair in pairs {
            // Outputs of the published network go far beyond 0..1; ncnn's own differ by 5e-6 from PyTorch's.
            same(&model, &pair, 1.0, 1e-4).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}
