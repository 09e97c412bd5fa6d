//! Random patches: crop, flip, rotate.

use super::library::Library;
use crate::seed::{Purpose, Stream};

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
pub fn draw(images: &Library, seed: u64, step: u64, batch: usize, patch: usize, augment: bool) -> Vec<Crop> {
    let mut stream = Stream::new(seed, Purpose::Batch, step);
    let one = |_| {
        let pair = stream.below(images.len());
        let (width, height) = images.size(pair);
        let mut place = |side: usize| stream.below(side - patch + 1);
        let corner = (place(width), place(height));
        let symmetry = if augment { stream.below(8) as u8 } else { 0 };
        Crop { pair, corner, symmetry }
    };
    (0..batch).map(one).collect()
}

/// Appends a square image, given as rows of RGB, as three planes of floats in 0..1, mirrored and turned.
///
/// # Panics
/// If there are not as many pixels as the side says.
pub fn turn(rows: &[u8], side: usize, symmetry: u8, out: &mut Vec<f32>) {
    assert_eq!(rows.len(), 3 * side * side, "a square patch");
    out.reserve(rows.len());
    let [mirror_x, mirror_y, swap] = [1, 2, 4].map(|bit| symmetry & bit != 0);
    // Where in the image a step to the right, and one down, leads to.
    let (right, down) = (if mirror_x { -1 } else { 1 }, side as isize * if mirror_y { -1 } else { 1 });
    let last = side.saturating_sub(1);
    let start = if mirror_x { last } else { 0 } + if mirror_y { last * side } else { 0 };
    let (right, down) = if swap { (down, right) } else { (right, down) };
    for channel in 0..3 {
        for y in 0..side {
            let row = start as isize + y as isize * down;
            let pixel = |x: usize| rows[3 * (row + x as isize * right) as usize + channel];
            out.extend((0..side).map(|x| f32::from(pixel(x)) / 255.0));
        }
    }
}
