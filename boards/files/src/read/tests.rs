use super::*;
use crate::READABLE;
use image::DynamicImage;
use std::fs;

fn save(folder: &Path, name: &str, image: &DynamicImage) -> std::path::PathBuf {
    let path = folder.join(name);
    image.save(&path).unwrap();
    path
}

fn colourful(width: u32, height: u32) -> DynamicImage {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 9) as u8, (y * 14) as u8, (x * y) as u8]);
    image::RgbImage::from_fn(width, height, pixel).into()
}

fn rows(picture: &Picture) -> Vec<u8> {
    let mut rows = Vec::new();
    picture.rows(0..picture.height(), &mut rows);
    rows
}

#[test]
fn every_kind_of_sample() {
    let folder = tempfile::tempdir().unwrap();
    let deep = colourful(13, 9).to_rgba16();
    let whole = DynamicImage::from(deep);
    for (name, image, channels, notes) in [
        ("grey.png", DynamicImage::from(whole.to_luma8()), 1, 0),
        ("grey-alpha.png", whole.to_luma_alpha8().into(), 2, 0),
        ("rgb.png", whole.to_rgb8().into(), 3, 0),
        ("rgba.png", whole.to_rgba8().into(), 4, 0),
        ("deep.png", whole.to_rgb16().into(), 3, 1),
        ("deep-alpha.png", whole.to_luma_alpha16().into(), 2, 1),
        ("grey.tiff", whole.to_luma8().into(), 1, 0),
        ("rgb.tiff", whole.to_rgb8().into(), 3, 0),
        ("deep.tiff", whole.to_rgba16().into(), 4, 1),
        ("float.tiff", whole.to_rgb32f().into(), 3, 1),
    ] {
        let picture = read(&save(folder.path(), name, &image)).unwrap();
        assert_eq!((picture.channels(), picture.notes.len()), (channels, notes), "{name}");
        let expected = match channels {
            1 => image.to_luma8().into_raw(),
            2 => image.to_luma_alpha8().into_raw(),
            3 => image.to_rgb8().into_raw(),
            _ => image.to_rgba8().into_raw(),
        };
        assert_eq!(rows(&picture), expected, "{name}");
    }
}

#[test]
fn sizes_are_refused_before_decoding() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), "a.png", &colourful(40, 25));
    let input = Input::new(&path);
    assert!(input.read(1000).is_ok());
    let error = input.read(999).unwrap_err();
    assert!(error.to_string().contains("40x25 pixels, in total 1000; the limit is 999"), "{error}");
    // A tall strip of few pixels: rows cost time of their own.
    let mut bytes = fs::read(save(folder.path(), "tall.png", &colourful(1, 1))).unwrap();
    bytes[20..24].copy_from_slice(&((MAX_SIDE + 1) as u32).to_be_bytes());
    let crc = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    let tall = folder.path().join("tall.png");
    fs::write(&tall, bytes).unwrap();
    let error = read(&tall).unwrap_err();
    assert!(error.to_string().contains("on its longer side 1048577; the limit is 1048576"), "{error}");
}

/// A JPEG of which a part is missing is an error, whatever ends it.
#[test]
fn truncated_jpeg() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), "a.jpg", &colourful(80, 60));
    let bytes = fs::read(&path).unwrap();
    assert!(read(&path).is_ok());
    for tenth in 1..10 {
        let cut = &bytes[..bytes.len() * tenth / 10];
        for end in [&b""[..], b"\xff\xd9", b"\xff\xd8\xff\xd9"] {
            fs::write(&path, [cut, end].concat()).unwrap();
            assert!(matches!(read(&path), Err(Error::NotAnImage { .. })), "{tenth} tenths and {end:x?}");
        }
    }
}

/// Pictures of one colour take so few bits that a decoder has read them all before the second row of blocks.
#[test]
fn flat_jpeg_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(1, 1), (8, 8), (16, 16), (17, 9), (16, 200), (64, 48), (100, 100)] {
        for colour in [[90, 120, 30], [0; 3], [255; 3]] {
            let flat = image::RgbImage::from_pixel(width, height, image::Rgb(colour)).into();
            let path = save(folder.path(), "flat.jpg", &flat);
            assert!(read(&path).is_ok(), "{width}x{height} {colour:?}");
            let bytes = fs::read(&path).unwrap();
            if width * height > 500 {
                // All but the last block or two.
                fs::write(&path, [&bytes[..bytes.len() - 10], b"\xff\xd9"].concat()).unwrap();
                assert!(read(&path).is_err(), "{width}x{height} {colour:?}");
            }
        }
    }
}

/// Files of several pictures: the first is read, and the user is told.
#[test]
fn several_pictures_in_a_file_are_told() {
    use ::tiff::encoder::{TiffEncoder, colortype::Gray8};
    use image::codecs::gif::GifEncoder;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for count in [1, 2, 5] {
        let mut gif = Vec::new();
        let mut encoder = GifEncoder::new(&mut gif);
        let frame = || image::Frame::new(colourful(9, 7).to_rgba8());
        encoder.encode_frames((0..count).map(|_| frame())).unwrap();
        drop(encoder);
        fs::write(at("a.gif"), &gif).unwrap();
        let mut pages = std::io::Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut pages).unwrap();
        (0..count).for_each(|n| encoder.write_image::<Gray8>(3, 2, &[n as u8; 6]).unwrap());
        fs::write(at("a.tif"), pages.into_inner()).unwrap();
        // An animated WebP has its frames in chunks of their own.
        let still = fs::read(save(folder.path(), "still.webp", &colourful(9, 7))).unwrap();
        let still = &still[12..];
        let mut body = b"WEBPVP8X\x0a\0\0\0\x02\0\0\0\x08\0\0\x06\0\0ANIM\x06\0\0\0\0\0\0\0\0\0".to_vec();
        for _ in 0..count {
            body.extend(b"ANMF");
            body.extend((16 + still.len() as u32).to_le_bytes());
            body.extend(b"\0\0\0\0\0\0\x08\0\0\x06\0\0\x64\0\0\0");
            body.extend(still);
        }
        let webp = [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat();
        fs::write(at("a.webp"), webp).unwrap();
        for name in ["a.gif", "a.tif", "a.webp"] {
            let picture = read(&at(name)).unwrap();
            let told = picture.notes.iter().any(|note| note.contains(&format!("has {count} pictures")));
            assert_eq!(told, count > 1, "{name}: {:?}", picture.notes);
        }
    }
}

#[test]
fn kinds_that_are_known_and_not_read_are_called_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = save(folder.path(), "a.jpg", &colourful(30, 20));
    let bytes = fs::read(&path).unwrap();
    let sof = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        bytes
    };
    for (bytes, what, help) in [
        (with(sof + 1, 0xc9), "arithmetic coding", "jpegtran"),
        (with(sof + 1, 0xca), "arithmetic coding", "jpegtran"),
        (with(sof + 1, 0xc3), "lossless", "convert"),
        (with(sof + 4, 12), "more than 8 bits", "convert"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(), "HEIF", "convert"),
        (b"\0\0\0\x18ftypavif\0\0\0\0".to_vec(), "AVIF", "convert"),
        (b"\0\0\0\x18ftypisom\0\0\0\0".to_vec(), "video", "mcir-board camera"),
        (b"\xff\x0a rest".to_vec(), "JPEG XL", "convert"),
    ] {
        let path = folder.path().join("b.bin");
        fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, Error::Unread { .. }), "{error}");
        assert!(error.to_string().contains(what) && error.help().contains(help), "{error}: {}", error.help());
    }
}

#[test]
fn damaged_files_of_every_format_are_errors_or_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let whole = colourful(23, 17);
    let mut state = 1u32;
    let mut random = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % n
    };
    let other_names = ["jpeg", "jpe", "jfif", "dib", "tif", "pgm", "pbm", "pnm"];
    for extension in READABLE.into_iter().filter(|e| !other_names.contains(e)) {
        let path = save(folder.path(), &format!("a.{extension}"), &whole);
        let bytes = fs::read(&path).unwrap();
        assert!(read(&path).is_ok(), "{extension}");
        for round in 0..80 {
            let mut damaged = bytes.clone();
            if round % 4 == 0 {
                damaged.truncate(1 + random(bytes.len()));
            }
            // Half of the time in the header.
            let reach = if round % 2 == 0 { damaged.len().min(100) } else { damaged.len() };
            damaged[random(reach)] ^= 1 << random(8);
            fs::write(&path, &damaged).unwrap();
            match read(&path) {
                Ok(picture) => assert!(picture.width() > 0),
                Err(error) => assert!(!error.help().is_empty() && error.exit_code() == 1, "{error}"),
            }
        }
    }
}

#[test]
fn names_and_kinds_that_are_no_picture() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty.png"), b"").unwrap();
    fs::write(at("text"), b"not a picture").unwrap();
    assert!(matches!(read(&at("nothing")), Err(Error::Missing { .. })));
    assert!(matches!(read(&at("empty.png")), Err(Error::Empty { .. })));
    assert!(matches!(read(&at("text")), Err(Error::NotAnImage { .. })));
    assert!(matches!(read(folder.path()), Err(Error::Io { .. })));
    // The content counts, not the name.
    let path = save(folder.path(), "a.png", &colourful(5, 5));
    fs::rename(path, at("b.jpg")).unwrap();
    assert!(read(&at("b.jpg")).is_ok());
    // Netpbm under its other names.
    fs::write(at("c.pbm"), b"P4 8 1\n\x0f").unwrap();
    assert_eq!(rows(&read(&at("c.pbm")).unwrap()), [255, 255, 255, 255, 0, 0, 0, 0]);
}
