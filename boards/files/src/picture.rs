//! A decoded picture.

use crate::{About, Error, Result};
use image::metadata::Orientation;
use mcir_runtime::image::Image;
use std::ops::Range;

/// A decoded picture of 8 bits a channel: what the engine upscales, and what travels beside it.
///
/// It is kept as it was decoded, so that a large one is in memory once; rows come out upright.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Size as stored.
    size: (usize, usize),
    channels: usize,
    pixels: Vec<u8>,
    orientation: Orientation,
    /// Colour profile, to be written unchanged.
    pub icc_profile: Option<Vec<u8>>,
    /// Quality of the JPEG that it comes from, as libjpeg counts it; `None` of other formats.
    pub jpeg_quality: Option<u8>,
    /// What else describes it.
    pub about: About,
    /// What was changed while reading, for the user.
    pub notes: Vec<String>,
}

impl Picture {
    /// A picture of just its pixels: grey, grey with opacity, RGB or RGBA.
    ///
    /// # Panics
    /// If their number is not `width · height · channels`.
    pub fn new(width: usize, height: usize, channels: usize, pixels: Vec<u8>) -> Self {
        assert!(
            (1..=4).contains(&channels) && pixels.len() == width * height * channels,
            "pixels fit the size"
        );
        let orientation = Orientation::NoTransforms;
        Self {
            size: (width, height),
            channels,
            pixels,
            orientation,
            icc_profile: None,
            jpeg_quality: None,
            about: About::default(),
            notes: Vec::new(),
        }
    }

    /// The same with its rows turned.
    pub(crate) fn turned(self, orientation: Orientation) -> Self {
        Self { orientation, ..self }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        if self.is_transposed() { self.size.1 } else { self.size.0 }
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        if self.is_transposed() { self.size.0 } else { self.size.1 }
    }

    /// Channels: 1 grey, 2 grey and opacity, 3 RGB, 4 RGB and opacity.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether the last channel is opacity.
    pub fn has_alpha(&self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// Channels of colour: 1 or 3.
    pub fn colours(&self) -> usize {
        self.channels - usize::from(self.has_alpha())
    }

    fn is_transposed(&self) -> bool {
        use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
        matches!(self.orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
    }

    /// Appends rows to `out`, upright.
    ///
    /// # Shapes
    /// `[rows, width, channels]`
    ///
    /// # Panics
    /// If the range is not in the picture.
    pub fn rows(&self, range: Range<usize>, out: &mut Vec<u8>) {
        assert!(range.end <= self.height(), "the rows are in the picture");
        let (n, stored_width) = (self.channels, self.size.0);
        let stride = stored_width * n;
        let (width, rows) = (self.width(), range.len());
        use Orientation::{FlipHorizontal, FlipVertical, Rotate90, Rotate90FlipH, Rotate180};
        match self.orientation {
            Orientation::NoTransforms => {
                out.extend_from_slice(&self.pixels[range.start * stride..range.end * stride]);
            }
            FlipVertical => {
                for y in range {
                    let y = self.size.1 - 1 - y;
                    out.extend_from_slice(&self.pixels[y * stride..][..stride]);
                }
            }
            FlipHorizontal | Rotate180 => {
                for y in range {
                    let y = if self.orientation == Rotate180 { self.size.1 - 1 - y } else { y };
                    for pixel in self.pixels[y * stride..][..stride].rchunks_exact(n) {
                        out.extend_from_slice(pixel);
                    }
                }
            }
            turned => {
                // Columns become rows; those of one range lie beside each other.
                let start = out.len();
                out.resize(start + rows * width * n, 0);
                for x in 0..width {
                    let from = if matches!(turned, Rotate90 | Orientation::Rotate270FlipH) {
                        width - 1 - x
                    } else {
                        x
                    };
                    let line = &self.pixels[from * stride..][..stride];
                    for (i, y) in range.clone().enumerate() {
                        let to =
                            if matches!(turned, Rotate90 | Rotate90FlipH) { y } else { stored_width - 1 - y };
                        let at = start + (i * width + x) * n;
                        out[at..at + n].copy_from_slice(&line[to * n..][..n]);
                    }
                }
            }
        }
    }

    /// Gives transparent pixels the colour of the nearest that is not, which nobody sees, but which networks and
    /// interpolation mix into the rim. Where they are, programs leave black or any other colour.
    ///
    /// # Errors
    /// [`Error::Memory`] when there is no room for a byte a pixel, named `name`.
    pub fn spread_colours(&mut self, name: &str) -> Result<()> {
        let (width, n) = (self.size.0, self.channels);
        let transparent = |pixel: &[u8]| pixel[n - 1] == 0;
        if !self.has_alpha() || !self.pixels.chunks_exact(n).any(transparent) {
            return Ok(());
        }
        // Steps to the pixel that a colour is from, up to a number beyond which nothing is mixed.
        let mut steps = crate::buffer(name, self.pixels.len() / n)?;
        steps.extend(self.pixels.chunks_exact(n).map(|p| if transparent(p) { u8::MAX } else { 0 }));
        let pixels = &mut self.pixels;
        let mut nearer = |at: usize, from: usize| {
            if steps[from].saturating_add(1) < steps[at] {
                steps[at] = steps[from] + 1;
                pixels.copy_within(from * n..from * n + n - 1, at * n);
            }
        };
        let height = self.size.1;
        // Down and then up: each takes from the neighbours that its pass has been to.
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                if x > 0 {
                    nearer(at, at - 1);
                }
                if y > 0 {
                    (x.max(1) - 1..(x + 2).min(width)).for_each(|x| nearer(at, at - width - at % width + x));
                }
            }
        }
        for y in (0..height).rev() {
            for x in (0..width).rev() {
                let at = y * width + x;
                if x + 1 < width {
                    nearer(at, at + 1);
                }
                if y + 1 < height {
                    (x.max(1) - 1..(x + 2).min(width)).for_each(|x| nearer(at, at + width - at % width + x));
                }
            }
        }
        Ok(())
    }

    /// The colour as one image, without opacity.
    ///
    /// # Errors
    /// [`Error::Image`] for a picture without pixels, named `name`.
    pub fn into_image(self, name: &str) -> Result<Image> {
        let (width, height, colours) = (self.width(), self.height(), self.colours());
        let data = if self.orientation == Orientation::NoTransforms && !self.has_alpha() {
            self.pixels
        } else {
            let mut data = Vec::with_capacity(width * height * colours);
            let mut rows = Vec::new();
            for start in (0..height).step_by(BLOCK) {
                rows.clear();
                self.rows(start..(start + BLOCK).min(height), &mut rows);
                for pixel in rows.chunks_exact(self.channels) {
                    data.extend_from_slice(&pixel[..colours]);
                }
            }
            data
        };
        Image::new(width, height, colours, data).map_err(|source| Error::Image { name: name.into(), source })
    }

    /// The opacity of some rows as an image of one channel.
    ///
    /// # Errors
    /// As [`Picture::into_image`].
    ///
    /// # Panics
    /// If there is none, or the range is not in the picture.
    pub fn alpha(&self, range: Range<usize>, name: &str) -> Result<Image> {
        assert!(self.has_alpha(), "the picture has opacity");
        let (mut rows, height) = (Vec::new(), range.len());
        self.rows(range, &mut rows);
        let data = rows.iter().skip(self.channels - 1).step_by(self.channels).copied().collect();
        Image::new(self.width(), height, 1, data).map_err(|source| Error::Image { name: name.into(), source })
    }
}

/// Rows that are turned together.
const BLOCK: usize = 16;

impl From<Image> for Picture {
    fn from(image: Image) -> Self {
        Self::new(image.width(), image.height(), image.channels(), image.into_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, RgbaImage};

    #[test]
    fn colours_reach_into_what_is_transparent_and_nothing_else_changes() {
        let mut picture = Picture::new(9, 5, 4, vec![0; 9 * 5 * 4]);
        let red_and_blue = [(2, 1, [200, 0, 0, 255]), (6, 3, [0, 0, 90, 7])];
        for (x, y, colour) in red_and_blue {
            picture.pixels[(y * 9 + x) * 4..][..4].copy_from_slice(&colour);
        }
        picture.spread_colours("").unwrap();
        for y in 0..5_usize {
            for x in 0..9_usize {
                let pixel = &picture.pixels[(y * 9 + x) * 4..][..4];
                let steps = |to: (usize, usize)| x.abs_diff(to.0).max(y.abs_diff(to.1));
                let (red, blue) = (steps((2, 1)), steps((6, 3)));
                if red != blue {
                    let expected = if red < blue { [200, 0, 0] } else { [0, 0, 90] };
                    assert_eq!(pixel[..3], expected, "{x}, {y}");
                }
                let alpha = if red == 0 {
                    255
                } else if blue == 0 {
                    7
                } else {
                    0
                };
                assert_eq!(pixel[3], alpha);
            }
        }
        let mut nothing = Picture::new(3, 2, 2, vec![0; 12]);
        nothing.spread_colours("").unwrap();
        assert_eq!(nothing.pixels, [0; 12]);
        let opaque = Picture::new(2, 1, 3, (0..6).collect());
        let mut same = opaque.clone();
        same.spread_colours("").unwrap();
        assert_eq!(same, opaque);
    }

    #[test]
    fn rows_come_out_upright() {
        let (width, height) = (37, 21);
        let pixel = |x: u32, y: u32| image::Rgba([x as u8, y as u8, (x * y) as u8, (x + 9 * y) as u8]);
        let stored = RgbaImage::from_fn(width, height, pixel);
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut expected = DynamicImage::from(stored.clone());
            expected.apply_orientation(orientation);
            let picture = Picture::new(width as usize, height as usize, 4, stored.clone().into_raw());
            let picture = picture.turned(orientation);
            let size = (picture.width() as u32, picture.height() as u32);
            assert_eq!(size, (expected.width(), expected.height()), "{exif}");
            let mut rows = Vec::new();
            for start in (0..picture.height()).step_by(5) {
                picture.rows(start..(start + 5).min(picture.height()), &mut rows);
            }
            assert_eq!(rows, expected.as_bytes(), "{exif}");
            let alpha = picture.alpha(3..8, "").unwrap();
            let row = size.0 as usize;
            let all: Vec<u8> = expected.as_bytes().iter().skip(3).step_by(4).copied().collect();
            assert_eq!(alpha.data(), &all[3 * row..8 * row]);
            let image = picture.into_image("").unwrap();
            assert_eq!(image.data(), expected.to_rgb8().as_raw(), "{exif}");
        }
    }
}
