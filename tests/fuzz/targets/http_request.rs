//! Requests to the live page and the studio.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcir_fuzz::readers::http_request(data));
