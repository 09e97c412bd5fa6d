//! The expected values were computed with a separate numpy program that builds MATLAB's resampling as dense
//! matrices in float64; the inputs are the noise of [`noise`] with the seed that each test names.

use super::*;
use alloc::{vec, vec::Vec};
use proptest::prelude::*;

/// Noise from the top byte of a linear congruential generator (Numerical Recipes' constants).
pub(crate) fn noise(seed: u32, width: usize, height: usize, channels: usize) -> Image {
    let mut state = seed;
    let data = (0..width * height * channels).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    Image::new(width, height, channels, data.collect()).unwrap()
}

#[track_caller]
fn resizes_to(image: &Image, width: usize, height: usize, expected: &[u8]) {
    let resized = resize_bicubic(image, width, height).unwrap();
    assert_eq!((resized.width(), resized.height(), resized.channels()), (width, height, image.channels()));
    assert_eq!(resized.data(), expected);
}

#[test]
fn shrinks_as_matlab() {
    resizes_to(&noise(1, 12, 8, 1), 6, 4, &DOWN2);
    resizes_to(&noise(2, 12, 9, 3), 4, 3, &DOWN3);
    resizes_to(&noise(3, 16, 12, 1), 4, 3, &DOWN4);
}

#[test]
fn enlarges_as_matlab() {
    resizes_to(&noise(4, 3, 4, 3), 6, 8, &UP2);
    resizes_to(&noise(5, 5, 4, 1), 15, 12, &UP3);
    resizes_to(&noise(6, 4, 3, 1), 16, 12, &UP4);
}

#[test]
fn unequal_factors_take_the_smaller_first() {
    resizes_to(&noise(7, 9, 7, 1), 5, 11, &MIXED);
    resizes_to(&noise(8, 5, 8, 1), 12, 3, &MIXED_WIDE);
}

#[test]
fn luma_is_bt601_studio_range() {
    let image = Image::new(3, 1, 3, vec![0, 0, 0, 255, 255, 255, 255, 0, 0]).unwrap();
    let luma = image.luma();
    assert!((luma[0] - 16.0).abs() < 1e-12);
    assert!((luma[1] - 235.0).abs() < 1e-12);
    assert!((luma[2] - 81.481).abs() < 1e-12);
    assert_eq!(Image::new(2, 1, 1, vec![7, 9]).unwrap().luma(), [7.0, 9.0]);
}

#[test]
fn crops() {
    let image = noise(1, 7, 5, 3);
    let part = image.crop(2, 1, 4, 3).unwrap();
    assert_eq!(part.row(2), &image.row(3)[6..18]);
    let even = image.crop_to_multiple(2).unwrap();
    assert_eq!((even.width(), even.height()), (6, 4));
    assert_eq!(even.row(3), &image.row(3)[..18]);
    assert_eq!(image.crop(5, 0, 3, 1), Err(ImageError::Crop { end: (8, 1), size: (7, 5) }));
    assert_eq!(image.crop(usize::MAX, 0, 2, 1), Err(ImageError::Crop { end: (usize::MAX, 1), size: (7, 5) }));
    assert_eq!(image.crop(0, 0, 0, 1), Err(ImageError::Size { width: 0, height: 1 }));
    assert_eq!(image.crop_to_multiple(6), Err(ImageError::Size { width: 6, height: 0 }));
    assert!(image.crop_to_multiple(0).is_err());
}

#[test]
fn grey_repeats_to_rgb() {
    assert_eq!(Image::new(2, 1, 1, vec![3, 8]).unwrap().to_rgb().data(), [3, 3, 3, 8, 8, 8]);
}

#[test]
fn impossible_images_are_refused() {
    assert_eq!(Image::new(0, 3, 1, vec![]), Err(ImageError::Size { width: 0, height: 3 }));
    assert_eq!(Image::new(1, 1, 2, vec![0; 2]), Err(ImageError::Channels { found: 2 }));
    assert_eq!(Image::new(2, 2, 3, vec![0; 11]), Err(ImageError::Length { expected: 12, found: 11 }));
    assert!(Image::new(usize::MAX, 2, 1, vec![]).is_err());
    let image = noise(1, 2, 2, 1);
    assert!(resize_bicubic(&image, 0, 4).is_err());
    assert!(resize_bicubic(&image, usize::MAX, 4).is_err());
}

proptest! {
    #[test]
    fn constant_images_stay_constant(
        value: u8, width in 1usize..9, height in 1usize..9, to_width in 1usize..20, to_height in 1usize..20,
    ) {
        let image = Image::new(width, height, 1, vec![value; width * height]).unwrap();
        let resized = resize_bicubic(&image, to_width, to_height).unwrap();
        prop_assert!(resized.data().iter().all(|&v| v == value));
    }

    #[test]
    fn channels_do_not_mix(seed: u32, width in 1usize..7, height in 1usize..7, to in 1usize..15) {
        let image = noise(seed, width, height, 3);
        let resized = resize_bicubic(&image, to, to + 1).unwrap();
        for c in 0..3 {
            let plane: Vec<u8> = image.data()[c..].iter().step_by(3).copied().collect();
            let plane = resize_bicubic(&Image::new(width, height, 1, plane).unwrap(), to, to + 1).unwrap();
            prop_assert!(resized.data()[c..].iter().step_by(3).eq(plane.data()));
        }
    }
}

#[rustfmt::skip]
const DOWN2: [u8; 24] = [
    109, 148, 115, 147, 72, 86, 149, 165, 182, 118, 109, 93, 174, 107, 174, 79, 130, 79, 163, 163, 119, 193, 150, 60,
];
#[rustfmt::skip]
const DOWN3: [u8; 36] = [
    111, 174, 119, 162, 121, 134, 143, 131, 125, 129, 99, 139, 140, 123, 157, 137, 107, 149, 124, 157, 177, 92, 141, 104,
    117, 127, 138, 148, 145, 128, 103, 149, 93, 138, 167, 116,
];
#[rustfmt::skip]
const DOWN4: [u8; 12] = [
    101, 122, 129, 155, 125, 133, 135, 110, 143, 152, 159, 120,
];
#[rustfmt::skip]
const UP2: [u8; 144] = [
    30, 180, 144, 85, 130, 145, 195, 28, 148, 185, 4, 148, 56, 57, 144, 0, 84, 141, 82, 176, 136, 115, 141, 147,
    182, 70, 170, 166, 47, 167, 67, 71, 139, 18, 83, 125, 185, 166, 120, 175, 165, 152, 155, 162, 215, 127, 140, 208,
    91, 100, 131, 73, 80, 93, 211, 129, 98, 193, 138, 135, 158, 155, 208, 131, 136, 204, 112, 83, 122, 103, 56, 81,
    159, 64, 70, 169, 60, 97, 189, 52, 151, 176, 38, 156, 130, 19, 113, 107, 10, 91, 144, 70, 85, 161, 61, 93,
    196, 44, 109, 194, 35, 111, 155, 32, 98, 135, 30, 92, 165, 150, 143, 170, 145, 123, 180, 135, 83, 186, 127, 69,
    188, 120, 80, 189, 117, 85, 176, 190, 173, 175, 187, 139, 173, 181, 71, 183, 174, 48, 205, 164, 70, 217, 159, 81,
];
#[rustfmt::skip]
const UP3: [u8; 180] = [
    41, 56, 102, 163, 194, 159, 94, 63, 108, 188, 241, 236, 204, 179, 172, 46, 60, 102, 159, 187, 154, 92, 62, 100,
    170, 218, 219, 199, 183, 179, 61, 72, 106, 151, 172, 142, 89, 58, 76, 116, 152, 173, 190, 201, 206, 81, 88, 110,
    140, 151, 126, 84, 53, 43, 44, 63, 111, 177, 224, 242, 88, 92, 105, 122, 127, 110, 82, 56, 30, 8, 13, 72,
    158, 222, 245, 61, 64, 73, 86, 94, 93, 87, 78, 61, 41, 40, 76, 131, 171, 186, 21, 25, 33, 45, 58, 75,
    94, 108, 112, 110, 107, 103, 99, 95, 94, 13, 16, 20, 27, 41, 67, 100, 127, 149, 166, 164, 129, 76, 37, 23,
    71, 70, 64, 57, 58, 74, 99, 124, 156, 188, 193, 146, 72, 18, 0, 161, 154, 136, 111, 94, 91, 95, 110, 149,
    197, 212, 162, 79, 18, 0, 227, 216, 189, 151, 121, 103, 93, 99, 142, 201, 224, 173, 85, 20, 0, 250, 238, 207,
    165, 130, 107, 92, 96, 141, 206, 231, 178, 86, 18, 0,
];
#[rustfmt::skip]
const UP4: [u8; 192] = [
    37, 47, 72, 117, 170, 216, 240, 245, 242, 237, 238, 242, 246, 249, 251, 252, 40, 50, 72, 114, 163, 206, 229, 238,
    238, 237, 238, 239, 238, 238, 238, 238, 49, 57, 75, 107, 145, 180, 203, 219, 230, 236, 238, 232, 222, 213, 208, 207,
    64, 68, 77, 90, 108, 127, 151, 183, 215, 238, 240, 219, 188, 161, 148, 143, 83, 82, 80, 72, 65, 67, 90, 140,
    197, 238, 240, 203, 150, 102, 79, 70, 100, 96, 86, 63, 38, 27, 48, 109, 182, 234, 236, 189, 121, 60, 31, 18,
    112, 108, 97, 72, 45, 32, 50, 106, 173, 221, 222, 178, 114, 58, 31, 19, 120, 118, 113, 101, 88, 83, 95, 129,
    168, 197, 197, 169, 130, 95, 78, 70, 126, 128, 131, 138, 146, 153, 159, 164, 167, 169, 168, 162, 154, 147, 144, 142,
    130, 135, 146, 170, 196, 215, 215, 195, 167, 145, 142, 155, 176, 194, 202, 206, 133, 139, 154, 186, 221, 245, 242, 209,
    165, 132, 129, 152, 186, 217, 231, 238, 135, 142, 158, 191, 228, 252, 248, 211, 163, 126, 123, 151, 191, 226, 243, 251,
];
#[rustfmt::skip]
const MIXED: [u8; 55] = [
    117, 206, 117, 117, 1, 187, 177, 127, 152, 75, 250, 140, 130, 193, 145, 182, 127, 97, 199, 84, 152, 111, 63, 172,
    67, 164, 96, 42, 128, 95, 183, 111, 71, 127, 111, 169, 135, 127, 109, 134, 117, 157, 189, 67, 164, 123, 115, 113,
    96, 134, 140, 73, 32, 130, 102,
];
#[rustfmt::skip]
const MIXED_WIDE: [u8; 36] = [
    104, 102, 94, 92, 107, 131, 153, 175, 183, 162, 134, 123, 77, 86, 108, 129, 140, 147, 162, 185, 198, 192, 179, 175,
    38, 50, 79, 108, 124, 133, 128, 108, 93, 95, 100, 102,
];
