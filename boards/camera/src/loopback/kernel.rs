//! The kernel's devices.

use super::{About, Device, Given, Wanted};
use crate::raw::Matrix;
use moq_v4l::capability::Flags;
use moq_v4l::format::{Colorspace, FieldOrder, Quantization};
use moq_v4l::fraction::Fraction;
use moq_v4l::video::Output;
use moq_v4l::video::output::Parameters;
use moq_v4l::{Format, FourCC};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

/// An open device file.
pub(super) struct Node(Option<moq_v4l::Device>);

impl Node {
    /// Opens it, so that writing does not wait.
    pub fn open(path: &Path) -> io::Result<Self> {
        guarded(|| moq_v4l::Device::with_path(path).map(|device| Self(Some(device))))
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut moq_v4l::Device) -> io::Result<T>) -> io::Result<T> {
        let device = self.0.as_mut().ok_or_else(|| io::Error::other("it is closed"))?;
        guarded(|| f(device))
    }
}

/// The bindings panic on values of the kernel's interface that they do not know.
fn guarded<T>(f: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|_| Err(io::Error::other("its driver reports something that is not known here")))
}

impl Device for Node {
    fn about(&mut self) -> io::Result<About> {
        self.with(|device| {
            let caps = device.query_caps()?;
            let takes_frames = caps.capabilities.contains(Flags::VIDEO_OUTPUT);
            Ok(About { card: caps.card, driver: caps.driver, takes_frames })
        })
    }

    fn formats(&mut self) -> io::Result<Vec<[u8; 4]>> {
        self.with(|device| Ok(device.enum_formats()?.iter().map(|f| f.fourcc.repr).collect()))
    }

    fn set_format(&mut self, wanted: &Wanted) -> io::Result<Given> {
        self.with(|device| {
            let (width, height) = wanted.size;
            let mut format = Format::new(width as u32, height as u32, FourCC::new(&wanted.code));
            format.field_order = FieldOrder::Progressive;
            format.quantization = Quantization::LimitedRange;
            format.colorspace = match wanted.matrix {
                Matrix::Bt601 => Colorspace::SMPTE170M,
                Matrix::Bt709 => Colorspace::Rec709,
            };
            let found = device.set_format(&format)?;
            Ok(Given {
                code: found.fourcc.repr,
                size: (found.width as usize, found.height as usize),
                stride: found.stride as usize,
                bytes: found.size as usize,
            })
        })
    }

    fn set_rate(&mut self, (n, d): (u32, u32)) -> io::Result<()> {
        self.with(|device| device.set_params(&Parameters::new(Fraction::new(d, n))).map(|_| ()))
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.with(|device| device.write(frame))
    }

    fn wait(&mut self, time: Duration) -> io::Result<bool> {
        const POLLOUT: i16 = 4;
        let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        self.with(|device| Ok(device.handle().poll(POLLOUT, millis)? > 0))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // They panic when a file cannot be closed, too; there is nothing to be done about it.
        let device = self.0.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(device)));
    }
}
