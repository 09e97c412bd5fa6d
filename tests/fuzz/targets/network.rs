//! Networks of other frameworks: ONNX, or ncnn's layers with their weights behind a zero.
#![no_main]

use mcir_import::{Options, import, ncnn, onnx};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let net = if ncnn::is_param(data) {
        let end = data.iter().position(|b| *b == 0).unwrap_or(data.len());
        let (param, bin) = data.split_at(end);
        ncnn::read(&String::from_utf8_lossy(param), bin.get(1..).unwrap_or_default())
    } else {
        onnx::read(data, &|_| Err(std::io::ErrorKind::NotFound.into()))
    };
    let Ok(net) = net else { return };
    for range in [None, Some(255.0)] {
        if let Ok(model) = import(&net, &Options { name: "n".into(), range, ..Options::default() }) {
            // What the engine took is a model file.
            let bytes = model.to_bytes();
            mcir_runtime::model::Model::from_bytes(bytes).expect("its own output");
        }
    }
});
