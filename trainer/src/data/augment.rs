//! Random patches: crop, flip, rotate.

use super::pairs::Pair;
use crate::seed::{Purpose, Stream};
use mcir_runtime::image::Image;

/// What is drawn for one patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crop {
    /// Number of the pair.
    pub pair: usize,
    /// Left and upper corner in the low-resolution image.
    pub corner: (usize, usize),
    /// One of the eight symmetries of the square; bit 0 mirrors left and right, bit 1 up and down, bit 2
    /// swaps rows and columns.
    pub symmetry: u8,
}

/// The crops of a step. They depend on seed and step only.
///
/// # Panics
/// If there is no pair, or one smaller than the patch (see [`super::pairs::check_patch`]).
pub fn draw(pairs: &[Pair], seed: u64, step: u64, batch: usize, patch: usize, augment: bool) -> Vec<Crop> {
    let mut stream = Stream::new(seed, Purpose::Batch, step);
    let one = |_| {
        let pair = stream.below(pairs.len());
        let lr = &pairs[pair].lr;
        let mut place = |side: usize| stream.below(side - patch + 1);
        let corner = (place(lr.width()), place(lr.height()));
        let symmetry = if augment { stream.below(8) as u8 } else { 0 };
        Crop { pair, corner, symmetry }
    };
    (0..batch).map(one).collect()
}

/// Appends a square patch as three planes of floats in 0..1.
///
/// # Panics
/// If the patch leaves the image.
pub fn cut(image: &Image, corner: (usize, usize), side: usize, symmetry: u8, out: &mut Vec<f32>) {
    let (width, data) = (image.width(), image.data());
    out.reserve(3 * side * side);
    for channel in 0..3 {
        for y in 0..side {
            for x in 0..side {
                let (x, y) = if symmetry & 4 == 0 { (x, y) } else { (y, x) };
                let x = if symmetry & 1 == 0 { x } else { side - 1 - x };
                let y = if symmetry & 2 == 0 { y } else { side - 1 - y };
                let at = ((corner.1 + y) * width + corner.0 + x) * 3 + channel;
                out.push(f32::from(data[at]) / 255.0);
            }
        }
    }
}
