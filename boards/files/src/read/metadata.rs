//! What travels beside the pixels.

use image::metadata::Orientation;

/// Whether a colour profile is for this many colours; that of a CMYK image is not after decoding.
pub(super) fn describes(icc_profile: &[u8], colours: usize) -> bool {
    // The colour space is a signature at byte 16 of the profile's header.
    let space: &[u8] = if colours == 3 { b"RGB " } else { b"GRAY" };
    icc_profile.get(16..20) == Some(space)
}

/// How to turn the picture: Exif says it, or else XMP.
pub(super) fn orientation(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    let from_exif = exif.and_then(Orientation::from_exif_chunk);
    from_exif.or_else(|| xmp.and_then(from_xmp)).unwrap_or(Orientation::NoTransforms)
}

/// `tiff:Orientation="6"`, or `<tiff:Orientation>6</tiff:Orientation>`.
fn from_xmp(xmp: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let at = xmp.windows(NAME.len()).position(|w| w == NAME)? + NAME.len();
    let rest = xmp[at..].trim_ascii_start();
    let value = match rest.first()? {
        b'=' => rest[1..]
            .trim_ascii_start()
            .strip_prefix(b"\"")
            .or_else(|| rest[1..].trim_ascii_start().strip_prefix(b"'"))?,
        b'>' => &rest[1..],
        _ => return None,
    };
    let digit = value.trim_ascii_start().first()?;
    Orientation::from_exif(digit.checked_sub(b'0')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientation_in_xmp() {
        for (xmp, turned) in [
            (&br#"<rdf:Description tiff:Orientation="6" x="1"/>"#[..], Some(Orientation::Rotate90)),
            (b"<rdf:Description tiff:Orientation = '8'/>", Some(Orientation::Rotate270)),
            (b"<tiff:Orientation> 3 </tiff:Orientation>", Some(Orientation::Rotate180)),
            (b"<tiff:Orientation>9</tiff:Orientation>", None),
            (b"<tiff:Orientation", None),
            (b"<tiff:Orientation=", None),
            (b"tiff:Orientations=\"6\"", None),
            (b"nothing", None),
        ] {
            assert_eq!(from_xmp(xmp), turned, "{}", String::from_utf8_lossy(xmp));
        }
        // Exif goes first: orientation 3.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0";
        let xmp = b"tiff:Orientation=\"6\"";
        assert_eq!(orientation(Some(exif), Some(xmp)), Orientation::Rotate180);
        assert_eq!(orientation(None, None), Orientation::NoTransforms);
    }

    #[test]
    fn profiles_fit_the_channels() {
        let mut profile = [0; 128];
        profile[16..20].copy_from_slice(b"GRAY");
        assert!(describes(&profile, 1) && !describes(&profile, 3) && !describes(b"short", 1));
    }
}
