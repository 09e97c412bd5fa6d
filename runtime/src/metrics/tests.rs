//! Expected values: a separate numpy program in float64, with the 11 x 11 window as one 2-D sum, not separable.

use super::*;
use crate::image::resize_bicubic;
use crate::image::tests::noise;

/// A smooth image, and the same with noise of -8..=7 grey levels.
fn pair() -> (Image, Image) {
    let smooth = resize_bicubic(&noise(9, 5, 4, 3), 20, 16).unwrap();
    let noise = noise(10, 20, 16, 3);
    let noisy = smooth.data().iter().zip(noise.data());
    let noisy = noisy.map(|(&a, &n)| (i32::from(a) + i32::from(n) / 16 - 8).clamp(0, 255) as u8).collect();
    (smooth, Image::new(20, 16, 3, noisy).unwrap())
}

#[track_caller]
fn close(found: Result<f64, MetricError>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn reference_edge() {
    let (a, b) = pair();
    close(psnr_y(&a, &b, 0), 39.65003460983344);
    close(ssim_y(&a, &b, 0), 0.9916763411298191);
    close(psnr_rgb(&a, &b, 0), 34.701439044245596);
    close(ssim_rgb(&a, &b, 0), 0.9898776912298027);
}

#[test]
fn inside_the_border() {
    let (a, b) = pair();
    close(psnr_y(&a, &b, 2), 39.45495713441203);
    close(ssim_y(&a, &b, 2), 0.989263235077002);
    close(psnr_rgb(&a, &b, 2), 34.731322991735595);
    close(ssim_rgb(&a, &b, 2), 0.9885963701164533);
}

#[test]
fn equal_images() {
    let (a, _) = pair();
    assert_eq!(psnr_y(&a, &a, 4), Ok(f64::INFINITY));
    assert_eq!(psnr_rgb(&a, &a, 4), Ok(f64::INFINITY));
    close(ssim_y(&a, &a, 2), 1.0);
    close(ssim_rgb(&a, &a, 2), 1.0);
}

#[test]
fn grey_is_its_own_luma() {
    let a = Image::new(2, 2, 1, [10, 20, 30, 40].into()).unwrap();
    let b = Image::new(2, 2, 1, [11, 21, 31, 41].into()).unwrap();
    let expected = 20.0 * libm::log10(255.0);
    close(psnr_y(&a, &b, 0), expected);
    close(psnr_rgb(&a, &b, 0), expected);
}

/// Three equal channels have the values of one; only expanding the original to RGB makes them nearer.
#[test]
fn rgb_is_compared_with_a_grey_original_by_its_luma() {
    let (a, b) = (noise(3, 20, 16, 1), noise(4, 20, 16, 1));
    let close_to = |found: Result<f64, MetricError>, expected: f64| {
        let found = found.unwrap();
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    };
    close_to(psnr_y(&a.to_rgb(), &b, 2), psnr_y(&a, &b, 2).unwrap());
    close_to(ssim_y(&a.to_rgb(), &b, 2), ssim_y(&a, &b, 2).unwrap());
    let lift = 20.0 * libm::log10(255.0 / 219.0);
    close_to(psnr_y(&a.to_rgb(), &b.to_rgb(), 2), psnr_y(&a, &b, 2).unwrap() + lift);
}

#[test]
fn images_that_cannot_be_compared() {
    let (a, _) = pair();
    let grey = noise(1, 20, 16, 1);
    let mismatch = MetricError::Mismatch { expected: [16, 20, 3], found: [16, 20, 1] };
    assert_eq!(psnr_rgb(&a, &grey, 0), Err(mismatch));
    assert_eq!(ssim_rgb(&a, &grey, 0), Err(mismatch));
    let mismatch = MetricError::Mismatch { expected: [16, 20, 1], found: [16, 20, 3] };
    assert_eq!(psnr_y(&grey, &a, 0), Err(mismatch));
    assert_eq!(ssim_y(&grey, &a, 0), Err(mismatch));
    let narrow = noise(1, 19, 16, 1);
    assert_eq!(
        psnr_y(&a, &narrow, 0),
        Err(MetricError::Mismatch { expected: [16, 20, 3], found: [16, 19, 1] })
    );
    assert_eq!(ssim_y(&a, &grey, 3), Err(MetricError::TooSmall { found: 16, limit: 17 }));
    assert_eq!(psnr_y(&a, &a, 8), Err(MetricError::TooSmall { found: 16, limit: 17 }));
    assert_eq!(ssim_y(&a, &a, 3), Err(MetricError::TooSmall { found: 16, limit: 17 }));
    assert_eq!(psnr_rgb(&a, &a, usize::MAX), Err(MetricError::TooSmall { found: 16, limit: usize::MAX }));
}
