//! The shipped models: what quantization cost them, measured on the benchmark that nothing was chosen on.

#[path = "../../tests/src/skip.rs"]
mod skip;

use mcir_quantize::gate::measure;
use mcir_quantize::images::list;
use mcir_quantize::report::summary;
use mcir_runtime::model::Model;
use std::path::{Path, PathBuf};

/// Each model, and the most that it may lose in the mean over Set5 and Set14, and on the worst image, in dB.
const SHIPPED: [(&str, f64, f64); 4] = [
    ("edsr-edge-x2", 0.02, 0.1),
    ("edsr-edge-x4", 0.02, 0.1),
    ("edsr-edge-m-x4", 0.02, 0.1),
    // A page of text loses most.
    ("edsr-edge-m-x2", 0.04, 0.16),
];

fn load(name: &str, kind: &str) -> Model {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards/models");
    let bytes = std::fs::read(models.join(name).join(format!("model.{kind}.mcir"))).unwrap();
    Model::from_bytes(bytes).unwrap()
}

/// A benchmark of the shared data; `None`, and a note, when it is not there.
fn benchmark(name: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = std::env::var_os("MCIR_SHARED_DATA").map_or_else(beside, PathBuf::from);
    let folder = root.join("sr").join(name).join("HR");
    if !folder.is_dir() {
        skip::skip(format_args!(
            "{} does not exist; set MCIR_SHARED_DATA to the shared data",
            folder.display()
        ));
        return None;
    }
    Some(folder)
}

#[test]
fn shipped_models_are_int8_throughout() {
    for (name, ..) in SHIPPED {
        let (float, int8) = (load(name, "f32"), load(name, "int8"));
        assert_eq!(summary(&int8, 320).unwrap().int8_macs_part, 1.0, "{name}");
        assert_eq!(float.macs_per_pixel(), int8.macs_per_pixel(), "{name}");
        assert_eq!(float.meta("seed"), int8.meta("seed"), "{name}: it was made from this float model");
    }
}

#[test]
fn shipped_models_lose_no_more_than_they_may() {
    let files: Vec<PathBuf> = ["Set5", "Set14"]
        .into_iter()
        .filter_map(benchmark)
        .flat_map(|folder| list(&folder).unwrap())
        .collect();
    if files.is_empty() {
        return;
    }
    for (name, most_db, worst_db) in SHIPPED {
        let drops = measure(&load(name, "f32"), &load(name, "int8"), &files, 2, &()).unwrap();
        let (mean, worst) = (drops.mean_drop_db, drops.worst());
        assert!(mean <= most_db, "{name}: {mean:.4} dB, {most_db} allowed");
        assert!(worst.drop_db <= worst_db, "{name}: {} loses {:.4} dB", worst.name, worst.drop_db);
    }
}
