//! YUV4MPEG2, the plain video format that every tool can write: one header line, then frames.
//!
//! Reading takes hostile bytes: lines, sides and the memory for a frame are limited, and memory is taken as
//! bytes arrive, not as a header promises.

mod pad;
#[cfg(test)]
mod tests;
mod write;

pub use write::{Facts, Writer, written_frame_bytes};

use super::raw::{Layout, Matrix, Packing, RawError, Siting, Subsampling};
use pad::Padding;
use std::io::{self, BufRead, Read};

/// First bytes of a stream.
pub const MAGIC: &[u8] = b"YUV4MPEG2";
/// Longest header line, with room for the comments that tools put there.
const MAX_HEADER: u64 = 4096;
/// Longest line before a frame.
const MAX_FRAME_LINE: u64 = 1024;
/// Blank bytes between two frames that are skipped.
const MAX_BLANK: usize = 1 << 16;
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
    #[error("its header has {field}, which is not a {what}")]
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
    #[error("its colour format is {found}; 420, 422, 444, 411 and mono with 8 to 16 bits are read")]
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
    /// Bits of a sample. With more than 8 it is two bytes in the stream, the lower first; frames are given in 8.
    pub bits: u8,
    /// Bytes after a frame that are not read: the opacity of 444alpha.
    pub skip: usize,
    /// Width and height of a pixel, where it says so.
    pub aspect: Option<(u32, u32)>,
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
        let (mut colour, mut old_colour, mut aspect) = (None, None, None);
        let (mut interlaced, mut full_range) = (false, None);
        for field in rest.split(|&b| b == b' ').filter(|f| !f.is_empty()) {
            let wrong = |what| Y4mError::Field { field: printable(field), what };
            let value = &field[1..];
            match field[0] {
                b'W' => width = Some(number(value).ok_or_else(|| wrong("width"))?),
                b'H' => height = Some(number(value).ok_or_else(|| wrong("height"))?),
                b'F' => rate = ratio(value),
                b'I' => interlaced = !matches!(value, b"p" | b"?"),
                b'A' => aspect = ratio(value),
                b'C' => colour = Some(value),
                // What mjpegtools wrote before there was `C`.
                b'X' if value.starts_with(b"YSCSS=") => old_colour = Some(value[6..].to_ascii_lowercase()),
                b'X' if value == b"COLORRANGE=FULL" => full_range = Some(true),
                b'X' if value == b"COLORRANGE=LIMITED" => full_range = Some(false),
                // Comments change nothing here; neither do fields still to be invented.
                _ => {}
            }
        }
        let width = width.ok_or(Y4mError::NoField { what: "width" })?;
        let height = height.ok_or(Y4mError::NoField { what: "height" })?;
        let Colour { packing, bits, alpha } =
            Colour::parse(colour.or(old_colour.as_deref()).unwrap_or(b"420"))?;
        let full_range = full_range.unwrap_or(false);
        let layout = Layout::new(packing, width, height, full_range, matrix)?;
        let skip = if alpha { width * height } else { 0 };
        let rate = rate.filter(|&(n, d)| f64::from(n) / f64::from(d) <= MAX_RATE);
        Ok(Self { layout, bits, skip, rate, aspect, interlaced })
    }
}

/// What `C` says.
struct Colour {
    packing: Packing,
    bits: u8,
    alpha: bool,
}

impl Colour {
    fn parse(text: &[u8]) -> Result<Self, Y4mError> {
        let wrong = || Y4mError::Colour { found: printable(text) };
        // `420p10`, `mono12`: the depth ends the name.
        let digits = text.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let (name, depth) = text.split_at(text.len() - digits);
        let (name, bits) = match name {
            b"mono" if digits > 0 => (name, number(depth).ok_or_else(wrong)?),
            [name @ .., b'p'] if digits > 0 && name.first().is_some_and(u8::is_ascii_digit) => {
                (name, number(depth).ok_or_else(wrong)?)
            }
            _ => (text, 8),
        };
        if !(8..=16).contains(&bits) {
            return Err(wrong());
        }
        let planar = |subsampling, siting| Packing::Planar { subsampling, siting };
        let (packing, alpha) = match name {
            // Deeper ones come from cameras and codecs, which site as MPEG-2 does.
            b"420" if bits > 8 => (planar(Subsampling::Quarter, Siting::Left), false),
            b"420" | b"420jpeg" => (planar(Subsampling::Quarter, Siting::Centre), false),
            b"420mpeg2" => (planar(Subsampling::Quarter, Siting::Left), false),
            b"420paldv" => (planar(Subsampling::Quarter, Siting::TopLeft), false),
            b"422" => (planar(Subsampling::Half, Siting::Left), false),
            b"411" => (planar(Subsampling::FourInARow, Siting::Left), false),
            b"444" => (planar(Subsampling::None, Siting::Centre), false),
            b"444alpha" => (planar(Subsampling::None, Siting::Centre), true),
            b"mono" => (Packing::Grey, false),
            _ => return Err(wrong()),
        };
        Ok(Self { packing, bits, alpha })
    }
}

/// Samples of two bytes to 8 bits. In video range depths differ by a power of two, in full range both ends are kept.
fn narrow(data: &[u8], bits: u8, full_range: bool) -> Vec<u8> {
    let most = (1_u32 << bits) - 1;
    let half = 1_u32 << (bits - 9);
    let sample = |pair: &[u8]| {
        let v = u32::from(u16::from_le_bytes([pair[0], pair[1]])).min(most);
        match full_range {
            true => ((v * 255 + most / 2) / most) as u8,
            false => ((v + half) >> (bits - 8)).min(255) as u8,
        }
    };
    data.chunks_exact(2).map(sample).collect()
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    // Signs would be taken by `parse`.
    text.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// A rate or an aspect such as 30000:1001; 0:0 stands for unknown.
fn ratio(text: &[u8]) -> Option<(u32, u32)> {
    let colon = text.iter().position(|&b| b == b':')?;
    let (n, d): (u32, u32) = (number(&text[..colon])?, number(&text[colon + 1..])?);
    (n > 0 && d > 0).then_some((n, d))
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
    /// Bytes that were looked at already.
    ahead: Vec<u8>,
    /// How rows are padded, once the first frame has told.
    padding: Option<Padding>,
    blanks: bool,
}

/// What follows a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Frame,
    End,
    Other,
}

const FRAME: &[u8] = b"FRAME";

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
        let header = Header::parse(&line, matrix)?;
        Ok(Self { input, header, frame: 0, ahead: Vec::new(), padding: None, blanks: false })
    }

    /// What the stream says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether blank bytes stood between frames or behind the last, which the format does not have.
    pub fn has_blanks(&self) -> bool {
        self.blanks
    }

    /// Whether rows are padded, which the format does not have either.
    pub fn is_padded(&self) -> bool {
        self.padding.is_some()
    }

    /// Waits for the next frame to begin; false at the end of the stream.
    ///
    /// # Errors
    /// [`Y4mError::Frame`] when there is something else, [`Y4mError::Line`], [`Y4mError::Io`].
    pub fn begin(&mut self) -> Result<bool, Y4mError> {
        match self.look()? {
            Next::End => return Ok(false),
            Next::Other => return Err(Y4mError::Frame { frame: self.frame }),
            Next::Frame => self.ahead.clear(),
        }
        let line = line(&mut self.input, FRAME.to_vec(), "frame", MAX_FRAME_LINE)?;
        match &line[FRAME.len()..] {
            [] | [b' ', ..] => Ok(true),
            _ => Err(Y4mError::Frame { frame: self.frame }),
        }
    }

    /// Looks behind blank bytes: line ends, spaces and zeros, which some programs leave behind frames.
    fn look(&mut self) -> io::Result<Next> {
        let blank = |b: &u8| matches!(b, 0 | b' ' | b'\r' | b'\n' | b'\t');
        let mut start = self.ahead.iter().take_while(|b| blank(b)).count();
        loop {
            let found = &self.ahead[start..];
            if !FRAME.starts_with(found) || start > MAX_BLANK {
                return Ok(Next::Other);
            }
            if found == FRAME {
                self.blanks |= start > 0;
                return Ok(Next::Frame);
            }
            let Some(&byte) = self.input.fill_buf()?.first() else {
                if !found.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.blanks |= start > 0;
                return Ok(Next::End);
            };
            start += usize::from(found.is_empty() && blank(&byte));
            self.ahead.push(byte);
            self.input.consume(1);
        }
    }

    /// Reads the frame that [`Reader::begin`] found, in 8 bits and without padding.
    ///
    /// # Errors
    /// [`Y4mError::Truncated`] or [`Y4mError::Io`].
    pub fn read(&mut self) -> Result<Vec<u8>, Y4mError> {
        let Header { layout, bits, skip, .. } = self.header;
        let bytes_a_sample = 1 + usize::from(bits > 8);
        let expected = self.padding.map_or(layout.bytes() * bytes_a_sample, |padding| padding.bytes());
        let mut data = take(&mut self.input, expected)?;
        let short = |found| Y4mError::Truncated { frame: self.frame, expected, found };
        if data.len() < expected {
            return Err(short(data.len()));
        }
        let skip = (skip * bytes_a_sample) as u64;
        if io::copy(&mut self.input.by_ref().take(skip), &mut io::sink())? < skip {
            return Err(short(expected));
        }
        self.frame += 1;
        if self.frame == 1 && bits == 8 && skip == 0 {
            self.find_padding(&mut data)?;
        }
        // A header that says more bits than there are; the first frame would be two.
        if self.frame == 1 && bits > 8 && self.look()? == Next::Other {
            return Err(Y4mError::Frame { frame: 1 });
        }
        if let Some(padding) = &self.padding {
            data = padding.removed(&data);
        }
        Ok(if bits > 8 { narrow(&data, bits, layout.full_range) } else { data })
    }

    /// Tells from what follows the first frame whether it is padded, and then reads the rest of it.
    fn find_padding(&mut self, data: &mut Vec<u8>) -> Result<(), Y4mError> {
        let Some(padding) = Padding::of(&self.header.layout) else { return Ok(()) };
        if self.look()? != Next::Other {
            return Ok(());
        }
        let more = padding.bytes() - data.len();
        if more > self.ahead.len() {
            let rest = take(&mut self.input, more - self.ahead.len())?;
            self.ahead.extend(rest);
        }
        let padded = self.ahead.drain(..more.min(self.ahead.len())).collect::<Vec<_>>();
        if padded.len() < more || self.look()? == Next::Other {
            return Err(Y4mError::Frame { frame: self.frame });
        }
        data.extend(padded);
        self.padding = Some(padding);
        Ok(())
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
