//! What users and other programs write on command lines: targets, sources, lines of a GPIO chip, sizes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_boards::camera::source::Spec;
use mcir_boards::deploy::target::Target;
use mcir_boards::gpio::LineSpec;

fuzz_target!(|text: &str| {
    let _ = text.parse::<Target>();
    let _ = text.parse::<Spec>();
    let _ = text.parse::<LineSpec>();
});
