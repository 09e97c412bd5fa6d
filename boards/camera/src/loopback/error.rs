//! What can go wrong with a loopback device.

use crate::error::CameraError;
use std::io;
use std::path::{Path, PathBuf};

/// Why frames cannot be shown as a camera of this machine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoopbackError {
    /// There is no such file.
    #[error("there is no device {}", path.display())]
    Missing {
        /// The device.
        path: PathBuf,
        /// Loopback devices that are there.
        found: String,
    },
    /// A file that is something else.
    #[error("{} is not a loopback device: {why}", path.display())]
    NotOne {
        /// The device.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// Somebody else writes to it.
    #[error("another program writes to {} already", path.display())]
    Taken {
        /// The device.
        path: PathBuf,
    },
    /// It may not be opened.
    #[error("no permission to write to {}", path.display())]
    Permission {
        /// The device.
        path: PathBuf,
    },
    /// It stays at another size.
    #[error(
        "{} keeps its {}x{} pixels, and the frames have {}x{}", path.display(), kept.0, kept.1, wanted.0, wanted.1
    )]
    Keeps {
        /// The device.
        path: PathBuf,
        /// Its width and height.
        kept: (usize, usize),
        /// Those of the frames.
        wanted: (usize, usize),
    },
    /// Its frames have no room for the pixels.
    #[error(
        "{} has rows of {stride} and frames of {bytes} bytes for {}x{} pixels of {code}", path.display(), wanted.0, wanted.1
    )]
    Rows {
        /// The device.
        path: PathBuf,
        /// Its pixel format.
        code: String,
        /// Bytes of a row, as it says.
        stride: usize,
        /// Bytes of a frame, as it says.
        bytes: usize,
        /// Width and height of the frames.
        wanted: (usize, usize),
    },
    /// No pixel format in common.
    #[error("{} takes {offered}; this program writes {written}", path.display())]
    PixelFormat {
        /// The device.
        path: PathBuf,
        /// Its formats.
        offered: String,
        /// Ours.
        written: String,
    },
    /// Frames that are too small for a sample of colour.
    #[error("{} takes frames of at least 2x2 pixels, and these have {}x{}", path.display(), size.0, size.1)]
    Narrow {
        /// The device.
        path: PathBuf,
        /// Width and height of the frames.
        size: (usize, usize),
    },
    /// Frames are cut off.
    #[error("{} took {taken} of the {bytes} bytes of a frame, twice", path.display())]
    Part {
        /// The device.
        path: PathBuf,
        /// Bytes that it took.
        taken: usize,
        /// Bytes of a frame.
        bytes: usize,
    },
    /// It was removed.
    #[error("the device {} has gone", path.display())]
    Gone {
        /// The device.
        path: PathBuf,
    },
    /// A system without such devices.
    #[error("the output v4l2: needs Linux")]
    OtherSystem,
    /// Everything else.
    #[error("the device {}: cannot {action}: {source}", path.display())]
    Failed {
        /// The device.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// How to get a device.
const LOAD: &str = "`sudo modprobe v4l2loopback exclusive_caps=1 video_nr=10 card_label=mcir` makes /dev/video10 (Debian, \
                    Ubuntu and Raspberry Pi OS have the module in v4l2loopback-dkms)";

impl LoopbackError {
    /// What a system's error means.
    pub(super) fn of(path: &Path, action: &'static str, source: io::Error) -> Self {
        use rustix::io::Errno;
        let path = path.to_owned();
        let not_one = |why: &str| Self::NotOne { path: path.clone(), why: why.into() };
        match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT) => Self::Missing { path, found: present() },
            Some(Errno::ACCESS | Errno::PERM) => Self::Permission { path },
            Some(Errno::BUSY) => Self::Taken { path },
            Some(Errno::NODEV | Errno::NXIO) => Self::Gone { path },
            Some(Errno::NOTTY) => not_one("it is not a video device"),
            Some(Errno::ISDIR) => not_one("it is a folder"),
            _ => Self::Failed { path, action, source },
        }
    }

    /// The next thing to try.
    pub fn help(&self) -> String {
        match self {
            Self::Missing { found, .. } => format!("{found}; {LOAD}"),
            Self::NotOne { .. } => format!("{}; {LOAD}", present()),
            Self::Taken { path } => {
                format!("`fuser -v {}` names the program; stop it, or use another device", path.display())
            }
            Self::Permission { .. } => "`sudo usermod -aG video $USER`, then log in again".into(),
            Self::Keeps { path, kept, .. } => format!(
                "it keeps the size while a program shows it: close that (`fuser -v {}` names it), or make frames of {}x{} with \
                 --size and -s",
                path.display(),
                kept.0,
                kept.1
            ),
            Self::Rows { .. } | Self::Part { .. } => {
                "`sudo modprobe -r v4l2loopback` and load it again, without programs that use it".into()
            }
            Self::PixelFormat { path, .. } => format!(
                "let ffmpeg convert: mcir-board camera … -o - | ffmpeg -i - -f v4l2 {}",
                path.display()
            ),
            Self::OtherSystem => "write y4m for another program with -o -".into(),
            Self::Narrow { .. } => "use larger frames".into(),
            Self::Gone { .. } => format!("load the module again and start anew; {LOAD}"),
            Self::Failed { path, .. } => format!("`v4l2-ctl -d {} --all` shows its state", path.display()),
        }
    }
}

impl LoopbackError {
    /// 2 where the command itself asks for something impossible, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OtherSystem => 2,
            _ => 1,
        }
    }
}

impl From<LoopbackError> for CameraError {
    fn from(error: LoopbackError) -> Self {
        Self::Loopback(error)
    }
}

/// The loopback devices that are there, for a message.
fn present() -> String {
    let entries = std::fs::read_dir("/sys/devices/virtual/video4linux").into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| format!("/dev/{}", e.file_name().to_string_lossy())).collect();
    names.sort();
    match names.is_empty() {
        true => "there is no loopback device on this machine".into(),
        false => format!("there are {}", names.join(", ")),
    }
}
