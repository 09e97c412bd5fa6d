//! Streams of JPEG images, and of none.

use super::*;
use crate::jpeg::encode_image;
use mcir_upscale::cards;
use proptest::prelude::*;
use std::sync::LazyLock;

/// Drawn once: drawing takes longer than all the rest.
static FRAME: LazyLock<Vec<u8>> = LazyLock::new(|| {
    encode_image(&cards::draw()[0].image.crop(0, 0, 40, 24).unwrap(), Space::Rgb, 90).unwrap()
});

fn frame() -> Vec<u8> {
    FRAME.clone()
}

/// The whole frames.
fn all(bytes: &[u8]) -> Result<Vec<Vec<u8>>, JpegError> {
    let (mut reader, mut frames) = (Reader::new(bytes), Vec::new());
    while let Some(frame) = reader.read()? {
        if let Frame::Whole(frame) = frame {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// How many are whole and can be decoded, and how many are damaged.
fn counts(bytes: &[u8]) -> (usize, usize) {
    let (mut reader, mut whole, mut damaged) = (Reader::new(bytes), 0, 0);
    while let Some(frame) = reader.read().unwrap() {
        match frame {
            Frame::Whole(frame) if decode(&frame, Space::Rgb).is_ok() => whole += 1,
            _ => damaged += 1,
        }
    }
    (whole, damaged)
}

/// Where the coded data of a frame begins.
fn scan_of(frame: &[u8]) -> usize {
    let at = frame.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
    at + 2 + usize::from(u16::from_be_bytes([frame[at + 2], frame[at + 3]]))
}

#[test]
fn a_damaged_frame_costs_no_other() {
    let good = frame();
    let scan = scan_of(&good);
    let with = |at: usize, bytes: &[u8]| {
        let mut damaged = good.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        damaged
    };
    let middle = (scan + good.len()) / 2;
    let dht = good.windows(2).position(|w| w == [0xff, 0xc4]).unwrap();
    for (what, damaged) in [
        ("cut within its scan", good[..middle].to_vec()),
        ("cut within its header", good[..dht + 20].to_vec()),
        ("cut behind its start", good[..2].to_vec()),
        ("without its end", good[..good.len() - 2].to_vec()),
        ("cut and ended", [&good[..middle], &[0xff, 0xd9]].concat()),
        ("a reserved marker", with(middle, &[0xff, 0x45])),
        ("a frame header in the scan", with(middle, &[0xff, 0xc0])),
        ("an end in the scan", with(middle, &[0xff, 0xd9])),
        ("a segment of no length", with(dht + 2, &[0, 0])),
        ("a segment that is too long", with(dht + 2, &[0xff, 0xff])),
    ] {
        let stream = [&good[..], &damaged, &good, &good].concat();
        let (whole, broken) = counts(&stream);
        assert!(whole == 3 && broken >= 1, "{what}: {whole} whole, {broken} damaged");
    }
}

#[test]
fn what_stands_before_the_first_frame_is_skipped() {
    let frame = frame();
    let head = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=b\r\n\r\n--b\r\n\r\n";
    assert_eq!(all(&[&head[..], &frame, b"\r\n--b\r\n", &frame].concat()).unwrap().len(), 2);
    assert_eq!(all(&[&vec![b' '; MAX_GAP - 2][..], &frame].concat()).unwrap().len(), 1);
    assert!(matches!(all(&[&vec![b' '; MAX_GAP + 2][..], &frame].concat()), Err(JpegError::Gap)));
}

#[test]
fn frames_are_found_in_a_row_and_between_other_bytes() {
    let frame = frame();
    let twice = [&frame[..], &frame].concat();
    assert_eq!(all(&twice).unwrap(), [frame.clone(), frame.clone()]);
    let multipart =
        [b"--x\r\nContent-Type: image/jpeg\r\n\r\n", &frame[..], b"\r\n--x\r\n\r\n", &frame].concat();
    assert_eq!(all(&multipart).unwrap(), [frame.clone(), frame.clone()]);
    assert!(all(b"").unwrap().is_empty());
}

#[test]
fn a_thumbnail_is_not_the_end() {
    let frame = frame();
    // An EXIF segment that holds a whole JPEG image, with its end marker.
    let mut segment = vec![0xff, 0xe1];
    segment.extend(u16::try_from(frame.len() + 2).unwrap().to_be_bytes());
    segment.extend(&frame);
    let with = [MAGIC, &segment, &frame[2..]].concat();
    assert_eq!(all(&[&with[..], &frame].concat()).unwrap(), [with, frame]);
}

#[test]
fn cut_streams_are_errors() {
    let frame = frame();
    for length in 2..frame.len() {
        let error = all(&frame[..length]).unwrap_err();
        assert!(matches!(error, JpegError::Truncated { found } if found == length), "{length}: {error}");
    }
    let nothing = vec![7; MAX_GAP + 10];
    assert!(matches!(all(&nothing), Err(JpegError::Gap)));
    assert!(all(&nothing[..100]).unwrap().is_empty());
    let endless = [MAGIC, &[0xff, 0xda, 0, 2], &vec![1; MAX_BYTES]].concat();
    assert!(matches!(all(&endless), Err(JpegError::Long)));
}

#[test]
fn cameras_leave_out_the_usual_tables() {
    let card = cards::draw().remove(0).image.crop(0, 0, 40, 24).unwrap();
    let whole = encode_image(&card, Space::Rgb, 90).unwrap();
    // The encoder writes the usual tables unless it is asked to find better ones.
    let mut without = whole[..2].to_vec();
    let mut rest = &whole[2..];
    while rest[1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if rest[1] != 0xc4 {
            without.extend(&rest[..length]);
        }
        rest = &rest[length..];
    }
    without.extend(rest);
    assert!(without.len() < whole.len());
    assert_eq!(decode(&without, Space::Rgb).unwrap(), decode(&whole, Space::Rgb).unwrap());
}

#[test]
fn what_is_no_image_is_an_error() {
    for bytes in [&b""[..], MAGIC, b"GIF89a", &[0xff, 0xd8, 0xff, 0xd9]] {
        assert!(matches!(decode(bytes, Space::Rgb), Err(JpegError::Damaged(_))), "{bytes:?}");
    }
    // A header that promises 65535x65535 pixels.
    let mut huge = frame();
    let sof = huge.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    huge[sof + 5..sof + 9].fill(0xff);
    let error = decode(&huge, Space::Rgb).unwrap_err();
    assert!(matches!(error, JpegError::Damaged(_) | JpegError::Size { .. }), "{error}");
    // One of 8000x4000 pixels, in a few hundred bytes.
    huge[sof + 5..sof + 9].copy_from_slice(&[15, 160, 31, 64]);
    let error = decode(&huge, Space::Rgb).unwrap_err();
    assert!(matches!(error, JpegError::Promise { width: 8000, height: 4000, .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_bytes_panic(
        at in 0usize..2000,
        changes in prop::collection::vec(any::<(u16, u8)>(), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = frame();
        let length = bytes.len();
        changes.iter().for_each(|&(i, v)| bytes[usize::from(i) % length] = v);
        bytes.truncate(length.saturating_sub(at % 50));
        let _ = all(&bytes);
        let _ = decode(&bytes, Space::YCbCr);
        let _ = all(&noise);
        let _ = decode(&noise, Space::Rgb);
    }
}
