//! Rows as a camera delivers them: each goes into the network when it arrives, and rows of the output leave while the image is
//! still arriving.
//!
//! ```text
//! cargo run --release -p mcir-runtime --example camera [MODEL.mcir]
//! ```
//!
//! Without a model file it takes a network of the shape of EDSR-edge with weights of no meaning, and a picture of stripes for
//! the camera.

use mcir_runtime::arch::{edsr, stand_in};
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};
use std::error::Error;
use std::time::Instant;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

fn main() -> Result<(), Box<dyn Error>> {
    let model = match std::env::args().nth(1) {
        Some(path) => Model::from_bytes(std::fs::read(path)?)?,
        None => stand_in::weighted(stand_in::int8(&edsr::graph(&edsr::Config::edge(4, 16, 4))))?,
    };
    let plan = Plan::new(&model, WIDTH, &PlanOptions::default())?;
    // Allocated once; frames allocate nothing.
    let mut workspace = plan.workspace();
    let channels = model.in_channels();
    for number in 0..3 {
        let begin = Instant::now();
        let mut frame = plan.begin(&mut workspace, HEIGHT)?;
        let (mut first, mut sum) = (None, 0_u64);
        for y in 0..HEIGHT {
            let row = camera_row(number, y, channels);
            frame.push(&row, &mut |_, pixels| {
                // To a display, an encoder, a socket; here they are only added up.
                first.get_or_insert(y);
                sum += pixels.iter().map(|&p| u64::from(p)).sum::<u64>();
            })?;
        }
        println!(
            "frame {number}: {} rows out, the first after row {} of {HEIGHT}; mean {:.1}; {:.2?}",
            frame.rows_out(),
            first.unwrap_or(HEIGHT),
            sum as f64 / (frame.rows_out() * plan.out_row_bytes()) as f64,
            begin.elapsed(),
        );
    }
    Ok(())
}

/// A row of a picture of moving stripes.
fn camera_row(frame: usize, y: usize, channels: usize) -> Vec<u8> {
    (0..WIDTH * channels).map(|i| ((i / channels + y + 7 * frame) % 64 * 4) as u8).collect()
}
