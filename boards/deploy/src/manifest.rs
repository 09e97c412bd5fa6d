//! What a bundle promises: its parts and their hashes, the board, the expected quality, the self-test.
//!
//! A manifest is read from strangers: its length is limited before it is parsed, and nothing in it is used
//! before [`Manifest::parse`] has checked it.

use super::DeployError;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::path::Path;

/// Version of the format.
pub const SCHEMA: u32 = 1;
/// Longest manifest in bytes.
pub const MAX_BYTES: usize = 1 << 16;
/// Longest text in it.
const MAX_TEXT: usize = 256;
/// Largest counter: what a shell can compare, too.
const MAX_COUNTER: u64 = i64::MAX as u64;
/// Largest picture of a self-test, in pixels.
const MAX_PIXELS: u64 = 1 << 20;

/// File names in a bundle and in a slot.
pub const MANIFEST: &str = "manifest.json";
/// The signature of [`MANIFEST`], in minisign's format.
pub const SIGNATURE: &str = "manifest.json.minisig";
/// The program for the board.
pub const PROGRAM: &str = "mcir-board";
/// The model.
pub const MODEL: &str = "model.mcir";
/// The picture of the self-test.
pub const SELF_TEST: &str = "self-test.ppm";

/// The parts of a bundle in their order, and how long each may be.
const PARTS: [(&str, u64); 3] = [(PROGRAM, 1 << 28), (MODEL, 1 << 28), (SELF_TEST, 1 << 22)];

/// What a bundle promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Name of the model.
    pub name: String,
    /// Version of the program that made the bundle.
    pub version: String,
    /// Grows from bundle to bundle; a board refuses a smaller one than that of what it runs. Bundles made before there were
    /// counters have none, which counts as 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    /// Board that it is for; any of the architecture without.
    pub board: Option<String>,
    /// Architecture of the program, as `uname -m` prints it.
    pub architecture: String,
    /// The model.
    pub model: ModelFacts,
    /// Quality to expect.
    pub expected: Option<Expected>,
    /// The self-test.
    pub self_test: SelfTest,
    /// The files.
    pub parts: Vec<Part>,
}

/// What the model is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFacts {
    /// `int8` or `f32`.
    pub precision: String,
    /// Factor.
    pub upscale: u32,
    /// Multiply-accumulates for one pixel of the input image.
    pub macs_per_pixel: u64,
}

/// Quality, measured when the bundle was made. The board computes the same bits, so it has the same quality.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Mean PSNR on Y in dB, border of `upscale` pixels left out.
    pub psnr_y_db: f64,
    /// Mean SSIM on Y.
    pub ssim_y: f64,
    /// The pictures.
    pub data: String,
}

/// A picture and what the engine makes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelfTest {
    /// Width of the input in pixels.
    pub width: u32,
    /// Height of the input in pixels.
    pub height: u32,
    /// CRC-32 (IEEE) of the output's bytes, as eight hexadecimal digits.
    pub crc32: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 as 64 hexadecimal digits.
    pub sha256: String,
}

impl Part {
    /// A file of this name with these bytes.
    pub fn of(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.into(), size: bytes.len() as u64, sha256: sha256(bytes) }
    }

    /// Program, model and picture of a bundle, by their names.
    pub fn all([program, model, picture]: [&[u8]; 3]) -> Vec<Self> {
        vec![Self::of(PROGRAM, program), Self::of(MODEL, model), Self::of(SELF_TEST, picture)]
    }
}

impl Manifest {
    /// Reads a manifest and checks everything in it.
    ///
    /// # Errors
    /// [`DeployError::Manifest`] with the rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, DeployError> {
        let wrong = |reason| DeployError::Manifest { reason };
        if bytes.len() > MAX_BYTES {
            return Err(wrong(format!("it has {} bytes; the limit is {MAX_BYTES}", bytes.len())));
        }
        // A newer format may look entirely different: its number is read alone first.
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let version: Version = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        if version.schema != SCHEMA {
            return Err(wrong(format!("its schema is {}; this program knows {SCHEMA}", version.schema)));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        manifest.check().map_err(wrong)?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        let texts = [
            ("name", Some(&self.name)),
            ("version", Some(&self.version)),
            ("board", self.board.as_ref()),
            ("architecture", Some(&self.architecture)),
            ("precision", Some(&self.model.precision)),
            ("data", self.expected.as_ref().map(|e| &e.data)),
        ];
        for (key, text) in texts {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                return Err(format!("{key} must have 1 to {MAX_TEXT} bytes and no control characters"));
            }
        }
        if self.counter() > MAX_COUNTER {
            return Err(format!("counter is {}; the limit is {MAX_COUNTER}", self.counter()));
        }
        if !(1..=16).contains(&self.model.upscale) {
            return Err(format!("upscale is {}; it must be 1 to 16", self.model.upscale));
        }
        let pixels = u64::from(self.self_test.width) * u64::from(self.self_test.height);
        if pixels == 0 || pixels > MAX_PIXELS {
            return Err(format!("the self-test has {pixels} pixels; it must have 1 to {MAX_PIXELS}"));
        }
        hexadecimal("crc32", &self.self_test.crc32, 8)?;
        if !self.parts.iter().map(|p| p.name.as_str()).eq(PARTS.iter().map(|(name, _)| *name)) {
            let names = PARTS.map(|(name, _)| name).join(", ");
            return Err(format!("its parts must be {names}, in this order"));
        }
        for (part, (name, limit)) in self.parts.iter().zip(PARTS) {
            if part.size == 0 || part.size > limit {
                return Err(format!("{name} has {} bytes; it must have 1 to {limit}", part.size));
            }
            hexadecimal("sha256", &part.sha256, 64)?;
        }
        Ok(())
    }

    /// The bytes that are hashed, signed and stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest is plain data");
        bytes.push(b'\n');
        bytes
    }

    /// A part that every checked manifest has.
    ///
    /// # Panics
    /// For a name that no manifest has.
    pub fn part(&self, name: &str) -> &Part {
        self.parts.iter().find(|p| p.name == name).expect("a checked manifest has all parts")
    }

    /// Where the bundle stands among its successors.
    pub fn counter(&self) -> u64 {
        self.counter.unwrap_or(0)
    }

    /// Whether it may follow a bundle of this counter on a board, which is called `place` in the error.
    ///
    /// # Errors
    /// [`DeployError::Downgrade`].
    pub fn follows(&self, current: u64, place: &str) -> Result<(), DeployError> {
        match self.counter() {
            found if found < current => Err(DeployError::Downgrade { found, place: place.into(), current }),
            _ => Ok(()),
        }
    }

    /// Bytes of all parts.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(|p| p.size).sum()
    }
}

/// The name of a slot: what its manifest hashes to, and so, through the manifest, what all its parts do.
pub fn slot_id(manifest: &[u8]) -> String {
    hex(&Sha256::digest(manifest))[..32].to_owned()
}

fn hexadecimal(key: &str, text: &str, digits: usize) -> Result<(), String> {
    let good = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(()) } else { Err(format!("{key} must be {digits} lower-case hexadecimal digits")) }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// SHA-256 of some bytes, as hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 and length of what a reader gives.
///
/// # Errors
/// The reader's.
pub fn sha256_of(reader: &mut dyn Read) -> io::Result<(String, u64)> {
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((hex(&hasher.finalize()), size)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                size += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Checks a file against what the manifest says about it.
///
/// # Errors
/// [`DeployError::Hash`], [`DeployError::Io`].
pub fn check_file(path: &Path, part: &Part) -> Result<(), DeployError> {
    let mut file = std::fs::File::open(path).map_err(DeployError::io("read", path))?;
    let (found, _) = sha256_of(&mut file).map_err(DeployError::io("read", path))?;
    if found == part.sha256 {
        return Ok(());
    }
    Err(DeployError::Hash { part: path.display().to_string(), expected: part.sha256.clone(), found })
}

/// The manifest of a bundle of these parts, for tests, which change in it what they are about.
#[cfg(test)]
pub fn example(parts: &[Vec<u8>; 3]) -> Manifest {
    Manifest {
        schema: SCHEMA,
        name: "m".into(),
        version: "1".into(),
        counter: None,
        board: None,
        architecture: "aarch64".into(),
        model: ModelFacts { precision: "int8".into(), upscale: 4, macs_per_pixel: 12 },
        expected: None,
        self_test: SelfTest { width: 3, height: 2, crc32: "0123abcd".into() },
        parts: Part::all(parts.each_ref().map(Vec::as_slice)),
    }
}
