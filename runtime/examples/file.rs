//! Upscales a picture file with a model file.
//!
//! ```text
//! cargo run --release -p mcir-runtime --example file -- MODEL.mcir IN.ppm OUT.ppm
//! ```
//!
//! Pictures are binary PPM (`P6`, 8 bits a channel), for which this needs no library; `magick IN.png IN.ppm` makes one.

use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, output] = args.as_slice() else {
        return Err("usage: file MODEL.mcir IN.ppm OUT.ppm".into());
    };
    // The bytes of a model file are checked before anything is done with them.
    let model = Model::from_bytes(std::fs::read(model)?)?;
    let bytes = std::fs::read(input)?;
    let (width, height, pixels) = ppm(&bytes).ok_or("not a binary PPM of 8 bits a channel")?;
    if model.in_channels() != 3 {
        return Err("the model does not take RGB".into());
    }

    // A plan is for one width; images of it may have any height, and it can run any number of them.
    let threads = std::thread::available_parallelism()?.get();
    let plan = Plan::new(&model, width, &PlanOptions::default().threads(threads))?;
    let mut workspace = plan.workspace();
    let upscale = usize::from(model.upscale());
    let mut upscaled = vec![0; plan.out_row_bytes() * height * upscale];
    plan.run_image(&mut workspace, pixels, height, &mut upscaled)?;

    let mut file = format!("P6\n{} {}\n255\n", width * upscale, height * upscale).into_bytes();
    file.extend(upscaled);
    std::fs::write(output, file)?;
    println!("{width}x{height} to x{upscale} on {}, {} threads", plan.isa().name(), plan.threads());
    Ok(())
}

/// Width, height and pixels of a binary PPM without comments.
fn ppm(bytes: &[u8]) -> Option<(usize, usize, &[u8])> {
    let mut words = bytes.splitn(5, u8::is_ascii_whitespace);
    if words.next()? != b"P6" {
        return None;
    }
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<usize>().ok();
    let (width, height, most) = (number()?, number()?, number()?);
    let pixels = words.next()?;
    (most == 255 && width > 0 && pixels.len() == width.checked_mul(height)?.checked_mul(3)?)
        .then_some((width, height, pixels))
}
