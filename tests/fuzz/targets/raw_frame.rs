//! Raw camera frames of every packing: the first bytes choose the layout, the rest are the frame.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_boards::camera::raw::{Layout, Matrix, Space, to_image};

fuzz_target!(|data: &[u8]| {
    let [choice, width, height, stride, frame @ ..] = data else { return };
    let all = mcir_fuzz::packings();
    let packing = all[usize::from(*choice) % all.len()];
    let (width, height) = (usize::from(*width), usize::from(*height));
    let Ok(mut layout) = Layout::new(packing, width, height, choice & 0x80 != 0, Matrix::Bt709) else { return };
    layout.stride += usize::from(*stride);
    for space in [Space::Rgb, Space::YCbCr] {
        match to_image(&layout, frame, space) {
            Ok((image, _)) => assert_eq!((image.width(), image.height()), (width, height)),
            Err(_) => assert!(frame.len() < layout.bytes() || layout.check().is_err()),
        }
    }
});
