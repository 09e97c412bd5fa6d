//! Where frames come from. Every source waits for its next frame and gives it with the time it arrived.

mod folder;
mod pipe;
mod stream;
#[cfg(target_os = "linux")]
mod usb;

use super::error::CameraError;
use super::mjpeg;
use super::raw::{self, Layout, Matrix, Space};
use mcir_runtime::image::Image;
use mcir_upscale::error::Result;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use pipe::Children;

/// A source as the user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// `file:x.y4m`, also with JPEG frames.
    File(PathBuf),
    /// `-`: the standard input.
    Stdin,
    /// `dir:frames/`: images in the order of their names.
    Folder(PathBuf),
    /// `rpicam:` with more options for `rpicam-vid`.
    Rpicam(String),
    /// `gst:` with a pipeline.
    Gst(String),
    /// `v4l2:/dev/video0`.
    V4l2(PathBuf),
}

impl std::str::FromStr for Spec {
    type Err = CameraError;

    fn from_str(text: &str) -> Result<Self, CameraError> {
        let wrong = || CameraError::Source { text: text.into() };
        if text == "-" {
            return Ok(Self::Stdin);
        }
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        let needed = |rest: &str| if rest.trim().is_empty() { Err(wrong()) } else { Ok(rest.to_owned()) };
        Ok(match kind {
            "file" => Self::File(needed(rest)?.into()),
            "dir" => Self::Folder(needed(rest)?.into()),
            "rpicam" => Self::Rpicam(rest.into()),
            "gst" => Self::Gst(needed(rest)?),
            "v4l2" if rest.is_empty() => Self::V4l2("/dev/video0".into()),
            "v4l2" => Self::V4l2(rest.into()),
            _ => return Err(wrong()),
        })
    }
}

/// As the user wrote it, without the passwords: it is for reports and for everybody who sees the live page.
impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&mcir_files::without_passwords(&self.text()))
    }
}

impl Spec {
    fn text(&self) -> String {
        match self {
            Self::File(path) => format!("file:{}", path.display()),
            Self::Stdin => "-".into(),
            Self::Folder(path) => format!("dir:{}", path.display()),
            Self::Rpicam(options) => format!("rpicam:{options}"),
            Self::Gst(pipeline) => format!("gst:{pipeline}"),
            Self::V4l2(path) => format!("v4l2:{}", path.display()),
        }
    }
}

impl Spec {
    /// Whether it is a camera: it does not wait for us, and comes back when it goes away.
    pub fn is_camera(&self) -> bool {
        matches!(self, Self::Rpicam(_) | Self::Gst(_) | Self::V4l2(_))
    }

    /// Whether it can be read again from the start.
    pub fn can_loop(&self) -> bool {
        matches!(self, Self::File(_) | Self::Folder(_))
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Folder(path) | Self::V4l2(path) => path.display().to_string(),
            Self::Stdin => "the standard input".into(),
            Self::Rpicam(_) => "rpicam-vid".into(),
            Self::Gst(_) => "gst-launch-1.0".into(),
        }
    }
}

/// What is asked of a camera, and how frames without more information are to be read.
#[derive(Debug, Clone)]
pub struct Request {
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// Frames per second.
    pub rate: u32,
    /// Colours of Cb and Cr.
    pub matrix: Matrix,
    /// Whether what camera programs write to the standard error is passed on.
    pub verbose: bool,
}

/// The bytes of a frame.
#[derive(Debug, Clone)]
pub enum Pixels {
    /// Uncompressed.
    Raw(Layout, Vec<u8>),
    /// A JPEG image.
    Jpeg(Vec<u8>),
    /// None, because the frame was broken off on its way: why.
    Damaged(&'static str),
    /// Already an image.
    Image(Image),
}

impl Pixels {
    /// The frame as an image; `wanted` is what colour is given as.
    ///
    /// # Errors
    /// [`CameraError::Raw`] or [`CameraError::Jpeg`] when the frame is damaged.
    pub fn to_image(&self, wanted: Space, name: &str) -> Result<(Image, Space), CameraError> {
        match self {
            Self::Raw(layout, data) => raw::to_image(layout, data, wanted)
                .map_err(|source| CameraError::Raw { name: name.into(), source }),
            Self::Jpeg(bytes) => {
                mjpeg::decode(bytes, wanted).map_err(|source| CameraError::Jpeg { name: name.into(), source })
            }
            Self::Damaged(why) => {
                let source = mjpeg::JpegError::Damaged((*why).into());
                Err(CameraError::Jpeg { name: name.into(), source })
            }
            Self::Image(image) => match (image.channels(), wanted) {
                (1, _) => Ok((image.clone(), Space::Grey)),
                (_, Space::YCbCr) => {
                    let pixels = image.data().chunks_exact(3);
                    let data = pixels.flat_map(|p| raw::from_rgb([p[0], p[1], p[2]])).collect();
                    let image = Image::new(image.width(), image.height(), 3, data);
                    Ok((image.expect("the image keeps its size"), Space::YCbCr))
                }
                _ => Ok((image.clone(), Space::Rgb)),
            },
        }
    }
}

/// A captured frame.
#[derive(Debug, Clone)]
pub struct Shot {
    /// Its pixels.
    pub pixels: Pixels,
    /// When it began to arrive; for a V4L2 camera, when the driver says it was taken.
    pub began: Instant,
    /// How long it took until it was in our memory.
    pub capture: Duration,
}

/// Frames, one after the other.
pub trait Source: Send {
    /// Waits for the next frame; `None` at the end.
    ///
    /// # Errors
    /// A [`CameraError`] when the source is broken.
    fn next(&mut self) -> Result<Option<Shot>>;

    /// Frames per second, where the source says so.
    fn rate(&self) -> Option<(u32, u32)> {
        None
    }

    /// Width and height of a pixel, where the source says so.
    fn aspect(&self) -> Option<(u32, u32)> {
        None
    }

    /// Something that the user should know when the first frame comes.
    fn note(&self) -> Option<String> {
        None
    }

    /// Something that the user should know at the end.
    fn end_note(&self) -> Option<String> {
        None
    }
}

/// Opens a source. Programs that it starts are registered with `children`, which can end them.
///
/// # Errors
/// A [`CameraError`] when there is no such source or it does not give frames that
/// can be read, a [`mcir_files::Error`] for files.
pub fn open(spec: &Spec, request: &Request, children: &Children) -> Result<Box<dyn Source>> {
    Ok(match spec {
        Spec::File(path) => Box::new(stream::Stream::open(path, request)?),
        Spec::Stdin => Box::new(stream::Stream::new(std::io::stdin(), spec.name(), request)?),
        Spec::Folder(path) => Box::new(folder::Folder::open(path)?),
        Spec::Rpicam(options) => Box::new(pipe::rpicam(options, request, children)?),
        Spec::Gst(pipeline) => Box::new(pipe::gst(pipeline, request, children)?),
        #[cfg(target_os = "linux")]
        Spec::V4l2(path) => Box::new(usb::Usb::open(path, request)?),
        #[cfg(not(target_os = "linux"))]
        Spec::V4l2(_) => return Err(CameraError::OtherSystem { source_name: "v4l2:" }.into()),
    })
}
