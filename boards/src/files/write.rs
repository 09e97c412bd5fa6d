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
    /// Lossless, with opacity.
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
pub fn write(path: &Path, picture: &Picture, format: Format) -> Result<Option<&'static str>> {
    let (width, height) = (picture.colour.width(), picture.colour.height());
    format.check_size(path, width, height)?;
    let mut note = None;
    let (data, channels) = match &picture.alpha {
        None => (Cow::Borrowed(picture.colour.data()), picture.colour.channels()),
        Some(alpha) if format.has_alpha() => {
            (Cow::Owned(interleave(&picture.colour, alpha)), picture.colour.channels() + 1)
        }
        Some(alpha) => {
            note = Some(
                "the output format has no opacity; transparent parts are white (png and webp keep them)",
            );
            (Cow::Owned(on_white(&picture.colour, alpha)), picture.colour.channels())
        }
    };
    let mut file = Pending::create(path)?;
    let samples = Samples { data: &data, width, height, channels };
    encode(&mut file, &samples, picture.icc_profile.as_deref(), format)
        .map_err(|reason| Error::Encode { path: path.into(), reason })?;
    file.finish()?;
    Ok(note)
}

/// A grey or RGB image as the bytes of a PNG file.
pub fn encode_png(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = (image.width(), image.height());
    let samples = Samples { data: image.data(), width, height, channels: image.channels() };
    png(&mut bytes, &samples, None, png::Compression::Balanced).expect("encoding a valid image to memory");
    bytes
}

/// Interleaved samples with 1 to 4 channels.
struct Samples<'a> {
    data: &'a [u8],
    width: usize,
    height: usize,
    channels: usize,
}

fn encode(file: &mut Pending, samples: &Samples, icc: Option<&[u8]>, format: Format) -> Result<(), String> {
    match format {
        Format::Png => png(file, samples, icc, png::Compression::Fast).map_err(|e| e.to_string()),
        Format::Jpeg => with(JpegEncoder::new_with_quality(file, JPEG_QUALITY), samples, icc),
        Format::WebP => with(WebPEncoder::new_lossless(file), samples, icc),
        Format::Bmp => with(BmpEncoder::new(file), samples, None),
        Format::Tiff => with(TiffEncoder::new(file), samples, icc),
    }
}

fn with(mut encoder: impl ImageEncoder, samples: &Samples, icc: Option<&[u8]>) -> Result<(), String> {
    if let Some(icc) = icc {
        // An encoder without support for profiles writes the same pixels without one.
        let _ = encoder.set_icc_profile(icc.to_vec());
    }
    let colour_type = match samples.channels {
        1 => ExtendedColorType::L8,
        2 => ExtendedColorType::La8,
        3 => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgba8,
    };
    let (width, height) = (samples.width as u32, samples.height as u32);
    encoder.write_image(samples.data, width, height, colour_type).map_err(|e| e.to_string())
}

/// Row by row, because the encoder of `image` holds the whole compressed file in memory.
fn png(
    out: &mut impl Write,
    samples: &Samples,
    icc: Option<&[u8]>,
    compression: png::Compression,
) -> Result<(), png::EncodingError> {
    let mut info = png::Info::with_size(samples.width as u32, samples.height as u32);
    info.color_type = match samples.channels {
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
    for row in samples.data.chunks_exact(samples.width * samples.channels) {
        stream.write_all(row)?;
    }
    stream.finish()
}

fn interleave(colour: &Image, alpha: &Image) -> Vec<u8> {
    let channels = colour.channels();
    let mut data = Vec::with_capacity(alpha.data().len() * (channels + 1));
    for (pixel, &alpha) in colour.data().chunks_exact(channels).zip(alpha.data()) {
        data.extend_from_slice(pixel);
        data.push(alpha);
    }
    data
}

fn on_white(colour: &Image, alpha: &Image) -> Vec<u8> {
    let pixels = colour.data().chunks_exact(colour.channels()).zip(alpha.data());
    let blend = |v: u8, a: u8| {
        let (v, a) = (u32::from(v), u32::from(a));
        ((v * a + 255 * (255 - a) + 127) / 255) as u8
    };
    pixels.flat_map(|(pixel, &a)| pixel.iter().map(move |&v| blend(v, a))).collect()
}
