//! Frames from a stream of bytes, which is y4m or JPEG images one after the other.

use super::{Pixels, Request, Shot, Source};
use crate::error::CameraError;
use crate::mjpeg::{self, JpegError};
use crate::y4m::{self, Y4mError};
use mcir_upscale::error::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
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
    Jpeg(Input),
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
            _ if start.starts_with(&mjpeg::MAGIC[..start.len().min(mjpeg::MAGIC.len())]) => Kind::Jpeg(input),
            _ => {
                let found = format!("`{}`", start[..start.len().min(12)].escape_ascii());
                return Err(CameraError::Unknown { name, found }.into());
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
                if input.fill_buf().map_err(|e| failed(JpegError::Io(e)))?.is_empty() {
                    return Ok(None);
                }
                let began = Instant::now();
                let frame = mjpeg::next_frame(input).map_err(failed)?;
                let shot = |data| Shot { pixels: Pixels::Jpeg(data), began, capture: began.elapsed() };
                Ok(frame.map(shot))
            }
        }
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

    fn note(&self) -> Option<String> {
        let interlaced = matches!(&self.kind, Kind::Y4m(reader) if reader.header().interlaced);
        interlaced.then(|| {
            format!(
                "{} is interlaced; fast motion will show combs (ffmpeg -vf yadif removes them)",
                self.name
            )
        })
    }
}
