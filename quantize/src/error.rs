//! What can go wrong: [`QuantizeError`].

use crate::images::MIN_CALIBRATION;
use mcir_runtime::error::{LoadError, PlanError, RunError};
use mcir_runtime::image::ImageError;
use mcir_runtime::metrics::MetricError;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A file of an image folder that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// File name without the folder.
    pub name: String,
    /// Reason, as the end of a sentence that begins with the name.
    pub reason: String,
}

/// Why a model cannot be quantized, checked or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// A file or folder.
    #[error("{0}; {help}", help = .0.help())]
    Files(#[from] mcir_files::Error),
    /// A file is not a valid model.
    #[error("{}: {source}; give a model file written by `mcir-train export` or `mcir-quantize run`", .path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: LoadError,
    },
    /// The model that should be quantized holds integers already.
    #[error(
        "the model is already quantized (node `{node}` writes {dtype}); give the f32 model that it was made from"
    )]
    AlreadyQuantized {
        /// First quantized node.
        node: String,
        /// Its dtype.
        dtype: String,
    },
    /// The types in a model's metadata are not those of its edges.
    #[error(
        "`quantize.types` in the model's metadata cannot be used because of {what}; write it again with \
         `mcir-quantize prepare`"
    )]
    Types {
        /// What is wrong.
        what: String,
    },
    /// Types for Winograd's convolution are wanted for a model that comes with types.
    #[error(
        "the model comes with `quantize.types`, so none can be chosen for --winograd; leave the option out, or give \
         the f32 model that it was tuned from"
    )]
    WinogradOfTypes,
    /// An edge has a zero point where the engine that the model is for knows none.
    #[error(
        "the edge of node `{node}` has zero point {zero_point}, and TensorRT takes only 0; quantize the f32 model with \
         `mcir-quantize run --for tensorrt`, or with `prepare --for tensorrt` before `mcir-train qat`"
    )]
    ZeroPoint {
        /// Node.
        node: String,
        /// Its zero point.
        zero_point: i8,
    },
    /// TensorRT quantizes to 8 bits only.
    #[error(
        "TensorRT has no 16-bit sums; leave out `--sums int16`: sums then stay floats, which is more precise"
    )]
    SumsOfTensorRt,
    /// An edge of the f32 model takes infinite or undefined values.
    #[error(
        "the edge of node `{node}` reaches infinity or NaN on {image}; train again with a lower learning rate"
    )]
    NotFinite {
        /// Node.
        node: String,
        /// Image.
        image: String,
    },
    /// The quantized graph breaks a rule of the model file.
    #[error("the quantized model is not valid: {0}; keep the node in f32 with `--keep-float NAME`")]
    Rewrite(LoadError),
    /// A node name given by the user does not exist.
    #[error("no convolution is called `{name}`; `mcir-quantize inspect` lists the nodes")]
    NoSuchNode {
        /// Name asked for.
        name: String,
    },
    /// The two models of a comparison are for different images.
    #[error("the models differ in {what}: {first} and {second}; compare models of the same network")]
    Mismatch {
        /// What differs.
        what: &'static str,
        /// Value of the first model.
        first: usize,
        /// Value of the second model.
        second: usize,
    },
    /// A folder of images does not exist or cannot be listed.
    #[error("cannot list the image folder {name}: {reason}; give a folder of high-resolution photographs")]
    Folder {
        /// The folder.
        name: String,
        /// Cause.
        reason: String,
    },
    /// Fewer usable images than needed.
    #[error("{}", too_few(.path, *.found, *.needed, .skipped))]
    TooFewImages {
        /// The folder.
        path: PathBuf,
        /// Usable images.
        found: usize,
        /// Images needed.
        needed: usize,
        /// What was left out.
        skipped: Vec<Skipped>,
    },
    /// An image that was usable a moment ago is not any more.
    #[error("{} {reason}; leave the folder alone while it is read", .path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong, as the end of a sentence.
        reason: String,
    },
    /// The temporary file that holds the images to calibrate on fails.
    #[error("cannot keep images in {}: {source}; make room there, or point TMPDIR to another folder", .folder.display())]
    Spool {
        /// Folder of temporary files.
        folder: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Window attention is exported for images of one size.
    #[error(
        "node `{node}` works on images whose sides are multiples of {multiple}, and ONNX has them extended by a fixed size; give \
         one with `--size WIDTHxHEIGHT`"
    )]
    SizeNeeded {
        /// The first node that asks for it.
        node: String,
        /// Of the sides.
        multiple: usize,
    },
    /// The size that an ONNX file should be for is impossible.
    #[error("an image of {width}x{height} pixels cannot be {what}; give at least {least} pixels a side")]
    Size {
        /// Width asked for.
        width: usize,
        /// Height asked for.
        height: usize,
        /// What cannot be done, after "be".
        what: &'static str,
        /// Smallest side.
        least: usize,
    },
    /// The engine cannot run the model.
    #[error("the engine cannot run the model: {0}; `mcir-quantize inspect` lists the nodes")]
    Plan(#[from] PlanError),
    /// The engine refused an image.
    #[error("running an image failed: {0}; try other images")]
    Run(#[from] RunError),
    /// An image operation is impossible.
    #[error("{0}; try other images")]
    ImageOperation(#[from] ImageError),
    /// Two images cannot be compared.
    #[error("{0}; try larger images")]
    Metric(#[from] MetricError),
}

fn too_few(path: &Path, found: usize, needed: usize, skipped: &[Skipped]) -> String {
    let found = mcir_files::name::counted(found, "usable image");
    let are = if needed == 1 { "is" } else { "are" };
    let mut text = format!("{} has {found}, and at least {needed} {are} needed", path.display());
    if needed > MIN_CALIBRATION {
        let _ = write!(
            text,
            " ({MIN_CALIBRATION} to calibrate on, and one held out to measure the drop unless -v names others)"
        );
    }
    for Skipped { name, reason } in skipped.iter().take(3) {
        let _ = write!(text, "; {name} {reason}");
    }
    if skipped.len() > 3 {
        let _ = write!(text, "; and {} more were left out", skipped.len() - 3);
    }
    text + "; add high-resolution photographs (PNG or JPEG)"
}
