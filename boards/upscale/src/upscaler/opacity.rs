//! The opacity of a picture, which no network sees: it is interpolated.

use crate::error::{Error, Result};
use mcir_files::Picture;
use mcir_runtime::image::{Image, resize_bicubic};
use std::ops::Range;

/// Opacity, enlarged a few rows at a time.
pub(super) struct Opacity<'a> {
    picture: &'a Picture,
    upscale: usize,
    name: &'a str,
    /// Output rows that are there: the image's, from the first to before the last of these.
    band: Option<(Image, usize, Range<usize>)>,
}

impl<'a> Opacity<'a> {
    pub fn new(picture: &'a Picture, upscale: usize, name: &'a str) -> Self {
        Self { picture, upscale, name, band: None }
    }

    /// Row `y` of the enlarged picture. The same as if the whole were enlarged at once, but for a rounding at factor 3
    /// where a value lies right between two.
    pub fn row(&mut self, y: usize) -> Result<&[u8]> {
        if !self.band.as_ref().is_some_and(|(_, _, rows)| rows.contains(&y)) {
            let (name, upscale, height) = (self.name, self.upscale, self.picture.height());
            let start = y / upscale / OPACITY_BAND * OPACITY_BAND;
            let end = (start + OPACITY_BAND).min(height);
            let around = start.saturating_sub(OPACITY_REACH)..(end + OPACITY_REACH).min(height);
            let first = around.start * upscale;
            let size = (self.picture.width() * upscale, around.len() * upscale);
            let alpha = self.picture.alpha(around, name)?;
            let enlarged = resize_bicubic(&alpha, size.0, size.1).map_err(Error::image(name))?;
            self.band = Some((enlarged, first, start * upscale..end * upscale));
        }
        let (image, first, _) = self.band.as_ref().expect("the band was just made");
        Ok(image.row(y - first))
    }
}

/// Rows of opacity that are enlarged together.
const OPACITY_BAND: usize = 32;
/// Rows around them that bicubic interpolation looks at.
const OPACITY_REACH: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opacity_in_bands_is_that_of_the_whole() {
        for (width, height) in [(5, 3), (7, 32), (9, 33), (4, 100)] {
            let pixels = (0..width * height * 2).map(|i| (i * i * 31 + i) as u8).collect();
            let picture = Picture::new(width, height, 2, pixels);
            let all = picture.alpha(0..height, "").unwrap();
            for upscale in [2, 3, 4] {
                let whole = resize_bicubic(&all, width * upscale, height * upscale).unwrap();
                let mut opacity = Opacity::new(&picture, upscale, "");
                for y in 0..whole.height() {
                    let row = opacity.row(y).unwrap();
                    let off = row.iter().zip(whole.row(y)).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(off <= Some(u8::from(upscale == 3)), "{width}x{height} x{upscale}, row {y}");
                }
            }
        }
    }
}
