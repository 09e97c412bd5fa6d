//! What can go wrong with a file.

use crate::{Format, READABLE, name};
use mcir_runtime::image::ImageError;
use std::io;
use std::path::Path;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error about a file; [`Error::help`] says what to do next.
///
/// Names are written with [`name::text`]: paths that are not UTF-8 and control characters are escaped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An input file or folder is not there.
    #[error("{name} does not exist")]
    Missing {
        /// What was asked for.
        name: String,
    },
    /// A file of no bytes.
    #[error("{name} is empty: it has 0 bytes")]
    Empty {
        /// The file.
        name: String,
    },
    /// A folder without any image.
    #[error("there is no image in the folder {name}")]
    NoImages {
        /// The folder.
        name: String,
    },
    /// The content is no known image format, or is damaged.
    #[error("{name} cannot be read as an image: {reason}")]
    NotAnImage {
        /// The file.
        name: String,
        /// What the decoder says.
        reason: String,
    },
    /// A kind of picture that is known and not read.
    #[error("{name} is {what}, which is not read here")]
    Unread {
        /// The file.
        name: String,
        /// What it is.
        what: &'static str,
    },
    /// More pixels than are taken.
    #[error("{name} has {width}x{height} pixels, {what} {found}; the limit is {limit}")]
    TooLarge {
        /// The file.
        name: String,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The quantity that is too large, with a preposition that leads to its value.
        what: &'static str,
        /// Value found.
        found: u64,
        /// Largest value allowed.
        limit: u64,
    },
    /// More bytes than are read.
    #[error("{name} has more than {limit} bytes")]
    Endless {
        /// The file or pipe.
        name: String,
        /// Most bytes that are taken.
        limit: u64,
    },
    /// Reading or writing failed.
    #[error("cannot {action} {name}: {source}")]
    Io {
        /// A verb: read, write, create, list.
        action: &'static str,
        /// The file or folder.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The picture does not fit into the output's format.
    #[error("cannot write {name}: {width}x{height} pixels, but {} has at most {limit} {what}", format.extension())]
    Format {
        /// The file.
        name: String,
        /// The format.
        format: Format,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// What the limit counts: "on a side", "in total".
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The encoder refused the picture.
    #[error("cannot write {name}: {reason}")]
    Encode {
        /// The file.
        name: String,
        /// What the encoder says.
        reason: String,
    },
    /// The output's name has no extension of a format that can be written.
    #[error("{name} does not end in the extension of an image format")]
    OutputFormat {
        /// The output.
        name: String,
    },
    /// An image could not be cropped or resized.
    #[error("{name}: {source}")]
    Image {
        /// The image.
        name: String,
        /// Why.
        source: ImageError,
    },
    /// There is no room for an image.
    #[error("{name}: there is no memory for {bytes} bytes of pixels")]
    Memory {
        /// The image, or what makes it.
        name: String,
        /// Bytes needed.
        bytes: usize,
    },
}

impl Error {
    /// Makes an error about reading or writing `path`.
    pub fn io<P: AsRef<Path> + ?Sized>(
        action: &'static str,
        path: &P,
    ) -> impl Fn(io::Error) -> Self + Clone + use<P> {
        let name = name::text(path.as_ref());
        move |source| Self::Io { action, name: name.clone(), source }
    }

    /// The next thing to try, as one sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::Missing { .. } => "check the path; relative paths start at the current folder".into(),
            Self::Empty { .. } => "copy or download the file again".into(),
            Self::NoImages { .. } => {
                format!("images are found by their extension: {}", READABLE.join(", "))
            }
            Self::NotAnImage { .. } => {
                format!("it has to be a whole file in one of the formats {}", READABLE.join(", "))
            }
            Self::Unread { what, .. } if what.contains("arithmetic") => {
                "code it anew without loss: jpegtran -copy all IN.jpg >OUT.jpg".into()
            }
            Self::Unread { what: "a video", .. } => {
                "mcir-board camera takes videos, as y4m: ffmpeg -i VIDEO -f yuv4mpegpipe -pix_fmt yuv420p - | mcir-board \
                 camera --source - -o OUT.y4m"
                    .into()
            }
            Self::Unread { .. } => "convert it to png first".into(),
            Self::TooLarge { .. } => "cut the image into parts or shrink it first".into(),
            Self::Endless { .. } => {
                "check that it is what was meant; a picture from a pipe can be saved as a file first".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::InvalidFilename => {
                "give a shorter name".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                "wait until it has ended, or give another name".into()
            }
            Self::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                "make room there, or write to another disk".into()
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
                "this place does not take files of that size: raise its limit, or write to another disk"
                    .into()
            }
            Self::Io { action: "read", .. } => "check that the file can be read".into(),
            Self::Io { .. } => "check that the folder exists, can be written to and has space".into(),
            Self::Format { format: Format::Png, .. } | Self::Encode { .. } => {
                "cut the image into parts".into()
            }
            Self::Format { .. } => "write it as png, or upscale it by less, for example with -s 2".into(),
            Self::OutputFormat { .. } => format!("use one of the extensions {}", Format::EXTENSIONS),
            Self::Image { .. } => "leave it out or use a larger image".into(),
            Self::Memory { .. } => "end other programs, or cut the image into parts".into(),
        }
    }

    /// 2 when the command itself asks for something impossible, otherwise 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputFormat { .. } => 2,
            _ => 1,
        }
    }
}
