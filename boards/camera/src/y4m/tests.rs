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
        ("YUV4MPEG2 W-4 H4", "`W-4`, which is not a width"),
        ("YUV4MPEG2 W H4", "`W`, which is not a width"),
        ("YUV4MPEG2 W4 H4x", "`H4x`"),
        ("YUV4MPEG2 W99999999999999999999 H4", "not a width"),
        ("YUV4MPEG2 W0 H4", "0x4 pixels"),
        ("YUV4MPEG2 W65536 H1", "65536x1"),
        ("YUV4MPEG2 W16000 H16000", "16000x16000"),
        ("YUV4MPEG2 W4 H4 C420p17", "`420p17`"),
        ("YUV4MPEG2 W4 H4 C420p4", "`420p4`"),
        ("YUV4MPEG2 W4 H4 Cmono999", "`mono999`"),
        ("YUV4MPEG2 W4 H4 C420jpeg10", "`420jpeg10`"),
        ("YUV4MPEG2 W4 H4 C440", "`440`"),
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
        (b"YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcd\n\nFRAMX\n", "frame 1 does not begin with FRAME"),
        (b"YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcd\nFRA", "end of file"),
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

/// What some programs leave between frames and behind the last.
#[test]
fn blank_bytes_are_skipped() {
    for blanks in ["\n", "\r\n", "\0\0\0", "  \n\n", &"\n".repeat(60_000)] {
        let head = "YUV4MPEG2 W2 H2 Cmono\n";
        let behind = format!("{head}FRAME\nabcdFRAME\nefgh{blanks}");
        let between = format!("{head}FRAME\nabcd{blanks}FRAME\nefgh{blanks}");
        for stream in [behind, between] {
            assert_eq!(frames(stream.as_bytes()).unwrap(), [b"abcd", b"efgh"]);
        }
    }
    let endless = ["YUV4MPEG2 W2 H2 Cmono\nFRAME\nabcd", &"\n".repeat(70_000)].concat();
    assert!(frames(endless.as_bytes()).is_err());
    let mut reader = Reader::new(&b"YUV4MPEG2 W1 H1 Cmono\nFRAME\nx\n"[..], Matrix::Bt601).unwrap();
    assert!(reader.begin().unwrap() && reader.read().unwrap() == b"x" && !reader.begin().unwrap());
    assert!(reader.has_blanks());
}

/// Frames as GStreamer's y4menc pads them, and the same without.
#[test]
fn padded_rows_are_understood() {
    for (colour, width, height, x, y) in [
        ("420jpeg", 68, 48, 2, 2),
        ("420jpeg", 66, 3, 2, 2),
        ("420jpeg", 5, 5, 2, 2),
        ("422", 6, 4, 2, 1),
        ("411", 9, 2, 4, 1),
        ("444", 5, 2, 1, 1),
    ] {
        let round = |v: usize, n: usize| v.next_multiple_of(n);
        let even = if y == 2 { round(height, 2) } else { height };
        let stride = match x {
            1 => round(width, 4),
            2 if y == 2 => round(round(width, 2) / 2, 4),
            2 => round(width, 8) / 2,
            _ => round(width, 16) / 4,
        };
        let planes = [
            (width, round(width, 4), height, even),
            (width.div_ceil(x), stride, height.div_ceil(y), even / y),
            (width.div_ceil(x), stride, height.div_ceil(y), even / y),
        ];
        let (mut tight, mut padded, mut value) = (Vec::new(), Vec::new(), 1_u8);
        for (width, stride, rows, all_rows) in planes {
            for row in 0..all_rows {
                for column in 0..stride {
                    value = value.wrapping_mul(29).wrapping_add(17);
                    if row < rows && column < width {
                        tight.push(value);
                    }
                    padded.push(value);
                }
            }
        }
        let head = format!("YUV4MPEG2 C{colour} W{width} H{height} Ip F30:1 A1:1\n");
        for (frame, count) in [(&padded, 1), (&padded, 3), (&tight, 1), (&tight, 3)] {
            let stream = [head.as_bytes(), &[b"FRAME\n", &frame[..]].concat().repeat(count)].concat();
            let found = frames(&stream).unwrap();
            assert!(
                found.len() == count && found.iter().all(|f| *f == tight),
                "{colour} {width}x{height} {count}"
            );
        }
        let cut = [head.as_bytes(), b"FRAME\n", &padded[..padded.len() - 1]].concat();
        assert!(frames(&cut).is_err());
    }
}

#[test]
fn deep_samples_come_in_8_bits() {
    let of = |colour: &str, samples: &[u16]| {
        let bytes: Vec<u8> = samples.iter().flat_map(|v| v.to_le_bytes()).collect();
        let head = format!("YUV4MPEG2 W{} H1 {colour}\nFRAME\n", samples.len());
        frames(&[head.as_bytes(), &bytes].concat()).unwrap().remove(0)
    };
    assert_eq!(of("Cmono10", &[64, 940, 512, 1023, 66, 65535]), [16, 235, 128, 255, 17, 255]);
    assert_eq!(of("Cmono12", &[256, 3760, 2048]), [16, 235, 128]);
    assert_eq!(of("Cmono16", &[4096, 60_160, 65_535]), [16, 235, 255]);
    assert_eq!(of("Cmono9", &[32, 470]), [16, 235]);
    assert_eq!(of("Cmono10 XCOLORRANGE=FULL", &[0, 1023, 512]), [0, 255, 128]);
    for (colour, samples) in [("C420p10", 24), ("C422p12", 32), ("C444p16", 48), ("XYSCSS=420P10", 24)] {
        let header = header(&format!("YUV4MPEG2 W4 H4 {colour}")).unwrap();
        assert!(header.layout.bytes() == samples && header.bits > 8, "{colour}");
    }
    let lie = [&b"YUV4MPEG2 W2 H2 Cmono10\n"[..], &b"FRAME\nabcd".repeat(4)].concat();
    assert!(frames(&lie).unwrap_err().to_string().contains("frame 1"));
    let cut = frames(b"YUV4MPEG2 W2 H2 Cmono10\nFRAME\nabcdef").unwrap_err().to_string();
    assert!(cut.contains("6 of 8 bytes"), "{cut}");
}

#[test]
fn the_old_word_for_colour_counts_where_there_is_no_other() {
    for (line, bytes) in [
        ("XYSCSS=444", 48),
        ("XYSCSS=422", 32),
        ("XYSCSS=411", 24),
        ("XYSCSS=420JPEG", 24),
        ("XYSCSS=420MPEG2", 24),
        ("XYSCSS=420PALDV", 24),
        ("XYSCSS=MONO", 16),
        ("C444 XYSCSS=420JPEG", 48),
        ("XYSCSS=420JPEG C444", 48),
        ("", 24),
    ] {
        assert_eq!(header(&format!("YUV4MPEG2 W4 H4 {line}")).unwrap().layout.bytes(), bytes, "{line}");
    }
    assert!(header("YUV4MPEG2 W4 H4 XYSCSS=WEIRD").is_err());
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
    let mut writer = Writer::new(
        Vec::new(),
        size,
        space,
        Matrix::Bt601,
        Facts { rate: Some((25, 1)), aspect: Some((16, 15)) },
    )
    .unwrap();
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
        assert_eq!((header.rate, header.aspect), (Some((25, 1)), Some((16, 15))));
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
