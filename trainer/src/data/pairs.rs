//! Folders of images as pairs of low and high resolution, decoded to 8-bit RGB.

use super::layout::{self, Part, Scene};
use super::{DataError, degrade};
use mcir_runtime::image::Image;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    /// Whether the original's file has one channel, which is Y where the image is measured.
    pub grey: bool,
}

/// The files of a data set, not yet read.
#[derive(Debug, Clone)]
pub struct Source {
    files: Vec<PathBuf>,
    /// Folder of low-resolution images and the one of each file, if they are not made from the others.
    low: Option<(PathBuf, Vec<PathBuf>)>,
    /// What a teacher makes of each low-resolution image.
    teacher: Option<Vec<PathBuf>>,
    upscale: usize,
    /// Scenes, where images lie in folders of them: the number of the first file of each, and its name.
    scenes: Vec<(usize, String)>,
}

impl Source {
    /// The pairs of a folder, with an upscaling factor of 1 or more, in the order of their names.
    ///
    /// A folder that holds the folders of a known layout instead of images stands for those; see [`layout`]. A target may have
    /// several degraded images, `1401_1.png` and `1401_2.png` for `1401.png`: each is a pair then.
    ///
    /// # Errors
    /// Any [`DataError`].
    pub fn open(hr: &Path, lr: Option<&Path>, upscale: usize, part: Part) -> Result<Self, DataError> {
        if upscale == 1 && lr.is_none() {
            let scenes = layout::scenes(hr, part);
            if !scenes.is_empty() {
                return Self::of_scenes(hr, scenes, part);
            }
        }
        let (hr, found) = layout::find(hr, upscale, part);
        let lr = lr.map(Path::to_path_buf).or(found);
        let mut files = images(&hr)?;
        if upscale == 1 && lr.is_none() {
            return Err(DataError::NoInput { hr });
        }
        let low = match lr {
            Some(lr) => {
                let found = images(&lr)?;
                match partners(&files, &found, &hr, &lr, upscale) {
                    Ok(partners) => Some((lr, partners)),
                    Err(error) => {
                        let (targets, partners) = several(&files, &found, upscale).ok_or(error)?;
                        files = targets;
                        Some((lr, partners))
                    }
                }
            }
            None => None,
        };
        Ok(Self { files, low, teacher: None, upscale, scenes: Vec::new() })
    }

    /// The pairs of all scenes, one scene after the other.
    fn of_scenes(folder: &Path, scenes: Vec<Scene>, part: Part) -> Result<Self, DataError> {
        let (mut files, mut partners, mut begun) = (Vec::new(), Vec::new(), Vec::new());
        for Scene { name, clean, damaged } in scenes {
            begun.push((files.len(), name));
            let scene = Self::open(&clean, Some(&damaged), 1, part)?;
            files.extend(scene.files);
            partners.extend(scene.low.into_iter().flat_map(|(_, partners)| partners));
        }
        let low = Some((folder.to_path_buf(), partners));
        Ok(Self { files, low, teacher: None, upscale: 1, scenes: begun })
    }

    /// The images of a folder as targets whose inputs are made from them by [`super::degrade`]; as [`Source::open`], but
    /// with any upscaling factor.
    ///
    /// # Errors
    /// Any [`DataError`].
    pub fn targets(hr: &Path, upscale: usize, part: Part) -> Result<Self, DataError> {
        let (hr, _) = layout::find(hr, upscale, part);
        Ok(Self { files: images(&hr)?, low: None, teacher: None, upscale, scenes: Vec::new() })
    }

    /// With what a teacher makes of the low-resolution images: a folder with an image of the target's size for each,
    /// paired as low-resolution images are.
    ///
    /// # Errors
    /// Any [`DataError`].
    pub fn with_teacher(mut self, folder: &Path) -> Result<Self, DataError> {
        let hr = self.files.first().and_then(|f| f.parent()).unwrap_or(Path::new(""));
        self.teacher = Some(partners(&self.files, &images(folder)?, hr, folder, self.upscale)?);
        Ok(self)
    }

    /// What a teacher makes of the low-resolution image of a pair whose target is `hr`, if there is a teacher.
    ///
    /// # Errors
    /// Any [`DataError`].
    pub fn read_teacher(&self, index: usize, hr: &Image) -> Result<Option<Image>, DataError> {
        let Some(files) = &self.teacher else { return Ok(None) };
        paired(&files[index], hr, 1).map(Some)
    }

    /// The files of the targets.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Folder of the low-resolution images, if they are not made from the others.
    pub fn low(&self) -> Option<&Path> {
        self.low.as_ref().map(|(folder, _)| folder.as_path())
    }

    /// The file that a pair is called by: its target, or, of several pairs of one target, the low-resolution image.
    fn named_by(&self, index: usize) -> &Path {
        let path = &self.files[index];
        let is_same = |other: Option<usize>| other.and_then(|at| self.files.get(at)) == Some(path);
        match &self.low {
            Some((_, partners)) if is_same(index.checked_sub(1)) || is_same(Some(index + 1)) => {
                &partners[index]
            }
            _ => path,
        }
    }

    /// The file name that a pair is called by, behind the name of its scene where there are scenes.
    pub fn file_name(&self, index: usize) -> PathBuf {
        let name = self.named_by(index).file_name().unwrap_or_default();
        match self.scenes.iter().rfind(|(first, _)| *first <= index) {
            Some((_, scene)) => {
                let mut whole = OsString::from(format!("{scene}-"));
                whole.push(name);
                whole.into()
            }
            None => name.into(),
        }
    }

    /// Reads a pair. The low-resolution image is read or made by [`degrade::downscale`] from the whole original (so
    /// that patches see no artificial borders).
    ///
    /// # Errors
    /// Any [`DataError`].
    pub fn read(&self, index: usize) -> Result<Pair, DataError> {
        let (path, upscale) = (&self.files[index], self.upscale);
        let (name, (hr, grey)) = (stem(&self.file_name(index)), decode_told(path)?);
        let small = || {
            let found = (hr.width() / upscale, hr.height() / upscale);
            DataError::SmallerThanPatch { path: path.clone(), found, patch: 1 }
        };
        let (lr, hr) = match &self.low {
            Some((_, partners)) => {
                let hr = hr.crop_to_multiple(upscale).map_err(|_| small())?;
                let lr = decode(&partners[index])?;
                let hr = if upscale == 1 { without_border(hr, &lr) } else { hr };
                (of_size(lr, &partners[index], &hr, upscale)?, hr)
            }
            None => degrade::downscale(&hr, upscale).map_err(|_| small())?,
        };
        Ok(Pair { name, path: path.clone(), lr, hr, grey })
    }
}

/// Reads all pairs of a folder of test images on all cores, as [`Source::read`] does.
///
/// # Errors
/// Any [`DataError`].
pub fn load(hr: &Path, lr: Option<&Path>, upscale: usize) -> Result<Vec<Pair>, DataError> {
    let source = Source::open(hr, lr, upscale, Part::Valid)?;
    let indices: Vec<usize> = (0..source.len()).collect();
    in_parallel(&indices, |index| source.read(*index))
}

/// Reads all images of a folder on all cores as targets, with inputs that [`degrade::degrade`] makes of them; the number of
/// an image in the order of the names is the index.
///
/// # Errors
/// Any [`DataError`].
pub fn load_degraded(
    hr: &Path,
    upscale: usize,
    settings: &degrade::Degrade,
    seed: u64,
) -> Result<Vec<Pair>, DataError> {
    let source = Source::targets(hr, upscale, Part::Valid)?;
    let indices: Vec<usize> = (0..source.len()).collect();
    in_parallel(&indices, |&index| {
        let path = &source.files()[index];
        let (image, grey) = decode_told(path)?;
        let found = (image.width() / upscale, image.height() / upscale);
        let small = |_| DataError::SmallerThanPatch { path: path.clone(), found, patch: 1 };
        let (lr, hr, _) = degrade::degrade(&image, upscale, settings, seed, index as u64).map_err(small)?;
        Ok(Pair { name: stem(path), path: path.clone(), lr, hr, grey })
    })
}

/// The partners of `files`, in their order, and nothing else in the folder `lr`.
fn partners(
    files: &[PathBuf],
    found: &[PathBuf],
    hr: &Path,
    lr: &Path,
    upscale: usize,
) -> Result<Vec<PathBuf>, DataError> {
    // By name, because data sets have thousands: the one with the factor at its end gives way.
    let mut by_name: HashMap<String, &PathBuf> = HashMap::new();
    // Rain200 has its rainy images in `rain/X2`, as those of super-resolution are called, and of full size.
    let factor = if upscale == 1 && lr.file_name().is_some_and(|name| name == "X2") { 2 } else { upscale };
    for path in found {
        let name = stem(path);
        if let Some(name) = name.strip_suffix(&format!("x{factor}")) {
            by_name.entry(name.into()).or_insert(path);
        }
    }
    by_name.extend(found.iter().map(|path| (stem(path), path)));
    let partner = |file: &PathBuf| by_name.get(&stem(file)).copied();
    let mut without = files.iter().filter(|file| partner(file).is_none()).peekable();
    if let Some(first) = without.peek() {
        let (hr, lr, of) = (first.to_path_buf(), lr.into(), files.len());
        return Err(DataError::Unpaired { hr, lr, upscale, count: without.count(), of });
    }
    let taken: Vec<&PathBuf> = files.iter().filter_map(partner).collect();
    let known: HashSet<&PathBuf> = taken.iter().copied().collect();
    let mut left = found.iter().filter(|path| !known.contains(path)).peekable();
    if let Some(first) = left.peek() {
        let first = first.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of = found.len();
        return Err(DataError::Left { count: left.count(), of, lr: lr.into(), hr: hr.into(), first });
    }
    Ok(taken.into_iter().cloned().collect())
}

/// Targets and their partners where targets have several, whose names go on behind that of the target and a `_`: the longest
/// name that fits counts. `None` where one of either has no partner.
fn several(files: &[PathBuf], found: &[PathBuf], upscale: usize) -> Option<(Vec<PathBuf>, Vec<PathBuf>)> {
    let targets: HashMap<String, usize> = files.iter().enumerate().map(|(i, path)| (stem(path), i)).collect();
    let target = |path: &PathBuf| {
        let own = stem(path);
        let mut name = own.strip_suffix(&format!("x{upscale}")).unwrap_or(&own);
        loop {
            if let Some(&target) = targets.get(name) {
                return Some(target);
            }
            name = name.rsplit_once('_')?.0;
        }
    };
    let mut pairs: Vec<_> = found.iter().map(|path| Some((target(path)?, path))).collect::<Option<_>>()?;
    // Those of one target stay in the order of their names.
    pairs.sort_by_key(|(target, _)| *target);
    let with: HashSet<usize> = pairs.iter().map(|(target, _)| *target).collect();
    if with.len() < files.len() {
        return None;
    }
    Some(pairs.into_iter().map(|(target, path)| (files[target].clone(), path.clone())).unzip())
}

/// The low-resolution image of a pair, which must have the size that follows from the other one.
fn paired(path: &Path, hr: &Image, upscale: usize) -> Result<Image, DataError> {
    of_size(decode(path)?, path, hr, upscale)
}

/// Most pixels by which a target may be larger than its input on every side.
const BORDER: usize = 16;

/// A target without what it has around its input: the clear images of RESIDE's indoor sets have a border of 10 pixels that the
/// hazy ones have not.
fn without_border(target: Image, input: &Image) -> Image {
    let more = |target: usize, input: usize| target.checked_sub(input);
    match (more(target.width(), input.width()), more(target.height(), input.height())) {
        (Some(x), Some(y)) if x == y && x > 0 && x.is_multiple_of(2) && x <= 2 * BORDER => {
            target.crop(x / 2, y / 2, input.width(), input.height()).unwrap_or(target)
        }
        _ => target,
    }
}

/// The low-resolution image, if it has the size that follows from the other one.
fn of_size(lr: Image, path: &Path, hr: &Image, upscale: usize) -> Result<Image, DataError> {
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
/// [`DataError::Decode`].
pub fn decode(path: &Path) -> Result<Image, DataError> {
    Ok(decode_told(path)?.0)
}

/// The first channel of an image that was grey before it was decoded.
pub fn first_channel(image: &Image) -> Image {
    let values = image.data().iter().copied().step_by(image.channels()).collect();
    Image::new(image.width(), image.height(), 1, values).expect("a value a pixel")
}

/// [`decode`], and whether the file is grey.
///
/// # Errors
/// [`DataError::Decode`].
pub fn decode_told(path: &Path) -> Result<(Image, bool), DataError> {
    let failed = |source| DataError::Decode { source };
    let name = mcir_files::name::text(path);
    let image = mcir_files::read(path).and_then(|picture| picture.into_image(&name)).map_err(failed)?;
    Ok(if image.channels() == 3 { (image, false) } else { (image.to_rgb(), true) })
}

/// Image files of a folder, by name.
pub(super) fn images(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    // Sorted, because the order decides which image a random number means: it must not depend on the file system.
    mcir_files::images(folder).map_err(|error| match error {
        mcir_files::Error::NoImages { .. } => DataError::Empty { path: folder.into() },
        mcir_files::Error::Io { source, .. } => DataError::Folder { path: folder.into(), source },
        error => DataError::Folder { path: folder.into(), source: std::io::Error::other(error) },
    })
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Applies `f` to each item on all cores and keeps the order; the error of the first failing item wins.
pub(crate) fn in_parallel<T: Sync, R: Send, E: Send>(
    items: &[T],
    f: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || {
        let mut done = Vec::new();
        // After an error nothing new is begun; what comes before it in the order has been begun already.
        while !failed.load(Ordering::Relaxed) {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { break };
            let result = f(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.push((i, result));
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
