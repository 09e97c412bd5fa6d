//! Streams of every kind, and of none.

use super::*;
use crate::raw::{Space, to_image};
use mcir_runtime::image::Image;
use mcir_upscale::cards;
use proptest::prelude::*;

fn header(line: &str) -> Result<Header, Y4mError> {
    Header::parse(line.as_bytes(), Matrix::Bt601)
}

fn frames(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Y4mError> {
    let mut reader = Reader::new(bytes, Matrix::Bt601)?;
    let mut frames = Vec::new();
    while reader.begin()? {
        frames.push(reader.read()?);
    }
    Ok(frames)
}

#[test]
fn headers_of_common_tools() {
    let ffmpeg =
        header("YUV4MPEG2 W64 H48 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=LIMITED").unwrap();
    assert_eq!((ffmpeg.layout.width, ffmpeg.layout.height), (64, 48));
    assert_eq!((ffmpeg.rate, ffmpeg.interlaced, ffmpeg.skip), (Some((30_000, 1001)), false, 0));
    assert_eq!((ffmpeg.layout.bytes(), ffmpeg.layout.full_range), (64 * 48 * 3 / 2, false));
    // GStreamer's y4menc, and one with nothing that may be left out.
    assert!(!header("YUV4MPEG2 C420 W320 H240 Ip F30:1 A1:1").unwrap().interlaced);
    let least = header("YUV4MPEG2 W3 H5").unwrap();
    assert_eq!((least.layout.bytes(), least.rate), (15 + 2 * 2 * 3, None));
    assert!(header("YUV4MPEG2 W2 H2 It").unwrap().interlaced);
    assert!(header("YUV4MPEG2 W2 H2 XCOLORRANGE=FULL").unwrap().layout.full_range);
    assert_eq!(header("YUV4MPEG2 W2 H2 F0:0").unwrap().rate, None);
    assert_eq!(header("YUV4MPEG2 W2 H2 F99999999:1").unwrap().rate, None);
    for (colour, bytes, skip) in [
        ("420", 24, 0),
        ("420jpeg", 24, 0),
        ("420mpeg2", 24, 0),
        ("420paldv", 24, 0),
        ("422", 32, 0),
        ("411", 24, 0),
        ("444", 48, 0),
        ("444alpha", 48, 16),
        ("mono", 16, 0),
    ] {
        let header = header(&format!("YUV4MPEG2 W4 H4 C{colour}")).unwrap();
        assert_eq!((header.layout.bytes(), header.skip), (bytes, skip), "{colour}");
    }
}

#[test]
fn headers_that_mean_nothing() {
    for (line, part) in [
        ("", "begin with"),
        ("RIFF", "begin with"),
        ("YUV4MPEG", "begin with"),
        ("YUV4MPEG22 W4 H4", "begin with"),
        ("YUV4MPEG2 H4", "no width"),
        ("YUV4MPEG2 W4", "no height"),
        ("YUV4MPEG2 W-4 H4", "`W-4`, which is no width"),
        ("YUV4MPEG2 W H4", "`W`, which is no width"),
        ("YUV4MPEG2 W4 H4x", "`H4x`"),
        ("YUV4MPEG2 W99999999999999999999 H4", "no width"),
        ("YUV4MPEG2 W0 H4", "0x4 pixels"),
        ("YUV4MPEG2 W65536 H1", "65536x1"),
        ("YUV4MPEG2 W16000 H16000", "16000x16000"),
        ("YUV4MPEG2 W4 H4 C420p10", "`420p10`"),
        ("YUV4MPEG2 W4 H4 Cmono16", "`mono16`"),
        ("YUV4MPEG2 W4 H4 C\u{1b}[2J", "\\u{1b}"),
    ] {
        let error = header(line).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn frames_are_read_until_the_end() {
    let stream = b"YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcdFRAME Ip XYZ\nefgh";
    assert_eq!(frames(stream).unwrap(), [b"abcd", b"efgh"]);
    assert_eq!(frames(b"YUV4MPEG2 W2 H2 Cmono\n").unwrap().len(), 0);
    let alpha = b"YUV4MPEG2 W1 H1 C444alpha\nFRAME\n123xFRAME\n456y";
    assert_eq!(frames(alpha).unwrap(), [b"123", b"456"]);
    for (stream, part) in [
        (&b"YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcdFRAME\nef"[..], "within frame 1: 2 of 4 bytes"),
        (b"YUV4MPEG2 W1 H1 C444alpha\nFRAME\n123", "within frame 0"),
        (b"YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcdxFRAME\n", "frame 1 does not begin with FRAME"),
        (b"YUV4MPEG2 W2 H2 Cmono\nFRAMES\nabcd", "frame 0 does not begin with FRAME"),
        (b"YUV4MPEG2 W2 H2 Cmono", "end of file"),
        (b"YUV4MPEG2 W2 H2 Cmono\nFRAME", "end of file"),
    ] {
        let error = frames(stream).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let endless = [&b"YUV4MPEG2 "[..], &[b'X'; 10_000]].concat();
    assert!(frames(&endless).unwrap_err().to_string().contains("longer than 4096"));
}

#[test]
fn memory_follows_bytes_and_not_promises() {
    // The header promises 50 MB a frame.
    let stream = b"YUV4MPEG2 W8000 H4000\nFRAME\nabc";
    let mut reader = Reader::new(&stream[..], Matrix::Bt601).unwrap();
    assert!(reader.begin().unwrap());
    assert!(matches!(reader.read(), Err(Y4mError::Truncated { found: 3, expected: 48_000_000, .. })));
    let data = take(&mut &[7; 3_000_000][..], 100_000_000).unwrap();
    assert!(data.len() == 3_000_000 && data.capacity() <= 8 << 20, "{}", data.capacity());
}

/// Writes a picture and reads it again.
fn there_and_back(image: &Image, space: Space) -> (Image, Header) {
    let size = (image.width(), image.height());
    let mut writer = Writer::new(Vec::new(), size, space, Matrix::Bt601, Some((25, 1))).unwrap();
    for _ in 0..2 {
        (0..size.1).for_each(|y| writer.row(image.row(y)).unwrap());
    }
    let bytes = writer.into_inner();
    let mut reader = Reader::new(&bytes[..], Matrix::Bt601).unwrap();
    let header = *reader.header();
    assert!(reader.begin().unwrap());
    let first = reader.read().unwrap();
    assert!(reader.begin().unwrap());
    assert_eq!(reader.read().unwrap(), first, "both frames are the same");
    assert!(!reader.begin().unwrap());
    (to_image(&header.layout, &first, Space::Rgb).unwrap().0, header)
}

#[test]
fn what_is_written_can_be_read() {
    let card = cards::draw().remove(0).image;
    for (width, height) in [(64, 48), (33, 17), (1, 1)] {
        let image = card.crop(8, 8, width, height).unwrap();
        let (back, header) = there_and_back(&image, Space::Rgb);
        assert_eq!(header.rate, Some((25, 1)));
        // Colour is halved; brightness is kept up to rounding.
        let pairs = image.luma().into_iter().zip(back.luma());
        let off = pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / (width * height) as f64;
        assert!(off < 2.0, "{width}x{height}: {off}");
    }
    let grey: Vec<u8> = (0..=255).collect();
    let image = Image::new(64, 4, 1, grey).unwrap();
    let (back, _) = there_and_back(&image, Space::Grey);
    let worst = image.data().iter().zip(back.data()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(1), "{worst:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_bytes_panic(
        header in "YUV4MPEG2( [WHFIAXC][0-9a-z:]{0,6}){0,6}\n?",
        body in prop::collection::vec(any::<u8>(), 0..200),
        begin: bool,
    ) {
        let frame: &[u8] = if begin { b"FRAME\n" } else { b"" };
        let stream = [header.as_bytes(), frame, &body].concat();
        let _ = frames(&stream);
        let _ = frames(&body);
    }
}
