use super::*;
use std::io::Write;

#[test]
fn formats_by_extension() {
    for (name, format) in [
        ("a.png", Format::Png),
        ("a.JPG", Format::Jpeg),
        ("a.b.jpeg", Format::Jpeg),
        ("dir.png/a.webp", Format::WebP),
        ("a.bmp", Format::Bmp),
        ("a.tif", Format::Tiff),
    ] {
        assert_eq!(Format::of(Path::new(name)).unwrap(), format, "{name}");
    }
    for name in ["a", "png", ".png", "a.gif", "a.png.part"] {
        assert!(matches!(Format::of(Path::new(name)), Err(Error::OutputFormat { .. })), "{name}");
    }
}

#[test]
fn sides_that_a_format_cannot_hold() {
    let path = Path::new("a");
    assert!(Format::Jpeg.check_size(path, 65_535, 1).is_ok());
    assert!(Format::Jpeg.check_size(path, 1, 65_536).is_err());
    assert!(Format::WebP.check_size(path, 16_384, 1).is_err());
    assert!(Format::Png.check_size(path, 65_536, 1).is_ok());
}

#[test]
fn a_pending_file_appears_when_it_is_finished_and_never_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    let count = || std::fs::read_dir(folder.path()).unwrap().count();
    let mut file = Pending::create(&path).unwrap();
    file.write_all(b"half").unwrap();
    assert!(!path.exists());
    drop(file);
    assert_eq!(count(), 0);
    let mut file = Pending::create(&path).unwrap();
    file.write_all(b"whole").unwrap();
    file.finish().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    assert_eq!(count(), 1);
    assert!(Pending::create(folder.path()).is_err());
    assert!(Pending::create(&folder.path().join("nowhere/a.txt")).is_err());
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let plane = |channels: usize, seed: usize| {
        let data = (0..7 * 5 * channels).map(|i| (i * 37 + seed) as u8).collect();
        Image::new(7, 5, channels, data).unwrap()
    };
    let pictures = [
        Picture::new(plane(1, 0)),
        Picture::new(plane(3, 1)),
        Picture { alpha: Some(plane(1, 2)), ..Picture::new(plane(1, 3)) },
        Picture { alpha: Some(plane(1, 4)), ..Picture::new(plane(3, 5)) },
    ];
    for format in [Format::Png, Format::WebP] {
        for picture in &pictures {
            let path = folder.path().join("a").with_extension(format.extension());
            assert_eq!(write(&path, picture.clone(), format).unwrap(), None);
            let mut found = read(&path, 1).unwrap();
            // WebP knows no grey.
            if format == Format::WebP && picture.colour.channels() == 1 {
                let grey = found.colour.data().iter().step_by(3).copied().collect();
                found.colour = Image::new(7, 5, 1, grey).unwrap();
            }
            assert_eq!(&found, picture, "{format:?}");
        }
    }
}

#[test]
fn folders_list_images_by_extension_in_order() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(list(folder.path()), Err(Error::NoImages { .. })));
    for name in ["b.PNG", "a.jpg", "c.txt", "d", ".tmp"] {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    std::fs::create_dir(folder.path().join("e.png")).unwrap();
    let names: Vec<_> = list(folder.path()).unwrap();
    let names: Vec<_> = names.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["a.jpg", "b.PNG"]);
}

#[test]
fn damaged_files_of_every_format_are_errors_or_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let whole =
        image::RgbImage::from_fn(23, 17, |x, y| image::Rgb([(x * 9) as u8, (y * 14) as u8, (x * y) as u8]));
    let mut state = 1u32;
    let mut random = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % n
    };
    for extension in READABLE.into_iter().filter(|&e| !matches!(e, "jpeg" | "tif" | "pgm")) {
        let path = folder.path().join("a").with_extension(extension);
        image::DynamicImage::from(whole.clone()).save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(read(&path, 4).is_ok(), "{extension}");
        for round in 0..80 {
            let mut damaged = bytes.clone();
            if round % 4 == 0 {
                damaged.truncate(1 + random(bytes.len()));
            }
            // Half of the time in the header.
            let reach = if round % 2 == 0 { damaged.len().min(100) } else { damaged.len() };
            damaged[random(reach)] ^= 1 << random(8);
            std::fs::write(&path, &damaged).unwrap();
            match read(&path, 4) {
                Ok(picture) => assert!(picture.colour.width() > 0),
                Err(error) => assert!(!error.help().is_empty() && error.exit_code() == 1, "{error}"),
            }
        }
    }
}
