//! Encoding.

use super::{Pending, Picture};
use crate::error::{Error, Result};
use image::codecs::{bmp::BmpEncoder, jpeg::JpegEncoder, tiff::TiffEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, ImageEncoder};
use mcir_runtime::image::Image;
use std::borrow::Cow;
use std::io::Write;
use std::path::Path;

/// Quality of JPEG files, of 100: upscaled detail should not be lost again.
const JPEG_QUALITY: u8 = 95;

/// Formats that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lossless, with opacity.
    Png,
    /// Lossy, without opacity.
    #[value(name = "jpg", alias = "jpeg")]
    Jpeg,
    /// Lossless, with opacity; its encoder needs 4 more bytes of memory a pixel.
    #[value(name = "webp")]
    WebP,
    /// Not compressed, without opacity.
    Bmp,
    /// Not compressed, with opacity.
    #[value(name = "tiff", alias = "tif")]
    Tiff,
}

impl Format {
    /// The extensions that name a format.
    pub const EXTENSIONS: &str = "png, jpg, jpeg, webp, bmp, tif, tiff";

    /// The format that the extension of a file name asks for.
    ///
    /// # Errors
    /// [`Error::OutputFormat`] when it is none of [`Format::EXTENSIONS`].
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "png" => Ok(Self::Png),
            "jpg" | "jpeg" => Ok(Self::Jpeg),
            "webp" => Ok(Self::WebP),
            "bmp" => Ok(Self::Bmp),
            "tif" | "tiff" => Ok(Self::Tiff),
            _ => Err(Error::OutputFormat { path: path.into() }),
        }
    }

    /// The extension that files of this format get in a folder.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }

    /// Longest side in pixels.
    fn max_side(self) -> usize {
        match self {
            Self::Jpeg => 65_535,
            Self::WebP => 16_383,
            Self::Png | Self::Bmp | Self::Tiff => i32::MAX as usize,
        }
    }

    fn has_alpha(self) -> bool {
        matches!(self, Self::Png | Self::WebP | Self::Tiff)
    }

    /// Whether a picture of this size can be written.
    ///
    /// # Errors
    /// [`Error::Encode`] when a side is longer than the format allows.
    pub fn check_size(self, path: &Path, width: usize, height: usize) -> Result<()> {
        let (limit, name) = (self.max_side(), self.extension());
        if width.max(height) > limit {
            let reason = format!("{width}x{height} pixels, but {name} has at most {limit} on a side");
            return Err(Error::Encode { path: path.into(), reason });
        }
        Ok(())
    }
}

/// Writes a picture under a temporary name and then gives it its own.
///
/// A format without opacity gets the picture on white; the result then holds a note for the user.
///
/// # Errors
/// [`Error::Io`] or [`Error::Encode`]; a file that had the name before is then unchanged.
pub fn write(path: &Path, picture: Picture, format: Format) -> Result<Option<&'static str>> {
    let (width, height) = (picture.colour.width(), picture.colour.height());
    format.check_size(path, width, height)?;
    let (picture, note) = match &picture.alpha {
        Some(_) if !format.has_alpha() => (on_white(picture), Some(NO_OPACITY)),
        _ => (picture, None),
    };
    let mut file = Pending::create(path)?;
    let icc = picture.icc_profile.as_deref();
    let samples = Samples { colour: &picture.colour, alpha: picture.alpha.as_ref() };
    match format {
        Format::Png => png(&mut file, samples, icc, png::Compression::Fast).map_err(|e| e.to_string()),
        Format::Jpeg => with(JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY), samples, icc),
        Format::WebP => with(WebPEncoder::new_lossless(&mut file), samples, icc),
        Format::Bmp => with(BmpEncoder::new(&mut file), samples, None),
        Format::Tiff => with(TiffEncoder::new(&mut file), samples, icc),
    }
    .map_err(|reason| Error::Encode { path: path.into(), reason })?;
    file.finish()?;
    Ok(note)
}

const NO_OPACITY: &str =
    "has opacity, but the output format has not; transparent parts are white (png, webp and tiff keep them)";

/// A grey or RGB image as the bytes of a PNG file.
pub fn encode_png(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    let samples = Samples { colour: image, alpha: None };
    png(&mut bytes, samples, None, png::Compression::Balanced).expect("encoding a valid image to memory");
    bytes
}

/// What an encoder gets: colour, with opacity as the last channel where there is one.
#[derive(Clone, Copy)]
struct Samples<'a> {
    colour: &'a Image,
    alpha: Option<&'a Image>,
}

impl<'a> Samples<'a> {
    fn channels(&self) -> usize {
        self.colour.channels() + usize::from(self.alpha.is_some())
    }

    fn row(&self, y: usize) -> Cow<'a, [u8]> {
        match self.alpha {
            None => Cow::Borrowed(self.colour.row(y)),
            Some(alpha) => Cow::Owned(interleave(self.colour.row(y), alpha.row(y))),
        }
    }

    fn all(&self) -> Cow<'a, [u8]> {
        match self.alpha {
            None => Cow::Borrowed(self.colour.data()),
            Some(alpha) => Cow::Owned(interleave(self.colour.data(), alpha.data())),
        }
    }
}

/// Row by row, because the encoder of `image` holds the whole compressed file in memory.
fn png(
    out: &mut impl Write,
    samples: Samples,
    icc: Option<&[u8]>,
    compression: png::Compression,
) -> Result<(), png::EncodingError> {
    let mut info = png::Info::with_size(samples.colour.width() as u32, samples.colour.height() as u32);
    info.color_type = match samples.channels() {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    };
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = icc.map(Cow::Borrowed);
    let mut encoder = png::Encoder::with_info(out, info)?;
    encoder.set_compression(compression);
    encoder.set_filter(png::Filter::Adaptive);
    let mut header = encoder.write_header()?;
    let mut stream = header.stream_writer()?;
    for y in 0..samples.colour.height() {
        stream.write_all(&samples.row(y))?;
    }
    stream.finish()
}

/// All other formats, whose encoders take the whole picture.
fn with(mut encoder: impl ImageEncoder, samples: Samples, icc: Option<&[u8]>) -> Result<(), String> {
    if let Some(icc) = icc {
        // An encoder without support for profiles writes the same pixels without one.
        let _ = encoder.set_icc_profile(icc.to_vec());
    }
    let colour_type = match samples.channels() {
        1 => ExtendedColorType::L8,
        2 => ExtendedColorType::La8,
        3 => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgba8,
    };
    let (width, height) = (samples.colour.width() as u32, samples.colour.height() as u32);
    encoder.write_image(&samples.all(), width, height, colour_type).map_err(|e| e.to_string())
}

fn interleave(colour: &[u8], alpha: &[u8]) -> Vec<u8> {
    let channels = colour.len() / alpha.len();
    let mut data = Vec::with_capacity(colour.len() + alpha.len());
    for (pixel, &alpha) in colour.chunks_exact(channels).zip(alpha) {
        data.extend_from_slice(pixel);
        data.push(alpha);
    }
    data
}

/// The picture without opacity, as it looks on white.
fn on_white(picture: Picture) -> Picture {
    let Some(alpha) = &picture.alpha else { return picture };
    let (width, height, channels) =
        (picture.colour.width(), picture.colour.height(), picture.colour.channels());
    // In place: the picture may be most of the memory there is.
    let mut data = picture.colour.into_data();
    for (pixel, &alpha) in data.chunks_exact_mut(channels).zip(alpha.data()) {
        let alpha = u32::from(alpha);
        for v in pixel {
            *v = ((u32::from(*v) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
    }
    let colour = Image::new(width, height, channels, data).expect("the picture keeps its size");
    Picture { colour, alpha: None, icc_profile: picture.icc_profile, notes: picture.notes }
}
