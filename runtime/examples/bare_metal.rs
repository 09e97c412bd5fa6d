//! What a firmware does, with `core` and `alloc` only: a model from flash, memory that may be short, rows from a DMA buffer.
//!
//! ```text
//! cargo run -p mcir-runtime --example bare_metal
//! ```
//!
//! `main` stands for the hardware, so that this runs on a workstation. In a firmware, depend on `mcir-runtime` with
//! `default-features = false` and bring an allocator; `tests/bare-metal` in the repository is a whole one, for an aarch64 core
//! and for a Cortex-M7.

extern crate alloc;

use alloc::vec;
use mcir_runtime::Isa;
use mcir_runtime::error::{LoadError, PlanError, RunError};
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};

/// What can go wrong, without strings: values for a log or a display.
#[derive(Debug)]
#[allow(dead_code, reason = "here they are only shown")]
enum Fault {
    Model(LoadError),
    Plan(PlanError),
    Run(RunError),
}

/// Upscales one frame of `width` pixels. `flash` is the model file, which is not copied; `next_row` waits for a row of the
/// camera, or is `None` after the last of `height` rows; `show` gets the rows of the output.
fn upscale(
    flash: &'static [u8],
    (width, height): (usize, usize),
    mut next_row: impl FnMut(&mut [u8]) -> Option<()>,
    show: &mut dyn FnMut(usize, &[u8]),
) -> Result<usize, Fault> {
    let model = Model::from_bytes(flash).map_err(Fault::Model)?;
    // A processor is not asked without an operating system: what the target promises is taken, or what the firmware says
    // with `Isa::assume_available`, because it knows its chip.
    let options = PlanOptions::default().isa(Isa::best()).band(2);
    let plan = Plan::new(&model, width, &options).map_err(Fault::Plan)?;
    // Instead of ending the program when the heap is too small.
    let mut workspace = plan.try_workspace().map_err(Fault::Plan)?;
    let mut row = vec![0; plan.in_row_bytes()];
    let mut frame = plan.begin(&mut workspace, height).map_err(Fault::Run)?;
    while next_row(&mut row).is_some() {
        frame.push(&row, show).map_err(Fault::Run)?;
    }
    Ok(frame.rows_out())
}

fn main() {
    // Flash.
    use mcir_runtime::arch::{edsr, stand_in};
    let graph = stand_in::int8(&edsr::graph(&edsr::Config::edge(2, 8, 1)));
    let file = stand_in::weighted(graph).expect("the graph is sound").to_bytes();
    let flash: &'static [u8] = Box::leak(file.into_boxed_slice());
    // Camera and display.
    let (width, height, mut arrived) = (24, 16, 0);
    let next_row = |row: &mut [u8]| {
        row.fill((16 * arrived) as u8);
        arrived += 1;
        (arrived <= height).then_some(())
    };
    let mut shown = 0;
    let rows = upscale(flash, (width, height), next_row, &mut |_, pixels| shown += pixels.len());
    println!("{:?} rows, {shown} bytes", rows.expect("the frame runs"));
}
