use super::*;
use crate::{Picture, read};
use std::fs;

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
fn sizes_that_a_format_cannot_hold() {
    assert!(Format::Jpeg.check_size("a", 65_535, 1).is_ok());
    assert!(Format::Jpeg.check_size("a", 1, 65_536).is_err());
    assert!(Format::WebP.check_size("a", 16_384, 1).is_err());
    assert!(Format::Png.check_size("a", 65_536, 1).is_ok());
    // 4.3 GB of RGB: more than BMP's lengths count.
    assert!(Format::Bmp.check_size("a", 40_000, 36_000).is_err());
    assert!(Format::Tiff.check_size("a", 40_000, 36_000).is_ok());
    let error = Format::WebP.check_size("big.webp", 16_383, 16_400).unwrap_err();
    assert!(error.to_string().contains("webp has at most 16383 on a side"), "{error}");
    assert!(error.help().contains("-s 2") && error.help().contains("png"), "{}", error.help());
}

fn picture(width: usize, height: usize, channels: usize) -> Picture {
    let sample = |i: usize| (i * 37 + i / width * 11 + channels) as u8;
    Picture::new(width, height, channels, (0..width * height * channels).map(sample).collect())
}

fn pixels(picture: &Picture) -> Vec<u8> {
    let mut rows = Vec::new();
    picture.rows(0..picture.height(), &mut rows);
    rows
}

/// Saves a picture; the note about its opacity.
fn save(path: &Path, picture: &Picture, format: Format) -> Option<String> {
    let (width, height, channels) = (picture.width(), picture.height(), picture.channels());
    let icc_profile = picture.icc_profile.as_deref();
    let header = Header { width, height, channels, icc_profile, about: picture.about };
    let pixels = pixels(picture);
    let (rows, notes) = write(&Output::new(path), format, &header, |sink| {
        Ok::<_, Error>(pixels.chunks_exact(width * channels).filter(|row| sink(row)).count())
    })
    .unwrap();
    assert_eq!(rows, height);
    notes.into_iter().find(|note| note.contains("opacity"))
}

#[test]
fn what_is_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(7, 5), (1, 1), (30, 700), (1000, 9)] {
        for channels in 1..=4 {
            let picture = picture(width, height, channels);
            for format in Format::ALL {
                let path = folder.path().join("a").with_extension(format.extension());
                let what = format!("{format:?} {width}x{height}x{channels}");
                let note = save(&path, &picture, format);
                assert_eq!(note.is_some(), picture.has_alpha() && !format.has_alpha(), "{what}");
                let found = read(&path).unwrap();
                assert_eq!((found.width(), found.height()), (width, height), "{what}");
                let (found, expected) = (pixels(&found), pixels(&picture));
                // WebP knows no grey, and grey BMP has a palette.
                let found = match (format, channels) {
                    (Format::Bmp, 1 | 2) => found.iter().step_by(3).copied().collect(),
                    (Format::WebP, 1) => found.iter().step_by(3).copied().collect(),
                    (Format::WebP, 2) => found.chunks_exact(4).flat_map(|p| [p[0], p[3]]).collect(),
                    _ => found,
                };
                let mut flat = Vec::new();
                let expected = match note {
                    Some(_) => flatten(&expected, channels - 1, &mut flat),
                    None => &expected,
                };
                if format == Format::Jpeg {
                    assert_eq!(found.len(), expected.len(), "{what}");
                } else {
                    assert!(found == expected, "{what}");
                }
            }
        }
    }
}

#[test]
fn jpeg_comes_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    for channels in [1, 3] {
        let smooth =
            (0..90 * 61 * channels).map(|i| (60 + i / channels % 90 + i / channels / 90) as u8).collect();
        let picture = Picture::new(90, 61, channels, smooth);
        save(&path, &picture, Format::Jpeg);
        let found = read(&path).unwrap();
        assert_eq!(found.channels(), channels);
        let worst = pixels(&found).iter().zip(pixels(&picture)).map(|(a, b)| a.abs_diff(b)).max();
        assert!(worst.unwrap() < 8, "{worst:?}");
    }
}

#[test]
fn colour_profiles_travel() {
    let folder = tempfile::tempdir().unwrap();
    let mut icc = vec![7; 3000];
    icc[16..20].copy_from_slice(b"RGB ");
    let mut picture = picture(9, 8, 3);
    picture.icc_profile = Some(icc);
    for format in [Format::Png, Format::Jpeg, Format::WebP, Format::Tiff] {
        let path = folder.path().join("a").with_extension(format.extension());
        save(&path, &picture, format);
        assert_eq!(read(&path).unwrap().icc_profile, picture.icc_profile, "{format:?}");
    }
}

#[test]
fn whoever_gives_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        let path = folder.path().join("a").with_extension(format.extension());
        fs::write(&path, b"old").unwrap();
        let header =
            Header { width: 3000, height: 3000, channels: 3, icc_profile: None, about: About::default() };
        let failed = write(&Output::new(&path), format, &header, |sink| {
            assert!((0..20).all(|_| sink(&[1; 9000])));
            Err::<(), _>(Error::Missing { name: "the rest".into() })
        });
        assert!(matches!(failed, Err(Error::Missing { .. })), "{format:?}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), Format::ALL.len());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_told_as_such() {
    let full = Path::new("/dev/full");
    for format in Format::ALL {
        let image = Image::new(200, 200, 3, vec![9; 120_000]).unwrap();
        let error = write_image(&Output::new(full), &image, format).unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
        assert!(!error.help().contains("format"), "{}", error.help());
    }
}

#[cfg(unix)]
#[test]
fn pipes_get_whole_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.bmp");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let image = Image::new(20, 30, 3, (0..1800).map(|i| i as u8).collect()).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || read(&pipe).unwrap()
    });
    write_image(&Output::new(&pipe), &image, Format::Bmp).unwrap();
    assert_eq!(pixels(&reader.join().unwrap()), image.data());
}

#[test]
fn png_in_memory() {
    let image = Image::new(5, 4, 1, (0..20).collect()).unwrap();
    let bytes = encode_png(&image);
    assert_eq!(image::load_from_memory(&bytes).unwrap().into_luma8().into_raw(), image.data());
}

/// Gamma, primaries and resolution go with the picture, or are named.
#[test]
fn what_describes_a_picture_travels_or_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let density = crate::Density { x: 300.0, y: 150.0, per_inch: true };
    let about = About {
        gamma: Some(100_000),
        chromaticities: Some([31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6000]),
        density: Some(density),
        pictures: None,
    };
    let mut icc = vec![7; 300];
    icc[16..20].copy_from_slice(b"GRAY");
    for (format, channels, names) in [
        (Format::Png, 3, &[][..]),
        (Format::Jpeg, 3, &["gamma"]),
        (Format::Tiff, 3, &["gamma"]),
        (Format::Bmp, 1, &["gamma", "colour profile"]),
        (Format::WebP, 1, &["gamma", "resolution", "colour profile"]),
        (Format::Jpeg, 1, &["gamma"]),
    ] {
        let path = folder.path().join("a").with_extension(format.extension());
        let icc_profile = (channels == 1).then_some(&icc[..]);
        let header = Header { width: 8, height: 6, channels, icc_profile, about };
        let row = vec![90; 8 * channels];
        let rows = |sink: &mut Sink<'_>| Ok::<_, Error>((0..6).all(|_| sink(&row)));
        let (_, notes) = write(&Output::new(&path), format, &header, rows).unwrap();
        let notes = notes.join("; ");
        for name in ["gamma", "resolution", "colour profile"] {
            assert_eq!(notes.contains(name), names.contains(&name), "{format:?} {channels}: {notes}");
        }
        let found = read(&path).unwrap();
        if format == Format::Png {
            assert_eq!((found.about.gamma, found.about.chromaticities), (about.gamma, about.chromaticities));
        }
        if format == Format::WebP {
            assert_eq!((found.icc_profile, found.about.density), (None, None));
        } else {
            let found = found.about.density.unwrap_or_else(|| panic!("{format:?} has no resolution"));
            assert!((found.x - 300.0).abs() < 0.1 && (found.y - 150.0).abs() < 0.1, "{format:?} {found:?}");
        }
    }
}

#[test]
fn open_files_need_no_name_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let picture = picture(9, 7, 3);
    for format in Format::ALL {
        let path = folder.path().join("named").with_extension(format.extension());
        save(&path, &picture, format);
        let mut open = tempfile::tempfile().unwrap();
        let header = Header {
            width: 9,
            height: 7,
            channels: 3,
            icc_profile: picture.icc_profile.as_deref(),
            about: picture.about,
        };
        let output = Output::open_file(open.try_clone().unwrap(), "the result");
        let all = pixels(&picture);
        write(&output, format, &header, |sink| {
            let _ = all.chunks_exact(27).all(sink);
            Ok::<_, Error>(())
        })
        .unwrap();
        let mut bytes = Vec::new();
        io::Seek::rewind(&mut open).unwrap();
        io::Read::read_to_end(&mut open, &mut bytes).unwrap();
        assert!(bytes == fs::read(&path).unwrap(), "{format:?}");
        // Read twice: each time from the beginning.
        let input = Input::open_file(open, "a\x1b.png");
        assert!(input.path().is_none() && input.name() == "a\\x1b.png");
        for _ in 0..2 {
            assert_eq!(pixels(&input.read(63).unwrap()), pixels(&read(&path).unwrap()));
        }
        let error = input.read(62).unwrap_err().to_string();
        assert!(error.starts_with("a\\x1b.png has 9x7 pixels"), "{error}");
    }
}
