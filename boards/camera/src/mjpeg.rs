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
/// Bytes before the first frame that are skipped, such as the headers of a multipart stream.
pub const MAX_GAP: usize = 1 << 16;
/// Longest segment that holds no image, in bytes: with JFIF's and Adobe's usual ones.
const SMALL_SEGMENT: usize = 32;
/// Bytes between two segments that are skipped.
const MAX_STRAY: usize = 256;

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

/// A frame of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// From its first marker to its last.
    Whole(Vec<u8>),
    /// One that was broken off: why.
    Damaged(&'static str),
}

/// Finds the frames of a stream: JPEG images in a row, or with something between them, as in a multipart stream.
///
/// Where a frame breaks off, the next one is looked for from there, so that one damaged frame costs no other.
pub struct Reader<R> {
    input: R,
    /// Bytes that are read once more, because they were taken for part of a frame that was damaged.
    again: Vec<u8>,
    at: usize,
    /// Whether a frame has begun: then more may stand before the next.
    begun: bool,
}

/// Why a frame does not go on, and from which of its bytes on the next is looked for.
enum Stop {
    Failed(JpegError),
    Damaged(&'static str, usize),
}

impl<E: Into<JpegError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

const CUT: &str = "another image begins within it";
const ODD: &str = "its coded data holds a marker that does not belong there";
const HEADER: &str = "its header is damaged";

impl<R: BufRead> Reader<R> {
    /// Reads from here.
    pub fn new(input: R) -> Self {
        Self { input, again: Vec::new(), at: 0, begun: false }
    }

    /// Whether the stream has ended; waits for its next byte.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.at == self.again.len() && self.input.fill_buf()?.is_empty())
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`JpegError::Gap`], [`JpegError::Long`], [`JpegError::Truncated`] or [`JpegError::Io`].
    pub fn read(&mut self) -> Result<Option<Frame>, JpegError> {
        let (mut last, mut gap) = (0, 0);
        loop {
            let Some(byte) = self.byte()? else { return Ok(None) };
            if last == 0xff && byte == 0xd8 {
                break;
            }
            last = byte;
            gap += 1;
            if gap > if self.begun { MAX_BYTES } else { MAX_GAP } {
                return Err(JpegError::Gap);
            }
        }
        self.begun = true;
        let seen_before = self.at < self.again.len();
        let mut frame = MAGIC.to_vec();
        match self.rest(&mut frame) {
            Ok(()) => Ok(Some(Frame::Whole(frame))),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Damaged(why, from)) => {
                // Nothing is gone through more than twice, however many starts there are in it.
                let from = if seen_before { from.max(frame.len() - 2) } else { from };
                self.again.drain(..self.at);
                self.at = 0;
                self.again.splice(0..0, frame.drain(from..));
                Ok(Some(Frame::Damaged(why)))
            }
        }
    }

    /// The segments and scans of a frame, to its last marker. Segments have lengths, so that a thumbnail's end is not taken
    /// for the frame's.
    fn rest(&mut self, frame: &mut Vec<u8>) -> Result<(), Stop> {
        let mut code = self.marker(frame, 2)?;
        let mut in_scans = false;
        loop {
            code = match code {
                0xd9 => return Ok(()),
                0xd8 => return Err(Stop::Damaged(CUT, frame.len() - 2)),
                0xda => {
                    self.segment(frame)?;
                    in_scans = true;
                    self.scan(frame)?
                }
                // Between scans there are tables, comments and what applications put there.
                0xc4 | 0xcc | 0xdb..=0xdd | 0xe0..=0xef | 0xfe => self.segment_and_marker(frame, code)?,
                _ if in_scans => return Err(Stop::Damaged(ODD, frame.len())),
                0x01 | 0xd0..=0xd7 => self.marker(frame, frame.len())?,
                0xc0..=0xfd => self.segment_and_marker(frame, code)?,
                _ => return Err(Stop::Damaged(HEADER, frame.len())),
            };
        }
    }

    fn segment_and_marker(&mut self, frame: &mut Vec<u8>, code: u8) -> Result<u8, Stop> {
        let start = frame.len();
        let read = self.segment(frame);
        // A wrong length, or a frame that was cut, may have taken in the next one. But what applications put there may hold
        // a thumbnail, which is none.
        let may_hold_one = matches!(code, 0xe0..=0xef | 0xfe) && frame.len() - start > SMALL_SEGMENT;
        let within = frame[start..].windows(3).position(|w| w == [0xff, 0xd8, 0xff]);
        if let (false, Some(at)) = (may_hold_one, within) {
            return Err(Stop::Damaged(CUT, start + at));
        }
        read?;
        let from = if may_hold_one { frame.len() } else { start };
        self.marker(frame, from)
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        if let Some(&byte) = self.again.get(self.at) {
            self.at += 1;
            return Ok(Some(byte));
        }
        if self.at > 0 {
            self.again.clear();
            self.at = 0;
        }
        let byte = self.input.fill_buf()?.first().copied();
        if byte.is_some() {
            self.input.consume(1);
        }
        Ok(byte)
    }

    /// The next byte, which is kept in the frame.
    fn keep(&mut self, frame: &mut Vec<u8>) -> Result<u8, JpegError> {
        let byte = self.byte()?.ok_or(JpegError::Truncated { found: frame.len() })?;
        if frame.len() >= MAX_BYTES {
            return Err(JpegError::Long);
        }
        frame.push(byte);
        Ok(byte)
    }

    /// The code of the next marker. Cameras leave a few bytes before it; where there are more, the frame is damaged, and the next
    /// is looked for in what came from `from` on.
    fn marker(&mut self, frame: &mut Vec<u8>, from: usize) -> Result<u8, Stop> {
        let start = frame.len();
        loop {
            if frame.len() - start > MAX_STRAY {
                return Err(Stop::Damaged(HEADER, from));
            }
            if self.keep(frame)? != 0xff {
                continue;
            }
            loop {
                match self.keep(frame)? {
                    0xff => {}
                    0x00 => break,
                    code => return Ok(code),
                }
            }
        }
    }

    /// A segment with its length.
    fn segment(&mut self, frame: &mut Vec<u8>) -> Result<(), Stop> {
        let start = frame.len();
        let length = usize::from(u16::from_be_bytes([self.keep(frame)?, self.keep(frame)?]));
        if length < 2 {
            return Err(Stop::Damaged(HEADER, start));
        }
        for _ in 2..length {
            self.keep(frame)?;
        }
        Ok(())
    }

    /// Coded data, up to the next marker, whose code it gives. Restarts and stuffing belong to the data.
    fn scan(&mut self, frame: &mut Vec<u8>) -> Result<u8, Stop> {
        let mut last = 0;
        loop {
            let byte = self.keep(frame)?;
            if last == 0xff && !matches!(byte, 0x00 | 0xd0..=0xd7 | 0xff) {
                return Ok(byte);
            }
            last = byte;
        }
    }
}

/// Decodes a frame, of which every block must be there. Cameras may leave out the Huffman tables, which then are the usual
/// ones.
///
/// # Errors
/// [`JpegError::Size`], [`JpegError::Promise`] or [`JpegError::Damaged`].
pub fn decode(bytes: &[u8], wanted: Space) -> Result<(Image, Space), JpegError> {
    let mut bytes = with_tables(bytes).into_owned();
    mcir_files::end_strictly(&mut bytes);
    match decode_strictly(&bytes, wanted, true) {
        // What some cameras leave between two segments does no harm.
        Err(JpegError::Damaged(why)) if why.contains("Extra bytes between headers") => {
            decode_strictly(&bytes, wanted, false)
        }
        result => result,
    }
}

fn decode_strictly(bytes: &[u8], wanted: Space, strictly: bool) -> Result<(Image, Space), JpegError> {
    let damaged = |e: zune_jpeg::errors::DecodeErrors| JpegError::Damaged(e.to_string());
    let options =
        DecoderOptions::default().set_strict_mode(strictly).set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
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
