//! Raw camera frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcir_fuzz::readers::raw_frame(data));
