//! `mcir-board bundle`: a model, the program that runs it and what to expect of them, in one file.

pub mod file;
pub mod make;
#[cfg(test)]
mod tests;

pub use file::{Bundle, write};
pub use make::{Made, Making, make};

use super::DeployError;
use super::manifest::Manifest;
use super::{fleet, program, sign};
use mcir_files::Pending;
use mcir_report::profiles::Profile;
use mcir_upscale::args::OutputArgs;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Version of the JSON output.
const JSON_SCHEMA: u32 = 1;

/// Put a model, the program and what to expect of them into one file
///
/// The bundle has SHA-256 hashes of its parts, the board that it is for, the quality that was measured, and a
/// self-test whose output every board must get to the bit.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Model file or folder, or name of an embedded model
    #[arg(short = 'm', long, value_name = "MODEL")]
    model: String,

    /// Board that it is for, or TOML file with its profile [default: any of the program's architecture]
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,

    /// File to write
    #[arg(short = 'o', long, value_name = "FILE")]
    output: PathBuf,

    /// mcir-board as built for the board [default: this program, or the one for the board of the same release or built beside
    /// it]
    #[arg(long, visible_alias = "program", value_name = "FILE")]
    binary: Option<PathBuf>,

    #[command(flatten)]
    making: Making,

    /// Password of an encrypted key
    #[arg(long, value_name = "PASSWORD", env = "MCIR_KEY_PASSWORD", hide_env_values = true, value_parser = sign::password)]
    key_password: Option<String>,

    /// What to write: our own bundle, or input for a fleet's updater
    #[arg(long, value_name = "FORMAT", default_value = "mcir")]
    format: fleet::Format,

    #[command(flatten)]
    fleet: fleet::Args,

    #[command(flatten)]
    print: OutputArgs,
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    schema: u32,
    command: &'static str,
    output: &'a Path,
    slot: String,
    signed: bool,
    manifest: &'a Manifest,
}

/// Does it.
///
/// # Errors
/// What keeps the model, the program or the key from being used, or the file from being written.
pub fn run(cmd: &Cmd) -> Result<()> {
    let board = cmd.board.as_deref().map(Profile::open).transpose()?;
    let model = NamedModel::open(&cmd.model)?;
    let (binary, architecture) = cmd.program(board.as_ref())?;
    let author = cmd.making.author(cmd.key_password.clone())?;
    // An output that cannot be written is told before anything is measured.
    drop(Pending::create(&cmd.output)?);

    let bar = cmd.print.progress(0);
    cmd.print.note(&bar, format_args!("program: {} ({architecture})", binary.display()));
    let board = board.as_ref().map(|b| b.name.clone());
    let made = make(&model, &binary, board, cmd.making.data.as_deref(), &author, &bar)?;
    let written = match cmd.format {
        fleet::Format::Mcir => {
            made.write(&cmd.output)?;
            fleet::Written { path: cmd.output.clone(), notes: Vec::new() }
        }
        format => {
            let (manifest, signature) = (&made.manifest, made.signature.as_deref());
            fleet::write(format, &cmd.fleet, &cmd.output, manifest, signature, &made.parts())?
        }
    };
    bar.finish_and_clear();
    written.notes.iter().for_each(|note| cmd.print.note(&bar, note));
    cmd.tell(&written.path, &made.manifest, &made.slot_id(), made.signature.is_some())
}

impl Cmd {
    /// The program for the board, and its architecture.
    fn program(&self, board: Option<&Profile>) -> Result<(PathBuf, &'static str), DeployError> {
        if let Some(path) = &self.binary {
            let found = program::architecture(path)?;
            return match board {
                Some(board) if !program::fits(found, &board.architecture) => Err(DeployError::Architecture {
                    program: found.into(),
                    board: board.title.clone(),
                    found: board.architecture.clone(),
                }),
                _ => Ok((path.clone(), found)),
            };
        }
        let here = program::this()?;
        let found = program::architecture(&here)?;
        let Some(board) = board.filter(|b| !program::fits(found, &b.architecture)) else {
            return Ok((here, found));
        };
        let path = program::find(&here, &board.architecture);
        let (path, _) = path.ok_or_else(|| DeployError::Architecture {
            program: found.into(),
            board: board.title.clone(),
            found: board.architecture.clone(),
        })?;
        let found = program::architecture(&path)?;
        Ok((path, found))
    }

    fn tell(&self, output: &Path, manifest: &Manifest, slot: &str, signed: bool) -> Result<()> {
        if self.print.json {
            let outcome = Outcome {
                schema: JSON_SCHEMA,
                command: "bundle",
                output,
                slot: slot.into(),
                signed,
                manifest,
            };
            let text = serde_json::to_string_pretty(&outcome).expect("an outcome is plain data");
            return self.print.result(text);
        }
        if self.print.quiet {
            return Ok(());
        }
        let expected = manifest.expected.as_ref().expect("it was just measured");
        self.print.result(format_args!(
            "{}  {} {} x{} for {} ({}), {:.1} MB{}\nslot {slot}  expected {:.2} dB PSNR-Y, {:.4} SSIM on {}, \
             self-test CRC {}",
            output.display(),
            manifest.name,
            manifest.model.precision,
            manifest.model.upscale,
            manifest.board.as_deref().unwrap_or("any board"),
            manifest.architecture,
            manifest.size() as f64 * 1e-6,
            if signed { format!(", signed, counter {}", manifest.counter()) } else { String::new() },
            expected.psnr_y_db,
            expected.ssim_y,
            expected.data,
            manifest.self_test.crc32,
        ))
    }
}
