//! The header that is checked in is the one that cbindgen makes of the source.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in ["lib.rs", "status.rs", "model.rs", "plan.rs"] {
        builder = builder.with_src(root.join("src").join(file));
    }
    let mut bytes = Vec::new();
    builder.generate().unwrap().write(&mut bytes);
    let made = String::from_utf8(bytes).unwrap();
    let path = root.join("include/mcir.h");
    if std::env::var_os("MCIR_WRITE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == made,
        "include/mcir.h is not that of the source; make it anew and look at what has changed:\n\
         MCIR_WRITE=1 cargo test -p mcir-capi --test header && git diff runtime/capi/include"
    );
}
