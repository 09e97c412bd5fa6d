//! JPEG frames: finding where each ends in a stream, and decoding them.

#[cfg(test)]
mod tests;

use super::raw::{MAX_PIXELS, MAX_SIDE, Space};
use mcir_runtime::image::Image;
use std::borrow::Cow;
use std::io::{self, BufRead};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// First bytes of a frame.
pub const MAGIC: &[u8] = &[0xff, 0xd8];
/// Longest frame in bytes.
pub const MAX_BYTES: usize = 1 << 25;
/// Most pixels in a byte: a block of 8x8 pixels takes at least one bit, the code of its mean.
const MAX_PIXELS_A_BYTE: usize = 8 * 64;
/// Bytes between two frames that are skipped, such as the headers of a multipart stream.
const MAX_GAP: usize = 1 << 16;

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JpegError {
    /// Bytes that do not lead to a frame.
    #[error("no JPEG image begins within {MAX_GAP} bytes")]
    Gap,
    /// A frame without an end.
    #[error("a JPEG image is longer than {MAX_BYTES} bytes")]
    Long,
    /// The stream ends within a frame.
    #[error("it ends within a JPEG image, after {found} of its bytes")]
    Truncated {
        /// Bytes of the frame that are there.
        found: usize,
    },
    /// A side of 0, or more pixels than this program takes.
    #[error(
        "a JPEG image of {width}x{height} pixels; sides are at most {MAX_SIDE} and all pixels {MAX_PIXELS}"
    )]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// A header that promises more than can follow; memory is not taken for it.
    #[error("a JPEG image of {width}x{height} pixels cannot be in {bytes} bytes")]
    Promise {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes of the frame.
        bytes: usize,
    },
    /// The decoder refuses it.
    #[error("a damaged JPEG image: {0}")]
    Damaged(String),
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The next frame of a stream, from its first marker to its last; `None` at the end of the stream.
///
/// # Errors
/// [`JpegError::Gap`], [`JpegError::Long`], [`JpegError::Truncated`] or [`JpegError::Io`].
pub fn next_frame(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, JpegError> {
    let mut frame = Vec::new();
    let mut last = 0;
    for _ in 0..=MAX_GAP {
        let Some(byte) = next_byte(input)? else { return Ok(None) };
        if last == 0xff && byte == 0xd8 {
            frame.extend(MAGIC);
            break;
        }
        last = byte;
    }
    if frame.is_empty() {
        return Err(JpegError::Gap);
    }
    // Segments have lengths, so that a thumbnail's end is not taken for the frame's.
    let mut code = marker(input, &mut frame)?;
    loop {
        code = match code {
            0xd9 => return Ok(Some(frame)),
            0xda => {
                segment(input, &mut frame)?;
                scan(input, &mut frame)?
            }
            0x01 | 0xd0..=0xd8 => marker(input, &mut frame)?,
            _ => {
                segment(input, &mut frame)?;
                marker(input, &mut frame)?
            }
        };
    }
}

fn next_byte(input: &mut impl BufRead) -> io::Result<Option<u8>> {
    let byte = input.fill_buf()?.first().copied();
    if byte.is_some() {
        input.consume(1);
    }
    Ok(byte)
}

/// The next byte, which is kept in the frame.
fn keep(input: &mut impl BufRead, frame: &mut Vec<u8>) -> Result<u8, JpegError> {
    let byte = next_byte(input)?.ok_or(JpegError::Truncated { found: frame.len() })?;
    if frame.len() >= MAX_BYTES {
        return Err(JpegError::Long);
    }
    frame.push(byte);
    Ok(byte)
}

/// The code of the next marker.
fn marker(input: &mut impl BufRead, frame: &mut Vec<u8>) -> Result<u8, JpegError> {
    loop {
        if keep(input, frame)? != 0xff {
            continue;
        }
        loop {
            match keep(input, frame)? {
                0xff => {}
                0x00 => break,
                code => return Ok(code),
            }
        }
    }
}

/// A segment with its length.
fn segment(input: &mut impl BufRead, frame: &mut Vec<u8>) -> Result<(), JpegError> {
    let length = usize::from(u16::from_be_bytes([keep(input, frame)?, keep(input, frame)?]));
    for _ in 2..length {
        keep(input, frame)?;
    }
    Ok(())
}

/// Coded data, up to the next marker, whose code it gives. Restarts and stuffing belong to the data.
fn scan(input: &mut impl BufRead, frame: &mut Vec<u8>) -> Result<u8, JpegError> {
    let mut last = 0;
    loop {
        let byte = keep(input, frame)?;
        if last == 0xff && !matches!(byte, 0x00 | 0xd0..=0xd7 | 0xff) {
            return Ok(byte);
        }
        last = byte;
    }
}

/// Decodes a frame. Cameras may leave out the Huffman tables, which then are the usual ones.
///
/// # Errors
/// [`JpegError::Size`], [`JpegError::Promise`] or [`JpegError::Damaged`].
pub fn decode(bytes: &[u8], wanted: Space) -> Result<(Image, Space), JpegError> {
    let damaged = |e: zune_jpeg::errors::DecodeErrors| JpegError::Damaged(e.to_string());
    let bytes = with_tables(bytes);
    let options =
        DecoderOptions::default().set_strict_mode(false).set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes[..]), options);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    if width == 0 || height == 0 || width * height > MAX_PIXELS {
        return Err(JpegError::Size { width, height });
    }
    if width * height > MAX_PIXELS_A_BYTE * bytes.len() {
        return Err(JpegError::Promise { width, height, bytes: bytes.len() });
    }
    let (space, out) = match (decoder.input_colorspace(), wanted) {
        (Some(ColorSpace::Luma), _) => (Space::Grey, ColorSpace::Luma),
        (Some(ColorSpace::YCbCr), Space::YCbCr) => (Space::YCbCr, ColorSpace::YCbCr),
        _ => (Space::Rgb, ColorSpace::RGB),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(out));
    let pixels = decoder.decode().map_err(damaged)?;
    let image = Image::new(width, height, space.channels(), pixels);
    Ok((image.map_err(|e| JpegError::Damaged(e.to_string()))?, space))
}

/// A frame whose missing Huffman tables are announced in the way that decoders know.
fn with_tables(bytes: &[u8]) -> Cow<'_, [u8]> {
    // An APP0 segment "AVI1" tells that the tables are the usual ones.
    const AVI1: [u8; 18] = [0xff, 0xe0, 0, 16, b'A', b'V', b'I', b'1', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    if !bytes.starts_with(MAGIC) || has_tables(&bytes[2..]) {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned([MAGIC, &AVI1, &bytes[2..]].concat())
}

/// Whether there is a segment of Huffman tables, or none can be told missing.
fn has_tables(mut rest: &[u8]) -> bool {
    loop {
        match rest {
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0xc4, ..] => return true,
            [0xff, 0xda, ..] => return false,
            [0xff, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                match rest.get(2 + length..) {
                    Some(next) => rest = next,
                    None => return true,
                }
            }
            _ => return true,
        }
    }
}
