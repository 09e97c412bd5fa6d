//! Models by name: files, or those embedded in the program.

use crate::embedded::{self, Embedded, Kind};
use crate::error::{Error, Result};
use mcir_runtime::model::Model;
use std::borrow::Cow;
use std::path::Path;

/// Longest model file that is read into memory; the format itself allows no more.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// What tells the files of one model apart, in the order of [`NamedModel::forms`].
const FORMS: [&str; 2] = [".f32", ".int8"];

/// Factor when neither a model nor a factor is given.
const DEFAULT_UPSCALE: usize = 4;

/// Which model to use.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModelArgs {
    /// Model file or folder, or name of an embedded model (see `mcir-board models`) [default: an embedded int8 model for
    /// the factor]
    #[arg(short = 'm', long, value_name = "MODEL")]
    pub model: Option<String>,

    /// Upscaling factor [default: the model's, or 4]
    #[arg(short = 's', long = "upscale", value_name = "FACTOR", value_parser = ["2", "3", "4"])]
    pub upscale: Option<String>,

    /// How much to clean up, 0 (nothing: blur, noise and blocks are enlarged with the rest) to 1 (all that a camera model
    /// has learnt); the nearest of a few steps is taken [default: 0.75 where a picture is cleaned up]
    #[arg(long, value_name = "0..1", value_parser = strength)]
    pub strength: Option<f32>,
}

/// How much is cleaned up, unless someone says: on damaged pictures as good as all of it, on clean ones and on the noise of a
/// real camera better by 0.1 to 0.4 dB (`boards/models/README.md` has the table).
pub const CAMERA_STRENGTH: f32 = 0.75;

impl ModelArgs {
    fn upscale(&self) -> Option<usize> {
        self.upscale.as_ref().map(|s| s.parse().expect("clap only lets numbers through"))
    }
}

fn strength(text: &str) -> std::result::Result<f32, String> {
    let number = text.parse().ok().filter(|s| (0.0..=1.0).contains(s));
    number.ok_or_else(|| "write a number from 0 to 1, such as 0.5".into())
}

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
    /// The model of this name, to upscale with: of several forms, the quantized one.
    ///
    /// # Errors
    /// As [`NamedModel::forms`].
    pub fn open(name: &str) -> Result<Self> {
        let forms = Self::forms(name)?;
        Ok(forms.into_iter().next_back().expect("a model has at least one form"))
    }

    /// The model that the options `-m`, `-s` and `--strength` ask for; where they leave it open, the default of a kind.
    ///
    /// # Errors
    /// As [`NamedModel::forms`] and [`NamedModel::default_for`]; [`Error::Upscale`] when the first two do not agree,
    /// [`Error::Strength`] for a model that has no strengths.
    pub fn choose(args: &ModelArgs, kind: Kind) -> Result<Self> {
        let asked = args.upscale();
        let Some(name) = args.model.as_deref() else {
            let default = Self::default_for(asked.unwrap_or(DEFAULT_UPSCALE), kind)?;
            let strength = args.strength.or((kind == Kind::Camera).then_some(CAMERA_STRENGTH));
            return strength
                .map_or(Ok(default.clone()), |strength| Self::at_strength(&default.name, strength));
        };
        let model = match args.strength {
            Some(strength) => Self::at_strength(name, strength)?,
            None => Self::open(name)?,
        };
        match asked {
            Some(asked) if asked != model.upscale() => {
                Err(Error::Upscale { name: name.into(), found: model.upscale(), asked })
            }
            _ => Ok(model),
        }
    }

    /// All forms of the model of this name, f32 before int8. The name is that of a model file, of a folder
    /// with `model.f32.mcir` and `model.int8.mcir`, or of an embedded model, of which `.f32` or `.int8` after
    /// the name takes one form only.
    ///
    /// # Errors
    /// [`Error::NoModel`] when there is neither, [`Error::Load`] when a file is not a usable model,
    /// [`Error::ModelChannels`] when it turns neither RGB into RGB nor Y into Y, [`mcir_files::Error::Io`].
    pub fn forms(name: &str) -> Result<Vec<Self>> {
        let path = Path::new(name);
        let missing = || Error::NoModel { name: name.into(), embedded: embedded::names() };
        if path.is_dir() {
            let files = FORMS.map(|form| path.join(format!("model{form}.mcir")));
            let found: Vec<_> = files.iter().filter(|f| f.exists()).collect();
            if found.is_empty() {
                return Err(missing());
            }
            return found.into_iter().map(|f| Self::from_file(f)).collect();
        }
        if path.exists() {
            return Ok(vec![Self::from_file(path)?]);
        }
        // A step of strength, as reports name it.
        if let Some((family, percent)) =
            embedded::family_of(name).filter(|(_, percent)| !matches!(percent, 0 | 100))
        {
            return Ok(vec![Self::at_strength(family, f32::from(percent) / 100.0)?]);
        }
        let suffix = FORMS.into_iter().find(|form| name.ends_with(form));
        let base = suffix.and_then(|form| name.strip_suffix(form)).unwrap_or(name);
        let embedded = embedded::MODELS.iter().find(|m| m.name == base).ok_or_else(missing)?;
        let wanted = FORMS.into_iter().filter(|&form| suffix.is_none_or(|suffix| suffix == form));
        wanted.map(|form| Self::from_embedded(embedded, form == ".f32")).collect()
    }

    /// The quantized model of an embedded family that cleans up with about this strength, 0 to 1.
    ///
    /// # Errors
    /// [`Error::Strength`] when the name is not that of a family with a clean and a camera model.
    pub fn at_strength(name: &str, strength: f32) -> Result<Self> {
        let found = embedded::at_strength(name, strength);
        let (bytes, family, percent) = found.ok_or_else(|| Error::Strength {
            name: name.into(),
            families: embedded::MODELS
                .iter()
                .filter_map(|m| m.name.strip_suffix(embedded::CAMERA))
                .collect::<Vec<_>>()
                .join(", "),
        })?;
        let model = Self::new(family, Cow::Borrowed(bytes), false)?;
        let name = match percent {
            0 => family.to_owned(),
            100 => format!("{family}{}", embedded::CAMERA),
            _ => format!("{family}{}-{percent}", embedded::CAMERA),
        };
        Ok(Self { name, ..model })
    }

    /// The embedded model to use when none is named.
    ///
    /// # Errors
    /// [`Error::NoEmbedded`] when none has this factor.
    pub fn default_for(upscale: usize, kind: Kind) -> Result<Self> {
        let embedded = embedded::default_for(upscale, kind)
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

    /// The model of a file.
    ///
    /// # Errors
    /// As [`NamedModel::forms`].
    pub fn from_file(path: &Path) -> Result<Self> {
        let bytes = mcir_files::bytes(path, MAX_FILE_BYTES)?;
        Self::new(&mcir_files::name::text(path), Cow::Owned(bytes), true)
    }

    /// A model that came over a connection, with the name and the file size that it has at the other end.
    ///
    /// # Errors
    /// As [`NamedModel::forms`].
    pub fn received(name: &str, bytes: Vec<u8>, file_bytes: usize) -> Result<Self> {
        let model = Self::new(name, Cow::Owned(bytes), false)?;
        Ok(Self { name: mcir_files::name::escaped(name), file_bytes, ..model })
    }

    fn new(name: &str, bytes: Cow<'static, [u8]>, is_path: bool) -> Result<Self> {
        let file_bytes = bytes.len();
        let model = Model::from_bytes(bytes).map_err(|source| Error::Load { name: name.into(), source })?;
        let (found_in, found_out) = (model.in_channels(), model.out_channels());
        if found_in != found_out {
            return Err(Error::ModelChannels { name: name.into(), found_in, found_out });
        }
        let name = match model.meta("name") {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ if is_path => name_from_path(Path::new(name)),
            _ => name.to_owned(),
        };
        // A name is for tables and messages, and a file can call itself anything.
        Ok(Self { name: mcir_files::name::escaped(&name), model, file_bytes })
    }

    /// The model for brightness alone: itself, or what [`Model::luma`] makes of one for RGB.
    ///
    /// # Errors
    /// [`Error::NotLuma`] when that is nothing.
    pub fn for_y(self) -> Result<Self> {
        if self.model.in_channels() == 1 {
            return Ok(self);
        }
        match self.model.luma() {
            Some(model) => Ok(Self { model, ..self }),
            None => Err(Error::NotLuma { name: self.name }),
        }
    }

    /// The options that ask for this model, where it is an embedded one that cleans up to some strength; otherwise its name.
    pub fn asked_for(&self) -> String {
        if self.precision() == "int8" { embedded::asked_for(&self.name) } else { self.name.clone() }
    }

    /// How much it cleans up, in percent, where it is an embedded one that does.
    pub fn cleans_up(&self) -> Option<u8> {
        embedded::family_of(&self.name).map(|(_, percent)| percent).filter(|&percent| percent > 0)
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
    let stem = FORMS.iter().find_map(|form| stem.strip_suffix(form)).unwrap_or(stem);
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
        assert_eq!(
            error.to_string(),
            "there is no model file, model folder or embedded model `no-such-model`"
        );
        assert!(error.help().contains(&embedded::names()));
    }

    #[test]
    fn strengths_lead_from_the_clean_model_to_that_for_cameras() {
        for camera in embedded::MODELS.iter().filter(|m| m.kind == Kind::Camera) {
            let family = camera.name.strip_suffix(embedded::CAMERA).expect("the name of a camera model");
            let at = |name: &str, strength| NamedModel::at_strength(name, strength).unwrap();
            let clean = NamedModel::open(family).unwrap();
            let bytes = |model: &NamedModel| model.model.to_bytes();
            assert!(bytes(&at(family, 0.0)) == bytes(&clean));
            assert!(bytes(&at(camera.name, 1.0)) == bytes(&NamedModel::open(camera.name).unwrap()));
            assert_eq!(at(camera.name, 1.0).name, camera.name);
            for (percent, _) in camera.steps {
                let step = at(family, f32::from(*percent) / 100.0 + 0.04);
                assert_eq!(step.name, format!("{}-{percent}", camera.name));
                assert_eq!((step.upscale(), step.precision()), (camera.upscale, "int8"));
                assert!(bytes(&step) != bytes(&clean));
                // What reports call it works as a name, and so do the options that notes name.
                assert!(bytes(&NamedModel::open(&step.name).unwrap()) == bytes(&step));
                let percent = f32::from(*percent) / 100.0;
                assert_eq!(step.asked_for(), format!("-m {family} --strength {percent}"));
            }
            let args =
                ModelArgs { model: None, upscale: Some(camera.upscale.to_string()), strength: Some(0.5) };
            let chosen = NamedModel::choose(&args, Kind::Clean).unwrap();
            assert_eq!(chosen.upscale(), camera.upscale);
            let args = ModelArgs { strength: None, ..args };
            let chosen = |kind| NamedModel::choose(&args, kind).unwrap().name;
            let small = family.replace("-m-", "-");
            let expected = [small.clone(), format!("{small}{}-75", embedded::CAMERA)];
            assert_eq!([chosen(Kind::Clean), chosen(Kind::Camera)], expected);
        }
        let clean = NamedModel::open("edsr-edge-x4").unwrap();
        assert_eq!((clean.asked_for().as_str(), clean.cleans_up()), ("edsr-edge-x4", None));
        let error = NamedModel::at_strength("none.mcir", 0.5).unwrap_err();
        assert!(error.to_string().contains("none.mcir") && error.help().contains("edsr-edge-x4"), "{error}");
    }

    #[test]
    fn embedded_models_load_and_have_the_factor_that_the_table_says() {
        for embedded in embedded::MODELS {
            for (float, precision) in [(true, "f32"), (false, "int8")] {
                let model = NamedModel::from_embedded(embedded, float).unwrap();
                assert_eq!((model.upscale(), model.precision()), (embedded.upscale, precision));
                assert_eq!(model.name, embedded.name);
            }
            let forms = NamedModel::forms(embedded.name).unwrap();
            assert_eq!(forms.iter().map(NamedModel::precision).collect::<Vec<_>>(), ["f32", "int8"]);
            assert_eq!(NamedModel::open(embedded.name).unwrap().precision(), "int8");
            let float = NamedModel::open(&format!("{}.f32", embedded.name)).unwrap();
            assert_eq!(float.precision(), "f32");
        }
    }
}
