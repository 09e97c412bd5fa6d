//! Model files: as they are, and with a checksum that fits, so that damage gets past it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_runtime::model::Model;

fuzz_target!(|data: &[u8]| {
    let _ = Model::from_bytes(data.to_vec());
    let Some(sealed) = mcir_fuzz::sealed(data) else { return };
    if let Ok(model) = Model::from_bytes(sealed) {
        // What was accepted is written and accepted again, and is the same.
        let bytes = model.to_bytes();
        let again = Model::from_bytes(bytes.clone()).expect("its own output");
        assert_eq!(again.to_bytes(), bytes);
        let _ = (model.num_params(), model.weight_bytes(), model.macs_per_pixel());
    }
});
