//! Files that are there whole or not at all.

use mcir_files::Pending;
use mcir_runtime::image::Image;
use std::io::Write;
use std::path::Path;

/// Writes a file under a temporary name, waits until the disk has it, and renames it: a full disk, a kill or a loss of power
/// leaves what was there before.
///
/// # Errors
/// The system's; no temporary file is left then.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let write = || {
        let mut file = Pending::create(path)?;
        file.write_all(bytes).map_err(mcir_files::Error::io("write", path))?;
        file.finish()
    };
    write().map_err(|error| match error {
        mcir_files::Error::Io { source, .. } => source,
        error => std::io::Error::other(error),
    })
}

/// Writes an image as PNG, grey or RGB, as [`replace`] writes.
///
/// # Errors
/// The system's.
pub fn write_png(path: &Path, image: &Image) -> std::io::Result<()> {
    replace(path, &mcir_files::encode_png(image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        replace(&path, b"old").expect("written");
        replace(&path, b"newer").expect("written");
        assert_eq!(std::fs::read(&path).expect("read"), b"newer");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
        // Renaming a file over a folder fails on every system.
        let taken = folder.path().join("b");
        std::fs::create_dir(&taken).expect("made");
        replace(&taken, b"x").expect_err("a folder is in the way");
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 2);
        replace(&folder.path().join("none/a.txt"), b"x").expect_err("no such folder");
    }
}
