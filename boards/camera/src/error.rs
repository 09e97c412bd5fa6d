//! What can go wrong between a camera and its viewers.

use super::loopback::LoopbackError;
use super::mjpeg::JpegError;
use super::raw::RawError;
use super::y4m::Y4mError;
use mcir_upscale::error::{Advice, Error};
use std::io;
use std::path::PathBuf;

/// An error of the verb `camera`. Like all errors of the program, it knows the next thing to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// `--source` does not name one.
    #[error("there is no source `{}`", mcir_files::without_passwords(text))]
    Source {
        /// As given.
        text: String,
    },
    /// A source that this system does not have.
    #[error("the source {source_name} needs Linux")]
    OtherSystem {
        /// Its name.
        source_name: &'static str,
    },
    /// None of the programs is installed.
    #[error("{} is not installed", programs.join(" or "))]
    NoProgram {
        /// In the order they were tried.
        programs: Vec<String>,
        /// How to get it.
        install: &'static str,
    },
    /// A program that cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program ended, or ended the stream.
    #[error("{program} ended after {frames} frames ({status}){}", after_colon(stderr))]
    Ended {
        /// The program.
        program: String,
        /// Frames it delivered.
        frames: u64,
        /// Its exit status.
        status: String,
        /// The last lines it wrote to the standard error.
        stderr: String,
    },
    /// Nothing came for a while.
    #[error("{name} delivered nothing for {seconds} s")]
    Stalled {
        /// The source.
        name: String,
        /// How long.
        seconds: u64,
    },
    /// Neither a y4m nor a JPEG stream.
    #[error("{name} is neither y4m nor JPEG: it begins with {found}")]
    Unknown {
        /// The source.
        name: String,
        /// The first bytes.
        found: String,
    },
    /// No bytes.
    #[error("{name} is empty")]
    NoFrames {
        /// The source.
        name: String,
    },
    /// A y4m stream that cannot be read.
    #[error("{name} cannot be read as y4m: {source}")]
    Y4m {
        /// The source.
        name: String,
        /// Why.
        source: Y4mError,
    },
    /// A JPEG stream that cannot be read.
    #[error("{name} cannot be read as JPEG: {source}")]
    Jpeg {
        /// The source.
        name: String,
        /// Why.
        source: JpegError,
    },
    /// A frame that is impossible.
    #[error("{name} gives {source}")]
    Raw {
        /// The source.
        name: String,
        /// Why.
        source: RawError,
    },
    /// A size that the source cannot give.
    #[error("{name} cannot give {width}x{height} pixels: {why}")]
    Size {
        /// The source.
        name: String,
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// The rule that is broken.
        why: &'static str,
    },
    /// A device file that is not there.
    #[error("there is no camera {}", path.display())]
    NoCamera {
        /// The device.
        path: PathBuf,
        /// Those that are there.
        found: String,
    },
    /// A device that is no camera.
    #[error("{} is not a camera: {why}", path.display())]
    NotACamera {
        /// The device.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// A camera that another program uses.
    #[error("the camera {} is in use by another program", path.display())]
    InUse {
        /// The device.
        path: PathBuf,
    },
    /// A device file that may not be opened.
    #[error("no permission to use {}", path.display())]
    Permission {
        /// The device.
        path: PathBuf,
        /// The group that may.
        group: &'static str,
    },
    /// No pixel format in common.
    #[error("the camera {} offers {offered}; this program reads {read}", path.display())]
    PixelFormat {
        /// The device.
        path: PathBuf,
        /// Its formats.
        offered: String,
        /// Ours.
        read: String,
    },
    /// The camera failed.
    #[error("the camera {}: cannot {action}: {source}", path.display())]
    Device {
        /// The device.
        path: PathBuf,
        /// What failed.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// The picture got another size in the middle of a y4m stream.
    #[error("the frames changed from {} to {}, which a y4m stream cannot", size(*before), size(*now))]
    Changed {
        /// Width and height of the first frames.
        before: (usize, usize),
        /// Width and height now.
        now: (usize, usize),
    },
    /// More pixels than this program writes.
    #[error("frames of {width}x{height} pixels upscaled by {upscale} have too many pixels")]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The factor.
        upscale: usize,
    },
    /// Frames and the report would both go to the standard output.
    #[error("--json and -o - both need the standard output")]
    StdoutTwice,
    /// Neither a stream nor a folder.
    #[error("{} is neither a y4m file nor a folder", path.display())]
    Output {
        /// As given.
        path: PathBuf,
    },
    /// A device that shows frames to other programs.
    #[error(transparent)]
    Loopback(LoopbackError),
    /// No thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// A stage ended without saying why.
    #[error("the {0} thread stopped unexpectedly")]
    Died(&'static str),
}

fn after_colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn size((width, height): (usize, usize)) -> String {
    format!("{width}x{height}")
}

/// How to make what this program reads.
const TO_Y4M: &str = "write it with: ffmpeg -i VIDEO -f yuv4mpegpipe -pix_fmt yuv420p OUT.y4m";

impl CameraError {
    /// The next thing to try, as one sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::Source { .. } => {
                "use file:x.y4m, - (y4m or JPEG on the standard input), dir:frames/, rpicam:, gst:PIPELINE or \
                 v4l2:/dev/video0"
                    .into()
            }
            Self::OtherSystem { .. } => "pipe y4m from ffmpeg and use --source -".into(),
            Self::NoProgram { install, .. } => (*install).into(),
            Self::Start { program, .. } => format!("try to run it by hand: {program} --version"),
            Self::Ended { program, stderr, .. } => ended_help(program, stderr),
            Self::Stalled { .. } => "check the camera's cable, and whether another program uses it".into(),
            Self::Unknown { .. } | Self::Y4m { .. } => TO_Y4M.into(),
            Self::NoFrames { .. } => {
                "check the program that writes it; it has to write y4m or JPEG, for example ffmpeg with -f \
                 yuv4mpegpipe"
                    .into()
            }
            Self::Jpeg { .. } => "check the program that writes it, or let it write y4m".into(),
            Self::Raw { .. } | Self::TooLarge { .. } => {
                "ask for smaller frames with --size, for example 320x180".into()
            }
            Self::Size { .. } => "try --size 640x360".into(),
            Self::NoCamera { found, .. } => format!(
                "{found}; `v4l2-ctl --list-devices` names them, and cameras on a Raspberry Pi's ribbon cable need \
                 --source rpicam:"
            ),
            Self::NotACamera { .. } => {
                "a camera often has several device files: `v4l2-ctl --list-devices` lists them, try the first".into()
            }
            Self::InUse { path } => {
                format!("`fuser -v {}` names the program; stop it and try again", path.display())
            }
            Self::Permission { group, .. } => {
                format!("`sudo usermod -aG {group} $USER`, then log in again")
            }
            Self::PixelFormat { path, .. } => format!(
                "let ffmpeg convert: ffmpeg -f v4l2 -i {} -f yuv4mpegpipe -pix_fmt yuv420p - | mcir-board camera \
                 --source - --drop oldest",
                path.display()
            ),
            Self::Device { path, .. } => {
                format!("unplug it and plug it in again; `v4l2-ctl -d {} --all` shows its state", path.display())
            }
            Self::Changed { .. } => "record each size by itself, or write files to a folder, which may differ in size".into(),
            Self::StdoutTwice => "write the frames to a file or a pipe with -o".into(),
            Self::Output { .. } => {
                "use a name that ends in .y4m, - for the standard output, v4l2:/dev/video10 for a loopback device, or a \
                 folder, with -f for the format of its images"
                    .into()
            }
            Self::Loopback(error) => error.help(),
            Self::Thread(_) => "close other programs; `ulimit -u` shows the limit".into(),
            Self::Died(_) => "this is a fault of the program; please report it with the message above".into(),
        }
    }

    /// Whether the bytes of a stream are not what they are taken for; it would be the same the next time.
    pub fn is_misread(&self) -> bool {
        match self {
            Self::Y4m { source, .. } => !matches!(source, Y4mError::Truncated { .. } | Y4mError::Io(_)),
            Self::Unknown { .. } => true,
            _ => false,
        }
    }

    /// 2 when the command itself asks for something impossible, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Source { .. }
            | Self::OtherSystem { .. }
            | Self::Size { .. }
            | Self::StdoutTwice
            | Self::Output { .. } => 2,
            Self::Loopback(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// What to do when a camera program gave up.
fn ended_help(program: &str, stderr: &str) -> String {
    let stderr = stderr.to_lowercase();
    let busy = ["busy", "in use", "failed to acquire"].iter().any(|part| stderr.contains(part));
    if busy {
        return "another program uses the camera: stop it; `fuser -v /dev/video* /dev/media*` names it"
            .into();
    }
    if program.contains("gst") {
        return "try the pipeline by hand with fakesink at its end; `gst-inspect-1.0` lists the elements"
            .into();
    }
    if stderr.contains("no cameras") {
        return "check the ribbon cable on both ends; `rpicam-hello --list-cameras` lists the cameras found"
            .into();
    }
    format!("try it by hand: {program} --list-cameras")
}

impl Advice for CameraError {
    fn help(&self) -> String {
        Self::help(self)
    }

    fn exit_code(&self) -> u8 {
        Self::exit_code(self)
    }
}

impl From<CameraError> for Error {
    fn from(error: CameraError) -> Self {
        Self::Room(Box::new(error))
    }
}
