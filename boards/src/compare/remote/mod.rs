//! `compare` on other machines: the workstation's end here, the board's end in [`board`].

pub mod board;
mod protocol;
mod script;
#[cfg(test)]
mod tests;

pub use board::{Cmd, run};

use mcir_deploy::DeployError;
use mcir_deploy::program;
use mcir_deploy::target::{Connection, Reach, Target};
use mcir_report::data::TestSet;
use mcir_report::here::Progress;
use mcir_report::measure::Timing;
use mcir_report::report::Report;
use mcir_upscale::args::EngineArgs;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use protocol::{Event, ImagePart, ModelPart, Order, VERSION};
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::PathBuf;

/// What every board is to measure.
pub struct Job {
    order: Order,
    models: Vec<Vec<u8>>,
    images: Vec<PathBuf>,
}

/// Which program measures.
enum Program {
    Flashed,
    Upload { file: PathBuf, emulated: bool },
}

impl Job {
    /// Models and images as they will be sent.
    ///
    /// # Errors
    /// [`Error::Files`] when an image cannot be read, or none can be sent.
    pub fn new(models: &[NamedModel], set: &TestSet, timing: Timing, engine: &EngineArgs) -> Result<Self> {
        let mut upscales: Vec<_> = models.iter().map(NamedModel::upscale).collect();
        upscales.sort_unstable();
        upscales.dedup();
        let (mut parts, mut images) = (Vec::new(), Vec::new());
        for (path, file) in set.files(&upscales) {
            let failed = Error::io("read", &file);
            let bytes = std::fs::metadata(&file).map_err(&failed)?.len();
            parts.push(ImagePart { path, bytes });
            images.push(file);
        }
        if parts.is_empty() && !set.is_drawn() {
            return Err(mcir_files::Error::NoImages { name: set.description.clone() }.into());
        }
        let model_bytes: Vec<_> = models.iter().map(|m| m.model.to_bytes()).collect();
        let part = |(model, bytes): (&NamedModel, &Vec<u8>)| ModelPart {
            name: model.name.clone(),
            bytes: bytes.len() as u64,
            file_bytes: model.file_bytes,
        };
        let order = Order {
            models: models.iter().zip(&model_bytes).map(part).collect(),
            images: parts,
            data: set.description.clone(),
            sets: Some(set.names()).filter(|names| names.len() > 1).unwrap_or_default(),
            size: timing.size,
            seconds: timing.time.as_secs_f64(),
            threads: engine.threads,
            pin: engine.pin,
            isa: engine.isa.clone(),
        };
        Ok(Self { order, models: model_bytes, images })
    }

    /// Bytes to send.
    fn bytes(&self) -> u64 {
        let models = self.order.models.iter().map(|m| m.bytes);
        models.chain(self.order.images.iter().map(|i| i.bytes)).sum()
    }
}

/// Has a board do the job.
///
/// # Errors
/// When the board cannot be reached, no program fits it, or the job cannot be done there.
pub fn measure(
    target: &Target,
    reach: &Reach,
    binaries: &[PathBuf],
    job: &Job,
    tell: &mut dyn FnMut(Progress<'_>),
) -> Result<Report> {
    let mut tell = |what: &str, done, total| tell(Progress { target: "", what, done, total, error: None });
    tell("reach it", 0, 1);
    let script = script::run(&target.root_word(), &reach.run_with);
    let (mut connection, words) = Connection::open(target, reach, &script)?;
    let flashed = words.first().is_some_and(|word| word == "native" || word == "emulated");
    let found = connection.architecture.clone();
    let program = choose(binaries, &found, flashed, !reach.run_with.is_empty())?.ok_or_else(|| {
        DeployError::Architecture {
            program: std::env::consts::ARCH.into(),
            board: target.to_string(),
            found: found.clone(),
        }
    })?;
    match &program {
        Program::Flashed => {
            connection.send_bytes(&mut "flashed\n".as_bytes(), "start its program", &mut |_| {})?;
        }
        Program::Upload { file, emulated } => {
            let mut reader = File::open(file).map_err(DeployError::io("read", file))?;
            let size = reader.metadata().map_err(DeployError::io("read", file))?.len();
            let line = format!("upload {size}{}\n", if *emulated { " emulated" } else { "" });
            let mut bytes = Cursor::new(line).chain(&mut reader);
            connection.send_bytes(&mut bytes, "send the program", &mut |at| {
                tell("send the program", at.min(size), size);
            })?;
        }
    }
    match connection.event("start its program")? {
        Event::Ready { protocol: VERSION } => {}
        Event::Failed { message, help } => {
            return Err(DeployError::board(&target.to_string(), message, &help).into());
        }
        other => return Err(connection.odd(format!("{other:?} is no greeting")).into()),
    }
    send(&mut connection, job, &mut |at, total| tell("send models and images", at, total))?;
    let mut doing = "measure".to_owned();
    loop {
        match connection.event(&doing)? {
            Event::Doing { what, done, total } => {
                tell(&what, done, total);
                doing = what;
            }
            Event::Report(mut report) => {
                for machine in &mut report.targets {
                    let how = match &program {
                        Program::Flashed => "flashed",
                        Program::Upload { .. } => "uploaded",
                    };
                    machine.program = machine.program.take().map(|name| format!("{name}, {how}"));
                }
                return Ok(*report);
            }
            Event::Failed { message, help } => {
                return Err(DeployError::board(&target.to_string(), message, &help).into());
            }
            other @ Event::Ready { .. } => {
                return Err(connection.odd(format!("{other:?} was not asked for")).into());
            }
        }
    }
}

/// Sends the order and its files.
fn send(connection: &mut Connection, job: &Job, tell: &mut dyn FnMut(u64, u64)) -> Result<(), DeployError> {
    let total = job.bytes();
    let mut line = serde_json::to_vec(&job.order).expect("an order is plain data");
    line.push(b'\n');
    connection.send_bytes(&mut line.as_slice(), "send the order", &mut |_| {})?;
    let mut sent = 0;
    for bytes in &job.models {
        connection.send_bytes(&mut bytes.as_slice(), "send a model", &mut |at| tell(sent + at, total))?;
        sent += bytes.len() as u64;
    }
    for (path, part) in job.images.iter().zip(&job.order.images) {
        // Neither more nor less than was announced, whatever has happened to the file.
        let file = File::open(path).map_err(DeployError::io("read", path))?;
        let mut bytes = file.take(part.bytes).chain(std::io::repeat(0)).take(part.bytes);
        connection.send_bytes(&mut bytes, "send an image", &mut |at| tell(sent + at, total))?;
        sent += part.bytes;
    }
    Ok(())
}

/// The program for a machine of this architecture, as the help of `--binary` says; none when none fits.
fn choose(
    binaries: &[PathBuf],
    machine: &str,
    flashed: bool,
    emulator: bool,
) -> Result<Option<Program>, DeployError> {
    let mut given = None;
    for file in binaries {
        let fits = program::fits(program::architecture(file)?, machine);
        if fits {
            return Ok(Some(Program::Upload { file: file.clone(), emulated: false }));
        }
        given.get_or_insert(file);
    }
    if let (Some(file), true) = (given, emulator) {
        return Ok(Some(Program::Upload { file: file.clone(), emulated: true }));
    }
    if flashed {
        return Ok(Some(Program::Flashed));
    }
    let here = program::this()?;
    let found = program::find(&here, machine);
    Ok(found.map(|(file, _)| Program::Upload { file, emulated: false }))
}
