//! Streams of y4m frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcir_fuzz::readers::y4m(data));
