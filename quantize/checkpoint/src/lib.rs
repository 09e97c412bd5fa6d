//! Weights of other frameworks: `.pth` and `.pt` of PyTorch (both its formats) and `.safetensors`.
//!
//! Nothing of a file is run: of a pickle only the parts that make up tensors mean anything here, everything else is passed
//! over. What a file unfolds to is held against its size before memory is taken for it: what is packed, the number of objects
//! in its pickle, tensors that are views of one another.
//!
//! Trainers save weights below keys and behind prefixes of their own. [`read`] gives the tensors of one group of them: of
//! averaged weights if there are any, with all those prefixes stripped.

mod groups;
mod pickle;
mod tensors;
mod torch;

pub use tensors::Tensors;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How many times larger than the file what is in it may be. Tensors can be views of one another and pickles be packed, so that
/// a few bytes stand for gigabytes; in what trainers save, tensors are stored as they are, and a few of them shared.
pub const MAX_UNFOLDING: u64 = 4;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not there.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is of neither format, or damaged.
    #[error(
        "cannot read {path} as PyTorch or safetensors weights: {what}; save the state dict again with torch.save"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Reads the float tensors of a file whose names, without prefixes, are `wanted`, as f32.
///
/// # Errors
/// [`Error`].
pub fn read(path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Tensors, Error> {
    let io = |source| Error::Io { path: path.into(), source };
    let format = |what: String| Error::Format { path: path.into(), what };
    let mut file = File::open(path).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let mut start = [0; 9];
    let length = read_up_to(&mut file, &mut start).map_err(io)?;
    io::Seek::rewind(&mut file).map_err(io)?;
    // One of 256 files of safetensors begins as a pickle does, with the length of its header.
    let is_torch = (start[..length].starts_with(b"PK\x03\x04") || start[0] == 0x80) && start[8] != b'{';
    match is_torch {
        true => torch::read(file, bytes, wanted).map_err(format),
        false => from_safetensors(file, bytes, wanted).map_err(format),
    }
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..])? {
            0 => break,
            n => length += n,
        }
    }
    Ok(length)
}

/// The header is read once, however many tensors it names.
fn from_safetensors(mut file: File, bytes: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Tensors, String> {
    let mut content = Vec::new();
    content.try_reserve_exact(usize::try_from(bytes).unwrap_or(usize::MAX)).map_err(|e| e.to_string())?;
    file.read_to_end(&mut content).map_err(|e| e.to_string())?;
    let file = safetensors::SafeTensors::deserialize(&content).map_err(|e| e.to_string())?;
    let named = file.iter().map(|(name, view)| (Vec::new(), name.to_owned(), view));
    let chosen = groups::choose(named.collect());
    let mut tensors = Tensors::default();
    for (name, view) in chosen {
        let Some(kind) = tensors::Kind::of_safetensors(view.dtype()).filter(|_| wanted(&name)) else {
            continue;
        };
        let values = kind.values(view.data());
        if view.shape().iter().product::<usize>() != values.len() {
            return Err(format!("{name} has another size than its shape says"));
        }
        tensors.insert(name, view.shape().to_vec(), values);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests;
