//! Samples of other types to 8 bits, in the memory that they are in.

use image::ColorType;

/// Converts decoded samples to 8 bits; says whether they had more.
pub(super) fn to_8_bits(pixels: &mut Vec<u8>, from: ColorType) -> bool {
    let size = usize::from(from.bytes_per_pixel()) / usize::from(from.channel_count());
    match size {
        2 => narrow::<2>(pixels, |v| {
            // As `image` rounds: 0xffff / 0xff is 257.
            ((u32::from(u16::from_ne_bytes(v)) + 128) / 257) as u8
        }),
        4 => narrow::<4>(pixels, |v| (f32::from_ne_bytes(v).clamp(0.0, 1.0) * 255.0).round() as u8),
        _ => return false,
    }
    true
}

fn narrow<const N: usize>(pixels: &mut Vec<u8>, convert: impl Fn([u8; N]) -> u8) {
    let samples = pixels.len() / N;
    for i in 0..samples {
        let sample = pixels[i * N..][..N].try_into().expect("the slice has this length");
        pixels[i] = convert(sample);
    }
    pixels.truncate(samples);
    pixels.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::DynamicImage;

    #[test]
    fn rounds_as_the_image_crate_does() {
        let deep = image::ImageBuffer::from_fn(256, 256, |x, y| image::Luma([(y * 256 + x) as u16]));
        let expected = DynamicImage::from(deep.clone()).to_luma8().into_raw();
        let mut pixels: Vec<u8> = deep.into_raw().into_iter().flat_map(u16::to_ne_bytes).collect();
        assert!(to_8_bits(&mut pixels, ColorType::L16));
        assert_eq!(pixels, expected);
        assert!(!to_8_bits(&mut pixels, ColorType::Rgb8));
        let mut floats: Vec<u8> =
            [-1.0_f32, 0.0, 0.5, 1.0, 7.0, f32::NAN].into_iter().flat_map(f32::to_ne_bytes).collect();
        assert!(to_8_bits(&mut floats, ColorType::Rgb32F));
        assert_eq!(floats, [0, 0, 128, 255, 255, 0]);
    }
}
