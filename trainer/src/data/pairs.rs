//! Folders of images as pairs of low and high resolution, decoded once and kept in memory as 8-bit RGB.

use super::{DataError, degrade};
use mcir_runtime::image::Image;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A low-resolution image and its high-resolution original.
#[derive(Debug, Clone)]
pub struct Pair {
    /// File name of the original without extension.
    pub name: String,
    /// Where the original was read from.
    pub path: PathBuf,
    /// Low resolution.
    pub lr: Image,
    /// High resolution, cropped to a multiple of the upscaling factor.
    pub hr: Image,
}

/// Reads all pairs of a folder, with an upscaling factor of 1 or more, in the order of their names, on all cores.
///
/// The low-resolution images are read from `lr` or, without it, made by
/// [`degrade::downscale`] from the whole originals (so that patches see no artificial borders).
///
/// # Errors
/// Any [`DataError`].
pub fn load(hr: &Path, lr: Option<&Path>, upscale: usize) -> Result<Vec<Pair>, DataError> {
    let files = images(hr)?;
    if upscale == 1 && lr.is_none() {
        return Err(DataError::NoInput { hr: hr.into() });
    }
    let partners = lr.map(images).transpose()?;
    if let (Some(partners), Some(lr)) = (&partners, lr) {
        nothing_left(&files, partners, hr, lr, upscale)?;
    }
    let read = |path: &PathBuf| -> Result<Pair, DataError> {
        let (name, hr) = (stem(path), decode(path)?);
        let small = || {
            let found = (hr.width() / upscale, hr.height() / upscale);
            DataError::SmallerThanPatch { path: path.clone(), found, patch: 1 }
        };
        let (lr, hr) = match (&partners, lr) {
            (Some(partners), Some(folder)) => {
                let unpaired = || DataError::Unpaired { hr: path.clone(), lr: folder.into(), upscale };
                let partner = partner(partners, &name, upscale).ok_or_else(unpaired)?;
                let hr = hr.crop_to_multiple(upscale).map_err(|_| small())?;
                (paired(partner, &hr, upscale)?, hr)
            }
            _ => degrade::downscale(&hr, upscale).map_err(|_| small())?,
        };
        Ok(Pair { name, path: path.clone(), lr, hr })
    };
    in_parallel(&files, read)
}

/// Checks that each image of the folder `lr` belongs to one of `files`.
fn nothing_left(
    files: &[PathBuf],
    partners: &[PathBuf],
    hr: &Path,
    lr: &Path,
    upscale: usize,
) -> Result<(), DataError> {
    let taken: Vec<&PathBuf> = files.iter().filter_map(|f| partner(partners, &stem(f), upscale)).collect();
    if taken.len() < files.len() {
        // An original without a partner is the better message, and comes with its name.
        return Ok(());
    }
    let mut left = partners.iter().filter(|p| !taken.contains(p)).peekable();
    let first = left.peek().map(|p| p.file_name().unwrap_or_default().to_string_lossy().into_owned());
    first.map_or(Ok(()), |first| {
        Err(DataError::Left { count: left.count(), of: partners.len(), lr: lr.into(), hr: hr.into(), first })
    })
}

/// The low-resolution image of a pair, which must have the size that follows from the other one.
fn paired(path: &Path, hr: &Image, upscale: usize) -> Result<Image, DataError> {
    let lr = decode(path)?;
    let (found, expected) = ((lr.width(), lr.height()), (hr.width() / upscale, hr.height() / upscale));
    if found != expected {
        return Err(DataError::Size { path: path.into(), upscale, expected, found });
    }
    Ok(lr)
}

/// Checks that a patch fits into each image.
///
/// # Errors
/// [`DataError::SmallerThanPatch`] for the first image that is too small.
pub fn check_patch(pairs: &[Pair], patch: usize) -> Result<(), DataError> {
    let small = pairs.iter().find(|p| p.lr.width().min(p.lr.height()) < patch);
    small.map_or(Ok(()), |p| {
        let found = (p.lr.width(), p.lr.height());
        Err(DataError::SmallerThanPatch { path: p.path.clone(), found, patch })
    })
}

/// Decodes an image to 8-bit RGB: grey is repeated, alpha dropped.
///
/// # Errors
/// [`DataError::Decode`], or [`DataError::Unusable`] for an empty image.
pub fn decode(path: &Path) -> Result<Image, DataError> {
    let open = || image::ImageReader::open(path)?.with_guessed_format()?.decode();
    let failed = |source| DataError::Decode { path: path.into(), source };
    let rgb = open().map_err(failed)?.into_rgb8();
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    Image::new(width, height, 3, rgb.into_raw())
        .map_err(|e| DataError::Unusable { path: path.into(), source: e })
}

/// Image files of a folder, by name.
fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| DataError::Folder { path: folder.into(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && image::ImageFormat::from_path(&path).is_ok() {
            files.push(path);
        }
    }
    // The order decides which image a random number means: it must not depend on the file system.
    files.sort();
    if files.is_empty() { Err(DataError::Empty { path: folder.into() }) } else { Ok(files) }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn partner<'a>(partners: &'a [PathBuf], name: &str, upscale: usize) -> Option<&'a PathBuf> {
    let scaled = format!("{name}x{upscale}");
    partners.iter().find(|p| stem(p) == name).or_else(|| partners.iter().find(|p| stem(p) == scaled))
}

/// Applies `f` to each item on all cores and keeps the order; the error of the first failing item wins.
fn in_parallel<T: Sync, R: Send, E: Send>(
    items: &[T],
    f: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((i, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
        {
            done.push((i, f(item)));
        }
        done
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut results = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let join = |w: std::thread::ScopedJoinHandle<'_, Vec<_>>| w.join().expect("a worker does not panic");
        workers.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, r)| r).collect()
}
