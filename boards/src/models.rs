//! Models by name: files, or those embedded in the program.

use crate::embedded::{self, Embedded};
use crate::error::{Error, Result};
use mcir_runtime::error::LoadError;
use mcir_runtime::model::Model;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longest model file that is read into memory; the format itself allows no more.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// A model and what to call it in tables and messages.
#[derive(Debug, Clone)]
pub struct NamedModel {
    /// Name without the kind of numbers: a float model and its quantized form have the same.
    pub name: String,
    /// The model.
    pub model: Model,
    /// Size of its file in bytes.
    pub file_bytes: usize,
}

impl NamedModel {
    /// The model in a file, or the embedded one of this name; the quantized form of it, unless `.f32` follows
    /// the name.
    ///
    /// # Errors
    /// [`Error::NoModel`] when there is neither, [`Error::Load`] when the file is not a usable model,
    /// [`Error::ModelChannels`] when it does not turn RGB into RGB, [`Error::Io`].
    pub fn open(name: &str) -> Result<Self> {
        let path = Path::new(name);
        if path.exists() {
            return Self::from_file(path);
        }
        let (base, float) = match name.strip_suffix(".f32") {
            Some(base) => (base, true),
            None => (name.strip_suffix(".int8").unwrap_or(name), false),
        };
        let embedded = embedded::MODELS.iter().find(|m| m.name == base);
        let embedded =
            embedded.ok_or_else(|| Error::NoModel { name: name.into(), embedded: embedded::names() })?;
        Self::from_embedded(embedded, float)
    }

    /// The embedded model to use when none is named.
    ///
    /// # Errors
    /// [`Error::NoEmbedded`] when none has this factor.
    pub fn default_for(upscale: usize) -> Result<Self> {
        let embedded = embedded::default_for(upscale)
            .ok_or_else(|| Error::NoEmbedded { upscale, embedded: embedded::names() })?;
        Self::from_embedded(embedded, false)
    }

    /// One form of an embedded model.
    ///
    /// # Errors
    /// [`Error::Load`] when the program was built with a damaged file.
    pub fn from_embedded(embedded: &Embedded, float: bool) -> Result<Self> {
        let bytes = if float { embedded.f32 } else { embedded.int8 };
        Self::new(embedded.name, Cow::Borrowed(bytes), false)
    }

    fn from_file(path: &Path) -> Result<Self> {
        let failed = |source| Error::Io { action: "read", path: path.into(), source };
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too long from one that just fits.
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.is_empty() {
            return Err(Error::Empty { path: path.into() });
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            let source = LoadError::TooLarge {
                what: "size in bytes",
                found: bytes.len() as u64,
                limit: MAX_FILE_BYTES,
            };
            return Err(Error::Load { name: path.display().to_string(), source });
        }
        Self::new(&path.display().to_string(), Cow::Owned(bytes), true)
    }

    fn new(name: &str, bytes: Cow<'static, [u8]>, is_path: bool) -> Result<Self> {
        let file_bytes = bytes.len();
        let model = Model::from_bytes(bytes).map_err(|source| Error::Load { name: name.into(), source })?;
        let (found_in, found_out) = (model.in_channels(), model.out_channels());
        if (found_in, found_out) != (3, 3) {
            return Err(Error::ModelChannels { name: name.into(), found_in, found_out });
        }
        let name = match model.meta("name") {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ if is_path => name_from_path(Path::new(name)),
            _ => name.to_owned(),
        };
        Ok(Self { name, model, file_bytes })
    }

    /// Upscaling factor.
    pub fn upscale(&self) -> usize {
        usize::from(self.model.upscale())
    }

    /// What the model computes with: `f32` or `int8`.
    pub fn precision(&self) -> &'static str {
        if self.model.is_quantized() { "int8" } else { "f32" }
    }
}

/// `edge` for `edge.f32.mcir`, and `edge` for `edge/model.int8.mcir`.
fn name_from_path(path: &Path) -> String {
    let lossy = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
    let file = path.file_name().map(lossy).unwrap_or_default();
    let stem = file.strip_suffix(".mcir").unwrap_or(&file);
    let stem = [".f32", ".int8"].iter().find_map(|s| stem.strip_suffix(s)).unwrap_or(stem);
    let parent = path.parent().and_then(Path::file_name).map(lossy);
    match parent {
        Some(parent) if stem == "model" => parent,
        _ => stem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_and_quantized_files_share_a_name() {
        for (path, name) in [
            ("edge.f32.mcir", "edge"),
            ("runs/edge.int8.mcir", "edge"),
            ("models/edsr-edge-x4/model.int8.mcir", "edsr-edge-x4"),
            ("model.f32.mcir", "model"),
            ("other.bin", "other.bin"),
        ] {
            assert_eq!(name_from_path(Path::new(path)), name, "{path}");
        }
    }

    #[test]
    fn unknown_names_say_what_there_is() {
        let error = NamedModel::open("no-such-model").unwrap_err();
        assert_eq!(error.to_string(), "there is no model file and no embedded model `no-such-model`");
        assert!(error.help().contains(&embedded::names()));
    }

    #[test]
    fn embedded_models_load_and_have_the_factor_that_the_table_says() {
        for embedded in embedded::MODELS {
            for (float, precision) in [(true, "f32"), (false, "int8")] {
                let model = NamedModel::from_embedded(embedded, float).unwrap();
                assert_eq!((model.upscale(), model.precision()), (embedded.upscale, precision));
                assert_eq!(model.name, embedded.name);
            }
        }
    }
}
