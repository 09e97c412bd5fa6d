//! Bundles: the manifest alone, and the archive with all its parts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_boards::deploy::bundle::Bundle;
use mcir_boards::deploy::manifest::Manifest;
use std::path::PathBuf;
use std::sync::LazyLock;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("mcir-fuzz-{}.bundle", std::process::id())));

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse(data) {
        let again = Manifest::parse(&manifest.to_bytes()).expect("its own output");
        assert_eq!(again.to_bytes(), manifest.to_bytes());
    }
    std::fs::write(&*FILE, data).expect("a temporary file");
    if let Ok(bundle) = Bundle::open(&FILE) {
        let _ = (bundle.slot_id(), bundle.manifest.size());
    }
});
