//! The self-test: a small picture through the model, and the CRC of what comes out.
//!
//! The engine computes the same bits on every instruction set, so a workstation knows what a board must get.

use super::DeployError;
use super::manifest::{self, Manifest};
use mcir_runtime::image::Image;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::device::Accelerator;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// Size of the picture: several bands, with a width that no tile divides.
const SIZE: (usize, usize) = (61, 43);

/// What a self-test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// CRC-32 of the output as hexadecimal digits.
    pub crc32: String,
    /// Instruction set.
    pub isa: String,
    /// Time of the picture in milliseconds.
    pub ms: f64,
}

/// The picture: gradients, edges and noise in every channel.
pub fn picture() -> Image {
    let (width, height) = SIZE;
    let mut state = 1_u32;
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let edge = if (x + 2 * y) % 23 < 9 { 90 } else { 0 };
        (x * (c + 1) * 2 + y * (3 - c) + edge + (state >> 27) as usize).min(255) as u8
    };
    Image::new(width, height, 3, (0..width * height * 3).map(value).collect())
        .expect("the picture has the size that it is made for")
}

/// The picture as a PPM file.
pub fn to_ppm(image: &Image) -> Vec<u8> {
    let mut bytes = format!("P6\n{} {}\n255\n", image.width(), image.height()).into_bytes();
    (0..image.height()).for_each(|y| bytes.extend_from_slice(image.row(y)));
    bytes
}

/// Reads what [`to_ppm`] wrote: `P6`, width, height and 255, separated by one white space each.
fn from_ppm(bytes: &[u8]) -> Option<Image> {
    let mut rest = bytes;
    let mut word = || {
        let end = rest.iter().take(16).position(u8::is_ascii_whitespace)?;
        let (word, more) = rest.split_at(end);
        rest = &more[1..];
        std::str::from_utf8(word).ok()
    };
    let magic = word()?;
    let (width, height): (usize, usize) = (word()?.parse().ok()?, word()?.parse().ok()?);
    let depth = word()?;
    let size = width.checked_mul(height)?.checked_mul(3)?;
    let good = magic == "P6" && depth == "255" && rest.len() == size;
    if good { Image::new(width, height, 3, rest.to_vec()).ok() } else { None }
}

/// Runs a model on a picture.
///
/// # Errors
/// What keeps the engine from it.
pub fn run(model: NamedModel, image: &Image, options: PlanOptions) -> Result<Outcome> {
    run_by(Upscaler::new(model, options), image)
}

fn run_by(mut upscaler: Upscaler, image: &Image) -> Result<Outcome> {
    let start = Instant::now();
    let out = upscaler.run(image, &mut |_| {})?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let mut crc = crc32fast::Hasher::new();
    (0..out.height()).for_each(|y| crc.update(out.row(y)));
    let isa = upscaler.plan().map(|p| p.isa().name()).or(upscaler.gpu()).unwrap_or_default().to_owned();
    Ok(Outcome { crc32: format!("{:08x}", crc.finalize()), isa, ms })
}

/// Runs the self-test of the slot in a folder, on this processor's best instruction set or on a GPU as far as the model runs
/// there.
///
/// # Errors
/// [`DeployError::SelfTest`] when other bits come out, or what keeps it from being run.
pub fn run_slot(folder: &Path, gpu: Option<&Accelerator>) -> Result<Outcome> {
    let path = folder.join(manifest::MANIFEST);
    let bytes = std::fs::read(&path).map_err(DeployError::io("read", &path))?;
    let manifest = Manifest::parse(&bytes)?;
    let path = folder.join(manifest::SELF_TEST);
    let bytes = std::fs::read(&path).map_err(DeployError::io("read", &path))?;
    let image = from_ppm(&bytes).filter(|image| {
        let size = (manifest.self_test.width as usize, manifest.self_test.height as usize);
        (image.width(), image.height()) == size
    });
    let image = image.ok_or_else(|| DeployError::Manifest {
        reason: format!("{} is not the picture that it describes", path.display()),
    })?;
    let path = folder.join(manifest::MODEL);
    let name = path.to_str().ok_or_else(|| Error::missing(&path))?;
    let outcome = run_by(Upscaler::new(NamedModel::open(name)?, PlanOptions::default()).on(gpu), &image)?;
    if outcome.crc32 == manifest.self_test.crc32 {
        return Ok(outcome);
    }
    let (isa, found) = (outcome.isa, outcome.crc32);
    Err(DeployError::SelfTest { isa, expected: manifest.self_test.crc32, found }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_survives_its_file_and_nothing_else_is_one() {
        let image = picture();
        let bytes = to_ppm(&image);
        assert_eq!(from_ppm(&bytes), Some(image));
        for length in [0, 2, 5, 12, bytes.len() - 1] {
            assert_eq!(from_ppm(&bytes[..length]), None, "{length}");
        }
        for text in [
            "P6\n18446744073709551615 2\n255\n",
            "P6\n-1 1\n255\n",
            "P5\n1 1\n255\n.",
            "P6 999999999999999999999 1 255 ",
        ] {
            assert_eq!(from_ppm(text.as_bytes()), None, "{text}");
        }
    }

    /// What makes the promise to a board possible.
    #[test]
    fn every_instruction_set_gets_the_same_crc() {
        for embedded in mcir_upscale::embedded::MODELS {
            let crc = |isa| {
                let model = NamedModel::from_embedded(embedded, false).unwrap();
                let options = PlanOptions::default().isa(isa);
                run(model, &picture(), options).unwrap().crc32
            };
            let all: Vec<_> = mcir_runtime::Isa::available().map(crc).collect();
            assert!(all.iter().all(|c| *c == all[0]), "{}: {all:?}", embedded.name);
        }
    }
}
