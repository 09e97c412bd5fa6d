//! [`Image`]: rows of interleaved 8-bit samples.

use alloc::vec::Vec;
use core::fmt;

/// Why an image cannot be made, cropped or resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// A width or height of 0, or more samples than the address space holds.
    Size {
        /// Width asked for, in pixels.
        width: usize,
        /// Height asked for, in pixels.
        height: usize,
    },
    /// Not 1 (grey) or 3 (RGB) channels.
    Channels {
        /// Channels asked for.
        found: usize,
    },
    /// The buffer does not have `width · height · channels` samples.
    Length {
        /// Samples needed.
        expected: usize,
        /// Samples there.
        found: usize,
    },
    /// A crop reaches beyond the image.
    Crop {
        /// Right and lower end of the crop: `(x + width, y + height)`.
        end: (usize, usize),
        /// Width and height of the image.
        size: (usize, usize),
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Size { width, height } => write!(f, "an image of {width}x{height} pixels is not possible"),
            Self::Channels { found } => write!(f, "an image has 1 or 3 channels, not {found}"),
            Self::Length { expected, found } => {
                write!(f, "the image buffer has {found} samples, {expected} expected")
            }
            Self::Crop { end, size } => {
                write!(f, "a crop up to {}x{} does not fit an image of {}x{}", end.0, end.1, size.0, size.1)
            }
        }
    }
}

impl core::error::Error for ImageError {}

/// An 8-bit image, grey or RGB: rows from top to bottom, channels innermost.
///
/// # Shapes
/// `[height, width, channels]` with `channels` 1 or 3; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) data: Vec<u8>,
}

impl Image {
    /// An image from its samples.
    ///
    /// # Errors
    /// [`ImageError::Size`], [`ImageError::Channels`] or [`ImageError::Length`] when they do not fit together.
    pub fn new(width: usize, height: usize, channels: usize, data: Vec<u8>) -> Result<Self, ImageError> {
        let expected = samples(width, height, channels)?;
        if data.len() != expected {
            return Err(ImageError::Length { expected, found: data.len() });
        }
        Ok(Self { width, height, channels, data })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> usize {
        self.height
    }

    /// 1 for grey, 3 for RGB.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// All samples, `[height, width, channels]`.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The samples, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }

    /// Row `y`, `[width, channels]`.
    ///
    /// # Panics
    /// If `y` is not below the height.
    pub fn row(&self, y: usize) -> &[u8] {
        let stride = self.width * self.channels;
        &self.data[y * stride..(y + 1) * stride]
    }

    /// The part of `width` x `height` pixels whose upper left corner is at (`x`, `y`).
    ///
    /// # Errors
    /// [`ImageError::Crop`] when it reaches beyond the image, [`ImageError::Size`] when it is empty.
    pub fn crop(&self, x: usize, y: usize, width: usize, height: usize) -> Result<Self, ImageError> {
        let end = (x.saturating_add(width), y.saturating_add(height));
        if end.0 > self.width || end.1 > self.height {
            return Err(ImageError::Crop { end, size: (self.width, self.height) });
        }
        let mut data = Vec::with_capacity(samples(width, height, self.channels)?);
        for row in y..end.1 {
            data.extend_from_slice(&self.row(row)[x * self.channels..end.0 * self.channels]);
        }
        Ok(Self { width, height, channels: self.channels, data })
    }

    /// The image without the columns at the right and the rows at the bottom that exceed a multiple of
    /// `upscale`: what benchmarks do to a high-resolution image before they shrink it.
    ///
    /// # Errors
    /// [`ImageError::Size`] when nothing would be left, or `upscale` is 0.
    pub fn crop_to_multiple(&self, upscale: usize) -> Result<Self, ImageError> {
        if upscale == 0 {
            return Err(ImageError::Size { width: 0, height: 0 });
        }
        self.crop(0, 0, self.width - self.width % upscale, self.height - self.height % upscale)
    }

    /// The image as RGB: grey is repeated in all three channels.
    pub fn to_rgb(&self) -> Self {
        let data = match self.channels {
            3 => self.data.clone(),
            _ => self.data.iter().flat_map(|&v| [v; 3]).collect(),
        };
        Self { channels: 3, data, ..*self }
    }

    /// Luma of every pixel, not rounded: ITU-R BT.601 in 16..235, as MATLAB's `rgb2ycbcr` has it. The one
    /// channel of a grey image is taken as it is.
    pub fn luma(&self) -> Vec<f64> {
        match self.channels {
            3 => self.data.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])).collect(),
            _ => self.data.iter().map(|&v| f64::from(v)).collect(),
        }
    }
}

/// `Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255`, with R, G, B in 0..=255.
pub(super) fn luma(rgb: [u8; 3]) -> f64 {
    let [r, g, b] = rgb.map(f64::from);
    16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0
}

/// Number of samples of an image, when such an image can exist.
pub(super) fn samples(width: usize, height: usize, channels: usize) -> Result<usize, ImageError> {
    if channels != 1 && channels != 3 {
        return Err(ImageError::Channels { found: channels });
    }
    let n = width.checked_mul(height).and_then(|n| n.checked_mul(channels));
    n.filter(|&n| n > 0 && n <= isize::MAX as usize).ok_or(ImageError::Size { width, height })
}
