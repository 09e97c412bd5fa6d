//! Checkpoints of other frameworks, as far as they are read without one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcir_fuzz::readers::checkpoint(data));
