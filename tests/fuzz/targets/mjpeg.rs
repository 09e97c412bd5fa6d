//! Streams of JPEG images.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_boards::camera::mjpeg::{decode, next_frame};
use mcir_boards::camera::raw::Space;

fuzz_target!(|data: &[u8]| {
    let mut input = data;
    let mut budget = 8;
    while budget > 0 {
        budget -= 1;
        match next_frame(&mut input) {
            Ok(Some(frame)) => {
                let _ = decode(&frame, Space::Rgb);
            }
            Ok(None) | Err(_) => break,
        }
    }
    let _ = decode(data, Space::YCbCr);
});
