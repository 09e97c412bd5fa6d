//! Checkpoints of other frameworks, each by both readers: what is accepted is made a network and a model file, as
//! `mcir-train import` does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_trainer::device::Backend;
use mcir_trainer::export;
use mcir_trainer::import::{self, Options};
use std::path::PathBuf;
use std::sync::LazyLock;

/// The readers take files. In memory, where there is such a folder.
static FILES: LazyLock<[PathBuf; 2]> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    ["pth", "safetensors"].map(|kind| folder.join(format!("mcir-fuzz-{}.{kind}", std::process::id())))
});

fuzz_target!(|data: &[u8]| {
    for path in &*FILES {
        std::fs::write(path, data).expect("room for the input");
        let loaded = import::load(path, &Options::default());
        std::fs::remove_file(path).expect("the input was there");
        let Ok(trained) = loaded else { continue };
        let device = &Backend::Cpu.devices(1).expect("the processor")[0];
        if let Ok(net) = trained.net(device) {
            let _ = export::model(&net, Vec::new());
        }
    }
});
