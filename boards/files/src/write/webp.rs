//! WebP, whose encoder takes the whole picture.

use super::{EncodeError, Header, Produce, pass_rows};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageError};
use std::io::Write;

pub(super) fn encode(
    out: &mut impl Write,
    header: &Header<'_>,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    let bytes = header.stride() * header.height;
    let mut pixels = Vec::new();
    let short = |_| EncodeError::Refused(format!("there is no memory for {bytes} bytes of pixels"));
    pixels.try_reserve_exact(bytes).map_err(short)?;
    pass_rows(produce, |row| {
        pixels.extend_from_slice(row);
        Ok::<_, EncodeError>(())
    })?;
    if pixels.len() != bytes {
        return Err(EncodeError::Refused("rows are missing".into()));
    }
    let mut encoder = WebPEncoder::new_lossless(out);
    if let Some(icc) = header.icc_profile {
        // An encoder that refuses the profile writes the same pixels without one.
        let _ = encoder.set_icc_profile(icc.to_vec());
    }
    let colour_type = match header.channels {
        1 => ExtendedColorType::L8,
        2 => ExtendedColorType::La8,
        3 => ExtendedColorType::Rgb8,
        _ => ExtendedColorType::Rgba8,
    };
    encoder.write_image(&pixels, header.width as u32, header.height as u32, colour_type).map_err(|error| {
        match error {
            ImageError::IoError(source) => EncodeError::Io(source),
            error => EncodeError::Refused(error.to_string()),
        }
    })
}
