//! Where pictures go: a y4m stream, files in a folder, still pairs.

use super::error::CameraError;
use super::raw::{Matrix, Space, ycbcr_to_rgb};
use super::recording::Recording;
use super::work::Job;
use super::y4m::{self, Facts};
use mcir_files::{self as files, Format, Output};
use mcir_runtime::image::Image;
use mcir_upscale::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a sink took a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It has it.
    Whole,
    /// The picture was never completed.
    Broken,
    /// Nobody reads any more.
    Gone,
}

/// One of the places where pictures go.
pub trait Sink: Send {
    /// Takes a picture, waiting for its rows; the time spent waiting is added to `waited`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put(&mut self, job: &Job, waited: &mut Duration) -> Result<Taken>;

    /// Completes what was written.
    ///
    /// # Errors
    /// When that fails.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A y4m stream to a file or the standard output.
pub struct Y4m {
    path: PathBuf,
    matrix: Matrix,
    facts: Box<dyn Fn() -> Facts + Send>,
    /// Another size goes on in another file.
    goes_on: bool,
    tell: Tell,
    out: Option<Out>,
    writer: Option<y4m::Writer<Out>>,
}

/// Messages for the user.
pub type Tell = Box<dyn Fn(String) + Send>;

/// What bytes are written to.
enum Out {
    Stdout(BufWriter<io::Stdout>),
    /// Ends at its last whole frame.
    File(Recording),
    /// A pipe or a device, which is there already.
    Special(BufWriter<File>),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(out) => out.write(bytes),
            Self::Special(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(out) => out.flush(),
            Self::Special(out) => out.flush(),
        }
    }
}

impl Y4m {
    /// To a file; `-` is the standard output. `facts` is asked when the first picture comes. Where pictures of another size
    /// come, a file ends, and another begins if it `goes_on`; otherwise that is an error.
    ///
    /// # Errors
    /// [`mcir_files::Error::Io`] when it cannot be created.
    pub fn create(
        path: &Path,
        matrix: Matrix,
        goes_on: bool,
        facts: Box<dyn Fn() -> Facts + Send>,
        tell: Tell,
    ) -> Result<Self> {
        let special = || path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
        let out = if path == Path::new("-") {
            Out::Stdout(BufWriter::with_capacity(1 << 16, io::stdout()))
        } else if special() {
            let file = File::options().write(true).open(path);
            let failed = Error::io("write", path);
            Out::Special(BufWriter::new(file.map_err(failed)?))
        } else {
            let (recording, found) = Recording::create(path)?;
            if let Some(found) = found {
                let (name, frames) = (files::name::text(&found.path), found.frames);
                tell(format!(
                    "note: an earlier recording was killed; its {frames} frames are kept as {name}"
                ));
            }
            Out::File(recording)
        };
        let path = if path == Path::new("-") { "the standard output".into() } else { path.into() };
        Ok(Self { path, matrix, facts, goes_on, tell, out: Some(out), writer: None })
    }

    fn taken(&self, result: io::Result<()>) -> Result<Taken> {
        match result {
            Ok(()) => Ok(Taken::Whole),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Taken::Gone),
            Err(source) => Err(Error::io("write", &self.path)(source)),
        }
    }

    /// Ends the file where pictures of another size come, and begins the next.
    fn go_on(&mut self, writer: y4m::Writer<Out>, now: (usize, usize)) -> Result<Out> {
        let before = writer.size();
        let changed = CameraError::Changed { before, now };
        match writer.into_inner() {
            Out::File(recording) if self.goes_on => {
                let next = recording.next()?;
                let name = files::name::text(next.path());
                recording.finish()?;
                (self.tell)(format!("note: {changed}; they go on in {name}"));
                Ok(Out::File(next))
            }
            // What was written so far is whole.
            Out::File(recording) => {
                recording.finish()?;
                Err(changed.into())
            }
            _ => Err(changed.into()),
        }
    }
}

impl Sink for Y4m {
    fn put(&mut self, job: &Job, waited: &mut Duration) -> Result<Taken> {
        let (size, space) = (job.rows.size(), job.rows.space());
        if let Some(writer) = self.writer.take_if(|writer| !writer.takes(size, space)) {
            self.out = Some(self.go_on(writer, size)?);
        }
        if let Some(out) = self.out.take() {
            match y4m::Writer::new(out, size, space, self.matrix, (self.facts)()) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => return self.taken(Err(error)),
            }
        }
        // Dropped on the way out, a recording ends at its last whole frame.
        let Some(mut writer) = self.writer.take() else { return Ok(Taken::Gone) };
        for y in 0..size.1 {
            let Some(row) = job.rows.row(y, waited) else { return Ok(Taken::Broken) };
            if let Err(error) = writer.row(row) {
                return self.taken(Err(error));
            }
        }
        self.writer = Some(writer);
        Ok(Taken::Whole)
    }

    fn finish(&mut self) -> Result<()> {
        let out = self.writer.take().map(y4m::Writer::into_inner).or_else(|| self.out.take());
        let finished = match out {
            Some(Out::File(file)) => return Ok(file.finish()?),
            Some(mut out) => out.flush(),
            None => Ok(()),
        };
        self.taken(finished).map(|_| ())
    }
}

/// Numbered files in a folder.
pub struct Folder {
    path: PathBuf,
    format: Format,
    /// Frames that an earlier recording has left there: numbers go on behind them.
    before: u64,
}

impl Folder {
    /// Creates the folder. Where it has frames already, those are kept, which `tell` hears.
    ///
    /// # Errors
    /// [`mcir_files::Error::Io`].
    pub fn create(path: &Path, format: Format, tell: &Tell) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let entries = std::fs::read_dir(path).map_err(Error::io("list", path))?;
        let number = |name: &str| {
            let digits = name.strip_prefix("frame-")?.split('.').next()?;
            digits.parse::<u64>().ok()
        };
        let before = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).max();
        let before = before.filter(|&n| n < u64::MAX / 2).unwrap_or(0);
        if before > 0 {
            let name = files::name::text(path);
            tell(format!(
                "note: {name} has frames of an earlier recording; numbers go on from {}",
                before + 1
            ));
        }
        Ok(Self { path: path.into(), format, before })
    }
}

impl Sink for Folder {
    fn put(&mut self, job: &Job, waited: &mut Duration) -> Result<Taken> {
        let Some(image) = whole(job, waited) else { return Ok(Taken::Broken) };
        let path = self.path.join(format!("frame-{:06}.{}", self.before + job.id, self.format.extension()));
        files::write_image(&Output::new(&path).unsynced(), &image, self.format)?;
        Ok(Taken::Whole)
    }
}

/// Pairs of pictures that somebody asked for: the camera's and the super-resolved one.
pub struct Stills {
    path: PathBuf,
    /// How many were asked for so far.
    asked: Arc<AtomicU64>,
    done: u64,
    next: u64,
    tell: Box<dyn Fn(&Path) + Send>,
}

impl Stills {
    /// Creates the folder. `asked` counts up for every pair wanted, `tell` gets the name of every picture
    /// written.
    ///
    /// # Errors
    /// [`mcir_files::Error::Io`].
    pub fn create(path: &Path, asked: Arc<AtomicU64>, tell: Box<dyn Fn(&Path) + Send>) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
        Ok(Self { path: path.into(), asked, done: 0, next: 1, tell })
    }

    /// Names that no earlier run has used.
    fn free(&mut self) -> [PathBuf; 2] {
        loop {
            let names =
                ["camera", "large"].map(|kind| self.path.join(format!("still-{:04}-{kind}.png", self.next)));
            self.next += 1;
            if !names.iter().any(|n| n.exists()) {
                return names;
            }
        }
    }
}

impl Sink for Stills {
    fn put(&mut self, job: &Job, waited: &mut Duration) -> Result<Taken> {
        let asked = self.asked.load(Ordering::Relaxed);
        if asked == self.done {
            return Ok(Taken::Whole);
        }
        let Some(large) = whole(job, waited) else { return Ok(Taken::Broken) };
        let small = to_rgb(Image::clone(&job.small), job.space);
        for (path, image) in self.free().iter().zip([small, large]) {
            files::write_image(&Output::new(path), &image, Format::Png)?;
            (self.tell)(path);
        }
        // Presses during one frame are one picture.
        self.done = asked;
        Ok(Taken::Whole)
    }
}

/// The super-resolved picture in RGB or grey.
fn whole(job: &Job, waited: &mut Duration) -> Option<Image> {
    job.rows.row(job.rows.size().1 - 1, waited)?;
    Some(to_rgb(job.rows.image()?, job.rows.space()))
}

fn to_rgb(image: Image, space: Space) -> Image {
    if space != Space::YCbCr {
        return image;
    }
    let (width, height) = (image.width(), image.height());
    let mut data = image.into_data();
    for p in data.chunks_exact_mut(3) {
        p.copy_from_slice(&ycbcr_to_rgb([p[0], p[1], p[2]]));
    }
    Image::new(width, height, 3, data).expect("the image keeps its size")
}
