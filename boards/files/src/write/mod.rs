//! Encoding row by row, while the picture is still being made: no encoder here but WebP's holds it whole.

mod bmp;
mod jpeg;
mod output;
mod png;
#[cfg(test)]
mod tests;
mod tiff;
mod webp;

pub use output::Output;
pub use png::encode_png;

use crate::name::text;
use crate::{About, Error, Input, MAX_PIXELS, Result};
use mcir_runtime::image::Image;
use output::File;
use std::io;
use std::path::Path;

/// Formats that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lossless, with opacity.
    Png,
    /// Lossy, without opacity.
    Jpeg,
    /// Lossless, with opacity; its encoder holds the whole picture and 4 more bytes a pixel.
    WebP,
    /// Not compressed, without opacity.
    Bmp,
    /// Not compressed, with opacity.
    Tiff,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Png, Self::Jpeg, Self::WebP, Self::Bmp, Self::Tiff];
    /// The extensions that name a format.
    pub const EXTENSIONS: &str = "png, jpg, jpeg, webp, bmp, tif, tiff";

    /// The format that an extension names.
    pub fn from_extension(extension: &str) -> Option<Self> {
        match extension.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "webp" => Some(Self::WebP),
            "bmp" => Some(Self::Bmp),
            "tif" | "tiff" => Some(Self::Tiff),
            _ => None,
        }
    }

    /// The format that the extension of a file name asks for.
    ///
    /// # Errors
    /// [`Error::OutputFormat`] when it is none of [`Format::EXTENSIONS`].
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        Self::from_extension(extension).ok_or_else(|| Error::OutputFormat { name: text(path) })
    }

    /// The extension that files of this format get in a folder.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
        }
    }

    /// One line of help.
    pub fn description(self) -> &'static str {
        match self {
            Self::Png => "Lossless, with opacity",
            Self::Jpeg => "Lossy, without opacity",
            Self::WebP => {
                "Lossless, with opacity; its encoder holds the whole picture and 4 more bytes a pixel"
            }
            Self::Bmp => "Not compressed, without opacity",
            Self::Tiff => "Not compressed, with opacity",
        }
    }

    /// Longest side in pixels.
    fn max_side(self) -> u64 {
        match self {
            Self::Jpeg => 65_535,
            Self::WebP => 16_383,
            Self::Png | Self::Bmp | Self::Tiff => i32::MAX as u64,
        }
    }

    /// Most pixels in total: what the format's length fields hold, or the memory that the encoder takes.
    fn max_pixels(self) -> u64 {
        match self {
            Self::WebP => MAX_PIXELS,
            // Lengths in bytes have 32 bits, and a pixel takes up to 4 with the ends of rows.
            Self::Bmp => (u32::MAX as u64 - 4096) / 4,
            Self::Png | Self::Jpeg | Self::Tiff => u64::MAX,
        }
    }

    /// Whether it keeps a colour profile of these colours: 1 of grey, 3 of RGB.
    fn has_profile(self, colours: usize) -> bool {
        match self {
            Self::Png | Self::Jpeg | Self::Tiff => true,
            // It knows no grey, and a profile of grey does not describe RGB.
            Self::WebP => colours == 3,
            Self::Bmp => false,
        }
    }

    /// Whether it keeps opacity.
    pub fn has_alpha(self) -> bool {
        matches!(self, Self::Png | Self::WebP | Self::Tiff)
    }

    /// Whether a picture of this size can be written.
    ///
    /// # Errors
    /// [`Error::Format`] when it has more pixels than the format allows.
    pub fn check_size(self, name: &str, width: usize, height: usize) -> Result<()> {
        let too_large =
            |what, limit| Err(Error::Format { name: name.into(), format: self, width, height, what, limit });
        if width.max(height) as u64 > self.max_side() {
            return too_large("on a side", self.max_side());
        }
        if width as u64 * height as u64 > self.max_pixels() {
            return too_large("pixels in total", self.max_pixels());
        }
        Ok(())
    }
}

/// What is known of a picture before its first row.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Channels: 1 grey, 2 grey and opacity, 3 RGB, 4 RGB and opacity.
    pub channels: usize,
    /// Colour profile.
    pub icc_profile: Option<&'a [u8]>,
    /// What else describes it.
    pub about: About,
}

impl Header<'_> {
    fn has_alpha(&self) -> bool {
        self.channels.is_multiple_of(2)
    }

    /// Bytes of a row.
    fn stride(&self) -> usize {
        self.width * self.channels
    }
}

/// Takes a row of `[width, channels]`; false when writing has failed and no more rows are wanted.
pub type Sink<'a> = dyn FnMut(&[u8]) -> bool + 'a;
/// Makes all rows from the top; what it returns ends up with the caller of [`write()`].
type Produce<'a> = dyn FnMut(&mut Sink<'_>) + 'a;

/// Writes a picture whose rows `produce` makes, one after the other from the top, each `[width, channels]`.
///
/// A file appears under its name when it is complete. A format without opacity gets the picture on white. What the format
/// cannot hold is left out, and the result has a note of it for the user.
///
/// # Errors
/// [`Error::Io`], [`Error::Format`] or [`Error::Encode`], or what `produce` returns; a file that had the name before is
/// then unchanged.
///
/// # Panics
/// If `produce` succeeds without having made all rows.
pub fn write<T, E: From<Error>>(
    to: &Output,
    format: Format,
    header: &Header<'_>,
    produce: impl FnOnce(&mut Sink<'_>) -> Result<T, E>,
) -> Result<(T, Vec<String>), E> {
    format.check_size(&to.name(), header.width, header.height)?;
    let mut file = to.create()?;
    let flat = header.has_alpha() && !format.has_alpha();
    let mut notes = Vec::new();
    if flat {
        notes.push(NO_OPACITY.to_owned());
    }
    let mut header = if flat { Header { channels: header.channels - 1, ..*header } } else { *header };
    let colours = header.channels - usize::from(header.has_alpha());
    let mut lost = header.about.lost(format == Format::Png, format != Format::WebP);
    if header.icc_profile.is_some() && !format.has_profile(colours) {
        header.icc_profile = None;
        lost.push("colour profile");
    }
    if !lost.is_empty() {
        notes.push(format!("has a {}, which {} files cannot keep", lost.join(" and a "), format.extension()));
    }
    let (mut produce, mut produced, mut rows) = (Some(produce), None, 0);
    let mut run = |sink: &mut Sink<'_>| {
        let produce = produce.take().expect("rows are made once");
        let mut on_white = Vec::new();
        produced = Some(produce(&mut |row| {
            rows += 1;
            if flat { sink(flatten(row, header.channels, &mut on_white)) } else { sink(row) }
        }));
    };
    let encoded = encode(&mut file, format, &header, &mut run);
    // An encoder that fails early has not asked for rows. One that was given none fails because of that.
    if let Some(Err(error)) = produced.take_if(|p| p.is_err()) {
        return Err(error);
    }
    encoded.map_err(|error| to.encode_error(error))?;
    let value = produced.and_then(Result::ok).expect("an encoder that succeeds has had its rows");
    assert_eq!(rows, header.height, "all rows were made");
    file.finish(to)?;
    Ok((value, notes))
}

const NO_OPACITY: &str =
    "has opacity, but the output format has not; transparent parts are white (png, webp and tiff keep them)";

/// Writes an image that is there.
///
/// # Errors
/// As [`write()`].
pub fn write_image(to: &Output, image: &Image, format: Format) -> Result<()> {
    let header = Header {
        width: image.width(),
        height: image.height(),
        channels: image.channels(),
        icc_profile: None,
        about: About::default(),
    };
    write(to, format, &header, |sink| {
        let _ = (0..image.height()).all(|y| sink(image.row(y)));
        Ok::<_, Error>(())
    })?;
    Ok(())
}

/// Why an encoder gave up.
enum EncodeError {
    Io(io::Error),
    Refused(String),
}

impl From<io::Error> for EncodeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn encode(
    out: &mut File,
    format: Format,
    header: &Header<'_>,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    match format {
        Format::Png => png::encode(out, header, ::png::Compression::Fast, produce),
        Format::Jpeg => jpeg::encode(out, header, produce),
        Format::WebP => webp::encode(out, header, produce),
        Format::Bmp => bmp::encode(out, header, produce),
        Format::Tiff => tiff::encode(out, header, produce),
    }
}

/// Gives rows to `take` until it fails; then says so to whoever makes them.
fn pass_rows<E>(produce: &mut Produce<'_>, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let mut result = Ok(());
    produce(&mut |row| {
        if result.is_ok() {
            result = take(row);
        }
        result.is_ok()
    });
    result
}

/// A row without its opacity, as it looks on white.
fn flatten<'a>(row: &[u8], colours: usize, out: &'a mut Vec<u8>) -> &'a [u8] {
    out.clear();
    for pixel in row.chunks_exact(colours + 1) {
        let (colour, alpha) = (&pixel[..colours], u32::from(pixel[colours]));
        out.extend(colour.iter().map(|&v| ((u32::from(v) * alpha + 255 * (255 - alpha) + 127) / 255) as u8));
    }
    out
}

impl Input {
    /// Whether writing to `output` would destroy this input.
    pub fn is(&self, output: &Output) -> bool {
        let real = |path: Option<&Path>| path.and_then(|p| p.canonicalize().ok());
        matches!((real(self.path()), real(output.path())), (Some(a), Some(b)) if a == b && a.is_file())
    }
}
