//! [`Checkpoint`]: the whole state of a run in one file, written so that no crash can lose the last good one.
//!
//! The file is a burnpack container: tensors `net/…`, `ema/…` and `negativeK/…`, the optimizer's own record as bytes, the
//! resolved configuration as metadata. It is written under a temporary name and renamed, the file before it
//! is kept as `checkpoint.prev.bpk`.

use crate::weights::Tensors;
use burn::store::burn_pack::{Reader, Scalar, Tensor as PackTensor, Writer};
use burn::tensor::{Bytes, DType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the newest checkpoint in a run's folder.
pub const FILE: &str = "checkpoint.bpk";
/// Name of the one before.
pub const PREVIOUS: &str = "checkpoint.prev.bpk";

const FORMAT: u64 = 1;

/// State of a run after a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Resolved configuration, TOML.
    pub config: String,
    /// Optimizer steps done.
    pub step: u64,
    /// Trained weights.
    pub net: Tensors,
    /// Averaged weights.
    pub ema: Tensors,
    /// Weights of the negative models of the SPN loss, if there are any.
    pub negatives: Vec<Tensors>,
    /// Optimizer state, burn's own record.
    pub optimizer: Vec<u8>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The system refuses.
    #[error("cannot {action} {path}: {source}; {help}")]
    Io {
        /// Read, write or rename.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
        /// What to do.
        help: &'static str,
    },
    /// Not a checkpoint, or a damaged one.
    #[error("{path} is not a usable checkpoint: {what}; {}", instead_of(path))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// What to use instead of a damaged checkpoint, or of a file that never was one.
fn instead_of(path: &Path) -> String {
    let previous = path.with_file_name(PREVIOUS);
    match previous != path && previous.exists() {
        true => format!(
            "the one before it is {PREVIOUS} in the same folder: rename it to {FILE} to go on from there"
        ),
        false => format!("name the folder of a run, or a {FILE} in one"),
    }
}

impl Checkpoint {
    /// Writes `checkpoint.bpk` in a folder and keeps the one that was there as `checkpoint.prev.bpk`.
    ///
    /// # Errors
    /// The system's, for example a full disk; the checkpoint that was there is then still there.
    pub fn save(&self, folder: &Path) -> Result<(), CheckpointError> {
        let path = folder.join(FILE);
        let bytes = self.to_bytes();
        let temporary = folder.join(format!("{FILE}.tmp"));
        let help = match path.exists() || folder.join(PREVIOUS).exists() {
            true => "free some space or choose another folder; the earlier checkpoint is still there",
            false => "free some space or choose another folder",
        };
        let failed = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| CheckpointError::Io { action, path, source, help }
        };
        let written = write_synced(&temporary, &bytes).map_err(failed("write", &temporary));
        if written.is_err() {
            // Best effort: the error that matters is the one above.
            let _ = std::fs::remove_file(&temporary);
        }
        written?;
        if path.exists() {
            let previous = folder.join(PREVIOUS);
            std::fs::rename(&path, &previous).map_err(failed("rename", &path))?;
        }
        std::fs::rename(&temporary, &path).map_err(failed("rename", &temporary))
    }

    /// Reads a checkpoint file, or the newest one of a folder.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let newest = path.join(FILE);
        let path = match path.is_dir() {
            // A crash between the two renames leaves only the previous one.
            true if !newest.exists() && path.join(PREVIOUS).exists() => path.join(PREVIOUS),
            true => newest,
            false => path.to_path_buf(),
        };
        let help = "give a run's folder or its checkpoint file";
        let bytes = std::fs::read(&path).map_err(|source| CheckpointError::Io {
            action: "read",
            path: path.clone(),
            source,
            help,
        })?;
        Self::from_bytes(bytes).map_err(|what| CheckpointError::Damaged { path, what })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut tensors = Vec::new();
        let negatives = self.negatives.iter().enumerate().map(|(k, set)| (format!("negative{k}"), set));
        for (group, set) in
            [("net".into(), &self.net), ("ema".into(), &self.ema)].into_iter().chain(negatives)
        {
            for (name, shape, values) in set.iter() {
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                tensors.push(pack(format!("{group}/{name}"), DType::F32, shape.to_vec(), bytes));
            }
        }
        let optimizer = self.optimizer.clone();
        tensors.push(pack("optimizer".into(), DType::U8, vec![optimizer.len()], optimizer));
        let crc = checksum(tensors.iter());
        let writer = Writer::new(tensors)
            .with_metadata("config", &self.config)
            .with_scalar("format", Scalar::UInt(FORMAT))
            .with_scalar("step", Scalar::UInt(self.step))
            .with_scalar("crc32", Scalar::UInt(crc));
        writer.into_bytes().expect("tensors in memory can be packed").to_vec()
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).map_err(|e| e.to_string())?;
        let scalar = |key: &str| {
            let value = reader.scalars().get(key).copied().and_then(|s| u64::try_from(s).ok());
            value.ok_or_else(|| format!("it has no {key}"))
        };
        let (format, step, crc) = (scalar("format")?, scalar("step")?, scalar("crc32")?);
        if format != FORMAT {
            return Err(format!("it has format {format}, this program reads {FORMAT}"));
        }
        let config = reader.metadata().get("config").ok_or("it has no configuration")?.clone();
        let packed = reader.into_tensors().map_err(|e| e.to_string())?;
        if checksum(packed.iter()) != crc {
            return Err("its checksum does not match its contents".into());
        }
        let mut groups: BTreeMap<String, Tensors> = BTreeMap::new();
        let mut optimizer = None;
        for tensor in packed {
            let (name, dtype, shape, _, bytes) = tensor.into_parts().map_err(|e| e.to_string())?;
            let Some((group, name)) = name.split_once('/') else {
                optimizer = Some(bytes.to_vec());
                continue;
            };
            let shape = shape.to_vec();
            if dtype != DType::F32 || bytes.len() != 4 * shape.iter().product::<usize>() {
                return Err(format!("tensor {name:?} has the wrong type or length"));
            }
            let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            groups.entry(group.into()).or_default().insert(name.into(), shape, values.collect());
        }
        let mut take = |group: &str| groups.remove(group).ok_or_else(|| format!("it has no group {group:?}"));
        let (net, ema) = (take("net")?, take("ema")?);
        let negatives = (0..).map_while(|k| groups.remove(&format!("negative{k}"))).collect();
        match groups.keys().next() {
            Some(group) => Err(format!("it holds an unknown group {group:?}")),
            None => {
                let optimizer = optimizer.ok_or("it has no optimizer state")?;
                Ok(Self { config, step, net, ema, negatives, optimizer })
            }
        }
    }
}

fn pack(name: String, dtype: DType, shape: Vec<usize>, bytes: Vec<u8>) -> PackTensor {
    PackTensor::new(name, dtype, shape, None, Bytes::from_bytes_vec(bytes))
}

/// CRC-32 over names and values in the order of the names: the container has no checksum of its own.
fn checksum<'a>(tensors: impl Iterator<Item = &'a PackTensor>) -> u64 {
    let mut sorted: Vec<_> = tensors.collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let mut hasher = crc32fast::Hasher::new();
    for tensor in sorted {
        hasher.update(tensor.name.as_bytes());
        // A tensor that cannot be read changes the sum, which is the message that fits.
        hasher.update(&tensor.to_bytes().map(|b| b.to_vec()).unwrap_or_default());
    }
    hasher.finalize().into()
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
