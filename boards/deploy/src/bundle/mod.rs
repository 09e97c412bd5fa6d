//! `mcir-board bundle`: a model, the program that runs it and what to expect of them, in one file.

pub mod file;
#[cfg(test)]
mod tests;

pub use file::{Bundle, write};

use super::DeployError;
use super::manifest::{self, Expected, Manifest, ModelFacts, Part, SCHEMA, sha256};
use super::{fleet, program, self_test, sign};
use mcir_files::Pending;
use mcir_report::data::TestSet;
use mcir_report::measure::{Method, quality};
use mcir_report::profiles::Profile;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::args::OutputArgs;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
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

    /// mcir-board as built for the board [default: this program, or the one built beside it for the board]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,

    /// Folder of images to measure the expected quality with [default: drawn test cards]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Sign with this secret key, from `mcir-board keygen` or minisign
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,

    /// Password of an encrypted key
    #[arg(long, value_name = "PASSWORD", env = "MCIR_KEY_PASSWORD", hide_env_values = true, value_parser = sign::password)]
    key_password: Option<String>,

    /// Number that grows from bundle to bundle: a board refuses one below that of what it runs [default: of a signed bundle
    /// the time in seconds since 1970, or SOURCE_DATE_EPOCH where that is set, so that the same input gives the same
    /// manifest; of others 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    counter: Option<u64>,

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
    let counter = cmd.counter()?;
    let key = cmd.sign.as_deref().map(|k| sign::secret_key(k, cmd.key_password.clone())).transpose()?;
    // An output that cannot be written is told before anything is measured.
    drop(Pending::create(&cmd.output)?);

    let bar = cmd.print.progress(0);
    cmd.print.note(&bar, format_args!("program: {} ({architecture})", binary.display()));
    let program = std::fs::read(&binary).map_err(DeployError::io("read", &binary))?;
    let expected = expected(&model, cmd.data.as_deref(), &bar)?;
    let picture = self_test::picture();
    let outcome = self_test::run(model.clone(), &picture, PlanOptions::default())?;
    let (model_bytes, picture_bytes) = (model.model.to_bytes(), self_test::to_ppm(&picture));
    let parts: [&[u8]; 3] = [&program, &model_bytes, &picture_bytes];
    let names = [manifest::PROGRAM, manifest::MODEL, manifest::SELF_TEST];
    let part = |(name, bytes): (&str, &&[u8])| Part {
        name: name.into(),
        size: bytes.len() as u64,
        sha256: sha256(bytes),
    };
    let manifest = Manifest {
        schema: SCHEMA,
        name: model.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        counter: Some(counter),
        board: board.as_ref().map(|b| b.name.clone()),
        architecture: architecture.into(),
        model: ModelFacts {
            precision: model.precision().into(),
            upscale: model.upscale() as u32,
            macs_per_pixel: model.model.macs_per_pixel(),
        },
        expected: Some(expected),
        self_test: manifest::SelfTest {
            width: picture.width() as u32,
            height: picture.height() as u32,
            crc32: outcome.crc32,
        },
        parts: names.into_iter().zip(&parts).map(part).collect(),
    };
    let bytes = manifest.to_bytes();
    // What cannot be read again must not be written.
    Manifest::parse(&bytes)?;
    let slot = manifest::slot_id(&bytes);
    let comment = format!("slot {slot}");
    let signature = key.map(|key| sign::sign(&bytes, &key, &comment)).transpose()?;
    let written = match cmd.format {
        fleet::Format::Mcir => {
            write(&cmd.output, &manifest, signature.as_deref(), &parts)?;
            fleet::Written { path: cmd.output.clone(), notes: Vec::new() }
        }
        format => fleet::write(format, &cmd.fleet, &cmd.output, &manifest, signature.as_deref(), &parts)?,
    };
    bar.finish_and_clear();
    written.notes.iter().for_each(|note| cmd.print.note(&bar, note));
    cmd.tell(&written.path, &manifest, &slot, signature.is_some())
}

impl Cmd {
    /// Where the bundle stands among its successors. Without a signature anyone could write any number, so that one only
    /// gets what was asked for.
    fn counter(&self) -> Result<u64, DeployError> {
        const EPOCH: &str = "SOURCE_DATE_EPOCH";
        if let Some(counter) = self.counter {
            return Ok(counter);
        }
        if self.sign.is_none() {
            return Ok(0);
        }
        let Some(given) = std::env::var_os(EPOCH) else {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            return Ok(now.map_or(0, |since| since.as_secs()));
        };
        let seconds =
            given.to_str().and_then(|text| text.parse::<i64>().ok()).and_then(|s| u64::try_from(s).ok());
        seconds.ok_or_else(|| DeployError::Usage {
            what: format!(
                "{EPOCH} is {}, which is no number of seconds",
                given.to_string_lossy().escape_debug()
            ),
            help: "unset it, or give --counter a number",
        })
    }

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
        let path =
            program::built_beside(&here, &board.architecture).ok_or_else(|| DeployError::Architecture {
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

/// Measures what the model makes of the pictures.
fn expected(
    model: &NamedModel,
    data: Option<&Path>,
    bar: &mcir_files::terminal::ProgressBar,
) -> Result<Expected> {
    let set = data.map_or_else(|| Ok(TestSet::cards()), TestSet::folder)?;
    let upscale = model.upscale();
    let options = PlanOptions::default().threads(mcir_upscale::args::all_threads());
    let mut method = Method::Model(Box::new(Upscaler::new(model.clone(), options)));
    bar.set_length(set.images.len() as u64);
    let (mut psnr, mut ssim) = (0.0, 0.0);
    for image in &set.images {
        bar.set_message(format!("quality on {}", image.name));
        let pair = set.pair(image, upscale)?;
        let sr = method.run(&pair.lr, upscale)?;
        let quality = quality(&image.name, &sr, &pair.hr, upscale)?;
        psnr += quality.psnr_y_db;
        ssim += quality.ssim_y;
        bar.inc(1);
    }
    let count = set.images.len() as f64;
    Ok(Expected { psnr_y_db: psnr / count, ssim_y: ssim / count, data: set.description })
}
