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
}

/// A high-resolution image.
pub struct TestImage {
    /// File name without extension, or the card's name.
    pub name: String,
    source: Source,
}

enum Source {
    File(PathBuf),
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
        }
    }

    /// A folder of high-resolution images, or one with the folders `HR` and perhaps `LR/X2` to `X4`, as `mcir-train degrade`
    /// writes them, or `LR_bicubic/X2` to `X4`.
    ///
    /// # Errors
    /// [`mcir_files::Error::Missing`] or [`mcir_files::Error::NoImages`].
    pub fn folder(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            return Err(Error::missing(path));
        }
        let hr = path.join("HR");
        let hr = if hr.is_dir() { hr } else { path.to_owned() };
        let image = |path: PathBuf| TestImage {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            source: Source::File(path),
        };
        let lr = ["LR", "LR_bicubic"].map(|name| path.join(name)).into_iter().find(|lr| lr.is_dir());
        Ok(Self {
            description: describe(path),
            images: files::images(&hr)?.into_iter().map(image).collect(),
            lr,
        })
    }

    /// The files for these factors, each with its path in a folder that [`TestSet::folder`] reads the same set from. None
    /// for drawn images. A low-resolution image that is not there is left out: [`TestSet::pair`] will say so.
    pub fn files(&self, upscales: &[usize]) -> Vec<(String, PathBuf)> {
        let mut files = Vec::new();
        for image in &self.images {
            let Source::File(path) = &image.source else { continue };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((format!("HR/{name}"), path.clone()));
            for upscale in upscales {
                let lr = self.lr_file(image, *upscale).filter(|path| path.is_file());
                files
                    .extend(lr.map(|lr| (format!("LR_bicubic/X{upscale}/{}x{upscale}.png", image.name), lr)));
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
            Source::File(path) => read_rgb(path)?,
        };
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

    /// `LR_bicubic/X4/birdx4.png` for `bird`, when the set has low-resolution images for this factor.
    fn lr_file(&self, image: &TestImage, upscale: usize) -> Option<PathBuf> {
        let folder = self.lr.as_ref()?.join(format!("X{upscale}"));
        folder.is_dir().then(|| folder.join(format!("{}x{upscale}.png", image.name)))
    }
}

fn read_rgb(path: &Path) -> Result<Image> {
    let image = files::read(path)?.into_image(&files::name::text(path))?;
    Ok(if image.channels() == 3 { image } else { image.to_rgb() })
}
