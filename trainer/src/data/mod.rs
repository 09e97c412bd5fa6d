//! Images: where they come from ([`pairs`], [`layout`]), how low-resolution ones are made ([`degrade`]), where they are
//! kept ([`library`]), how batches are drawn from them ([`augment`]) and prepared ahead of the optimizer ([`batches`]).

pub mod augment;
pub mod batches;
pub mod degrade;
pub mod layout;
pub mod library;
pub mod pairs;

use std::path::PathBuf;

/// Why images cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The folder cannot be listed.
    #[error(
        "cannot read the folder {path}: {source}; check the paths of --data and --val (data.hr, data.lr, data.val_hr and data.val_lr)"
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder has no image.
    #[error(
        "no image in {path}; expected PNG, JPEG, BMP, TIFF, WebP, PNM, TGA, QOI or GIF files in the folder itself"
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not an image, or a damaged one.
    #[error("{source}; remove or replace the file")]
    Decode {
        /// What is wrong with which file.
        source: mcir_files::Error,
    },
    /// A high-resolution image has no low-resolution one of its name.
    #[error(
        "{hr} has no partner in {lr} ({count} of {of} images have none); expected the same name, with or without \
         x{upscale} at its end"
    )]
    Unpaired {
        /// The high-resolution file.
        hr: PathBuf,
        /// The folder searched.
        lr: PathBuf,
        /// Upscaling factor.
        upscale: usize,
        /// Number of images without a partner.
        count: usize,
        /// High-resolution images.
        of: usize,
    },
    /// Low-resolution images that belong to nothing.
    #[error(
        "{count} of the {of} images in {lr} have no partner in {hr}, the first is {first}; remove them or add \
         their originals"
    )]
    Left {
        /// Number of images without a partner.
        count: usize,
        /// Images in the folder.
        of: usize,
        /// The folder.
        lr: PathBuf,
        /// The folder of originals.
        hr: PathBuf,
        /// File name of the first.
        first: String,
    },
    /// There is nothing to restore the images from.
    #[error(
        "a network that does not upscale learns from pairs of images: besides {hr}, name the folder of the \
         degraded ones with --lr (data.lr) for training or --val-lr (data.val_lr) for validation, or have them made with \
         --set data.degrade=haze (or rain, motion)"
    )]
    NoInput {
        /// The folder of targets.
        hr: PathBuf,
    },
    /// Decoded images cannot be written.
    #[error(
        "cannot keep decoded images in {folder}: {source}; free some space, raise data.memory_mb or choose another \
         folder for the run"
    )]
    Cache {
        /// Folder of the run.
        folder: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Sizes do not go together.
    #[error(
        "{path} has {}x{} pixels where {}x{} are needed for x{upscale} (width x height); \
         make the smaller image again or remove the pair", found.0, found.1, expected.0, expected.1
    )]
    Size {
        /// The low-resolution file.
        path: PathBuf,
        /// Upscaling factor.
        upscale: usize,
        /// Width and height that follow from the high-resolution image.
        expected: (usize, usize),
        /// Width and height found.
        found: (usize, usize),
    },
    /// An image is smaller than a training patch.
    #[error(
        "{path} is {}x{} pixels in low resolution (width x height), smaller than the patch of {patch}; \
         lower data.patch or remove the image", found.0, found.1
    )]
    SmallerThanPatch {
        /// The file.
        path: PathBuf,
        /// Size in low resolution.
        found: (usize, usize),
        /// Side of a patch.
        patch: usize,
    },
}

#[cfg(test)]
mod tests;
