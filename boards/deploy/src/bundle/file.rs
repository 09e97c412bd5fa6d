//! The bundle file: a tar archive with the manifest, perhaps its signature, and the parts, in this order.
//!
//! Tar, so that `tar tvf` shows what is in it; but only what [`write()`] makes is read: regular files with these
//! names in this order, each as long as the manifest says.

use crate::DeployError;
use crate::manifest::{MANIFEST, MAX_BYTES, Manifest, PROGRAM, Part, SIGNATURE, hex, sha256_of, slot_id};
use crate::sign;
use mcir_files::Pending;
use mcir_upscale::error::Result;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest signature in bytes.
const MAX_SIGNATURE: u64 = 1 << 12;

/// A bundle whose every byte has been checked against its manifest.
#[derive(Debug)]
pub struct Bundle {
    /// The file.
    pub path: PathBuf,
    /// What it promises.
    pub manifest: Manifest,
    /// The manifest as it is hashed and signed.
    pub manifest_bytes: Vec<u8>,
    /// The signature, unchecked until [`Bundle::verify`].
    pub signature: Option<String>,
    /// The one handle that everything is read through: what has the name later may be another file.
    file: File,
    /// Where each part lies in the file, in the order of the manifest.
    offsets: Vec<u64>,
}

impl Bundle {
    /// Opens a bundle and checks all of it except the signature.
    ///
    /// # Errors
    /// [`DeployError::Bundle`], [`DeployError::Manifest`], [`DeployError::Hash`], [`DeployError::Io`].
    pub fn open(path: &Path) -> Result<Self, DeployError> {
        let wrong = |reason: String| DeployError::Bundle { path: path.into(), reason };
        let file = File::open(path).map_err(DeployError::io("read", path))?;
        let mut archive = tar::Archive::new(&file);
        // Raw: extension headers, which could ask for memory, are entries like others, and refused.
        let entries = archive.entries().map_err(|e| wrong(e.to_string()))?.raw(true);
        let (mut read, mut offsets) = (None::<Manifest>, Vec::new());
        let (mut manifest_bytes, mut signature) = (Vec::new(), None);
        for entry in entries {
            // What tar says quotes the bytes that it stumbled over, which may be anything.
            let mut entry = entry.map_err(|_| wrong("it is no archive of tar, or cut off".into()))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let size = entry.size();
            if !entry.header().entry_type().is_file() {
                return Err(wrong(format!("{name} is no regular file")));
            }
            let mut text = |limit: u64| {
                if size > limit {
                    return Err(wrong(format!("{name} has {size} bytes; the limit is {limit}")));
                }
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(DeployError::io("read", path))?;
                Ok(bytes)
            };
            match (&read, name.as_str()) {
                (None, MANIFEST) => {
                    manifest_bytes = text(MAX_BYTES as u64)?;
                    read = Some(Manifest::parse(&manifest_bytes)?);
                }
                (Some(_), SIGNATURE) if signature.is_none() && offsets.is_empty() => {
                    let bytes = text(MAX_SIGNATURE)?;
                    let parsed = String::from_utf8(bytes).map_err(|_| wrong(format!("{name} is no text")))?;
                    signature = Some(parsed);
                }
                (Some(manifest), _) => {
                    let part = manifest.parts.get(offsets.len()).filter(|p| p.name == name);
                    let part = part.ok_or_else(|| wrong(format!("{name} is not what belongs there")))?;
                    if size != part.size {
                        return Err(wrong(format!(
                            "{name} has {size} bytes, but its manifest says {}",
                            part.size
                        )));
                    }
                    offsets.push(entry.raw_file_position());
                    let (found, read) = sha256_of(&mut entry).map_err(DeployError::io("read", path))?;
                    if read != size {
                        return Err(wrong(format!("{name} is cut off after {read} of {size} bytes")));
                    }
                    if found != part.sha256 {
                        let expected = part.sha256.clone();
                        return Err(DeployError::Hash {
                            part: format!("{name} in {}", path.display()),
                            expected,
                            found,
                        });
                    }
                }
                (None, _) => return Err(wrong(format!("it begins with {name:.64} and not with {MANIFEST}"))),
            }
        }
        let manifest = read.ok_or_else(|| wrong("it is empty".into()))?;
        if let Some(missing) = manifest.parts.get(offsets.len()) {
            return Err(wrong(format!("{} is missing", missing.name)));
        }
        Ok(Self { path: path.into(), manifest, manifest_bytes, signature, file, offsets })
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`DeployError::Unsigned`], [`DeployError::Signature`], [`DeployError::Key`].
    pub fn verify(&self, key: &str) -> Result<(), DeployError> {
        let key = sign::public_key(key)?;
        let signature = self.signature.as_deref();
        let signature = signature.ok_or_else(|| DeployError::Unsigned { path: self.path.clone() })?;
        sign::verify(&self.manifest_bytes, signature, &key)
            .map_err(|reason| DeployError::Signature { path: self.path.clone(), reason })
    }

    /// Name of the slot that it becomes.
    pub fn slot_id(&self) -> String {
        slot_id(&self.manifest_bytes)
    }

    /// Reads a part, which is hashed once more on its way: its last bytes come only when all of it is what the manifest
    /// says. A file that is changed after it was checked so never arrives whole, and nothing runs it.
    pub fn part(&self, name: &str) -> PartReader<'_> {
        let index = self.manifest.parts.iter().position(|p| p.name == name);
        let index = index.expect("a checked manifest has all parts");
        let part = &self.manifest.parts[index];
        PartReader { file: &self.file, at: self.offsets[index], left: part.size, hasher: Sha256::new(), part }
    }
}

/// A part of a bundle on its way.
#[derive(Debug)]
pub struct PartReader<'a> {
    file: &'a File,
    at: u64,
    left: u64,
    hasher: Sha256,
    part: &'a Part,
}

impl Read for PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.hasher.update(&buffer[..read]);
        (self.at, self.left) = (self.at + read as u64, self.left - read as u64);
        let changed = read == 0 || self.left == 0 && hex(&self.hasher.clone().finalize()) != self.part.sha256;
        if changed {
            let what = format!("{} of the bundle was changed while it was read", self.part.name);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(read)
    }
}

/// Writes a bundle. `parts` are the contents in the order of the manifest. The same input gives the same bytes.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, manifest: &Manifest, signature: Option<&str>, parts: &[&[u8]]) -> Result<()> {
    let failed = || DeployError::io("write", path);
    let mut builder = tar::Builder::new(Pending::create(path)?);
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(if name == PROGRAM { 0o755 } else { 0o644 });
        header.set_mtime(0);
        builder.append_data(&mut header, name, bytes)
    };
    append(MANIFEST, &manifest.to_bytes()).map_err(failed())?;
    if let Some(signature) = signature {
        append(SIGNATURE, signature.as_bytes()).map_err(failed())?;
    }
    for (part, bytes) in manifest.parts.iter().zip(parts) {
        append(&part.name, bytes).map_err(failed())?;
    }
    Ok(builder.into_inner().map_err(failed())?.finish()?)
}
