//! Folders of published data sets, named as they unpack.

use std::path::{Path, PathBuf};

/// What images are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Training.
    Train,
    /// Validation and evaluation.
    Valid,
}

/// The folder of originals that `folder` stands for, and that of the low-resolution images that belong to them.
///
/// `DIV2K` with its `DIV2K_train_HR` and `DIV2K_train_LR_bicubic/X4` (or `valid`), and test sets with `HR` and
/// `LR/X4`, as `mcir-train degrade` writes them, or `LR_bicubic/X4`, are named as a whole. A folder that holds images itself, or none of these, is what it is. Folders of
/// low-resolution images may be absent.
pub fn find(folder: &Path, upscale: usize, part: Part) -> (PathBuf, Option<PathBuf>) {
    let div2k = if part == Part::Train { "DIV2K_train" } else { "DIV2K_valid" };
    let names = [
        (format!("{div2k}_HR"), vec![format!("{div2k}_LR_bicubic")]),
        ("HR".into(), vec!["LR".into(), "LR_bicubic".into()]),
    ];
    if mcir_files::images(folder).is_err() {
        for (high, low) in names {
            let high = folder.join(high);
            let mut low = low.iter().map(|low| folder.join(low).join(format!("X{upscale}")));
            if high.is_dir() {
                return (high, low.find(|low| low.is_dir()));
            }
        }
    }
    (folder.into(), None)
}
