//! The pictures of one test image, encoded for the page.

use super::super::measure::Method;
use crate::error::{Error, Result};
use crate::files::encode_png;
use crate::report::Quality;
use mcir_runtime::image::Image;

/// Longest side of the part of an image that is shown, in pixels of the high-resolution image.
const VIEW: usize = 480;
/// Side of the detail that is shown enlarged.
const DETAIL: usize = 56;

/// One test image as its methods see it.
pub struct Plate {
    /// Factor.
    pub upscale: usize,
    /// Name of the image.
    pub name: String,
    /// Width and height of the part that is shown.
    pub size: (usize, usize),
    /// Left, top, width and height of the detail in that part.
    pub detail: (usize, usize, usize, usize),
    /// The high-resolution image first, then each method.
    pub views: Vec<View>,
}

/// One version of the image.
pub struct View {
    /// Method.
    pub label: String,
    /// Quality over the whole image; none for the original.
    pub quality: Option<Quality>,
    /// Data URI of the part that is shown.
    pub picture: String,
    /// Data URI of the detail.
    pub detail: String,
}

impl Plate {
    /// Cuts and encodes. `results` are the methods' images, bicubic first.
    ///
    /// # Errors
    /// [`Error::Image`] when the images do not have the same size.
    pub fn new(
        upscale: usize,
        name: &str,
        hr: &Image,
        methods: &[Method],
        results: Vec<(Image, Quality)>,
    ) -> Result<Self> {
        let of_image = |source| Error::Image { name: name.into(), source };
        let (dx, dy) = hardest_detail(hr, &results[0].0);
        let (dw, dh) = (DETAIL.min(hr.width()), DETAIL.min(hr.height()));
        // A large image is cut to a part with the detail in the middle, as far as there is room.
        let (width, height) = (VIEW.min(hr.width()), VIEW.min(hr.height()));
        let x = (dx + dw / 2).saturating_sub(width / 2).min(hr.width() - width);
        let y = (dy + dh / 2).saturating_sub(height / 2).min(hr.height() - height);
        let view = |label: String, image: &Image, quality| -> Result<View> {
            let picture = image.crop(x, y, width, height).map_err(of_image)?;
            let detail = image.crop(dx, dy, dw, dh).map_err(of_image)?;
            Ok(View { label, quality, picture: data_uri(&picture), detail: data_uri(&detail) })
        };
        let mut views = vec![view("original".into(), hr, None)?];
        for (method, (image, quality)) in methods.iter().zip(&results) {
            views.push(view(method.label(), image, Some(*quality))?);
        }
        let detail = (dx - x, dy - y, dw, dh);
        Ok(Self { upscale, name: name.into(), size: (width, height), detail, views })
    }
}

/// Where bicubic is worst: upper left corner of the window with the largest squared error.
fn hardest_detail(hr: &Image, bicubic: &Image) -> (usize, usize) {
    const STEP: usize = 8;
    let sum = |x: usize, y: usize| -> u64 {
        let (right, bottom) = ((x + DETAIL).min(hr.width()), (y + DETAIL).min(hr.height()));
        let error = |y: usize| {
            let part = x * hr.channels()..right * hr.channels();
            let pairs = hr.row(y)[part.clone()].iter().zip(&bicubic.row(y)[part]);
            pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum::<u64>()
        };
        (y..bottom).map(error).sum()
    };
    let corners = |size: usize| (0..=size.saturating_sub(DETAIL)).step_by(STEP);
    let all = corners(hr.height()).flat_map(|y| corners(hr.width()).map(move |x| (x, y)));
    all.max_by_key(|&(x, y)| sum(x, y)).unwrap_or_default()
}

fn data_uri(image: &Image) -> String {
    let mut uri = String::from("data:image/png;base64,");
    base64(&encode_png(image), &mut uri);
    uri
}

/// Appends RFC 4648 base64 with padding.
fn base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            let mut out = String::new();
            base64(text.as_bytes(), &mut out);
            assert_eq!(out, expected, "{text}");
        }
    }

    #[test]
    fn the_detail_is_where_the_error_is() {
        let hr = Image::new(200, 120, 1, vec![100; 200 * 120]).unwrap();
        let mut data = hr.data().to_vec();
        for y in 60..100 {
            data[y * 200 + 130..y * 200 + 170].fill(140);
        }
        let bicubic = Image::new(200, 120, 1, data).unwrap();
        let (x, y) = hardest_detail(&hr, &bicubic);
        assert!((114..=130).contains(&x) && (44..=60).contains(&y), "{x} {y}");
        let tiny = hr.crop(0, 0, 20, 9).unwrap();
        assert_eq!(hardest_detail(&tiny, &tiny), (0, 0));
    }
}
