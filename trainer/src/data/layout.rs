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
/// SOTS/indoor), `norain` and `rain/X2` (Rain200), `label` and `rain_image` (DDN), `target` and `input`, and the like, themselves or in
/// `train` and `test`. Sets of [`scenes`] are more than one such folder.
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

/// A part of a set with folders of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// Its name.
    pub name: String,
    /// Folder of its clean images.
    pub clean: PathBuf,
    /// Folder of its damaged images.
    pub damaged: PathBuf,
}

/// The scenes of a set whose images lie one folder deeper, in the order of their names; none for any other folder.
///
/// Either a scene holds both kinds (GoPro: `train/GOPR0372_07_00/sharp` and `blur`), or each kind holds the scenes (SPA-Data:
/// `real_world_gt/000` and `real_world/000`). A scene that has only one kind is not one.
pub fn scenes(folder: &Path, part: Part) -> Vec<Scene> {
    if mcir_files::images(folder).is_ok() {
        return Vec::new();
    }
    let part = if part == Part::Train { "train" } else { "test" };
    let candidates = [folder.join(part), folder.into()];
    let is_one =
        |folder: &PathBuf| restored(folder).is_some_and(|(clean, _)| mcir_files::images(&clean).is_ok());
    if candidates.iter().any(is_one) {
        return Vec::new();
    }
    let within = |folder: &Path| {
        let mut found = match restored(folder) {
            Some((clean, damaged)) => folders(&clean)
                .filter_map(|clean| Some((clean.file_name()?.to_owned(), clean)))
                .map(|(name, clean)| (damaged.join(&name), name.to_string_lossy().into_owned(), clean))
                .filter(|(damaged, ..)| damaged.is_dir())
                .map(|(damaged, name, clean)| Scene { name, clean, damaged })
                .collect(),
            None => folders(folder)
                .filter(|scene| !PARTS.iter().any(|part| scene.ends_with(part)))
                .filter_map(|scene| {
                    let (clean, damaged) = restored(&scene)?;
                    let name = scene.file_name()?.to_string_lossy().into_owned();
                    Some(Scene { name, clean, damaged })
                })
                .collect::<Vec<_>>(),
        };
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    };
    let mut there = candidates.iter().map(|folder| within(folder));
    there.find(|scenes| !scenes.is_empty()).unwrap_or_default()
}

/// Names of folders that are no scenes.
const PARTS: [&str; 4] = ["train", "test", "val", "valid"];

fn folders(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir())
}

/// Names of the folders of clean and of damaged images, in lower case, and of what the latter may lie in once more.
const CLEAN: [&str; 9] =
    ["clear", "gt", "norain", "sharp", "target", "groundtruth", "ground_truth", "label", "real_world_gt"];
const DAMAGED: [&str; 10] =
    ["hazy", "haze", "rain", "rainy", "rainy_image", "rain_image", "blur", "input", "lq", "real_world"];
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
