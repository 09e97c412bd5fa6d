//! Bicubic resize, PSNR and SSIM against the published benchmark images and reference values.

use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::{psnr_rgb, psnr_y, ssim_y};
use mcir_tests::{load_image, shared_data};
use std::path::Path;

const SET5: [&str; 5] = ["baby", "bird", "butterfly", "head", "woman"];
const PSNR_TOLERANCE_DB: f64 = 0.005;
const SSIM_TOLERANCE: f64 = 0.0005;

fn hr(root: &Path, name: &str, upscale: usize) -> Image {
    load_image(&root.join(format!("HR/{name}.png"))).unwrap().crop_to_multiple(upscale).unwrap()
}

fn lr(root: &Path, name: &str, upscale: usize) -> Image {
    load_image(&root.join(format!("LR_bicubic/X{upscale}/{name}x{upscale}.png"))).unwrap()
}

#[test]
fn set5_low_resolution_images_are_reproduced_exactly() {
    let Some(root) = shared_data("sr/Set5") else { return };
    for upscale in [2, 3, 4] {
        for name in SET5 {
            let hr = hr(&root, name, upscale);
            let made = resize_bicubic(&hr, hr.width() / upscale, hr.height() / upscale).unwrap();
            assert!(made == lr(&root, name, upscale), "{name} x{upscale} differs");
        }
    }
}

/// The reference has two sets of figures: upscaling with one rounding at the end, which needs its own float
/// resize ([`upscale_rounding_once`]), and as MATLAB does it, rounding after each dimension.
#[test]
fn set5_bicubic_metrics_agree_with_the_reference() {
    let Some(root) = shared_data("sr/Set5") else { return };
    let Some(reference) = shared_data("reference/metrics.json") else { return };
    let reference: serde_json::Value = serde_json::from_slice(&std::fs::read(reference).unwrap()).unwrap();
    let mut failures = Vec::new();
    for upscale in [2, 3, 4] {
        for name in SET5 {
            let expected = &reference["Set5"][format!("x{upscale}")]["images"][name];
            let (hr, lr) = (hr(&root, name, upscale), lr(&root, name, upscale));
            let matlab = resize_bicubic(&lr, hr.width(), hr.height()).unwrap();
            let once = upscale_rounding_once(&lr, upscale);
            let found = [
                ("psnr_y_stepwise", psnr_y(&matlab, &hr, upscale), PSNR_TOLERANCE_DB),
                ("ssim_y_stepwise", ssim_y(&matlab, &hr, upscale), SSIM_TOLERANCE),
                ("psnr_y", psnr_y(&once, &hr, upscale), PSNR_TOLERANCE_DB),
                ("ssim_y", ssim_y(&once, &hr, upscale), SSIM_TOLERANCE),
                ("psnr_rgb", psnr_rgb(&once, &hr, upscale), PSNR_TOLERANCE_DB),
            ];
            for (field, value, tolerance) in found {
                let (value, expected) = (value.unwrap(), expected[field].as_f64().unwrap());
                if (value - expected).abs() > tolerance {
                    failures.push(format!("{name} x{upscale} {field}: {value} is not {expected}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Bicubic upscaling with both dimensions in float and one rounding at the end: 16 taps a pixel, written
/// independently of the engine's resampler.
fn upscale_rounding_once(image: &Image, upscale: usize) -> Image {
    let cubic = |x: f64| match x.abs() {
        x if x <= 1.0 => 1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0,
        x if x <= 2.0 => -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0,
        _ => 0.0,
    };
    let taps = |i: usize, n: usize| {
        let centre = (i as f64 + 0.5) / upscale as f64 - 0.5;
        [-1, 0, 1, 2].map(|k| {
            let at = centre.floor() as i64 + k;
            // Mirrored at the border: -1 is 0, -2 is 1; n is n - 1.
            let inside = if at < 0 { -1 - at } else { at.min(2 * n as i64 - 1 - at) };
            (inside as usize, cubic(centre - at as f64))
        })
    };
    let (width, height, channels) = (image.width() * upscale, image.height() * upscale, image.channels());
    let mut data = Vec::with_capacity(width * height * channels);
    for y in 0..height {
        let rows = taps(y, image.height());
        for x in 0..width {
            let columns = taps(x, image.width());
            for c in 0..channels {
                let mut sum = 0.0;
                for (row, row_weight) in rows {
                    for (column, weight) in columns {
                        sum += row_weight * weight * f64::from(image.row(row)[column * channels + c]);
                    }
                }
                data.push(sum.round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    Image::new(width, height, channels, data).unwrap()
}
