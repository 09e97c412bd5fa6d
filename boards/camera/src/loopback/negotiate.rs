//! Agreeing with a device on a format.

use super::{Device, LoopbackError};
use crate::raw::{Matrix, Packer, Packing, Siting, Subsampling};
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// The formats that are written, best first. All programs read the first two; the first needs less memory.
const FORMATS: [([u8; 4], Packing); 4] = [
    (*b"YU12", Packing::Planar { subsampling: Subsampling::Quarter, siting: Siting::Centre }),
    (*b"YUYV", Packing::Packed422 { luma_first: true }),
    (*b"NV12", Packing::SemiPlanar { red_first: false }),
    (*b"UYVY", Packing::Packed422 { luma_first: false }),
];
/// Longest row that is believed, in bytes.
const MAX_STRIDE: usize = 1 << 20;

/// What a device is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub card: String,
    /// The name of its driver.
    pub driver: String,
    /// Frames can be written to it.
    pub takes_frames: bool,
}

impl About {
    /// Whether frames can be shown with it.
    ///
    /// # Errors
    /// [`LoopbackError::Taken`] or [`LoopbackError::NotOne`].
    pub(super) fn check(&self, path: &Path) -> Result<(), LoopbackError> {
        if self.takes_frames {
            return Ok(());
        }
        let path = path.to_owned();
        // With `exclusive_caps` it is a camera, and nothing else, for as long as somebody writes to it.
        if self.driver.replace(' ', "").eq_ignore_ascii_case("v4l2loopback") {
            return Err(LoopbackError::Taken { path });
        }
        let (card, driver) = (self.card.clone(), self.driver.clone());
        Err(LoopbackError::NotOne { path, why: format!("`{card}` ({driver}) takes no frames") })
    }
}

/// A format to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Pixel format.
    pub code: [u8; 4],
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Which colours Cb and Cr stand for; the range is that of video, 16..=235.
    pub matrix: Matrix,
}

/// A format that a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Pixel format.
    pub code: [u8; 4],
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Bytes from one row of the first plane to the next; 0 where the driver does not say.
    pub stride: usize,
    /// Bytes of a frame; 0 where the driver does not say.
    pub bytes: usize,
}

impl Given {
    /// How frames are packed; none for formats that are not written.
    pub fn packing(&self) -> Option<Packing> {
        FORMATS.iter().find(|(code, _)| *code == self.code).map(|(_, packing)| *packing)
    }

    /// The format with its stride, if frames of this size can be written like this.
    fn usable(mut self, size: (usize, usize)) -> Option<Self> {
        let packing = self.packing().filter(|_| self.size == size)?;
        let least = packing.min_stride(size.0);
        if self.stride == 0 {
            self.stride = least;
        }
        let holds = (least..=MAX_STRIDE).contains(&self.stride) && self.stride.is_multiple_of(2);
        let bytes = Packer::bytes(packing, size, self.stride);
        (holds && (self.bytes == 0 || bytes <= self.bytes)).then_some(self)
    }
}

/// What is to be done next.
#[derive(Debug)]
enum Step {
    Ask([u8; 4]),
    Agreed(Given),
    Failed(LoopbackError),
}

/// Goes through the formats until the device has one that can be written.
#[derive(Debug)]
struct Negotiation<'a> {
    path: &'a Path,
    size: (usize, usize),
    offered: Vec<[u8; 4]>,
    left: VecDeque<[u8; 4]>,
    /// What the device answered, where that was something else.
    other: Option<Given>,
}

impl<'a> Negotiation<'a> {
    /// With a device that lists these formats. One that lists none is asked for all; so is one that lists none of ours, at the end.
    fn new(path: &'a Path, size: (usize, usize), offered: Vec<[u8; 4]>) -> Self {
        let ours = FORMATS.iter().map(|(code, _)| *code);
        let left = ours.filter(|code| offered.is_empty() || offered.contains(code)).collect();
        Self { path, size, offered, left, other: None }
    }

    fn next(&mut self) -> Step {
        match self.left.pop_front() {
            Some(code) => Step::Ask(code),
            None => Step::Failed(self.failure()),
        }
    }

    /// What the device said to the format that was asked for last.
    fn answer(&mut self, answer: io::Result<Given>) -> Step {
        match answer {
            Ok(given) => match given.usable(self.size) {
                Some(given) => Step::Agreed(given),
                None => {
                    self.other.get_or_insert(given);
                    self.next()
                }
            },
            // This one not; another perhaps.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.next(),
            Err(source) => Step::Failed(LoopbackError::of(self.path, "set its format", source)),
        }
    }

    fn failure(&self) -> LoopbackError {
        let (path, wanted) = (self.path.to_owned(), self.size);
        match self.other {
            Some(Given { size, .. }) if size != wanted => LoopbackError::Keeps { path, kept: size, wanted },
            Some(Given { code, stride, bytes, .. }) if FORMATS.iter().any(|(ours, _)| *ours == code) => {
                let code = code.escape_ascii().to_string();
                LoopbackError::Rows { path, code, stride, bytes, wanted }
            }
            other => {
                let offered = match other {
                    Some(given) if self.offered.is_empty() => vec![given.code],
                    _ => self.offered.clone(),
                };
                LoopbackError::PixelFormat {
                    path,
                    offered: list(&offered),
                    written: list(&FORMATS.map(|f| f.0)),
                }
            }
        }
    }
}

fn list(codes: &[[u8; 4]]) -> String {
    let names: Vec<_> = codes.iter().map(|code| code.escape_ascii().to_string()).collect();
    if names.is_empty() { "no format at all".into() } else { names.join(", ") }
}

/// Agrees on a format for frames of this size, whose sides are even.
///
/// # Errors
/// [`LoopbackError`] where the device has none, keeps another size, or is used by somebody else.
pub fn negotiate(
    device: &mut dyn Device,
    path: &Path,
    size: (usize, usize),
    matrix: Matrix,
) -> Result<Given, LoopbackError> {
    // Not every driver lists them.
    let offered = match device.formats() {
        Ok(offered) => offered,
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Vec::new(),
        Err(e) => return Err(LoopbackError::of(path, "list its formats", e)),
    };
    let mut negotiation = Negotiation::new(path, size, offered);
    let mut step = negotiation.next();
    loop {
        match step {
            Step::Ask(code) => {
                step = negotiation.answer(device.set_format(&Wanted { code, size, matrix }));
            }
            Step::Agreed(given) => return Ok(given),
            Step::Failed(error) => return Err(error),
        }
    }
}
