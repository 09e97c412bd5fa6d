//! Model files that load are planned and run on small images, with all instruction sets, which have to agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcir_runtime::Isa;
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};

/// Images of 9x7 cost at most this many multiply-accumulates; more would test patience.
const MAX_MACS: u64 = 20_000_000;
/// Most memory of a plan.
const MAX_MEMORY: usize = 64 << 20;

fuzz_target!(|data: &[u8]| {
    let Some(model) = mcir_fuzz::sealed(data).and_then(|bytes| Model::from_bytes(bytes).ok()) else { return };
    let (width, height) = (9, 7);
    if model.macs_per_pixel().saturating_mul((width * height) as u64) > MAX_MACS {
        return;
    }
    let pixels: Vec<u8> = (0..width * height * model.in_channels()).map(|i| (i * 37 % 256) as u8).collect();
    let mut first = None;
    for isa in Isa::available() {
        let options = PlanOptions { isa: Some(isa), band: Some(3), ..PlanOptions::default() };
        let Ok(plan) = Plan::new(&model, width, &options) else { continue };
        if plan.memory_bytes() > MAX_MEMORY {
            return;
        }
        let mut workspace = plan.workspace();
        let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
        plan.run_image(&mut workspace, &pixels, height, &mut out).expect("lengths fit");
        match &first {
            None => first = Some(out),
            Some(first) => assert!(*first == out, "{} differs from {}", isa.name(), Isa::Scalar.name()),
        }
    }
});
