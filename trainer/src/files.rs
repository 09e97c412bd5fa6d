//! Files that are there whole or not at all.

use mcir_runtime::image::Image;
use std::io::Write;
use std::path::Path;

/// Writes a file under a temporary name and renames it: a full disk or a kill leaves what was there before.
///
/// # Errors
/// The system's; no temporary file is left then.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let write = || {
        std::fs::File::create(&temporary)?.write_all(bytes)?;
        std::fs::rename(&temporary, path)
    };
    let result = write();
    if result.is_err() {
        // Best effort: the error that matters is the one above.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Writes an image as PNG, grey or RGB, as [`replace`] writes.
///
/// # Errors
/// The system's.
pub fn write_png(path: &Path, image: &Image) -> std::io::Result<()> {
    let (width, height) = (image.width() as u32, image.height() as u32);
    let color =
        if image.channels() == 3 { image::ExtendedColorType::Rgb8 } else { image::ExtendedColorType::L8 };
    let mut png = std::io::Cursor::new(Vec::new());
    image::write_buffer_with_format(&mut png, image.data(), width, height, color, image::ImageFormat::Png)
        .map_err(std::io::Error::other)?;
    replace(path, png.get_ref())
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
