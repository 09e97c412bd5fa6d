//! Low-resolution images from high-resolution ones.

use image::RgbImage;

/// Crops at the right and at the bottom to a multiple of `upscale`.
pub fn crop_to_multiple(hr: &RgbImage, upscale: usize) -> RgbImage {
    let side = |n: u32| n - n % upscale as u32;
    image::imageops::crop_imm(hr, 0, 0, side(hr.width()), side(hr.height())).to_image()
}

/// Downscales as MATLAB's `imresize` does with 8-bit images: bicubic with antialiasing, rounded after each of
/// the two passes.
///
/// # Panics
/// If a side is not a multiple of `upscale`.
pub fn downscale(hr: &RgbImage, upscale: usize) -> RgbImage {
    let (w, h) = (hr.width() as usize, hr.height() as usize);
    assert!(w % upscale == 0 && h % upscale == 0, "the image is cropped to a multiple of the factor first");
    let vertical = pass(hr.as_raw(), w * 3, 1, h, w * 3, upscale);
    let h = h / upscale;
    let mut out = vec![0u8; h * (w / upscale) * 3];
    for (y, row) in out.chunks_exact_mut(w / upscale * 3).enumerate() {
        row.copy_from_slice(&pass(&vertical[y * w * 3..(y + 1) * w * 3], 3, 1, w, 3, upscale));
    }
    RgbImage::from_raw((w / upscale) as u32, h as u32, out).expect("the size is right")
}

fn pass(x: &[u8], lanes: usize, _: usize, n: usize, stride: usize, r: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(n / r * lanes);
    let rf = r as f64;
    for o in 0..n / r {
        let centre = (o as f64 + 0.5) * rf - 0.5;
        let first = (centre - 2.0 * rf).ceil() as i64;
        let taps: Vec<(usize, f64)> = (first..=first + 4 * r as i64)
            .map(|i| {
                let j = if i < 0 { -1 - i } else if i >= n as i64 { 2 * n as i64 - 1 - i } else { i };
                (j.clamp(0, n as i64 - 1) as usize, cubic((centre - i as f64) / rf))
            })
            .collect();
        let sum: f64 = taps.iter().map(|t| t.1).sum();
        for l in 0..lanes {
            let v: f64 = taps.iter().map(|&(i, w)| w / sum * f64::from(x[i * stride + l])).sum();
            out.push(v.round().clamp(0.0, 255.0) as u8);
        }
    }
    out
}

fn cubic(x: f64) -> f64 {
    let (a, x) = (-0.5, x.abs());
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}
