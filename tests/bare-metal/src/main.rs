#![cfg_attr(target_os = "none", no_std, no_main)]
//! Upscales drawn images with the shipped models and prints the checksums of the outputs: on a machine without
//! an operating system, and on a host. Both must print the same.

extern crate alloc;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
mod aarch64;
#[cfg(all(target_os = "none", target_arch = "arm"))]
mod cortex_m;

use alloc::{borrow::Cow, vec, vec::Vec};
use core::fmt;
use mcir_runtime::Isa;
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};

/// The models of the project, as they are shipped.
const MODELS: [(&str, &[u8]); 3] = [
    ("edsr-edge-x2 int8", include_bytes!("../../../boards/models/edsr-edge-x2/model.int8.mcir")),
    ("edsr-edge-x4 int8", include_bytes!("../../../boards/models/edsr-edge-x4/model.int8.mcir")),
    ("edsr-edge-x4 f32", include_bytes!("../../../boards/models/edsr-edge-x4/model.f32.mcir")),
];

/// Width and height of the images.
const SIZES: [(usize, usize); 3] = [(1, 1), (13, 9), (40, 24)];

/// Runs everything; `line` gets one line of text for each model and size.
fn report(line: &mut dyn FnMut(fmt::Arguments<'_>)) {
    for (name, bytes) in MODELS {
        let model = Model::from_bytes(Cow::Borrowed(bytes)).expect("a shipped model loads");
        for (width, height) in SIZES {
            let pixels = draw(width, height);
            let expected = upscale(&model, Isa::Scalar, &pixels, width, height);
            for isa in Isa::available().filter(|&isa| isa != Isa::Scalar) {
                let found = upscale(&model, isa, &pixels, width, height);
                assert_eq!(found, expected, "{name} {width}x{height} on {}", isa.name());
            }
            line(format_args!("{name} {width}x{height} {expected:08x}"));
        }
    }
}

/// Checksum of the upscaled image.
fn upscale(model: &Model, isa: Isa, pixels: &[u8], width: usize, height: usize) -> u32 {
    let options = PlanOptions { isa: Some(isa), ..PlanOptions::default() };
    let plan = Plan::new(model, width, &options).expect("a small image can be planned");
    let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
    plan.run_image(&mut plan.workspace(), pixels, height, &mut out).expect("the lengths fit");
    crc32fast::hash(&out)
}

/// Smooth and busy parts in every channel.
fn draw(width: usize, height: usize) -> Vec<u8> {
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        (x * (5 + c) + y * 7 + ((x ^ y) & 7) * 17) as u8
    };
    (0..width * height * 3).map(value).collect()
}

#[cfg(not(target_os = "none"))]
fn main() {
    report(&mut |line| println!("{line}"));
}
