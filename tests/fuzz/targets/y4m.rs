//! Streams of y4m frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_boards::camera::raw::{Matrix, Space, to_image};
use mcir_boards::camera::y4m::Reader;

fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = Reader::new(data, Matrix::Bt601) else { return };
    let layout = reader.header().layout;
    // A frame that cannot be there is asked for all the same: it must be refused, not waited for.
    for _ in 0..4 {
        match reader.begin() {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
        let Ok(frame) = reader.read() else { return };
        for space in [Space::Rgb, Space::YCbCr] {
            let (image, _) = to_image(&layout, &frame, space).expect("a whole frame of a checked layout");
            assert_eq!((image.width(), image.height()), (layout.width, layout.height));
        }
    }
});
