//! All formats that `image` decodes into a buffer of ours.

use super::{Decoded, Input, Limits, MAX_BESIDE_BYTES, MAX_PIXELS, depth, metadata};
use crate::Result;
use image::{ImageDecoder, ImageError, ImageFormat, ImageReader};
use std::io::{self, BufRead, Seek};

/// Memory that a decoder may use for pixels.
const MAX_DECODER_BYTES: u64 = 4 * MAX_PIXELS;

pub(super) fn decode<R: BufRead + Seek>(
    source: R,
    format: ImageFormat,
    input: &Input,
    limits: &Limits,
) -> Result<Decoded> {
    let damaged = |error: ImageError| match error {
        // A file that ends early is reported as an i/o error by most decoders.
        ImageError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => input.failed(source),
        error => limits.damaged(error),
    };
    let mut reader = ImageReader::with_format(source, format);
    let mut decoder_limits = image::Limits::default();
    decoder_limits.max_alloc = Some(MAX_BESIDE_BYTES);
    reader.limits(decoder_limits.clone());
    let mut decoder = reader.into_decoder().map_err(damaged)?;

    let (width, height) = decoder.dimensions();
    limits.check(width as usize, height as usize)?;
    let icc_profile = decoder.icc_profile().unwrap_or_default();
    let exif = decoder.exif_metadata().unwrap_or_default();
    let xmp = decoder.xmp_metadata().unwrap_or_default();
    let orientation = match format {
        // It is a tag of its own there.
        ImageFormat::Tiff => decoder.orientation().map_err(damaged)?,
        _ => metadata::orientation(exif.as_deref(), xmp.as_deref()),
    };
    let colour_type = decoder.color_type();
    decoder_limits.max_alloc = Some(MAX_DECODER_BYTES);
    decoder.set_limits(decoder_limits).map_err(damaged)?;
    let mut pixels = limits.pixels(decoder.total_bytes())?;
    decoder.read_image(&mut pixels).map_err(damaged)?;
    let deep = depth::to_8_bits(&mut pixels, colour_type);
    Ok(Decoded {
        width: width as usize,
        height: height as usize,
        channels: usize::from(colour_type.channel_count()),
        pixels,
        orientation,
        icc_profile,
        deep,
        quality: None,
    })
}
