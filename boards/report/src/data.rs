//! Pairs of low- and high-resolution images: from folders, or the test cards.

use mcir_files as files;
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_upscale::cards;
use mcir_upscale::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Test images of one set or several, and where their low-resolution versions come from.
pub struct TestSet {
    /// For the reader of a report.
    pub description: String,
    /// The images, set by set.
    pub images: Vec<TestImage>,
    /// The sets, in the order of their images.
    parts: Vec<Part>,
    /// What was left out, for the user.
    pub note: Option<String>,
}

/// A set of several.
struct Part {
    /// What reports call it.
    name: String,
    /// A folder with `X2`, `X3`, `X4`; without one, low-resolution images are made with bicubic.
    lr: Option<PathBuf>,
}

/// A high-resolution image.
pub struct TestImage {
    /// File name without extension, or the card's name; after that of its set where there are several.
    pub name: String,
    /// File name without extension, or the card's name.
    stem: String,
    /// Which set it is of.
    part: usize,
    source: Source,
}

enum Source {
    /// The image, and what lies beside it.
    File(PathBuf, Option<Beside>),
    Drawn(Image),
}

/// What a folder has beside a high-resolution image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Beside {
    /// Its low-resolution version.
    Low(PathBuf),
    /// A noisy shot of the same size, which is reduced.
    Noisy(PathBuf),
}

impl Beside {
    fn path(&self) -> &PathBuf {
        let (Self::Low(path) | Self::Noisy(path)) = self;
        path
    }
}

/// A low-resolution image and what it should become.
pub struct Pair {
    /// `[height, width, 3]`.
    pub lr: Image,
    /// `[height · upscale, width · upscale]`, RGB or grey as its file is.
    pub hr: Image,
}

/// What a folder is called: `HR` alone says nothing, so that it is `Set5/HR`.
fn describe(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    match (path.parent().and_then(name), name(&path)) {
        (Some(parent), Some(own)) if own == "HR" => format!("{parent}/{own}"),
        (_, own) => own.unwrap_or_else(|| "/".into()),
    }
}

/// Names of several folders: those of one name are told apart by the folders that they are in, and one that is given twice by its
/// number.
fn told_apart(paths: &[&Path], names: &[String]) -> Vec<String> {
    let paths: Vec<_> =
        paths.iter().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())).collect();
    let longer = |n: usize, more: usize| {
        let depth = Path::new(&names[n]).components().count() + more;
        let parts: Vec<_> =
            paths[n].components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
        parts[parts.len().saturating_sub(depth)..].join("/").replacen("//", "/", 1)
    };
    let deepest = paths.iter().map(|path| path.components().count()).max().unwrap_or(0);
    let name = |n: usize| {
        let others =
            || (0..names.len()).filter(|&other| names[other] == names[n] && paths[other] != paths[n]);
        if others().next().is_none() {
            return names[n].clone();
        }
        let differs = |more: &usize| others().all(|other| longer(other, *more) != longer(n, *more));
        longer(n, (0..deepest).find(differs).unwrap_or(deepest))
    };
    let same =
        |n: usize, range: std::ops::Range<usize>| range.filter(|&other| paths[other] == paths[n]).count();
    (0..names.len())
        .map(|n| match same(n, 0..names.len()) {
            1 => name(n),
            _ => format!("{} ({})", name(n), same(n, 0..n + 1)),
        })
        .collect()
}

impl TestSet {
    /// The cards that the project draws itself.
    pub fn cards() -> Self {
        let image = |card: cards::Card| TestImage {
            name: card.name.into(),
            stem: card.name.into(),
            part: 0,
            source: Source::Drawn(card.image),
        };
        let name = "drawn test cards";
        Self {
            description: name.into(),
            images: cards::draw().into_iter().map(image).collect(),
            parts: vec![Part { name: name.into(), lr: None }],
            note: None,
        }
    }

    /// Several folders as one set, or what [`TestSet::folder`] makes of a single one.
    ///
    /// # Errors
    /// As [`TestSet::folder`].
    ///
    /// # Panics
    /// Without a folder.
    pub fn folders<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let mut sets = paths.iter().map(|path| Self::folder(path.as_ref())).collect::<Result<Vec<_>>>()?;
        if sets.len() == 1 {
            return Ok(sets.remove(0));
        }
        let names: Vec<_> = sets.iter().map(|set| set.description.clone()).collect();
        let paths: Vec<_> = paths.iter().map(|path| path.as_ref()).collect();
        for (set, (n, name)) in sets.iter_mut().zip(told_apart(&paths, &names).into_iter().enumerate()) {
            set.description = name;
            set.rename(&set.description.clone());
            set.images.iter_mut().for_each(|image| image.part = n);
        }
        let join = |parts: Vec<&str>, between: &str| parts.join(between);
        Ok(Self {
            description: join(sets.iter().map(|set| set.description.as_str()).collect(), ", "),
            note: Some(join(sets.iter().filter_map(|set| set.note.as_deref()).collect(), "; "))
                .filter(|note| !note.is_empty()),
            parts: sets.iter_mut().flat_map(|set| std::mem::take(&mut set.parts)).collect(),
            images: sets.into_iter().flat_map(|set| set.images).collect(),
        })
    }

    /// Gives a set of several its name.
    fn rename(&mut self, name: &str) {
        self.parts[0].name = name.into();
        self.images.iter_mut().for_each(|image| image.name = format!("{name}/{}", image.stem));
    }

    /// Gives the sets the names that another machine has for them.
    ///
    /// # Errors
    /// The wrong number of names, as a word on that.
    pub fn named(mut self, names: &[String]) -> std::result::Result<Self, String> {
        let sets = self.parts.len();
        if names.len() != sets {
            return Err(format!("{} names for {sets} sets", names.len()));
        }
        for (part, name) in self.parts.iter_mut().zip(names) {
            part.name.clone_from(name);
        }
        if sets > 1 {
            for image in &mut self.images {
                image.name = format!("{}/{}", names[image.part], image.stem);
            }
        }
        Ok(self)
    }

    /// Whether the images are drawn by the program itself.
    pub fn is_drawn(&self) -> bool {
        self.images.iter().all(|image| matches!(image.source, Source::Drawn(_)))
    }

    /// What the sets are called.
    pub fn names(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.name.clone()).collect()
    }

    /// How many of these images each set has; they are in the order of the sets.
    pub fn count<'a>(&self, images: impl Iterator<Item = &'a TestImage>) -> Vec<usize> {
        let mut counts = vec![0; self.parts.len()];
        images.for_each(|image| counts[image.part] += 1);
        counts
    }

    /// A folder of high-resolution images, or one with the folders `HR` and perhaps `LR/X1` to `X4`, as `mcir-train degrade`
    /// writes them, or `LR_bicubic/X2` to `X4`. Low-resolution images in the same folder are known by their names: `a_HR.png`
    /// with `a_LR.png`, and `a.png` with `ax4.png`. So are pairs of a noisy shot and the mean of many, `a_real.jpg` with
    /// `a_mean.jpg` (PolyU) and `a_NOISY_SRGB.png` with `a_GT_SRGB.png` (SIDD): the noisy one is reduced.
    ///
    /// # Errors
    /// [`mcir_files::Error::Missing`] or [`mcir_files::Error::NoImages`].
    pub fn folder(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Err(Error::missing(path));
        }
        let hr = path.join("HR");
        let hr = if hr.is_dir() { hr } else { path.to_owned() };
        let listing = files::list(&hr)?;
        if listing.images.is_empty() {
            return Err(files::Error::NoImages { name: files::name::text(&hr) }.into());
        }
        let mut notes: Vec<_> = listing.note().into_iter().collect();
        let (images, paired) = paired(listing.images);
        for (count, what) in
            paired.into_iter().zip(["low-resolution versions of", "noisy shots of the same as"])
        {
            if count > 0 {
                notes.push(format!("{count} of its images are {what} others by their names"));
            }
        }
        let note = (!notes.is_empty()).then(|| format!("{}: {}", files::name::text(&hr), notes.join("; ")));
        let image = |(path, beside): (PathBuf, Option<Beside>)| TestImage {
            name: stem(&path),
            stem: stem(&path),
            part: 0,
            source: Source::File(path, beside),
        };
        let lr = ["LR", "LR_bicubic"].map(|name| path.join(name)).into_iter().find(|lr| lr.is_dir());
        let description = describe(path);
        let images = images.into_iter().map(image).collect();
        Ok(Self { parts: vec![Part { name: description.clone(), lr }], description, images, note })
    }

    /// The files for these factors, each with its path in a folder that [`TestSet::folder`] reads the same set from; of
    /// several sets, in folders `0`, `1`, … there. None for drawn images, nor for one whose low-resolution image is not there:
    /// [`TestSet::pair`] says so, and elsewhere another one would be made.
    pub fn files(&self, upscales: &[usize]) -> Vec<(String, PathBuf)> {
        let mut files = Vec::new();
        for image in &self.images {
            let Source::File(path, beside) = &image.source else { continue };
            let mut low = upscales.iter().filter_map(|&upscale| self.lr_file(image, upscale));
            if low.any(|path| !path.is_file()) {
                continue;
            }
            let folder = if self.parts.len() > 1 { format!("{}/", image.part) } else { String::new() };
            for path in std::iter::once(path).chain(beside.as_ref().map(Beside::path)) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                files.push((format!("{folder}HR/{name}"), path.clone()));
            }
            for upscale in upscales {
                let lr = self.lr_file(image, *upscale);
                let name = format!("{folder}LR_bicubic/X{upscale}/{}", low_name(&image.stem, *upscale));
                files.extend(lr.map(|lr| (name, lr)));
            }
        }
        files
    }

    /// An image cut to a multiple of `upscale`, with its low-resolution version.
    ///
    /// # Errors
    /// When a file cannot be read, is too small, or does not belong to the other.
    pub fn pair(&self, image: &TestImage, upscale: usize) -> Result<Pair> {
        let of_image = Error::image(&image.name);
        let hr = match &image.source {
            Source::Drawn(image) => image.clone(),
            Source::File(path, _) => read(path)?,
        };
        let lr_folder = &self.parts[image.part].lr;
        if let (Source::File(_, Some(Beside::Low(path))), None) = (&image.source, lr_folder) {
            let lr = rgb(read(path)?);
            // For the one factor that it was made for; others are made here as ever.
            let of = |side: usize, lr: usize| side / lr.max(1) == upscale && side - lr * upscale < upscale;
            if of(hr.width(), lr.width()) && of(hr.height(), lr.height()) {
                let hr = hr.crop_to_multiple(upscale).map_err(&of_image)?;
                return Ok(Pair { lr, hr });
            }
        }
        let hr_size = (hr.width(), hr.height());
        let hr = hr.crop_to_multiple(upscale).map_err(&of_image)?;
        let (width, height) = (hr.width() / upscale, hr.height() / upscale);
        if let (Source::File(_, Some(Beside::Noisy(path))), None) = (&image.source, lr_folder) {
            let shot = rgb(read(path)?);
            let found = (shot.width(), shot.height());
            if found != hr_size {
                return Err(Error::Pair { path: path.clone(), found, expected: hr_size });
            }
            let shot = shot.crop_to_multiple(upscale).map_err(&of_image)?;
            return Ok(Pair { lr: resize_bicubic(&shot, width, height).map_err(&of_image)?, hr });
        }
        let Some(path) = self.lr_file(image, upscale) else {
            return Ok(Pair { lr: rgb(resize_bicubic(&hr, width, height).map_err(&of_image)?), hr });
        };
        let lr = rgb(read(&path)?);
        let found = (lr.width(), lr.height());
        if found != (width, height) {
            return Err(Error::Pair { path, found, expected: (width, height) });
        }
        Ok(Pair { lr, hr })
    }

    /// `LR_bicubic/X4/birdx4.png` or `LR/X1/bird.png` for `bird`, when the set has low-resolution images for this factor.
    fn lr_file(&self, image: &TestImage, upscale: usize) -> Option<PathBuf> {
        let folder = self.parts[image.part].lr.as_ref()?.join(format!("X{upscale}"));
        folder.is_dir().then(|| folder.join(low_name(&image.stem, upscale)))
    }
}

/// The file name of what a network gets to see of an image.
fn low_name(name: &str, upscale: usize) -> String {
    if upscale == 1 { format!("{name}.png") } else { format!("{name}x{upscale}.png") }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What a low-resolution image is called without that: `img_001_SRF_4_LR`, `birdx4`, `bird_x4`.
fn low(stem: &str) -> Option<String> {
    let stem = stem.to_ascii_lowercase();
    let ends = ["_lr", "-lr", "_x2", "_x3", "_x4", "_x8", "-x2", "-x3", "-x4", "-x8", "x2", "x3", "x4", "x8"];
    ends.iter().find_map(|end| stem.strip_suffix(end)).filter(|rest| !rest.is_empty()).map(str::to_owned)
}

/// What a high-resolution one is called without that.
fn high(stem: &str) -> String {
    let stem = stem.to_ascii_lowercase();
    let rest = ["_hr", "-hr", "_gt", "-gt"].iter().find_map(|end| stem.strip_suffix(end));
    rest.map_or_else(|| stem.clone(), str::to_owned)
}

/// The name of the clean picture to that of a noisy one: `chair_real` has `chair_mean`, `0001_NOISY_SRGB` has `0001_GT_SRGB`.
fn clean(stem: &str) -> Option<String> {
    let stem = stem.to_ascii_lowercase();
    let (real, sidd) = (stem.strip_suffix("_real"), stem.contains("noisy_srgb"));
    real.map(|rest| format!("{rest}_mean")).or_else(|| sidd.then(|| stem.replace("noisy_srgb", "gt_srgb")))
}

/// Images with what else of them is there, and how many of these are low-resolution versions and noisy shots.
fn paired(images: Vec<PathBuf>) -> (Vec<(PathBuf, Option<Beside>)>, [usize; 2]) {
    let all: BTreeMap<_, _> =
        images.iter().map(|path| (stem(path).to_ascii_lowercase(), path.clone())).collect();
    let shot = |path: &PathBuf| clean(&stem(path)).filter(|name| all.contains_key(name));
    let noisy: BTreeMap<_, _> = images.iter().filter_map(|path| Some((shot(path)?, path.clone()))).collect();
    let images: Vec<_> = images.into_iter().filter(|path| shot(path).is_none()).collect();
    let names: BTreeSet<_> = images
        .iter()
        .map(|path| stem(path))
        .filter(|stem| low(stem).is_none())
        .map(|stem| high(&stem))
        .collect();
    let is_low = |path: &PathBuf| low(&stem(path)).is_some_and(|name| names.contains(&name));
    let (low_images, high_images): (Vec<_>, Vec<_>) = images.into_iter().partition(is_low);
    let of = |path: &PathBuf| {
        let name = high(&stem(path));
        let lr = low_images.iter().find(|lr| low(&stem(lr)).is_some_and(|of| of == name));
        let noisy = || noisy.get(&stem(path).to_ascii_lowercase());
        lr.cloned().map(Beside::Low).or_else(|| noisy().cloned().map(Beside::Noisy))
    };
    let counts = [low_images.len(), noisy.len()];
    (high_images.into_iter().map(|path| (path.clone(), of(&path))).collect(), counts)
}

fn read(path: &Path) -> Result<Image> {
    Ok(files::read(path)?.into_image(&files::name::text(path))?)
}

fn rgb(image: Image) -> Image {
    if image.channels() == 3 { image } else { image.to_rgb() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_resolution_images_are_known_by_their_names() {
        let of = |names: &[&str]| {
            let (images, count) = paired(names.iter().map(PathBuf::from).collect());
            let text = |path: &PathBuf| path.display().to_string();
            let images: Vec<_> =
                images.iter().map(|(hr, lr)| (text(hr), lr.as_ref().map(|lr| text(lr.path())))).collect();
            assert_eq!(count[1], 0);
            (images, count[0])
        };
        let pair = |hr: &str, lr: Option<&str>| (hr.to_owned(), lr.map(str::to_owned));
        assert_eq!(
            of(&["a_SRF_4_HR.png", "a_SRF_4_LR.png", "b_HR.png"]),
            (vec![pair("a_SRF_4_HR.png", Some("a_SRF_4_LR.png")), pair("b_HR.png", None)], 1)
        );
        assert_eq!(of(&["bird.png", "birdx4.png"]), (vec![pair("bird.png", Some("birdx4.png"))], 1));
        assert_eq!(of(&["x_gt.png", "X_LR.PNG"]), (vec![pair("x_gt.png", Some("X_LR.PNG"))], 1));
        // Without its partner it is an image like others.
        for alone in ["a_LR.png", "birdx4.png", "x4.png", "_lr.png"] {
            assert_eq!(of(&[alone, "other.png"]).1, 0, "{alone}");
        }
    }

    #[test]
    fn noisy_shots_are_known_by_their_names() {
        let paths =
            ["a_mean.JPG", "a_real.JPG", "b_real.jpg", "0001_NOISY_SRGB_010.PNG", "0001_GT_SRGB_010.PNG"];
        let (images, counts) = paired(paths.iter().map(PathBuf::from).collect());
        let noisy = |path: &str| Some(Beside::Noisy(path.into()));
        assert_eq!(
            images,
            [
                ("a_mean.JPG".into(), noisy("a_real.JPG")),
                // Without its partner it is an image like others.
                ("b_real.jpg".into(), None),
                ("0001_GT_SRGB_010.PNG".into(), noisy("0001_NOISY_SRGB_010.PNG")),
            ]
        );
        assert_eq!(counts, [0, 2]);
    }

    #[test]
    fn folders_of_one_name_are_told_apart() {
        let of = |paths: &[&str]| {
            let paths: Vec<_> = paths.iter().map(Path::new).collect();
            told_apart(&paths, &paths.iter().map(|path| describe(path)).collect::<Vec<_>>())
        };
        assert_eq!(of(&["/d/clean/s5", "/d/hazy/s5", "/d/s14"]), ["clean/s5", "hazy/s5", "s14"]);
        assert_eq!(of(&["/a/x/s5", "/b/x/s5"]), ["a/x/s5", "b/x/s5"]);
        assert_eq!(of(&["/s5", "/b/s5"]), ["/s5", "b/s5"]);
        assert_eq!(of(&["/a/Set5/HR", "/b/Set5/HR"]), ["a/Set5/HR", "b/Set5/HR"]);
        assert_eq!(of(&["/a/s5", "/a/s5", "/b/s5"]), ["a/s5 (1)", "a/s5 (2)", "b/s5"]);
    }

    #[test]
    fn several_sets_keep_their_names_and_their_low_resolution_images() {
        let folder = tempfile::tempdir().unwrap();
        let grey = |width, value| Image::new(width, 12, 1, vec![value; width * 12]).unwrap();
        let write = |path: &str, image: &Image| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, files::encode_png(image)).unwrap();
        };
        write("clean/set/a.png", &grey(12, 10));
        write("damaged/set/HR/a.png", &grey(12, 20));
        write("damaged/set/LR/X2/ax2.png", &grey(6, 30).crop(0, 0, 6, 6).unwrap());
        write("noise/b_mean.png", &grey(12, 40));
        write("noise/b_real.png", &grey(12, 50));
        let paths = ["clean/set", "damaged/set", "noise"].map(|path| folder.path().join(path));
        let set = TestSet::folders(&paths).unwrap();
        assert_eq!(set.names(), ["clean/set", "damaged/set", "noise"]);
        let names: Vec<_> = set.images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["clean/set/a", "damaged/set/a", "noise/b_mean"]);
        let lr = |set: &TestSet, n: usize| set.pair(&set.images[n], 2).unwrap().lr.data()[0];
        assert_eq!([lr(&set, 0), lr(&set, 1), lr(&set, 2)], [10, 30, 50]);
        assert_eq!(set.count(set.images[1..].iter()), [0, 1, 1]);

        // The same on another machine.
        let there = tempfile::tempdir().unwrap();
        for (name, file) in set.files(&[2]) {
            std::fs::create_dir_all(there.path().join(&name).parent().unwrap()).unwrap();
            std::fs::copy(file, there.path().join(name)).unwrap();
        }
        let copy = TestSet::folders(&["0", "1", "2"].map(|n| there.path().join(n))).unwrap();
        let copy = copy.named(&set.names()).unwrap();
        assert_eq!([lr(&copy, 0), lr(&copy, 1), lr(&copy, 2)], [10, 30, 50]);
        assert!(copy.images.iter().zip(&set.images).all(|(a, b)| a.name == b.name));
        // Where an input is missing none is made in its place.
        std::fs::remove_file(folder.path().join("damaged/set/LR/X2/ax2.png")).unwrap();
        assert!(set.files(&[2]).iter().all(|(name, _)| !name.starts_with("1/")));
        assert!(copy.named(&["x".into()]).is_err_and(|e| e.contains("1 names for 3 sets")));
    }
}
