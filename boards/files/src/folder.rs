//! Folders of pictures.

use crate::name::text;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Extensions of the formats that can be read.
pub const READABLE: [&str; 17] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "tif", "tiff", "gif", "qoi", "tga", "ppm",
    "pgm", "pbm", "pnm",
];

/// What a folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Files that are pictures by their extension, sorted by name.
    pub images: Vec<PathBuf>,
    /// Other files.
    pub other_files: usize,
    /// Folders, whose pictures are not looked at.
    pub folders: usize,
}

impl Listing {
    /// What was left out, for the user.
    pub fn note(&self) -> Option<String> {
        let count = |n: usize, what: &str| match n {
            0 => None,
            1 => Some(format!("1 {what}")),
            n => Some(format!("{n} {what}s")),
        };
        let folders = count(self.folders, "folder").map(|text| text + " in it");
        let files = count(self.other_files, "file").map(|text| match self.other_files {
            1 => format!("{text} whose name is not that of an image"),
            _ => format!("{text} whose names are not those of images"),
        });
        let parts: Vec<_> = [folders, files].into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("left out: {}", parts.join(" and ")))
    }
}

/// The pictures directly inside a folder, by extension.
///
/// Names that begin with a dot are skipped without a word: what other systems keep beside a file (`._0801.png`), and
/// files that are still being written.
///
/// # Errors
/// [`Error::Missing`], or [`Error::Io`] when it cannot be listed.
pub fn list(folder: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    gather(folder, &mut listing, &mut |_, listing| listing.folders += 1)?;
    listing.images.sort();
    Ok(listing)
}

/// The pictures of a folder and all folders in it, as [`list`] finds them. A folder that is a symbolic link is counted as left
/// out, and so is `except`, where that lies inside. One inside that cannot be listed keeps no other from being; it is among the
/// errors that come back.
///
/// # Errors
/// As [`list`], for the folder itself.
pub fn list_all(folder: &Path, except: &Path) -> Result<(Listing, Vec<Error>)> {
    let except = except.canonicalize().ok();
    let (mut listing, mut folders) = (Listing::default(), vec![folder.to_owned()]);
    let mut failed = Vec::new();
    while let Some(next) = folders.pop() {
        let listed = gather(&next, &mut listing, &mut |path, listing| {
            let is_left_out = path.is_symlink() || (except.is_some() && path.canonicalize().ok() == except);
            match is_left_out {
                true => listing.folders += 1,
                false => folders.push(path),
            }
        });
        match listed {
            Err(error) if next == folder => return Err(error),
            listed => failed.extend(listed.err()),
        }
    }
    listing.images.sort();
    Ok((listing, failed))
}

/// Adds what lies directly inside a folder; its folders are given to `inner`.
fn gather(folder: &Path, listing: &mut Listing, inner: &mut dyn FnMut(PathBuf, &mut Listing)) -> Result<()> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { name: text(folder) },
        _ => Error::io("list", folder)(source),
    };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            inner(path, listing);
        } else if is_picture(&path) && path.is_file() {
            listing.images.push(path);
        } else {
            listing.other_files += 1;
        }
    }
    Ok(())
}

/// The pictures of a folder where there have to be some.
///
/// # Errors
/// As [`list`], and [`Error::NoImages`] when there are none.
pub fn images(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = list(folder)?;
    if listing.images.is_empty() {
        return Err(Error::NoImages { name: text(folder) });
    }
    Ok(listing.images)
}

/// Whether the extension is one of [`READABLE`].
fn is_picture(path: &Path) -> bool {
    let known = |e: &str| READABLE.contains(&e.to_ascii_lowercase().as_str());
    path.extension().and_then(|e| e.to_str()).is_some_and(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_list_images_by_extension_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(list(folder.path()).unwrap(), Listing::default());
        assert!(matches!(images(folder.path()), Err(Error::NoImages { .. })));
        for name in [
            "b.PNG",
            "a.jpg",
            "c.txt",
            "d",
            ".tmp",
            "._a.jpg",
            ".hidden.png",
            "e.jfif",
            "f.JPE",
            "g.pbm",
            "h.pnm",
        ] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        std::fs::create_dir(folder.path().join("e.png")).unwrap();
        let listing = list(folder.path()).unwrap();
        let names: Vec<_> = listing.images.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.jpg", "b.PNG", "e.jfif", "f.JPE", "g.pbm", "h.pnm"]);
        assert_eq!(
            listing.note().unwrap(),
            "left out: 1 folder in it and 2 files whose names are not those of images"
        );
        assert!(matches!(list(&folder.path().join("nowhere")), Err(Error::Missing { .. })));
    }

    #[test]
    fn folders_within_are_listed_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["b/c/2.png", "b/1.png", "a.png", "out/3.png", ".git/4.png", "b/note.txt"] {
            std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            std::fs::write(at(name), b"").unwrap();
        }
        // A loop, which would never end.
        std::os::unix::fs::symlink(folder.path(), at("b/up")).unwrap();
        let (listing, failed) = list_all(folder.path(), &at("b/../out")).unwrap();
        assert!(failed.is_empty());
        assert_eq!(listing.images, ["a.png", "b/1.png", "b/c/2.png"].map(at));
        assert_eq!((listing.folders, listing.other_files), (2, 1));
        assert_eq!(list_all(folder.path(), &at("elsewhere")).unwrap().0.images.len(), 4);
        assert!(matches!(list_all(&at("nowhere"), &at("out")), Err(Error::Missing { .. })));
    }
}
