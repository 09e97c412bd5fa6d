//! Decoding, with limits that are checked before pixels are allocated.

use super::{MAX_PIXELS, Picture, buffer, image_error};
use crate::error::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use mcir_runtime::image::Image;
use std::io;
use std::path::Path;

/// Extensions of the formats that can be read.
pub const READABLE: [&str; 12] =
    ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif", "qoi", "tga", "ppm", "pgm"];

/// Memory that a decoder may use for pixels.
const MAX_DECODER_BYTES: u64 = 4 * MAX_PIXELS;
/// Memory that it may use for what is beside the pixels. Colour profiles are packed in some formats, and unfold to a
/// thousand times what they take in the file; the largest that printers need have a few MB.
const MAX_BESIDE_BYTES: u64 = 1 << 25;

/// Reads an image file: 8 bits a channel, upright, opacity apart.
///
/// The format is told from the content. The first frame of an animation is taken. `upscale` is what the
/// picture will be enlarged by; pictures whose result would exceed [`MAX_PIXELS`] are refused before decoding.
///
/// # Errors
/// [`Error::Missing`], [`Error::Empty`], [`Error::NotAnImage`], [`Error::TooLarge`] or [`Error::Io`].
pub fn read(path: &Path, upscale: usize) -> Result<Picture> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path: path.into() },
        _ => Error::Io { action: "read", path: path.into(), source },
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(Error::Empty { path: path.into() });
    }
    let damaged = |error: ImageError| match error {
        // A file that ends early is reported as an i/o error by most decoders.
        ImageError::IoError(source) if source.kind() != io::ErrorKind::UnexpectedEof => failed(source),
        error => Error::NotAnImage { path: path.into(), reason: one_line(&error.to_string()) },
    };
    let mut reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(failed)?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_BESIDE_BYTES);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(damaged)?;

    let (width, height) = decoder.dimensions();
    check_size(path, width as usize, height as usize, upscale)?;
    let icc_profile = decoder.icc_profile().unwrap_or_default();
    let orientation = decoder.orientation().map_err(damaged)?;
    let colour_type = decoder.color_type();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    decoder.set_limits(limits).map_err(damaged)?;
    // The decoder would end the program where there is no room for the pixels. They are allocated and freed here to
    // find out; unlike a reservation that is kept, this costs no memory.
    drop(buffer(&path.display().to_string(), usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX))?);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    decoded.apply_orientation(orientation);
    let mut picture = split(decoded).map_err(image_error(path))?;
    picture.icc_profile = icc_profile.filter(|icc| describes(icc, &picture.colour));
    if colour_type.bytes_per_pixel() > colour_type.channel_count() {
        picture.notes.push("has more than 8 bits a channel; it was converted to 8");
    }
    Ok(picture)
}

fn check_size(path: &Path, width: usize, height: usize, upscale: usize) -> Result<()> {
    let too_large =
        |what, found, limit| Error::TooLarge { path: path.into(), width, height, what, found, limit };
    let pixels = width as u64 * height as u64;
    if pixels > MAX_PIXELS {
        return Err(too_large("in total", pixels, MAX_PIXELS));
    }
    let upscaled = pixels * (upscale as u64).pow(2);
    if upscaled > MAX_PIXELS {
        return Err(too_large("upscaled in total", upscaled, MAX_PIXELS));
    }
    Ok(())
}

/// Colour and opacity of a decoded image.
fn split(decoded: DynamicImage) -> Result<Picture, mcir_runtime::image::ImageError> {
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    let plane = |channels, data| Image::new(width, height, channels, data);
    let colour_type = decoded.color();
    let (colour, alpha) = match (colour_type.has_color(), colour_type.has_alpha()) {
        (false, false) => (plane(1, decoded.into_luma8().into_raw())?, None),
        (true, false) => (plane(3, decoded.into_rgb8().into_raw())?, None),
        (false, true) => {
            let data = decoded.into_luma_alpha8().into_raw();
            let grey = data.iter().step_by(2).copied().collect();
            let alpha = data.iter().skip(1).step_by(2).copied().collect();
            (plane(1, grey)?, Some(plane(1, alpha)?))
        }
        (true, true) => {
            let data = decoded.into_rgba8().into_raw();
            let rgb = data.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
            let alpha = data.iter().skip(3).step_by(4).copied().collect();
            (plane(3, rgb)?, Some(plane(1, alpha)?))
        }
    };
    Ok(Picture { alpha, ..Picture::new(colour) })
}

/// Whether a colour profile is for the channels that are left; that of a CMYK image is not after decoding.
fn describes(icc_profile: &[u8], colour: &Image) -> bool {
    // The colour space is a signature at byte 16 of the profile's header.
    let space: &[u8] = if colour.channels() == 3 { b"RGB " } else { b"GRAY" };
    icc_profile.get(16..20) == Some(space)
}

/// Messages of decoders may have several lines.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
