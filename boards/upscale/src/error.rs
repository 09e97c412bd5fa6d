//! What can go wrong for the user of `mcir-board`: what, with which value, and what to try next.

use mcir_runtime::error::{LoadError, PlanError, RunError};
use mcir_runtime::image::ImageError;
use mcir_runtime::metrics::MetricError;
use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What every error of the program can tell besides its message. Rooms that this crate does not know make an [`Error`] of
/// theirs with `From`.
pub trait Advice: std::error::Error + Any + Send + Sync {
    /// The next thing to try, as one sentence without a full stop.
    fn help(&self) -> String;

    /// How the program ends: 2 when the command itself asks for something impossible, otherwise 1.
    fn exit_code(&self) -> u8 {
        1
    }
}

/// An error of a verb. [`Error::help`] says what to do next, [`Error::exit_code`] how the program ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file.
    #[error(transparent)]
    Files(#[from] mcir_files::Error),
    /// The output would replace an input.
    #[error("the output {} is the input itself", path.display())]
    OutputIsInput {
        /// Both.
        path: PathBuf,
    },
    /// A folder was given for the input and a file for the output, or the reverse.
    #[error("the input is a {input}, but the output {} is a {output}", path.display())]
    OutputKind {
        /// The output.
        path: PathBuf,
        /// "folder" or "file".
        input: &'static str,
        /// "folder" or "file".
        output: &'static str,
    },
    /// Options that choose among the images of a folder, for a single one.
    #[error("--recursive, --match and --shard are for folders, and {} is not a folder", path.display())]
    NotAFolder {
        /// The input.
        path: PathBuf,
    },
    /// No image of a folder fits the patterns.
    #[error("none of the {images} images of {} fits --match", path.display())]
    NoMatch {
        /// The folder.
        path: PathBuf,
        /// How many there are.
        images: usize,
    },
    /// Two things would go to the standard output.
    #[error("{what} cannot both go to the standard output")]
    StdoutTwice {
        /// The two.
        what: &'static str,
    },
    /// Two images of a folder would be written to one name.
    #[error("{} is already made from {}", output.display(), first.display())]
    SameName {
        /// The name that both would get.
        output: PathBuf,
        /// The input that has it.
        first: PathBuf,
    },
    /// A model name that is neither a file nor embedded.
    #[error("there is no model file, model folder or embedded model `{name}`")]
    NoModel {
        /// As given.
        name: String,
        /// Names of the embedded models.
        embedded: String,
    },
    /// No embedded model upscales by this factor.
    #[error("no embedded model upscales by {upscale}")]
    NoEmbedded {
        /// Factor asked for.
        upscale: usize,
        /// Names of the embedded models.
        embedded: String,
    },
    /// A strength was asked of a model that has none.
    #[error("the model {name} has no strengths: there is no clean and camera model of its family")]
    Strength {
        /// The model.
        name: String,
        /// Families that have strengths.
        families: String,
    },
    /// The model upscales by another factor than asked.
    #[error("the model {name} upscales by {found}, but -s asks for {asked}")]
    Upscale {
        /// The model.
        name: String,
        /// Its factor.
        found: usize,
        /// The factor asked for.
        asked: usize,
    },
    /// The model takes images that this program does not make.
    #[error(
        "the model {name} takes {found_in} channels and gives {found_out}; it must be 3 and 3 (RGB), or 1 and 1 (Y)"
    )]
    ModelChannels {
        /// The model.
        name: String,
        /// Channels read.
        found_in: usize,
        /// Channels written.
        found_out: usize,
    },
    /// The model has no form for brightness alone.
    #[error("the model {name} has no form for brightness alone: its first or last operators are not linear")]
    NotLuma {
        /// The model.
        name: String,
    },
    /// The bytes are not a model, or one of another version.
    #[error("{name}: {source}")]
    Load {
        /// The model.
        name: String,
        /// Why.
        source: LoadError,
    },
    /// The model cannot be prepared for this width or instruction set.
    #[error("the model {name} cannot be prepared: {source}")]
    Plan {
        /// The model.
        name: String,
        /// Why.
        source: PlanError,
    },
    /// The engine refused an image.
    #[error("the model {name} cannot be run: {source}")]
    Run {
        /// The model.
        name: String,
        /// Why.
        source: RunError,
    },
    /// An instruction set that this build does not know.
    #[error("there is no instruction set `{name}`")]
    Isa {
        /// As given.
        name: String,
        /// Names that this processor has.
        available: String,
    },
    /// A GPU was asked for that cannot be used.
    #[error("there is no GPU to use: {reason}")]
    Gpu {
        /// Why.
        reason: String,
    },
    /// A GPU does not make the processor's bytes.
    #[error("{device} passed {good} of {all} checks")]
    GpuBits {
        /// Its name.
        device: String,
        /// Checks passed.
        good: usize,
        /// All checks.
        all: usize,
    },
    /// The low-resolution image does not belong to the high-resolution one.
    #[error(
        "{} has {}x{} pixels, but its high-resolution image needs {}x{}",
        path.display(), found.0, found.1, expected.0, expected.1
    )]
    Pair {
        /// The low-resolution image.
        path: PathBuf,
        /// Its width and height.
        found: (usize, usize),
        /// What they should be.
        expected: (usize, usize),
    },
    /// An image is too small to be compared.
    #[error("{name} cannot be compared: {source}")]
    Metric {
        /// The image.
        name: String,
        /// Why.
        source: MetricError,
    },
    /// A measured figure does not reach what was asked for.
    #[error("measured {found:.3} {what}; {limit} is required")]
    Floor {
        /// Unit of the figure.
        what: &'static str,
        /// Value measured.
        found: f64,
        /// Value asked for.
        limit: f64,
    },
    /// Whoever wanted a picture wants it no more.
    #[error("{name} was given up before it was complete")]
    Stopped {
        /// The picture.
        name: String,
    },
    /// Some images of a folder failed, or folders in it could not be listed; each was reported when it did.
    #[error("{}", some(*failed, *total, *folders))]
    Some {
        /// Images that failed.
        failed: usize,
        /// Images in the folder.
        total: usize,
        /// Folders that could not be listed.
        folders: usize,
    },
    /// `restore` without a model that does not enlarge.
    #[error("{}", not_restoring(found.as_ref()))]
    NotRestoring {
        /// The model that was named, and its factor.
        found: Option<(String, usize)>,
    },
    /// An error of another room.
    #[error("{0}")]
    Room(Box<dyn Advice>),
}

fn some(failed: usize, total: usize, folders: usize) -> String {
    let images = match (failed, total) {
        (0, _) => None,
        (1, 1) => Some("the only image failed".into()),
        (failed, total) => Some(format!("{failed} of {total} images failed")),
    };
    let folders = match folders {
        0 => None,
        1 => Some("1 folder could not be read".into()),
        n => Some(format!("{n} folders could not be read")),
    };
    images.into_iter().chain(folders).collect::<Vec<String>>().join(", and ")
}

fn not_restoring(found: Option<&(String, usize)>) -> String {
    match found {
        Some((name, upscale)) => {
            format!("the model {name} enlarges {upscale} times, and restore keeps the size")
        }
        None => "restore needs a model, and none of the embedded ones keeps the size".into(),
    }
}

impl Error {
    /// Makes an error about reading or writing `path`.
    pub fn io<P: AsRef<Path> + ?Sized>(
        action: &'static str,
        path: &P,
    ) -> impl Fn(io::Error) -> Self + Clone + use<P> {
        let failed = mcir_files::Error::io(action, path);
        move |source| Self::Files(failed(source))
    }

    /// The error of another room, if it is one of this type.
    pub fn room<E: Advice>(&self) -> Option<&E> {
        match self {
            Self::Room(error) => {
                let any: &dyn Any = &**error;
                any.downcast_ref()
            }
            _ => None,
        }
    }

    /// `path` is not there.
    pub fn missing(path: impl AsRef<Path>) -> Self {
        Self::Files(mcir_files::Error::Missing { name: mcir_files::name::text(path.as_ref()) })
    }

    /// An image, called `name`, cannot be cropped or resized.
    pub fn image(name: &str) -> impl Fn(ImageError) -> Self + Clone + use<> {
        let name = name.to_owned();
        move |source| Self::Files(mcir_files::Error::Image { name: name.clone(), source })
    }

    /// The next thing to try, as one sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::Files(error) => error.help(),
            Self::OutputIsInput { .. } => "give another name or folder with -o".into(),
            Self::StdoutTwice { .. } => "give one of them a file".into(),
            Self::OutputKind { .. } => "give two files or two folders".into(),
            Self::NoMatch { .. } => "patterns are for paths in the folder: '*.png' for those right in it, '**/*.png' with -r for all".into(),
            Self::NotAFolder { .. } => "leave these options out, or name the folder with -i".into(),
            Self::SameName { .. } => "rename one of the two inputs".into(),
            Self::NoModel { embedded, .. } => {
                format!("give the path of a model file to -m, or an embedded model: {embedded}")
            }
            Self::Strength { families, .. } => {
                format!("leave --strength out, or name one of {families} with -m")
            }
            Self::NoEmbedded { embedded, .. } => {
                format!("give a model file with -m, or use an embedded model: {embedded}")
            }
            Self::Upscale { found, .. } => format!("leave -s out or say -s {found}"),
            Self::ModelChannels { .. } => "use a model from RGB to RGB, or from Y to Y".into(),
            Self::NotLuma { .. } => "use --mode rgb; other verbs run it on grey as RGB".into(),
            Self::Load { source: LoadError::Version { .. }, .. } => {
                "export the model again with the trainer of this version, or use a newer mcir-board".into()
            }
            Self::Load { source: LoadError::NotAModel { .. }, .. } => {
                "give a file that mcir-train export or mcir-quantize run has written".into()
            }
            Self::Load { .. } => "copy the model file again, or export it again".into(),
            Self::Plan { source: PlanError::Width { limit, .. }, .. } => {
                format!("cut the image into parts of at most {limit} pixels in width")
            }
            Self::Plan { source: PlanError::Memory { .. }, .. }
            | Self::Run { source: RunError::Plan(PlanError::Memory { .. }), .. } => {
                "end other programs, or cut the image into parts".into()
            }
            Self::Plan { source: PlanError::Small { .. }, .. }
            | Self::Run { source: RunError::Plan(PlanError::Small { .. }), .. } => {
                "use a larger image, or a model that does not pool it".into()
            }
            Self::Plan { .. } => "try another model, or another instruction set with --isa".into(),
            Self::Run { .. } => "this is a fault of the program; please report it with the model".into(),
            Self::Isa { available, .. } => format!("this processor has: {available}"),
            Self::Gpu { .. } => {
                "leave --device out, or say --device auto; `mcir-board info` lists what this machine has".into()
            }
            Self::GpuBits { .. } => {
                "do not use it; please report what `mcir-board gpu-check --json` prints, with the driver's version".into()
            }
            Self::Pair { .. } => {
                "low-resolution images must come from the high-resolution ones, cut to a multiple of the factor"
                    .into()
            }
            Self::Metric { .. } => "leave it out or use a larger image".into(),
            Self::Floor { .. } => {
                "see the table of nodes for where the time goes, or lower the floor for this machine".into()
            }
            Self::Stopped { .. } => "ask for it again".into(),
            Self::Some { .. } => "see the message for each of them above".into(),
            Self::NotRestoring { found: Some(_) } => "enlarge with mcir-board upscale".into(),
            Self::NotRestoring { found: None } => {
                "name one with -m, trained with mcir-train or imported; mcir-board upscale enlarges, and cleans up with --strength".into()
            }
            Self::Room(error) => error.help(),
        }
    }

    /// 2 when the command itself asks for something impossible, 3 when a measured figure is not good enough, 1 for
    /// everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputIsInput { .. }
            | Self::OutputKind { .. }
            | Self::NotAFolder { .. }
            | Self::StdoutTwice { .. }
            | Self::NoModel { .. }
            | Self::NoEmbedded { .. }
            | Self::Strength { .. }
            | Self::Upscale { .. }
            | Self::NotLuma { .. }
            | Self::NotRestoring { .. }
            | Self::Gpu { .. }
            | Self::Isa { .. } => 2,
            Self::Files(error) => error.exit_code(),
            Self::Room(error) => error.exit_code(),
            Self::Floor { .. } | Self::GpuBits { .. } => 3,
            _ => 1,
        }
    }
}
