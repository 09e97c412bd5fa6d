//! Requests to the live page, from whoever reaches its port.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_boards::live::Request;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some((request, length))) = Request::parse(data) {
        assert!(length <= data.len());
        let _ = (request.number("quality"), request.number(""));
    }
});
