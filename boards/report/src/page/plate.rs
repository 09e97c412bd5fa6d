//! The pictures of one test image, encoded for the page.

use crate::measure::Method;
use crate::report::Quality;
use mcir_files::encode_png;
use mcir_runtime::image::Image;
use mcir_upscale::error::{Error, Result};

/// Longest side of the part of an image that is shown, in pixels of the high-resolution image.
const VIEW: usize = 384;
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
    /// [`mcir_files::Error::Image`] when the images do not have the same size.
    pub fn new(
        upscale: usize,
        name: &str,
        hr: &Image,
        methods: &[Method],
        results: Vec<(Image, Quality)>,
    ) -> Result<Self> {
        let of_image = Error::image(name);
        // The others are RGB.
        let hr = &if hr.channels() < results[0].0.channels() { hr.to_rgb() } else { hr.clone() };
        let (dx, dy) = busiest_detail(hr, &results);
        let (dw, dh) = (DETAIL.min(hr.width()), DETAIL.min(hr.height()));
        // A large image is cut to a part with the detail in the middle, as far as there is room.
        let (width, height) = (VIEW.min(hr.width()), VIEW.min(hr.height()));
        let x = (dx + dw / 2).saturating_sub(width / 2).min(hr.width() - width);
        let y = (dy + dh / 2).saturating_sub(height / 2).min(hr.height() - height);
        let view = |label: String, image: &Image, quality| -> Result<View> {
            let picture = image.crop(x, y, width, height).map_err(&of_image)?;
            let detail = image.crop(dx, dy, dw, dh).map_err(&of_image)?;
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

/// Upper left corner of the detail: where the other methods differ most from bicubic, for better or worse.
/// Without another method, where bicubic differs most from the original.
fn busiest_detail(hr: &Image, results: &[(Image, Quality)]) -> (usize, usize) {
    const STEP: usize = 8;
    let bicubic = &results[0].0;
    let others: Vec<&Image> = match &results[1..] {
        [] => vec![hr],
        others => others.iter().map(|(image, _)| image).collect(),
    };
    let difference = |x: usize, y: usize| -> u64 {
        let samples = x * hr.channels()..(x + DETAIL).min(hr.width()) * hr.channels();
        let row = |other: &Image, y: usize| -> u64 {
            let pairs = other.row(y)[samples.clone()].iter().zip(&bicubic.row(y)[samples.clone()]);
            pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum()
        };
        let rows = y..(y + DETAIL).min(hr.height());
        rows.flat_map(|y| others.iter().map(move |o| (o, y))).map(|(o, y)| row(o, y)).sum()
    };
    let corners = |size: usize| (0..=size.saturating_sub(DETAIL)).step_by(STEP);
    let all = corners(hr.height()).flat_map(|y| corners(hr.width()).map(move |x| (x, y)));
    all.max_by_key(|&(x, y)| difference(x, y)).unwrap_or_default()
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
    fn the_detail_is_where_the_methods_differ() {
        let flat = Image::new(200, 120, 1, vec![100; 200 * 120]).unwrap();
        let square_at = |left: usize, top: usize| {
            let mut data = flat.data().to_vec();
            for y in top..top + 40 {
                data[y * 200 + left..y * 200 + left + 40].fill(140);
            }
            Image::new(200, 120, 1, data).unwrap()
        };
        let quality = Quality { psnr_y_db: 0.0, ssim_y: 0.0 };
        let hr = square_at(20, 10);
        let around = |(x, y), left: usize, top: usize| {
            (left.saturating_sub(16)..=left).contains(&x) && (top.saturating_sub(16)..=top).contains(&y)
        };
        let only_bicubic = [(flat.clone(), quality)];
        assert!(around(busiest_detail(&hr, &only_bicubic), 20, 10));
        let with_model = [(flat.clone(), quality), (square_at(130, 60), quality)];
        assert!(around(busiest_detail(&hr, &with_model), 130, 60));
        let tiny = flat.crop(0, 0, 20, 9).unwrap();
        assert_eq!(busiest_detail(&tiny, &[(tiny.clone(), quality)]), (0, 0));
    }
}
