//! What a bundle is made of, and making one: in memory, so that `flash` can send one that no file holds.

use super::write;
use crate::manifest::{self, Expected, Manifest, ModelFacts, Part, SCHEMA, slot_id};
use crate::{DeployError, program, self_test, sign};
use mcir_report::data::TestSet;
use mcir_report::measure::{Method, quality};
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use std::path::{Path, PathBuf};

/// What decides what a bundle promises, besides its model and program.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Making {
    /// Folder of images to measure the expected quality with [default: drawn test cards]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Sign with this secret key, from `mcir-board keygen` or minisign
    #[arg(long, value_name = "KEY")]
    pub sign: Option<PathBuf>,

    /// Number that grows from bundle to bundle: a board refuses one below that of what it runs [default: of a signed bundle
    /// the time in seconds since 1970, or SOURCE_DATE_EPOCH where that is set, so that the same input gives the same
    /// manifest; of others 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub counter: Option<u64>,
}

/// Who answers for a bundle, and where it stands among its successors.
#[derive(Default)]
pub struct Author {
    key: Option<minisign::SecretKey>,
    counter: u64,
}

impl Making {
    /// Reads the key. `password` is that of an encrypted one.
    ///
    /// # Errors
    /// [`DeployError::Key`], [`DeployError::Usage`].
    pub fn author(&self, password: Option<String>) -> Result<Author, DeployError> {
        let counter = self.counter()?;
        let key = self.sign.as_deref().map(|key| sign::secret_key(key, password)).transpose()?;
        Ok(Author { key, counter })
    }

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
                "{EPOCH} is {}, which is not a number of seconds",
                given.to_string_lossy().escape_debug()
            ),
            help: "unset it, or give --counter a number",
        })
    }
}

/// A bundle in memory.
#[derive(Debug)]
pub struct Made {
    /// What it promises.
    pub manifest: Manifest,
    /// The signature of the manifest.
    pub signature: Option<String>,
    /// Program, model, picture.
    contents: [Vec<u8>; 3],
}

impl Made {
    /// Name of the slot that it becomes.
    pub fn slot_id(&self) -> String {
        slot_id(&self.manifest.to_bytes())
    }

    /// The contents of the parts, in the order of the manifest.
    pub fn parts(&self) -> [&[u8]; 3] {
        self.contents.each_ref().map(Vec::as_slice)
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write(path, &self.manifest, self.signature.as_deref(), &self.parts())
    }
}

/// Makes a bundle: measures the model on pictures, runs the self-test, hashes and signs. `board` is the name of the profile that
/// it is for, none for any board of the program's architecture.
///
/// # Errors
/// What keeps the model, the program or the pictures from being used.
pub fn make(
    model: &NamedModel,
    binary: &Path,
    board: Option<String>,
    data: Option<&Path>,
    author: &Author,
    bar: &mcir_files::terminal::ProgressBar,
) -> Result<Made> {
    let architecture = program::architecture(binary)?;
    let program = std::fs::read(binary).map_err(DeployError::io("read", binary))?;
    let expected = expected(model, data, bar)?;
    let picture = self_test::picture();
    let outcome = self_test::run(model.clone(), &picture, PlanOptions::default())?;
    let contents = [program, model.model.to_bytes(), self_test::to_ppm(&picture)];
    let manifest = Manifest {
        schema: SCHEMA,
        name: model.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        counter: Some(author.counter),
        board,
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
        parts: Part::all(contents.each_ref().map(Vec::as_slice)),
    };
    let bytes = manifest.to_bytes();
    // What cannot be read again must not be written.
    Manifest::parse(&bytes)?;
    let comment = format!("slot {}", slot_id(&bytes));
    let signature = author.key.as_ref().map(|key| sign::sign(&bytes, key, &comment)).transpose()?;
    Ok(Made { manifest, signature, contents })
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
