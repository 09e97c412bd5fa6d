//! Folders of photographs: which files are usable, and the low-resolution images made from them or lying beside them.

use crate::error::{QuantizeError, Skipped};
use crate::parallel::{self, Progress};
use mcir_runtime::image::{Image, resize_bicubic};
use std::path::{Path, PathBuf};

/// Smallest usable side of a low-resolution image, in pixels.
pub const MIN_LR_SIDE: usize = 16;
/// Fewest images to calibrate on.
pub const MIN_CALIBRATION: usize = 4;
/// Images to calibrate on unless told otherwise.
pub const DEFAULT_CALIBRATION: usize = 100;
/// Calibration takes the middle of larger images, so that its time does not depend on their size.
const MAX_CALIBRATION_SIDE: usize = 192;
/// Without a validation folder, one image in this many is set aside.
const HELD_OUT: usize = 6;

/// What the images of a model look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Upscaling factor.
    pub upscale: usize,
    /// 3 for RGB, 1 for Y.
    pub channels: usize,
}

/// A high-resolution image and the low-resolution image that a network gets to see.
#[derive(Debug, Clone)]
pub struct Pair {
    /// `[height, width, channels]`, a multiple of the upscaling factor; of one channel where the photograph is grey.
    pub hr: Image,
    /// `[height / upscale, width / upscale, channels]`.
    pub lr: Image,
}

/// Names of the folders of a test set, as `mcir-train degrade` writes it: the photographs, and what was done to them, in `X1`,
/// `X2` and so on.
const HIGH: &str = "HR";
/// As [`HIGH`].
const LOW: [&str; 2] = ["LR", "LR_bicubic"];

/// The image files of a folder (not of its subfolders) in the order of their names; of a folder with `HR` in it, those of that.
///
/// # Errors
/// [`QuantizeError::Folder`] when it cannot be listed.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, QuantizeError> {
    let failed = |error: mcir_files::Error| QuantizeError::Folder {
        name: mcir_files::name::text(folder),
        reason: match error {
            mcir_files::Error::Io { source, .. } => source.to_string(),
            error => error.to_string(),
        },
    };
    let set = folder.join(HIGH);
    let folder = if set.is_dir() { &set } else { folder };
    Ok(mcir_files::list(folder).map_err(failed)?.images)
}

/// What lies beside a photograph as its low-resolution version, `LR/X4/birdx4.png` or `LR/X1/bird.png` for `HR/bird.jpg`; `None` where
/// there is no such folder for this factor.
fn beside(path: &Path, upscale: usize) -> Option<PathBuf> {
    let parent = path.parent().filter(|folder| folder.file_name().is_some_and(|name| name == HIGH))?;
    let set = parent.parent()?;
    let folder = LOW
        .map(|low| set.join(low).join(format!("X{upscale}")))
        .into_iter()
        .find(|folder| folder.is_dir())?;
    let stem = path.file_stem()?.to_string_lossy();
    let name = if upscale == 1 { format!("{stem}.png") } else { format!("{stem}x{upscale}.png") };
    Some(folder.join(name))
}

/// Whether a model of this task sees photographs as they are: it does not enlarge, and nothing damaged lies beside them.
pub fn sees_photographs(files: &[PathBuf], task: Task) -> bool {
    task.upscale == 1 && files.iter().all(|path| beside(path, 1).is_none())
}

/// Reads a photograph and makes the pair that a model of this task is measured on, or takes what lies beside it.
///
/// # Errors
/// The reason why it cannot be used, as the end of a sentence that begins with the file's name.
pub fn load(path: &Path, task: Task) -> Result<Pair, String> {
    let hr = decode(path, task.channels)?;
    let (width, height) = (hr.width(), hr.height());
    let least = MIN_LR_SIDE * task.upscale;
    if width.min(height) < least {
        return Err(format!("has {width}x{height} pixels, at least {least}x{least} are needed"));
    }
    let pixel = &hr.data()[..hr.channels()];
    if hr.data().chunks_exact(hr.channels()).all(|p| p == pixel) {
        return Err("is a single colour".into());
    }
    let hr = hr.crop_to_multiple(task.upscale).map_err(|e| e.to_string())?;
    let (width, height) = (hr.width() / task.upscale, hr.height() / task.upscale);
    let seen = |lr: Image| if task.channels > lr.channels() { lr.to_rgb() } else { lr };
    if let Some(path) = beside(path, task.upscale) {
        let lr = decode(&path, task.channels)
            .map_err(|why| format!("has a partner that {why}: {}", path.display()))?;
        if (lr.width(), lr.height()) != (width, height) {
            let (w, h) = (lr.width(), lr.height());
            return Err(format!(
                "needs a partner of {width}x{height} pixels; {} has {w}x{h}",
                path.display()
            ));
        }
        return Ok(Pair { lr: seen(lr), hr });
    }
    let lr = resize_bicubic(&hr, width, height).map_err(|e| format!("cannot be shrunk: {e}"))?;
    Ok(Pair { lr: seen(lr), hr })
}

/// A photograph with so many channels, or a grey one.
fn decode(path: &Path, channels: usize) -> Result<Image, String> {
    let told = |error: mcir_files::Error| match error {
        mcir_files::Error::NotAnImage { reason, .. } => format!("is not a readable image: {reason}"),
        mcir_files::Error::Io { source, .. } => format!("cannot be read: {source}"),
        mcir_files::Error::Empty { .. } => "is empty".into(),
        error => format!("cannot be used: {error}"),
    };
    let image = mcir_files::read(path).and_then(|p| p.into_image(&name_of(path))).map_err(told)?;
    if channels == 3 || image.channels() == 1 {
        return Ok(image);
    }
    // Networks for one channel work on the luma that PSNR is measured on.
    let (width, height) = (image.width(), image.height());
    let luma = image.luma().into_iter().map(|y| y.round() as u8).collect();
    Image::new(width, height, 1, luma).map_err(|e| e.to_string())
}

/// Splits files into those to calibrate on, at most `limit`, and those held out for the gate; both are
/// spread evenly over the folder.
pub fn split(files: &[PathBuf], limit: usize) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let wanted = limit.saturating_mul(HELD_OUT).div_ceil(HELD_OUT - 1);
    let (mut calibration, mut held_out) = (Vec::new(), Vec::new());
    for (i, file) in spread(files, wanted).into_iter().enumerate() {
        if i % HELD_OUT == HELD_OUT / 2 { &mut held_out } else { &mut calibration }.push(file);
    }
    (calibration, held_out)
}

/// At most `limit` of the files, spread evenly.
pub fn spread(files: &[PathBuf], limit: usize) -> Vec<PathBuf> {
    let n = limit.min(files.len());
    (0..n).map(|i| files[i * files.len() / n].clone()).collect()
}

/// Images that single convolutions are measured on.
const FEW: usize = 8;

/// A few of the images to measure single convolutions on, so that those of the gate stay unseen; and whether these are all,
/// because none of the few could be used.
pub fn few(files: &[PathBuf], task: Task) -> (Vec<PathBuf>, bool) {
    let mut few = spread(files, 2 * FEW);
    few.retain(|path| load(path, task).is_ok());
    let all = few.is_empty();
    if all {
        few = files.iter().filter(|path| load(path, task).is_ok()).cloned().collect();
    }
    (spread(&few, FEW), all)
}

/// The files of a folder that can be used, and the others.
///
/// # Errors
/// [`QuantizeError::TooFewImages`] when none can.
pub fn usable(
    folder: &Path,
    files: Vec<PathBuf>,
    task: Task,
    threads: usize,
    progress: &dyn Progress,
) -> Result<(Vec<PathBuf>, Vec<Skipped>), QuantizeError> {
    progress.begin("looking at images", files.len());
    let reasons = parallel::map(
        &files,
        threads,
        || (),
        |(), path| {
            let reason = load(path, task).err();
            progress.step();
            Ok::<_, QuantizeError>(reason)
        },
    )?;
    progress.end();
    let (mut good, mut skipped) = (Vec::new(), Vec::new());
    for (path, reason) in files.into_iter().zip(reasons.0) {
        match reason {
            None => good.push(path),
            Some(reason) => skipped.push(Skipped { name: name_of(&path), reason }),
        }
    }
    enough(folder, good.len(), 1, &skipped)?;
    Ok((good, skipped))
}

/// Whether a folder has the images that are needed.
///
/// # Errors
/// [`QuantizeError::TooFewImages`] when it has not.
pub fn enough(folder: &Path, found: usize, needed: usize, skipped: &[Skipped]) -> Result<(), QuantizeError> {
    if found >= needed {
        return Ok(());
    }
    Err(QuantizeError::TooFewImages { path: folder.to_path_buf(), found, needed, skipped: skipped.to_vec() })
}

/// File name without the folder.
pub fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| mcir_files::name::text(Path::new(name)))
}

/// What is calibrated on: the middle of larger images.
pub(crate) fn middle(lr: Image) -> Image {
    let (width, height) = (lr.width().min(MAX_CALIBRATION_SIDE), lr.height().min(MAX_CALIBRATION_SIDE));
    let (x, y) = ((lr.width() - width) / 2, (lr.height() - height) / 2);
    lr.crop(x, y, width, height).expect("the middle lies inside the image")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(n: usize) -> Vec<PathBuf> {
        (0..n).map(|i| PathBuf::from(format!("{i:03}.png"))).collect()
    }

    #[test]
    fn held_out_images_are_not_calibrated_on() {
        for n in [1, 4, 5, 6, 30, 399] {
            let files = paths(n);
            let (calibration, held_out) = split(&files, 100);
            assert!(held_out.iter().all(|f| !calibration.contains(f)), "{n}");
            assert!(calibration.len() <= 100 && calibration.len() + held_out.len() == n.min(120), "{n}");
            assert!(n < 5 || !held_out.is_empty(), "{n}");
        }
        assert_eq!(split(&paths(5), 100).0.len(), MIN_CALIBRATION);
    }

    #[test]
    fn spread_covers_the_folder() {
        let files = paths(10);
        assert_eq!(spread(&files, 20), files);
        assert_eq!(spread(&files, 2), [files[0].clone(), files[5].clone()]);
        assert!(spread(&[], 3).is_empty() && spread(&files, 0).is_empty());
    }

    #[test]
    fn pairs_fit_the_task() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image::RgbImage::from_fn(83, 70, |x, y| image::Rgb([x as u8, y as u8, 7])).save(&path).unwrap();
        for (upscale, channels) in [(2, 3), (3, 1), (4, 3)] {
            let pair = load(&path, Task { upscale, channels }).unwrap();
            assert_eq!((pair.lr.width(), pair.lr.height()), (83 / upscale, 70 / upscale));
            assert_eq!((pair.hr.width(), pair.hr.channels()), (83 / upscale * upscale, channels));
            assert_eq!(pair.lr.channels(), channels);
        }
        // What lies beside it is taken for the factor that it is for.
        let set = folder.path().join("set");
        let save = |name: &str, side: u32| {
            let path = set.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::from_fn(side, side, |x, y| image::Rgb([x as u8, y as u8, side as u8]))
                .save(&path)
                .unwrap();
            path
        };
        let hr = save("HR/a.png", 64);
        assert!(sees_photographs(std::slice::from_ref(&hr), Task { upscale: 1, channels: 3 }));
        save("LR/X1/a.png", 64);
        let low = save("LR/X2/ax2.png", 32);
        assert_eq!(list(&set).unwrap(), std::slice::from_ref(&hr));
        assert!(!sees_photographs(std::slice::from_ref(&hr), Task { upscale: 1, channels: 3 }));
        let blue = |upscale| load(&hr, Task { upscale, channels: 3 }).map(|pair| pair.lr.data()[2]);
        assert_eq!([blue(2), blue(4)], [Ok(32), Ok(64)]);
        std::fs::copy(save("other.png", 31), low).unwrap();
        assert!(blue(2).unwrap_err().contains("ax2.png has 31x31"));
        let published = folder.path().join("published");
        std::fs::create_dir_all(published.join("LR_bicubic/X2")).unwrap();
        std::fs::rename(set.join("HR"), published.join("HR")).unwrap();
        assert_eq!(list(&published).unwrap(), [published.join("HR/a.png")]);
        assert!(beside(&published.join("HR/a.png"), 2).unwrap().ends_with("LR_bicubic/X2/ax2.png"));
        std::fs::rename(published.join("HR"), set.join("HR")).unwrap();
        std::fs::remove_file(set.join("LR/X1/a.png")).unwrap();
        assert!(blue(1).unwrap_err().starts_with("has a partner that"), "{:?}", blue(1));
        let grey = folder.path().join("grey.png");
        image::GrayImage::from_fn(83, 70, |x, y| image::Luma([(x + y) as u8])).save(&grey).unwrap();
        for channels in [1, 3] {
            let pair = load(&grey, Task { upscale: 2, channels }).unwrap();
            assert_eq!((pair.lr.channels(), pair.hr.channels()), (channels, 1));
        }
        let reason = load(&path, Task { upscale: 8, channels: 3 }).unwrap_err();
        assert!(reason.contains("83x70") && reason.contains("128x128"), "{reason}");
    }
}
