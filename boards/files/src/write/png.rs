//! PNG.

use super::{EncodeError, Header, Produce, pass_rows};
use crate::About;
use mcir_runtime::image::Image;
use png::{BitDepth, ColorType, Compression, EncodingError, Filter, Info, PixelDimensions, ScaledFloat};
use png::{SourceChromaticities, Unit};
use std::borrow::Cow;
use std::io::Write;

impl From<EncodingError> for EncodeError {
    fn from(error: EncodingError) -> Self {
        match error {
            EncodingError::IoError(source) => Self::Io(source),
            error => Self::Refused(error.to_string()),
        }
    }
}

pub(super) fn encode(
    out: &mut impl Write,
    header: &Header<'_>,
    compression: Compression,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    let mut info = Info::with_size(header.width as u32, header.height as u32);
    info.color_type = match header.channels {
        1 => ColorType::Grayscale,
        2 => ColorType::GrayscaleAlpha,
        3 => ColorType::Rgb,
        _ => ColorType::Rgba,
    };
    info.bit_depth = BitDepth::Eight;
    info.icc_profile = header.icc_profile.map(Cow::Borrowed);
    let About { gamma, chromaticities, density, .. } = header.about;
    info.source_gamma = gamma.map(ScaledFloat::from_scaled);
    info.source_chromaticities = chromaticities.map(|values| {
        let at = |i: usize| (ScaledFloat::from_scaled(values[i]), ScaledFloat::from_scaled(values[i + 1]));
        SourceChromaticities { white: at(0), red: at(2), green: at(4), blue: at(6) }
    });
    info.pixel_dims = density.map(|density| {
        let (xppu, yppu) = density.per_metre();
        PixelDimensions { xppu, yppu, unit: if density.per_inch { Unit::Meter } else { Unit::Unspecified } }
    });
    let mut encoder = png::Encoder::with_info(out, info)?;
    encoder.set_compression(compression);
    encoder.set_filter(Filter::Adaptive);
    let mut writer = encoder.write_header()?;
    let mut stream = writer.stream_writer()?;
    pass_rows(produce, |row| stream.write_all(row))?;
    stream.finish()?;
    Ok(writer.finish()?)
}

/// A grey or RGB image as the bytes of a PNG file.
pub fn encode_png(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (width, height) = (image.width(), image.height());
    let header =
        Header { width, height, channels: image.channels(), icc_profile: None, about: About::default() };
    let mut rows = |sink: &mut super::Sink<'_>| {
        let _ = (0..height).all(|y| sink(image.row(y)));
    };
    let encoded = encode(&mut bytes, &header, Compression::Balanced, &mut rows);
    assert!(encoded.is_ok(), "a valid image is encoded to memory");
    bytes
}
