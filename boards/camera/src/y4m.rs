//! YUV4MPEG2, the plain video format that every tool can write: one header line, then frames.
//!
//! Reading takes hostile bytes: lines, sides and the memory for a frame are limited, and memory is taken as
//! bytes arrive, not as a header promises.

#[cfg(test)]
mod tests;
mod write;

pub use write::Writer;

use super::raw::{Layout, Matrix, Packing, RawError, Siting, Subsampling};
use std::io::{self, BufRead, Read};

/// First bytes of a stream.
pub const MAGIC: &[u8] = b"YUV4MPEG2";
/// Longest header line, with room for the comments that tools put there.
const MAX_HEADER: u64 = 4096;
/// Longest line before a frame.
const MAX_FRAME_LINE: u64 = 1024;
/// Largest frame rate that is believed.
const MAX_RATE: f64 = 1000.0;

/// Why a stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Y4mError {
    /// Another kind of file.
    #[error("it does not begin with YUV4MPEG2")]
    Magic,
    /// A line without an end.
    #[error("its {what} line is longer than {limit} bytes")]
    Line {
        /// Header or frame.
        what: &'static str,
        /// Longest line that is read.
        limit: u64,
    },
    /// A header field that means nothing.
    #[error("its header has {field}, which is no {what}")]
    Field {
        /// As found.
        field: String,
        /// What it should be.
        what: &'static str,
    },
    /// A header without width or height.
    #[error("its header has no {what}")]
    NoField {
        /// Width or height.
        what: &'static str,
    },
    /// A colour format that is not read.
    #[error("its colour format is {found}; 420, 422, 444, 411 and mono with 8 bits are read")]
    Colour {
        /// As found.
        found: String,
    },
    /// A frame that is impossible.
    #[error(transparent)]
    Raw(#[from] RawError),
    /// Something else where a frame should begin.
    #[error("frame {frame} does not begin with FRAME")]
    Frame {
        /// Number of the frame, from 0.
        frame: u64,
    },
    /// The stream ends within a frame.
    #[error("it ends within frame {frame}: {found} of {expected} bytes")]
    Truncated {
        /// Number of the frame, from 0.
        frame: u64,
        /// Bytes of a frame.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// Reading failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// How frames lie in memory.
    pub layout: Layout,
    /// Bytes after a frame that are not read: the opacity of 444alpha.
    pub skip: usize,
    /// Frames per second, where it says so.
    pub rate: Option<(u32, u32)>,
    /// Whether rows of two fields alternate.
    pub interlaced: bool,
}

impl Header {
    /// Reads a header line, without its line feed. `matrix` is not in the format and taken as given.
    ///
    /// # Errors
    /// [`Y4mError`] for anything that cannot be a stream that this program reads.
    pub fn parse(line: &[u8], matrix: Matrix) -> Result<Self, Y4mError> {
        let rest = line.strip_prefix(MAGIC).ok_or(Y4mError::Magic)?;
        if !rest.is_empty() && rest[0] != b' ' {
            return Err(Y4mError::Magic);
        }
        let (mut width, mut height, mut rate) = (None, None, None);
        let (mut colour, mut interlaced, mut full_range) = (None, false, None);
        for field in rest.split(|&b| b == b' ').filter(|f| !f.is_empty()) {
            let wrong = |what| Y4mError::Field { field: printable(field), what };
            let value = &field[1..];
            match field[0] {
                b'W' => width = Some(number(value).ok_or_else(|| wrong("width"))?),
                b'H' => height = Some(number(value).ok_or_else(|| wrong("height"))?),
                b'F' => rate = ratio(value),
                b'I' => interlaced = !matches!(value, b"p" | b"?"),
                b'C' => colour = Some(value),
                b'X' if value == b"COLORRANGE=FULL" => full_range = Some(true),
                b'X' if value == b"COLORRANGE=LIMITED" => full_range = Some(false),
                // Pixel aspect ratios and comments change nothing here; neither do fields still to be invented.
                _ => {}
            }
        }
        let width = width.ok_or(Y4mError::NoField { what: "width" })?;
        let height = height.ok_or(Y4mError::NoField { what: "height" })?;
        let (packing, alpha) = packing(colour.unwrap_or(b"420"))?;
        let full_range = full_range.unwrap_or(false);
        let layout = Layout::new(packing, width, height, full_range, matrix)?;
        Ok(Self { layout, skip: if alpha { width * height } else { 0 }, rate, interlaced })
    }
}

fn packing(colour: &[u8]) -> Result<(Packing, bool), Y4mError> {
    let planar = |subsampling, siting| (Packing::Planar { subsampling, siting }, false);
    Ok(match colour {
        b"420" | b"420jpeg" => planar(Subsampling::Quarter, Siting::Centre),
        b"420mpeg2" => planar(Subsampling::Quarter, Siting::Left),
        b"420paldv" => planar(Subsampling::Quarter, Siting::TopLeft),
        b"422" => planar(Subsampling::Half, Siting::Left),
        b"411" => planar(Subsampling::FourInARow, Siting::Left),
        b"444" => planar(Subsampling::None, Siting::Centre),
        b"444alpha" => (planar(Subsampling::None, Siting::Centre).0, true),
        b"mono" => (Packing::Grey, false),
        _ => return Err(Y4mError::Colour { found: printable(colour) }),
    })
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    // Signs would be taken by `parse`.
    text.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// A rate such as 30000:1001; 0:0 stands for unknown.
fn ratio(text: &[u8]) -> Option<(u32, u32)> {
    let colon = text.iter().position(|&b| b == b':')?;
    let (n, d): (u32, u32) = (number(&text[..colon])?, number(&text[colon + 1..])?);
    (n > 0 && d > 0 && f64::from(n) / f64::from(d) <= MAX_RATE).then_some((n, d))
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
    format!("`{}`", text.escape_debug())
}

/// Reads frames.
pub struct Reader<R> {
    input: R,
    header: Header,
    frame: u64,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Y4mError`].
    pub fn new(mut input: R, matrix: Matrix) -> Result<Self, Y4mError> {
        // Without the right start there may never be a line feed.
        let mut magic = Vec::new();
        input.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(Y4mError::Magic);
        }
        let line = line(&mut input, magic, "header", MAX_HEADER)?;
        Ok(Self { input, header: Header::parse(&line, matrix)?, frame: 0 })
    }

    /// What the stream says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Waits for the next frame to begin; false at the end of the stream.
    ///
    /// # Errors
    /// [`Y4mError::Frame`] when there is something else, [`Y4mError::Line`], [`Y4mError::Io`].
    pub fn begin(&mut self) -> Result<bool, Y4mError> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let line = line(&mut self.input, Vec::new(), "frame", MAX_FRAME_LINE)?;
        match line.strip_prefix(b"FRAME") {
            Some([] | [b' ', ..]) => Ok(true),
            _ => Err(Y4mError::Frame { frame: self.frame }),
        }
    }

    /// Reads the frame that [`Reader::begin`] found.
    ///
    /// # Errors
    /// [`Y4mError::Truncated`] or [`Y4mError::Io`].
    pub fn read(&mut self) -> Result<Vec<u8>, Y4mError> {
        let expected = self.header.layout.bytes();
        let data = take(&mut self.input, expected)?;
        let short = |found| Y4mError::Truncated { frame: self.frame, expected, found };
        if data.len() < expected {
            return Err(short(data.len()));
        }
        let skip = self.header.skip as u64;
        if io::copy(&mut self.input.by_ref().take(skip), &mut io::sink())? < skip {
            return Err(short(expected));
        }
        self.frame += 1;
        Ok(data)
    }
}

/// Up to `n` bytes, in memory that grows with what arrives.
pub(super) fn take(input: &mut impl Read, n: usize) -> io::Result<Vec<u8>> {
    const STEP: usize = 1 << 20;
    let mut data = Vec::with_capacity(n.min(STEP));
    while data.len() < n {
        let wanted = (n - data.len()).min(STEP.max(data.len()));
        data.reserve_exact(wanted);
        if input.by_ref().take(wanted as u64).read_to_end(&mut data)? < wanted {
            break;
        }
    }
    Ok(data)
}

/// The rest of a line that began with `start`, without its line feed.
fn line(
    input: &mut impl BufRead,
    mut start: Vec<u8>,
    what: &'static str,
    limit: u64,
) -> Result<Vec<u8>, Y4mError> {
    input.by_ref().take(limit - start.len() as u64).read_until(b'\n', &mut start)?;
    if start.pop_if(|b| *b == b'\n').is_none() {
        return Err(if start.len() as u64 >= limit {
            Y4mError::Line { what, limit }
        } else {
            io::Error::from(io::ErrorKind::UnexpectedEof).into()
        });
    }
    Ok(start)
}
