//! `mcir-quantize import`: from a file to a model that the other commands take.

mod support;

use std::path::Path;
use std::process::Command;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mcir-quantize"))
}

fn run(args: &[&str]) -> (bool, String) {
    let out = program().args(args).output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What `export-onnx` writes comes back as the network that it was.
#[test]
fn an_exported_network_comes_back() {
    use mcir_quantize::engine::Runner;
    use mcir_runtime::arch::{edsr, stand_in};
    use mcir_runtime::image::Image;
    let folder = tempfile::tempdir().expect("a folder");
    let [first, onnx, again] = ["a.mcir", "a.onnx", "b.mcir"].map(|name| folder.path().join(name));
    let config = edsr::Config { num_feat: 8, num_block: 2, ..edsr::Config::edge(4, 8, 2) };
    let edge = stand_in::weighted(edsr::graph(&config)).expect("sound");
    let margin = mcir_runtime::model::Graph { margin: 5, ..edge.graph().clone() };
    for model in [edge, support::random(support::attention(), 5), support::random(margin, 5)] {
        std::fs::write(&first, model.to_bytes()).expect("written");
        let (ok, out) = run(&["export-onnx", &text(&first), "-o", &text(&onnx)]);
        assert!(ok, "{out}");
        let (ok, out) = run(&["import", "-i", &text(&onnx), "-o", &text(&again)]);
        assert!(ok && out.contains(&format!("x{}", model.upscale())), "{out}");
        let back = std::fs::read(&again).expect("read");
        let back = mcir_runtime::model::Model::from_bytes(back).expect("a model");
        assert_eq!(back.graph().margin, model.graph().margin);
        assert!(back.graph().nodes.len() <= model.graph().nodes.len(), "no more nodes than it had");
        let pixels = (0..24 * 17 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let image = Image::new(24, 17, 3, pixels).expect("an image");
        let [a, b] = [&model, &back].map(|model| Runner::new(model).upscale(&image).expect("runs"));
        let worst = a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(1), "{worst:?}");
    }
}

#[test]
fn what_cannot_be_imported_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = text(&folder.path().join("o.mcir"));
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        text(&path)
    };
    for (input, part) in [
        (file("n.pth", b"PK"), "cannot read"),
        (file("n.onnx", b"hello"), "damaged"),
        (file("n.param", b"7767517\n1 1\nInput in 0 1 in\n"), "the .bin beside it"),
        (text(&folder.path().join("none.onnx")), "cannot read"),
    ] {
        let (ok, message) = run(&["import", "-i", &input, "-o", &out]);
        assert!(!ok && message.contains(part), "{input}: {message}");
        assert!(!Path::new(&out).exists());
    }
}

/// Weights without a graph: their kind is found, and what they do not say is taken from the name, asked for, or given.
#[test]
fn weights_become_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let dicts = Path::new(env!("CARGO_MANIFEST_DIR")).join("import/tests/dicts");
    let input = |name: &str| text(&dicts.join(format!("{name}.safetensors")));
    let output = text(&folder.path().join("o.mcir"));
    let json = |args: &[&str]| -> serde_json::Value {
        let (ok, out) = run(&[&["import", "--json", "-o", &output], args].concat());
        assert!(ok, "{out}");
        // Behind what is told of the range.
        serde_json::from_str(&out[..=out.rfind('}').expect("an object")]).expect("JSON")
    };
    let found = json(&["-i", &input("compact_x1")]);
    assert_eq!((&found["family"], &found["upscale"]), (&"Compact (SRVGGNetCompact)".into(), &1.into()));
    assert_eq!((&found["range"], &found["range_is"]), (&1.0.into(), &"known".into()));
    let found = json(&["-i", &input("fsrcnn_x3")]);
    assert_eq!(found["upscale"], 3, "from the name of the file");
    let found = json(&["-i", &input("ecbsr_expanded"), "--range", "255", "--mean", "0.4,0.4,0.4"]);
    assert_eq!((&found["range"], &found["range_is"]), (&255.0.into(), &"given".into()));
    let (ok, out) = run(&["import", "-i", &input("abpn"), "-o", &output]);
    assert!(ok && out.contains("cannot be told") && out.contains("--range 255"), "{out}");
    let several = folder.path().join("several.safetensors");
    std::fs::copy(dicts.join("carn_multi_x3.safetensors"), &several).expect("copied");
    let (ok, out) = run(&["import", "-i", &text(&several), "-o", &output]);
    assert!(!ok && out.contains("--scale 2, 3, 4"), "{out}");
    assert_eq!(json(&["-i", &text(&several), "--scale", "4"])["upscale"], 4);
}
