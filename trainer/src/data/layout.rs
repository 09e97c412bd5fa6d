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
///
/// Without upscaling, a folder with both clean and damaged images stands for these: `clear` or `GT` and `hazy` (RESIDE: ITS, OTS,
/// SOTS/indoor), `norain` and `rain/X2` (Rain200), `sharp` and `blur`, and the like, themselves or in `train` and `test`.
pub fn find(folder: &Path, upscale: usize, part: Part) -> (PathBuf, Option<PathBuf>) {
    let div2k = if part == Part::Train { "DIV2K_train" } else { "DIV2K_valid" };
    let names = [
        (format!("{div2k}_HR"), vec![format!("{div2k}_LR_bicubic")]),
        ("HR".into(), vec!["LR".into(), "LR_bicubic".into()]),
    ];
    if upscale == 1 && mcir_files::images(folder).is_err() {
        let part = if part == Part::Train { "train" } else { "test" };
        if let Some((high, low)) =
            [folder.join(part), folder.into()].iter().find_map(|folder| restored(folder))
        {
            return (high, Some(low));
        }
    }
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

/// Names of the folders of clean and of damaged images, in lower case, and of what the latter may lie in once more.
const CLEAN: [&str; 7] = ["clear", "gt", "norain", "sharp", "target", "groundtruth", "ground_truth"];
const DAMAGED: [&str; 8] = ["hazy", "haze", "rain", "rainy", "rainy_image", "blur", "input", "lq"];
const INSIDE: &str = "X2";

/// The folders of clean and of damaged images in a folder that has one of each.
fn restored(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let inside: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    let one = |names: &[&str]| {
        let named = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            names.contains(&name.as_str()) && path.is_dir()
        };
        let mut found = inside.iter().filter(named);
        // Of two it is not clear which.
        found.next().filter(|_| found.next().is_none()).cloned()
    };
    let (clean, damaged) = (one(&CLEAN)?, one(&DAMAGED)?);
    let deeper = damaged.join(INSIDE);
    Some((clean, if mcir_files::images(&damaged).is_err() && deeper.is_dir() { deeper } else { damaged }))
}
