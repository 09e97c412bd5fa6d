//! Every JSON that `mcir-quantize` prints is as its schema in `tests/schemas/` says, with no field more.

mod support;

#[path = "../../tests/src/schema.rs"]
#[allow(dead_code, reason = "shared by test programs of several crates")]
mod schema;

use mcir_runtime::arch::edsr::{Config, graph};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use support::{random, write_pictures};

#[track_caller]
fn is(folder: &Path, name: &str, args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-quantize"));
    let output = command.current_dir(folder).args(args).arg("--json").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"));
    schema::check(name, &value);
    value
}

#[test]
fn verbs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let model = random(graph(&Config::edge(2, 8, 1)), 1);
    std::fs::write(at.join("model.f32"), model.to_bytes()).unwrap();
    write_pictures(&at.join("photos"), 6, 72, 64);
    let run = ["run", "model.f32", "-c", "photos", "-o", "model.int8"];
    is(at, "quantize-run", &[&run[..], &["--max-drop-db", "10"]].concat());
    // A gate that is not met, with a model that is not written.
    let missed = [&run[..], &["--max-drop-db", "10", "--min-agreement-db", "99", "--no-fallback"]].concat();
    assert_eq!(is(at, "quantize-run", &missed)["passed"], false);
    is(at, "quantize-check", &["check", "model.f32", "model.int8", "photos"]);
    is(at, "quantize-inspect", &["inspect", "model.f32"]);
    is(at, "quantize-inspect", &["inspect", "model.int8"]);
    is(at, "quantize-prepare", &["prepare", "model.f32", "-c", "photos", "-o", "prepared"]);
    is(at, "quantize-export-onnx", &["export-onnx", "model.int8", "-o", "int8.onnx"]);
    is(at, "quantize-export-onnx", &["export-onnx", "model.f32", "-o", "f32.onnx"]);
    is(at, "quantize-import", &["import", "-i", "f32.onnx", "-o", "again.mcir"]);
    is(at, "error", &["inspect", "nothing"]);
    is(at, "error", &["run", "--no-such-option"]);
}
