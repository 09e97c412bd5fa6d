//! Words of a command line.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mcir_fuzz::readers::command_line(data));
