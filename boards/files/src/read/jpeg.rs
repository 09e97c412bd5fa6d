//! JPEG, of which every part must be there: most decoders fill what is missing with grey.

use super::{Decoded, Input, Limits, MAX_SIDE, metadata, quality};
use crate::{Error, Result};
use std::io::Read;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

pub(super) fn decode(mut source: impl Read, input: &Input, limits: &Limits) -> Result<Decoded> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).map_err(|e| input.failed(e))?;
    if let Some(what) = unread_kind(&bytes) {
        return Err(Error::Unread { name: input.name(), what });
    }
    let options = DecoderOptions::default().set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    end_strictly(&mut bytes);
    match whole(&bytes, options.set_strict_mode(true), limits) {
        // What some cameras leave between two segments does no harm.
        Err(error) if error.to_string().contains("Extra bytes between headers") => {
            whole(&bytes, options.set_strict_mode(false), limits)
        }
        result => result,
    }
}

/// Bits that are no code of any Huffman table, all ones, and more of them than a decoder reads ahead.
const NO_CODE: [u8; 64] = {
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = 0xff;
        at += 2;
    }
    bytes
};

/// Replaces the end marker behind the one scan of a sequential JPEG, at which a decoder would stop without a word even where
/// blocks are missing, by bits that are no code: whoever reads on finds them. Other kinds, whose scans need the marker, stay
/// as they are.
pub fn end_strictly(bytes: &mut Vec<u8>) {
    if let Some(end) = only_scan(bytes) {
        bytes.truncate(end);
        bytes.extend(NO_CODE);
    }
}

/// The kind of a JPEG that no decoder here reads, by its frame header: of the fourteen kinds cameras and programs write two.
fn unread_kind(bytes: &[u8]) -> Option<&'static str> {
    let mut at = 2;
    loop {
        let &[0xff, code, high, low] = bytes.get(at..at + 4)? else { return None };
        match code {
            0xff => {
                at += 1;
                continue;
            }
            0xc0..=0xc2 if bytes.get(at + 4).is_some_and(|&bits| bits != 8) => {
                return Some("a JPEG of more than 8 bits a sample");
            }
            0xc3 => return Some("a lossless JPEG"),
            0xc5..=0xc7 => return Some("a hierarchical JPEG"),
            0xc9..=0xcf => return Some("a JPEG with arithmetic coding"),
            0xc0..=0xc2 | 0xda => return None,
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
}

/// Where the one scan of a sequential JPEG ends; `None` for other kinds.
fn only_scan(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut sequential) = (2, false);
    loop {
        let &[0xff, code, high, low] = bytes.get(at..at + 4)? else { return None };
        match code {
            0xc0 | 0xc1 => sequential = true,
            0xc2..=0xcf if !matches!(code, 0xc4 | 0xc8 | 0xcc) => return None,
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
        if code == 0xda {
            break;
        }
    }
    let scan = bytes.get(at..)?;
    // A byte 0xff of the scan is followed by 0, or is a restart marker.
    let end = scan.windows(2).position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xd0..=0xd7 | 0xff))?;
    (sequential && scan[end + 1] == 0xd9).then_some(at + end)
}

fn whole(bytes: &[u8], options: DecoderOptions, limits: &Limits) -> Result<Decoded> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|e| limits.damaged(e))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| limits.damaged("it has no size"))?;
    limits.check(width, height)?;
    let (channels, space) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        _ => (3, ColorSpace::RGB),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let orientation =
        metadata::orientation(decoder.exif().map(Vec::as_slice), decoder.xmp().map(Vec::as_slice));
    let icc_profile = decoder.icc_profile();
    let mut pixels = limits.pixels((width * height * channels) as u64)?;
    decoder.decode_into(&mut pixels).map_err(|e| limits.damaged(e))?;
    Ok(Decoded {
        width,
        height,
        channels,
        pixels,
        orientation,
        icc_profile,
        deep: false,
        quality: quality::of(bytes),
        density: None,
        pages: None,
    })
}
