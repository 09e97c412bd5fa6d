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

fn all(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, JpegError> {
    let mut frames = Vec::new();
    while let Some(frame) = next_frame(&mut bytes)? {
        frames.push(frame);
    }
    Ok(frames)
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
