//! Pairs of low- and high-resolution images: from folders, or the test cards.

use mcir_files as files;
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_upscale::cards;
use mcir_upscale::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Test images, and where their low-resolution versions come from.
pub struct TestSet {
    /// For the reader of a report.
    pub description: String,
    /// The images.
    pub images: Vec<TestImage>,
    /// A folder with `X2`, `X3`, `X4`; without one, low-resolution images are made with bicubic.
    lr: Option<PathBuf>,
    /// What was left out, for the user.
    pub note: Option<String>,
}

/// A high-resolution image.
pub struct TestImage {
    /// File name without extension, or the card's name.
    pub name: String,
    source: Source,
}

enum Source {
    /// The image, and its low-resolution version where that lies beside it.
    File(PathBuf, Option<PathBuf>),
    Drawn(Image),
}

/// A low-resolution image and what it should become. Both are RGB.
pub struct Pair {
    /// `[height, width, 3]`.
    pub lr: Image,
    /// `[height · upscale, width · upscale, 3]`.
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

impl TestSet {
    /// The cards that the project draws itself.
    pub fn cards() -> Self {
        let image = |c: cards::Card| TestImage { name: c.name.into(), source: Source::Drawn(c.image) };
        Self {
            description: "drawn test cards".into(),
            images: cards::draw().into_iter().map(image).collect(),
            lr: None,
            note: None,
        }
    }

    /// A folder of high-resolution images, or one with the folders `HR` and perhaps `LR/X1` to `X4`, as `mcir-train degrade`
    /// writes them, or `LR_bicubic/X2` to `X4`. Low-resolution images in the same folder are known by their names: `a_HR.png`
    /// with `a_LR.png`, and `a.png` with `ax4.png`.
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
        if paired > 0 {
            notes
                .push(format!("{paired} of its images are low-resolution versions of others by their names"));
        }
        let note = (!notes.is_empty()).then(|| format!("{}: {}", files::name::text(&hr), notes.join("; ")));
        let image = |(path, lr): (PathBuf, Option<PathBuf>)| TestImage {
            name: stem(&path),
            source: Source::File(path, lr),
        };
        let lr = ["LR", "LR_bicubic"].map(|name| path.join(name)).into_iter().find(|lr| lr.is_dir());
        Ok(Self { description: describe(path), images: images.into_iter().map(image).collect(), lr, note })
    }

    /// The files for these factors, each with its path in a folder that [`TestSet::folder`] reads the same set from. None
    /// for drawn images. A low-resolution image that is not there is left out: [`TestSet::pair`] will say so.
    pub fn files(&self, upscales: &[usize]) -> Vec<(String, PathBuf)> {
        let mut files = Vec::new();
        for image in &self.images {
            let Source::File(path, beside) = &image.source else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((format!("HR/{name}"), path.clone()));
            if let Some(beside) = beside {
                let name = beside.file_name().unwrap_or_default().to_string_lossy();
                files.push((format!("HR/{name}"), beside.clone()));
            }
            for upscale in upscales {
                let lr = self.lr_file(image, *upscale).filter(|path| path.is_file());
                files.extend(
                    lr.map(|lr| (format!("LR_bicubic/X{upscale}/{}", low_name(&image.name, *upscale)), lr)),
                );
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
            Source::File(path, _) => read_rgb(path)?,
        };
        if let (Source::File(_, Some(path)), None) = (&image.source, &self.lr) {
            let lr = read_rgb(path)?;
            // For the one factor that it was made for; others are made here as ever.
            let of = |side: usize, lr: usize| side / lr.max(1) == upscale && side - lr * upscale < upscale;
            if of(hr.width(), lr.width()) && of(hr.height(), lr.height()) {
                let hr = hr.crop_to_multiple(upscale).map_err(&of_image)?;
                return Ok(Pair { lr, hr });
            }
        }
        let hr = hr.crop_to_multiple(upscale).map_err(&of_image)?;
        let (width, height) = (hr.width() / upscale, hr.height() / upscale);
        let Some(path) = self.lr_file(image, upscale) else {
            return Ok(Pair { lr: resize_bicubic(&hr, width, height).map_err(&of_image)?, hr });
        };
        let lr = read_rgb(&path)?;
        let found = (lr.width(), lr.height());
        if found != (width, height) {
            return Err(Error::Pair { path, found, expected: (width, height) });
        }
        Ok(Pair { lr, hr })
    }

    /// `LR_bicubic/X4/birdx4.png` or `LR/X1/bird.png` for `bird`, when the set has low-resolution images for this factor.
    fn lr_file(&self, image: &TestImage, upscale: usize) -> Option<PathBuf> {
        let folder = self.lr.as_ref()?.join(format!("X{upscale}"));
        folder.is_dir().then(|| folder.join(low_name(&image.name, upscale)))
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

/// Images with their low-resolution versions where these are among them, and how many are.
fn paired(images: Vec<PathBuf>) -> (Vec<(PathBuf, Option<PathBuf>)>, usize) {
    let names: std::collections::BTreeSet<_> = images
        .iter()
        .map(|path| stem(path))
        .filter(|stem| low(stem).is_none())
        .map(|stem| high(&stem))
        .collect();
    let is_low = |path: &PathBuf| low(&stem(path)).is_some_and(|name| names.contains(&name));
    let (low_images, high_images): (Vec<_>, Vec<_>) = images.into_iter().partition(is_low);
    let of = |path: &PathBuf| {
        let name = high(&stem(path));
        low_images.iter().find(|lr| low(&stem(lr)).is_some_and(|of| of == name)).cloned()
    };
    let paired = low_images.len();
    (high_images.into_iter().map(|path| (path.clone(), of(&path))).collect(), paired)
}

fn read_rgb(path: &Path) -> Result<Image> {
    let image = files::read(path)?.into_image(&files::name::text(path))?;
    Ok(if image.channels() == 3 { image } else { image.to_rgb() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_resolution_images_are_known_by_their_names() {
        let of = |names: &[&str]| {
            let (images, count) = paired(names.iter().map(PathBuf::from).collect());
            let text = |path: &PathBuf| path.display().to_string();
            let images: Vec<_> = images.iter().map(|(hr, lr)| (text(hr), lr.as_ref().map(text))).collect();
            (images, count)
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
}
