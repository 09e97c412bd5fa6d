//! Signatures and public keys: the first line is a key, the rest a signature of a fixed text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_boards::deploy::sign;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (key, signature) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(key) = sign::public_key(key) {
        assert!(sign::verify(b"never signed by anyone", signature, &key).is_err());
    }
});
