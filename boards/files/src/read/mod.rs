//! Decoding, with limits that are checked before pixels are allocated.

mod depth;
mod input;
mod jpeg;
mod metadata;
mod other;
mod quality;
#[cfg(test)]
mod tests;
mod tiff;

pub use input::Input;
pub use jpeg::end_strictly;

use crate::{About, Density, Error, Picture, Result};
use image::ImageFormat;
use image::metadata::Orientation;
use input::Source;
use std::fs::File;
use std::io::{BufRead, Read, Seek};
use std::path::Path;

/// Most pixels of a picture that is decoded: 805 MB as RGB.
pub const MAX_PIXELS: u64 = 1 << 28;
/// Longest side of a picture in pixels. Longer ones are no photographs, and a row costs time of its own.
pub const MAX_SIDE: usize = 1 << 20;
/// Memory that a decoder may use for what is beside the pixels. Colour profiles are packed in some formats, and unfold
/// to a thousand times what they take in the file; the largest that printers need have a few MB.
const MAX_BESIDE_BYTES: u64 = 1 << 25;

/// Reads an image file of at most [`MAX_PIXELS`].
///
/// # Errors
/// As [`Input::read`].
pub fn read(path: &Path) -> Result<Picture> {
    Input::from(path).read(MAX_PIXELS)
}

impl Input {
    /// Reads an image of at most `max_pixels`: 8 bits a channel, upright. The format is told from the content, and the
    /// first frame of an animation is taken. What cannot seek (the standard input, a pipe) is kept before it is decoded:
    /// little in memory, more in a temporary file.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Empty`], [`Error::NotAnImage`], [`Error::TooLarge`], [`Error::Endless`],
    /// [`Error::Memory`] or [`Error::Io`].
    pub fn read(&self, max_pixels: u64) -> Result<Picture> {
        match self.open()? {
            Source::File(file) => decode(file, self, max_pixels),
            Source::Kept(kept) => decode(kept, self, max_pixels),
        }
    }
}

/// What a decoder gives before it decodes, and what it makes.
struct Decoded {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Vec<u8>,
    orientation: Orientation,
    icc_profile: Option<Vec<u8>>,
    /// More than 8 bits a channel were there.
    deep: bool,
    /// Of a JPEG.
    quality: Option<u8>,
    /// Of a TIFF.
    density: Option<Density>,
    pages: Option<u32>,
}

fn decode<R: BufRead + Seek>(mut source: R, input: &Input, max_pixels: u64) -> Result<Picture> {
    let name = input.name();
    let start = source.fill_buf().map_err(|source| input.failed(source))?;
    if start.is_empty() {
        return Err(Error::Empty { name });
    }
    let known = image::guess_format(start).ok().filter(ImageFormat::reading_enabled);
    let format = known.or_else(|| input.format_by_extension());
    let limits = Limits { name: &name, max_pixels };
    let unread = known.is_none().then(|| other::known_but_unread(start)).flatten();
    if let Some(what) = unread {
        return Err(Error::Unread { name, what });
    }
    let mut about = format.map(|format| About::of(&mut source, format)).unwrap_or_default();
    source.rewind().map_err(|source| input.failed(source))?;
    let decoded = match format {
        Some(ImageFormat::Jpeg) => jpeg::decode(source, input, &limits)?,
        Some(ImageFormat::Tiff) => match tiff::decode(&mut source, input, &limits)? {
            Some(decoded) => decoded,
            None => other::decode(source, ImageFormat::Tiff, input, &limits)?,
        },
        Some(format) => other::decode(source, format, input, &limits)?,
        None => {
            let reason = "its content and its name are of no known format".into();
            return Err(Error::NotAnImage { name, reason });
        }
    };
    let Decoded { width, height, channels, pixels, orientation, icc_profile, deep, quality, density, pages } =
        decoded;
    let mut picture = Picture::new(width, height, channels, pixels).turned(orientation);
    picture.icc_profile = icc_profile.filter(|icc| metadata::describes(icc, picture.colours()));
    picture.jpeg_quality = quality;
    about.density = density.or(about.density);
    about.pictures = pages.or(about.pictures);
    // A profile says more than a gamma, and goes first where there are both.
    if picture.icc_profile.is_some() {
        (about.gamma, about.chromaticities) = (None, None);
    }
    picture.about = about;
    if let Some(pictures) = about.pictures {
        picture
            .notes
            .push(format!("has {pictures} pictures; this is the first of them, the others are left out"));
    }
    if deep {
        picture.notes.push("has more than 8 bits a channel; it was converted to 8".into());
    }
    Ok(picture)
}

/// What is checked before memory is taken.
struct Limits<'a> {
    name: &'a str,
    max_pixels: u64,
}

impl Limits<'_> {
    fn check(&self, width: usize, height: usize) -> Result<()> {
        let too_large = |what, found, limit| {
            Err(Error::TooLarge { name: self.name.into(), width, height, what, found, limit })
        };
        let pixels = width as u64 * height as u64;
        if pixels > self.max_pixels {
            return too_large("in total", pixels, self.max_pixels);
        }
        if width.max(height) > MAX_SIDE {
            return too_large("on its longer side", width.max(height) as u64, MAX_SIDE as u64);
        }
        Ok(())
    }

    /// Zeros for a decoder to fill.
    fn pixels(&self, bytes: u64) -> Result<Vec<u8>> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut pixels = buffer(self.name, bytes)?;
        pixels.resize(bytes, 0);
        Ok(pixels)
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> Error {
        // Messages of decoders may have several lines, and quote what they found.
        let reason = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Error::NotAnImage { name: self.name.into(), reason: crate::name::escaped(&reason) }
    }
}

/// The bytes of a file that is no picture, at most `limit` of them.
///
/// # Errors
/// [`Error::Empty`], [`Error::Endless`] or [`Error::Io`].
pub fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let input = Input::from(path);
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(Error::io("read", path))?;
    match bytes.len() as u64 {
        0 => Err(Error::Empty { name: input.name() }),
        found if found > limit => Err(Error::Endless { name: input.name(), limit }),
        _ => Ok(bytes),
    }
}

/// An empty buffer for this many bytes of an image.
///
/// # Errors
/// [`Error::Memory`] when there is no room for it.
pub fn buffer(name: &str, bytes: usize) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    match buffer.try_reserve_exact(bytes) {
        Ok(()) => Ok(buffer),
        Err(_) => Err(Error::Memory { name: name.into(), bytes }),
    }
}
