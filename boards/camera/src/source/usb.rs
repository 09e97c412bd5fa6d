//! USB cameras and capture devices, through V4L2.
//!
//! Raspberry Pi and Jetson cameras on a ribbon cable have V4L2 devices too, but these deliver unprocessed
//! sensor data; `rpicam:` and `gst:` are for them.

use super::{Pixels, Request, Shot, Source};
use crate::error::CameraError;
use crate::raw::{Layout, Packing, Siting, Subsampling};
use mcir_upscale::error::{Error, Result};
use moq_v4l::buffer::Type;
use moq_v4l::capability::Flags;
use moq_v4l::format::Quantization;
use moq_v4l::framesize::FrameSizeEnum;
use moq_v4l::io::mmap::Stream;
use moq_v4l::io::traits::CaptureStream;
use moq_v4l::video::Capture;
use moq_v4l::video::capture::Parameters;
use moq_v4l::{Device, Format, FourCC};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Buffers shared with the driver. More add latency, fewer lose frames.
const BUFFERS: u32 = 3;
/// Longest wait for a frame.
const TIMEOUT: Duration = Duration::from_secs(5);

const PLANAR: Packing = Packing::Planar { subsampling: Subsampling::Quarter, siting: Siting::Left };

/// The formats that are read, best first: uncompressed ones cost no decoding. `None` is JPEG.
pub(super) const FORMATS: [(&[u8; 4], Option<Packing>); 9] = [
    (b"YU12", Some(PLANAR)),
    (b"NV12", Some(Packing::SemiPlanar { red_first: false })),
    (b"YUYV", Some(Packing::Packed422 { luma_first: true })),
    (b"UYVY", Some(Packing::Packed422 { luma_first: false })),
    (b"MJPG", None),
    (b"JPEG", None),
    (b"RGB3", Some(Packing::Rgb { blue_first: false })),
    (b"BGR3", Some(Packing::Rgb { blue_first: true })),
    (b"GREY", Some(Packing::Grey)),
];

/// An open camera.
pub(super) struct Usb {
    path: PathBuf,
    stream: Option<Stream<'static>>,
    /// `None` for JPEG.
    layout: Option<Layout>,
    rate: Option<(u32, u32)>,
    note: Option<String>,
}

impl Usb {
    pub fn open(path: &Path, request: &Request) -> Result<Self> {
        // The bindings panic on values of the kernel's interface that they do not know.
        catch_unwind(AssertUnwindSafe(|| Self::set_up(path, request))).unwrap_or_else(|_| {
            let source = io::Error::other("its driver reports something that is not known here");
            Err(device_error(path, "set it up", source))
        })
    }

    fn set_up(path: &Path, request: &Request) -> Result<Self> {
        let device = Device::with_path(path).map_err(|e| open_error(path, e))?;
        let failed = |action| move |e| device_error(path, action, e);
        let caps = device.query_caps().map_err(|e| device_error(path, "ask what it is", e))?;
        if !caps.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING) {
            let why = format!("`{}` ({}) does not capture single-planar video", caps.card, caps.driver);
            return Err(CameraError::NotACamera { path: path.into(), why }.into());
        }
        let offered = device.enum_formats().map_err(failed("list its formats"))?;
        let offered: Vec<[u8; 4]> = offered.iter().map(|f| f.fourcc.repr).collect();
        let (width, height) = request.size;
        let code = choose(&offered, |code| {
            let sizes = device.enum_framesizes(FourCC::new(code)).unwrap_or_default();
            sizes.iter().any(|s| has(&s.size, width as u32, height as u32))
        });
        let code = code.ok_or_else(|| pixel_format_error(path, &offered))?;
        let wanted = Format::new(width as u32, height as u32, FourCC::new(&code));
        let format = device.set_format(&wanted).map_err(failed("set its format"))?;
        let Some((_, packing)) = FORMATS.iter().find(|(code, _)| **code == format.fourcc.repr) else {
            return Err(pixel_format_error(path, &[format.fourcc.repr]));
        };
        let name = path.display().to_string();
        let layout = packing.map(|packing| layout(packing, &format, request, &name)).transpose()?;
        // Not every driver lets the rate be set; the frames then come at its own.
        let rate = device.set_params(&Parameters::with_fps(request.rate)).ok();
        let rate = rate.map(|p| (p.interval.denominator, p.interval.numerator));
        let found = (format.width as usize, format.height as usize);
        let note = (found != request.size)
            .then(|| format!("{name} gives {}x{} pixels instead of {width}x{height}", found.0, found.1));
        let mut stream = Stream::with_buffers(&device, Type::VideoCapture, BUFFERS)
            .map_err(failed("get buffers for it"))?;
        stream.set_timeout(TIMEOUT);
        let rate = rate.filter(|&(n, d)| n > 0 && d > 0);
        Ok(Self { path: path.into(), stream: Some(stream), layout, rate, note })
    }

    fn read(&mut self) -> Result<Option<Shot>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let path = &self.path;
        loop {
            let (buffer, meta) = stream.next().map_err(|e| match e.kind() {
                io::ErrorKind::TimedOut => {
                    let name = path.display().to_string();
                    CameraError::Stalled { name, seconds: TIMEOUT.as_secs() }.into()
                }
                _ => device_error(path, "read from it", e),
            })?;
            let used = (meta.bytesused as usize).min(buffer.len());
            // The driver marks frames that were damaged on the cable.
            if meta.flags.contains(moq_v4l::buffer::Flags::ERROR) || used == 0 {
                continue;
            }
            let now = Instant::now();
            let age = if meta.flags.contains(moq_v4l::buffer::Flags::TIMESTAMP_MONOTONIC) {
                age(meta.timestamp)
            } else {
                Duration::ZERO
            };
            let data = buffer[..used].to_vec();
            let pixels = match self.layout {
                Some(layout) => Pixels::Raw(layout, data),
                None => Pixels::Jpeg(data),
            };
            let began = now.checked_sub(age).unwrap_or(now);
            return Ok(Some(Shot { pixels, began, capture: began.elapsed() }));
        }
    }
}

/// Time since a frame was taken. Both clocks are the system's monotonic one.
fn age(taken: moq_v4l::timestamp::Timestamp) -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = |sec: i64, usec: i64| sec.saturating_mul(1_000_000).saturating_add(usec);
    #[allow(clippy::useless_conversion, reason = "the types differ between systems")]
    let age = micros(now.tv_sec.into(), i64::from(now.tv_nsec) / 1000)
        .saturating_sub(micros(taken.sec.into(), taken.usec.into()));
    // A time in the future or long ago is a driver's mistake.
    Duration::from_micros(u64::try_from(age).ok().filter(|&age| age < 1_000_000).unwrap_or(0))
}

fn layout(packing: Packing, format: &Format, request: &Request, name: &str) -> Result<Layout> {
    let (width, height) = (format.width as usize, format.height as usize);
    let full_range = matches!(format.quantization, Quantization::FullRange);
    let failed = |source| CameraError::Raw { name: name.into(), source };
    let mut layout = Layout::new(packing, width, height, full_range, request.matrix).map_err(failed)?;
    if format.stride > 0 {
        layout.stride = format.stride as usize;
        layout.check().map_err(failed)?;
    }
    Ok(layout)
}

/// Whether a size is among those that a camera lists.
fn has(sizes: &FrameSizeEnum, width: u32, height: u32) -> bool {
    let within = |v: u32, min: u32, max: u32, step: u32| {
        (min..=max).contains(&v) && (step < 2 || (v - min).is_multiple_of(step))
    };
    match sizes {
        FrameSizeEnum::Discrete(s) => (s.width, s.height) == (width, height),
        FrameSizeEnum::Stepwise(s) => {
            within(width, s.min_width, s.max_width, s.step_width)
                && within(height, s.min_height, s.max_height, s.step_height)
        }
    }
}

/// The format to use: the first of ours with the exact size, or else the first of ours.
fn choose(offered: &[[u8; 4]], mut has_size: impl FnMut(&[u8; 4]) -> bool) -> Option<[u8; 4]> {
    let ours = || FORMATS.iter().map(|(code, _)| **code).filter(|code| offered.contains(code));
    ours().find(|code| has_size(code)).or_else(|| ours().next())
}

fn pixel_format_error(path: &Path, offered: &[[u8; 4]]) -> Error {
    let list = |codes: &mut dyn Iterator<Item = &[u8; 4]>| {
        let names: Vec<_> = codes.map(|code| code.escape_ascii().to_string()).collect();
        if names.is_empty() { "no format at all".into() } else { names.join(", ") }
    };
    let read = list(&mut FORMATS.iter().map(|(code, _)| *code));
    CameraError::PixelFormat { path: path.into(), offered: list(&mut offered.iter()), read }.into()
}

fn open_error(path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => {
            let found = present();
            CameraError::NoCamera { path: path.into(), found }.into()
        }
        io::ErrorKind::IsADirectory => {
            CameraError::NotACamera { path: path.into(), why: "it is a folder".into() }.into()
        }
        _ => device_error(path, "open it", source),
    }
}

fn device_error(path: &Path, action: &'static str, source: io::Error) -> Error {
    use rustix::io::Errno;
    let path = path.to_path_buf();
    let errno = source.raw_os_error().map(Errno::from_raw_os_error);
    match errno {
        Some(Errno::BUSY) => CameraError::InUse { path },
        Some(Errno::ACCESS | Errno::PERM) => CameraError::Permission { path, group: "video" },
        Some(Errno::NOTTY) => CameraError::NotACamera { path, why: "it is not a video device".into() },
        _ => CameraError::Device { path, action, source },
    }
    .into()
}

/// The video devices that are there, for a message.
fn present() -> String {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|n| n.starts_with("video")).map(|n| format!("/dev/{n}")).collect();
    names.sort();
    if names.is_empty() { "no camera is connected".into() } else { format!("there are {}", names.join(", ")) }
}

impl Source for Usb {
    fn next(&mut self) -> Result<Option<Shot>> {
        catch_unwind(AssertUnwindSafe(|| self.read())).unwrap_or_else(|_| {
            let source = io::Error::other("its driver did something that is not known here");
            Err(device_error(&self.path, "read from it", source))
        })
    }

    fn rate(&self) -> Option<(u32, u32)> {
        self.rate
    }

    fn note(&self) -> Option<String> {
        self.note.clone()
    }
}

impl Drop for Usb {
    fn drop(&mut self) {
        // The bindings panic when a driver refuses to stop; there is nothing to be done about it.
        let stream = self.stream.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(stream)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_with_the_exact_size_comes_first() {
        let offered = [*b"MJPG", *b"YUYV", *b"H264"];
        assert_eq!(choose(&offered, |_| true), Some(*b"YUYV"));
        assert_eq!(choose(&offered, |code| code == b"MJPG"), Some(*b"MJPG"));
        assert_eq!(choose(&offered, |_| false), Some(*b"YUYV"));
        assert_eq!(choose(&[*b"H264", *b"pRAA"], |_| true), None);
    }

    #[test]
    fn causes_are_named() {
        let path = Path::new("/dev/video7");
        let message = |errno: rustix::io::Errno| {
            let error = device_error(path, "open it", errno.into());
            format!("{error} / {}", error.help())
        };
        let busy = message(rustix::io::Errno::BUSY);
        assert!(busy.contains("/dev/video7 is in use") && busy.contains("fuser -v /dev/video7"), "{busy}");
        let access = message(rustix::io::Errno::ACCESS);
        assert!(access.contains("no permission") && access.contains("usermod -aG video"), "{access}");
        assert!(message(rustix::io::Errno::NOTTY).contains("not a video device"));
        let gone = message(rustix::io::Errno::NODEV);
        assert!(gone.contains("cannot open it") && gone.contains("plug"), "{gone}");
        let error = pixel_format_error(path, &[*b"H264", *b"BA81"]);
        assert!(error.to_string().contains("offers H264, BA81"), "{error}");
        assert!(error.help().contains("ffmpeg -f v4l2 -i /dev/video7"), "{}", error.help());
    }
}
