//! TIFF of the usual kinds, decoded where the picture then stays: the decoder of `image` holds it twice.

use super::{Decoded, Input, Limits, MAX_BESIDE_BYTES, MAX_PIXELS, depth};
use crate::{Density, Result};
use image::metadata::Orientation;
use std::io::{self, BufRead, Seek};
use tiff::decoder::ifd::Value;
use tiff::decoder::{Decoder, Limits as DecoderLimits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

/// Most pages that are counted.
const MAX_PAGES: u32 = 1000;

/// `None` for kinds that are left to `image`: palettes, CMYK, planes and the like.
pub(super) fn decode<R: BufRead + Seek>(
    source: &mut R,
    input: &Input,
    limits: &Limits,
) -> Result<Option<Decoded>> {
    source.rewind().map_err(|e| input.failed(e))?;
    let decoded = usual(&mut *source, input, limits)?;
    if decoded.is_none() {
        source.rewind().map_err(|e| input.failed(e))?;
    }
    Ok(decoded)
}

fn usual<R: BufRead + Seek>(source: R, input: &Input, limits: &Limits) -> Result<Option<Decoded>> {
    let damaged = |error: TiffError| match error {
        TiffError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => input.failed(source),
        error => limits.damaged(error),
    };
    let mut decoder_limits = DecoderLimits::default();
    decoder_limits.ifd_value_size = MAX_BESIDE_BYTES as usize;
    decoder_limits.intermediate_buffer_size = 4 * MAX_PIXELS as usize;
    decoder_limits.decoding_buffer_size = 8 * MAX_PIXELS as usize;
    let mut decoder = Decoder::new(source).map_err(damaged)?.with_limits(decoder_limits);
    let (width, height) = decoder.dimensions().map_err(damaged)?;
    let (width, height) = (width as usize, height as usize);
    limits.check(width, height)?;
    let (channels, bits) = match decoder.colortype().map_err(damaged)? {
        ColorType::Gray(bits) => (1, bits),
        // Two samples, of which the first is grey.
        ColorType::GrayA(bits) | ColorType::Multiband { bit_depth: bits, num_samples: 2 } => (2, bits),
        ColorType::RGB(bits) => (3, bits),
        ColorType::RGBA(bits) => (4, bits),
        _ => return Ok(None),
    };
    let layout = decoder.image_buffer_layout().map_err(damaged)?;
    let bytes = width * height * channels * usize::from(bits) / 8;
    let whole_numbers = layout.sample_format == tiff::tags::SampleFormat::Uint;
    if !matches!(bits, 8 | 16) || !whole_numbers || layout.planes != 1 || layout.complete_len != bytes {
        return Ok(None);
    }
    let orientation = decoder.find_tag_unsigned(Tag::Orientation).unwrap_or_default();
    let icc_profile = decoder.get_tag_u8_vec(Tag::IccProfile).ok();
    let mut pixels = limits.pixels(bytes as u64)?;
    decoder.read_image_bytes(&mut pixels).map_err(damaged)?;
    let kind = if bits == 16 { image::ColorType::L16 } else { image::ColorType::L8 };
    let deep = depth::to_8_bits(&mut pixels, kind);
    let orientation = orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms);
    let mut side = |tag| match decoder.find_tag(tag) {
        Ok(Some(Value::Rational(n, d))) => f64::from(n) / f64::from(d),
        _ => 0.0,
    };
    let (x, y) = (side(Tag::XResolution), side(Tag::YResolution));
    let density = match decoder.find_tag_unsigned::<u16>(Tag::ResolutionUnit).ok().flatten() {
        Some(1) => Density::new(x, y, false),
        Some(3) => Density::new(x * 2.54, y * 2.54, true),
        _ => Density::new(x, y, true),
    };
    let mut pages = 1;
    while pages < MAX_PAGES && decoder.more_images() && decoder.next_image().is_ok() {
        pages += 1;
    }
    Ok(Some(Decoded {
        width,
        height,
        channels,
        pixels,
        orientation,
        icc_profile,
        deep,
        quality: None,
        density,
        pages: (pages > 1).then_some(pages),
    }))
}
