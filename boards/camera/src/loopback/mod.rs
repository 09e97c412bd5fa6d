//! Frames as a camera of this machine: into a V4L2 loopback device, which other programs open as they open a webcam.
//!
//! [`negotiate()`] agrees with a device on how frames lie in memory, [`Loopback`] packs and writes them. Both know the device only by
//! the trait [`Device`]; the kernel's is in `kernel`.

mod error;
#[cfg(target_os = "linux")]
mod kernel;
mod negotiate;
#[cfg(test)]
mod tests;

pub use error::LoopbackError;
pub use negotiate::{About, Given, Wanted, negotiate};

use crate::error::CameraError;
use crate::output::{Sink, Taken, Tell};
use crate::raw::{Matrix, Packer, Space};
use crate::work::Job;
use crate::y4m::Facts;
use mcir_upscale::error::Result;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for a device that takes no frame; then the frame is left out.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is needed of a video device that takes frames; each call is one of the kernel's.
pub trait Device: Send {
    /// What it is.
    ///
    /// # Errors
    /// What the system says.
    fn about(&mut self) -> io::Result<About>;

    /// The pixel formats that it lists for frames written to it, perhaps none.
    ///
    /// # Errors
    /// What the system says.
    fn formats(&mut self) -> io::Result<Vec<[u8; 4]>>;

    /// Asks for a format. The device answers with the one that it has from now on, which may be another.
    ///
    /// # Errors
    /// What the system says.
    fn set_format(&mut self, wanted: &Wanted) -> io::Result<Given>;

    /// Tells how many frames there are a second, as numerator and denominator.
    ///
    /// # Errors
    /// What the system says.
    fn set_rate(&mut self, rate: (u32, u32)) -> io::Result<()>;

    /// Writes a frame; how many bytes of it were taken.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::WouldBlock`] where there is no room for a frame just now.
    fn write(&mut self, frame: &[u8]) -> io::Result<usize>;

    /// Waits until there may be room for a frame; false where there was none in this time.
    ///
    /// # Errors
    /// What the system says.
    fn wait(&mut self, time: Duration) -> io::Result<bool>;
}

/// Opens a device.
pub type Open = Box<dyn FnMut() -> io::Result<Box<dyn Device>> + Send>;

/// The sink of `-o v4l2:/dev/video10`.
pub struct Loopback {
    path: PathBuf,
    open: Open,
    matrix: Matrix,
    facts: Box<dyn Fn() -> Facts + Send>,
    tell: Tell,
    /// From the first frame on.
    running: Option<Running>,
    /// Opened at the start, so that what is wrong with a device is known before the first frame.
    waiting: Option<Box<dyn Device>>,
    /// A frame was taken in part, and what the device takes has been asked for again since.
    asked_again: bool,
    left_out: u64,
}

struct Running {
    device: Box<dyn Device>,
    packer: Packer,
    /// Of the frames that come; those that are written may be a pixel smaller.
    size: (usize, usize),
}

impl Loopback {
    /// The device of the kernel at this path.
    ///
    /// # Errors
    /// [`LoopbackError`] where it is none, is used, or may not be.
    pub fn create(
        path: &Path,
        matrix: Matrix,
        facts: Box<dyn Fn() -> Facts + Send>,
        tell: Tell,
    ) -> Result<Self> {
        #[cfg(target_os = "linux")]
        {
            let device = path.to_owned();
            let open: Open = Box::new(move || kernel::Node::open(&device).map(|node| Box::new(node) as _));
            Ok(Self::with(path, open, matrix, facts, tell)?)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (path, matrix, facts, tell);
            Err(CameraError::from(LoopbackError::OtherSystem).into())
        }
    }

    /// A device that is opened in this way.
    ///
    /// # Errors
    /// [`LoopbackError`], as of [`Loopback::create`].
    pub fn with(
        path: &Path,
        mut open: Open,
        matrix: Matrix,
        facts: Box<dyn Fn() -> Facts + Send>,
        tell: Tell,
    ) -> Result<Self, CameraError> {
        let failed = |action| move |source| LoopbackError::of(path, action, source);
        let mut device = open().map_err(failed("open it"))?;
        let about = device.about().map_err(failed("ask what it is"))?;
        about.check(path)?;
        Ok(Self {
            path: path.into(),
            open,
            matrix,
            facts,
            tell,
            running: None,
            waiting: Some(device),
            asked_again: false,
            left_out: 0,
        })
    }

    /// Agrees on a format for frames of this size.
    fn start(&mut self, size: (usize, usize), space: Space) -> Result<Running, CameraError> {
        let mut device = match self.waiting.take() {
            Some(device) => device,
            None => (self.open)().map_err(|e| LoopbackError::of(&self.path, "open it", e))?,
        };
        // Two pixels share a sample of colour.
        let even = (size.0 & !1, size.1 & !1);
        if even.0 == 0 || even.1 == 0 {
            return Err(LoopbackError::Narrow { path: self.path.clone(), size }.into());
        }
        let given = negotiate(&mut *device, &self.path, even, self.matrix)?;
        // Not every device has one, and readers go by the times at which frames come.
        if let Some(rate) = (self.facts)().rate {
            let _ = device.set_rate(rate);
        }
        let cut =
            if even == size { String::new() } else { format!(", a pixel less than {}x{}", size.0, size.1) };
        let (code, (width, height)) = (given.code.escape_ascii(), even);
        (self.tell)(format!("{} shows {width}x{height} pixels{cut} as {code}", self.path.display()));
        let packing = given.packing().expect("only formats that are written are agreed on");
        let packer = Packer::new(packing, even, given.stride, space, self.matrix, b"");
        Ok(Running { device, packer, size })
    }

    /// Writes a frame.
    fn write(&mut self, device: &mut dyn Device, frame: &[u8]) -> Result<Written, CameraError> {
        let path = &self.path;
        let mut waited = Duration::ZERO;
        loop {
            match device.write(frame) {
                // A device may have more room than a frame needs, and say that all of it was filled.
                Ok(taken) if taken >= frame.len() => {
                    self.asked_again = false;
                    return Ok(Written::Whole);
                }
                // What is left is no frame: another program has changed the format.
                Ok(_) if !self.asked_again => return Ok(Written::Part),
                Ok(taken) => {
                    return Err(LoopbackError::Part { path: path.clone(), taken, bytes: frame.len() }.into());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if waited >= PATIENCE {
                        return Ok(Written::Not);
                    }
                    let step = Duration::from_millis(100);
                    let ready = device.wait(step).map_err(|e| LoopbackError::of(path, "wait for it", e))?;
                    // One that says that it is ready and takes nothing would be asked for ever.
                    waited += if ready { step / 10 } else { step };
                    if ready {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
                Err(e) => return Err(LoopbackError::of(path, "write to it", e).into()),
            }
        }
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Whole,
    Part,
    Not,
}

impl Sink for Loopback {
    fn put(&mut self, job: &Job, waited: &mut Duration) -> Result<Taken> {
        let (size, space) = (job.rows.size(), job.rows.space());
        let fits = |running: &mut Running| running.size == size && running.packer.space() == space;
        let mut running = match self.running.take_if(fits) {
            Some(running) => running,
            None => {
                // Closed first: a device keeps its format for as long as somebody writes to it.
                self.running = None;
                self.start(size, space)?
            }
        };
        let (width, height) = running.packer.size();
        let bytes = width * space.channels();
        for y in 0..height - 1 {
            let Some(row) = job.rows.row(y, waited) else { return Ok(Taken::Broken) };
            running.packer.row(&row[..bytes]);
        }
        let Some(row) = job.rows.row(height - 1, waited) else { return Ok(Taken::Broken) };
        let frame = running.packer.row(&row[..bytes]).expect("the last row ends the frame");
        match self.write(&mut *running.device, frame)? {
            Written::Whole => self.running = Some(running),
            // The next frame asks again.
            Written::Part => self.asked_again = true,
            Written::Not => {
                if self.left_out == 0 {
                    let name = self.path.display();
                    let seconds = PATIENCE.as_secs();
                    (self.tell)(format!(
                        "note: {name} took no frame for {seconds} s, and it is left out; others will only be counted"
                    ));
                }
                self.left_out += 1;
                self.running = Some(running);
            }
        }
        Ok(Taken::Whole)
    }

    fn finish(&mut self) -> Result<()> {
        if self.left_out > 0 {
            (self.tell)(format!(
                "note: {} took {} frames too late or not at all",
                self.path.display(),
                self.left_out
            ));
        }
        Ok(())
    }
}
