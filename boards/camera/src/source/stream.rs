//! Frames from a stream of bytes, which is y4m or JPEG images one after the other.

use super::{Pixels, Request, Shot, Source};
use crate::error::CameraError;
use crate::mjpeg::{self, Frame, JpegError};
use crate::y4m::{self, Y4mError};
use mcir_upscale::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::time::Instant;

type Input = Box<dyn BufRead + Send>;

/// A stream that has been recognized.
pub(super) struct Stream {
    name: String,
    kind: Kind,
}

enum Kind {
    Y4m(y4m::Reader<Input>),
    Jpeg(mjpeg::Reader<Input>),
}

impl Stream {
    /// A file.
    pub fn open(path: &Path, request: &Request) -> Result<Self> {
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => Error::missing(path),
            _ => Error::io("read", path)(source),
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        Self::new(file, path.display().to_string(), request)
    }

    /// Waits for the first bytes to tell what it is.
    pub fn new(input: impl Read + Send + 'static, name: String, request: &Request) -> Result<Self> {
        let mut input: Input = Box::new(BufReader::with_capacity(1 << 16, input));
        let start = input.fill_buf().map_err(|e| y4m_error(&name, Y4mError::Io(e)))?;
        let kind = match start {
            [] => return Err(CameraError::NoFrames { name }.into()),
            // A pipe may have delivered only some bytes of the first line.
            _ if start.starts_with(&y4m::MAGIC[..start.len().min(y4m::MAGIC.len())]) => {
                let reader = y4m::Reader::new(input, request.matrix);
                Kind::Y4m(reader.map_err(|e| y4m_error(&name, e))?)
            }
            // One that begins with something else: the headers of a multipart stream, for example.
            _ => {
                let (before, found) =
                    before_jpeg(&mut input).map_err(|e| y4m_error(&name, Y4mError::Io(e)))?;
                if !found {
                    let found = format!("`{}`", before[..before.len().min(12)].escape_ascii());
                    return Err(CameraError::Unknown { name, found }.into());
                }
                Kind::Jpeg(mjpeg::Reader::new(Box::new(Cursor::new(before).chain(input))))
            }
        };
        Ok(Self { name, kind })
    }

    fn read(&mut self) -> Result<Option<Shot>> {
        match &mut self.kind {
            Kind::Y4m(reader) => {
                let failed = |e| y4m_error(&self.name, e);
                if !reader.begin().map_err(failed)? {
                    return Ok(None);
                }
                let began = Instant::now();
                let data = reader.read().map_err(failed)?;
                let pixels = Pixels::Raw(reader.header().layout, data);
                Ok(Some(Shot { pixels, began, capture: began.elapsed() }))
            }
            Kind::Jpeg(input) => {
                let failed = |source| CameraError::Jpeg { name: self.name.clone(), source };
                if input.is_at_end().map_err(|e| failed(JpegError::Io(e)))? {
                    return Ok(None);
                }
                let began = Instant::now();
                let pixels = match input.read().map_err(failed)? {
                    Some(Frame::Whole(bytes)) => Pixels::Jpeg(bytes),
                    Some(Frame::Damaged(why)) => Pixels::Damaged(why),
                    None => return Ok(None),
                };
                Ok(Some(Shot { pixels, began, capture: began.elapsed() }))
            }
        }
    }
}

/// Reads up to the start of a JPEG image and whether there is one within what may stand before it.
fn before_jpeg(input: &mut Input) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    loop {
        if bytes.ends_with(mjpeg::MAGIC) {
            return Ok((bytes, true));
        }
        let Some(&byte) = input.fill_buf()?.first() else { return Ok((bytes, false)) };
        if bytes.len() > mjpeg::MAX_GAP {
            return Ok((bytes, false));
        }
        bytes.push(byte);
        input.consume(1);
    }
}

fn y4m_error(name: &str, source: Y4mError) -> Error {
    CameraError::Y4m { name: name.into(), source }.into()
}

impl Source for Stream {
    fn next(&mut self) -> Result<Option<Shot>> {
        self.read()
    }

    fn rate(&self) -> Option<(u32, u32)> {
        match &self.kind {
            Kind::Y4m(reader) => reader.header().rate,
            Kind::Jpeg(_) => None,
        }
    }

    fn aspect(&self) -> Option<(u32, u32)> {
        match &self.kind {
            Kind::Y4m(reader) => reader.header().aspect,
            Kind::Jpeg(_) => None,
        }
    }

    fn note(&self) -> Option<String> {
        let Kind::Y4m(reader) = &self.kind else { return None };
        let (name, header) = (&self.name, reader.header());
        let mut notes = Vec::new();
        if header.interlaced {
            notes.push(format!(
                "{name} is interlaced; fast motion will show combs (ffmpeg -vf yadif removes them)"
            ));
        }
        if header.bits > 8 {
            notes.push(format!("{name} has {} bits a sample; they are converted to 8", header.bits));
        }
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    fn end_note(&self) -> Option<String> {
        let Kind::Y4m(reader) = &self.kind else { return None };
        let name = &self.name;
        let blanks = reader
            .has_blanks()
            .then(|| format!("{name} has blank bytes between or behind its frames, which were skipped"));
        let padded = reader
            .is_padded()
            .then(|| format!("the rows of {name} are padded, as GStreamer's y4menc pads them"));
        let notes: Vec<_> = [blanks, padded].into_iter().flatten().collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}
