//! `mcir-board measure`: the board's end of `compare`. Not for users.

use super::protocol::{Event, ImagePart, MAX_FILE_BYTES, MAX_FILES, MAX_LINE, Order, VERSION};
use mcir_deploy::DeployError;
use mcir_report::data::TestSet;
use mcir_report::here::{self, Progress, Settings};
use mcir_report::measure::Timing;
use mcir_upscale::args::EngineArgs;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// The board's end of compare
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Folder for the images, which is removed by the one who calls.
    #[arg(long, required_unless_present = "protocol")]
    dir: Option<PathBuf>,

    /// Print the version of the protocol and end.
    #[arg(long)]
    protocol: bool,
}

/// Measures what the standard input asks for, and reports to the standard output.
///
/// # Errors
/// [`Error::Files`] when the other end is gone.
pub fn run(cmd: &Cmd) -> Result<()> {
    match &cmd.dir {
        Some(dir) if !cmd.protocol => serve(dir, io::stdin().lock(), io::stdout().lock()),
        _ => Ok(mcir_files::terminal::print(VERSION)?),
    }
}

/// Serves one order. Errors go to the other end, except when it is gone.
pub(super) fn serve(dir: &Path, input: impl Read, mut output: impl Write) -> Result<()> {
    let mut say = |event: &Event| -> io::Result<()> {
        let mut line = serde_json::to_vec(event).expect("an event is plain data");
        line.push(b'\n');
        output.write_all(&line).and_then(|()| output.flush())
    };
    let gone = Error::io("write", "the connection");
    say(&Event::Ready { protocol: VERSION }).map_err(&gone)?;
    let result = measure(dir, input, &mut |at| {
        if let Some(error) = at.error {
            // It is in the report, too.
            mcir_files::terminal::tell(error);
        }
        let event = Event::Doing { what: at.what.into(), done: at.done, total: at.total };
        if say(&event).is_err() {
            // Nobody waits for the rest; the shell that started this cleans up.
            std::process::exit(1);
        }
    });
    let event = match result {
        Ok(report) => Event::Report(Box::new(report)),
        Err(error) => Event::Failed { message: error.to_string(), help: error.help() },
    };
    say(&event).map_err(&gone)
}

fn measure(
    dir: &Path,
    input: impl Read,
    tell: &mut here::OnProgress<'_>,
) -> Result<mcir_report::report::Report> {
    let mut input = BufReader::new(input);
    let (order, models) = receive(dir, &mut input, tell)?;
    crate::compare::latency_size(&format!("{}x{}", order.size.0, order.size.1)).map_err(odd)?;
    let engine = EngineArgs { threads: order.threads, pin: order.pin, isa: order.isa.clone() };
    let time = Duration::try_from_secs_f64(order.seconds).map_err(|e| odd(e.to_string()))?;
    let timing = Some(Timing { size: order.size, time });
    let settings = Settings { options: engine.plan_options(1)?, gpu: None, timing };
    let data = data_folder(dir);
    let mut set = match (order.images.is_empty(), order.sets.len()) {
        (true, _) => TestSet::cards(),
        (false, 0) => TestSet::folder(&data)?,
        (false, sets) => {
            let folders: Vec<_> = (0..sets).map(|n| data.join(n.to_string())).collect();
            TestSet::folders(&folders)?.named(&order.sets).map_err(odd)?
        }
    };
    set.description = order.data;
    here::measure(models, &set, &settings, None, tell)
}

fn data_folder(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// Takes an order with its files: models into memory, images into the folder.
fn receive(
    dir: &Path,
    input: &mut impl BufRead,
    tell: &mut here::OnProgress<'_>,
) -> Result<(Order, Vec<NamedModel>)> {
    let read = Error::io("read", "the connection");
    let mut line = Vec::new();
    input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(&read)?;
    let order: Order = serde_json::from_slice(&line).map_err(|e| odd(e.to_string()))?;
    let sizes = order.models.iter().map(|m| m.bytes).chain(order.images.iter().map(|i| i.bytes));
    let count = order.models.len() + order.images.len();
    if count > MAX_FILES {
        return Err(odd(format!("{count} files; the limit is {MAX_FILES}")));
    }
    if let Some(large) = sizes.max().filter(|&size| size > MAX_FILE_BYTES) {
        return Err(odd(format!("a file of {large} bytes; the limit is {MAX_FILE_BYTES}")));
    }
    let total = count as u64;
    let mut at = |what: &str, done: usize| {
        let done = done as u64;
        tell(Progress { target: "", what, done, total, error: None });
    };
    let mut models = Vec::new();
    for part in &order.models {
        at("receive the models", models.len());
        let mut bytes = Vec::new();
        input.by_ref().take(part.bytes).read_to_end(&mut bytes).map_err(&read)?;
        if bytes.len() as u64 != part.bytes {
            return Err(cut());
        }
        models.push(NamedModel::received(&part.name, bytes, part.file_bytes)?);
    }
    for (n, part) in order.images.iter().enumerate() {
        at("receive the images", models.len() + n);
        let path = place(dir, part)?;
        let failed = Error::io("write", &path);
        fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(&failed)?;
        let mut file = File::create(&path).map_err(&failed)?;
        let copied = io::copy(&mut input.by_ref().take(part.bytes), &mut file).map_err(&failed)?;
        if copied != part.bytes {
            return Err(cut());
        }
    }
    Ok((order, models))
}

/// Where an image is put: inside the folder, whatever its path says.
fn place(dir: &Path, part: &ImagePart) -> Result<PathBuf> {
    let path = Path::new(&part.path);
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    match plain && path.components().count() > 0 {
        true => Ok(data_folder(dir).join(path)),
        false => Err(odd(format!("`{}` is no path in the folder of the data", part.path))),
    }
}

fn odd(reason: String) -> Error {
    DeployError::Protocol { target: "the workstation".into(), reason }.into()
}

fn cut() -> Error {
    odd("it ended in the middle of a file".into())
}
