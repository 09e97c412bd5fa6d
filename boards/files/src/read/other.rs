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
        density: None,
        pages: None,
    })
}

/// What a file is whose kind is known and not read, by its first bytes.
pub(super) fn known_but_unread(start: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, bytes: &[u8]| start.get(offset..offset + bytes.len()) == Some(bytes);
    if at(4, b"ftyp") {
        let brands = &start[8..start.len().min(64)];
        let has = |names: &[&[u8; 4]]| brands.chunks_exact(4).any(|b| names.iter().any(|n| b == *n));
        return Some(match () {
            () if has(&[b"avif", b"avis"]) => "an AVIF picture",
            () if has(&[b"heic", b"heix", b"mif1", b"hevc", b"msf1"]) => {
                "an HEIF picture, as phones take them"
            }
            () => "a video",
        });
    }
    [
        (0, &b"\0\0\0\x0cJXL "[..], "a JPEG XL picture"),
        (0, b"\xff\x0a", "a JPEG XL picture"),
        (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (0, b"8BPS", "a Photoshop document"),
        (0, b"%PDF", "a PDF document"),
        (0, b"v/1\x01", "an OpenEXR picture"),
        (0, b"\x76\x2f\x31\x01", "an OpenEXR picture"),
        (0, b"#?RADIANCE", "a Radiance HDR picture"),
        (0, b"<svg", "an SVG drawing"),
        (0, b"\x1a\x45\xdf\xa3", "a video"),
    ]
    .into_iter()
    .find_map(|(offset, bytes, what)| at(offset, bytes).then_some(what))
}
