//! Signatures.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcir_fuzz::readers::signature(data));
