//! JPEG encoding of pictures that may still be in the making.

use super::raw::{Space, from_rgb};
use super::rows::Rows;
use jpeg_encoder::{ChromaSubsamplingMethod, Encoder, ImageBuffer, JpegColorType, SamplingFactor};
use mcir_runtime::image::Image;
use std::cell::Cell;
use std::time::Duration;

/// Longest side of a JPEG image.
pub const MAX_SIDE: usize = 65_535;

/// What the encoder asks for rows.
struct Buffer<F> {
    size: (usize, usize),
    space: Space,
    row: F,
}

impl<'a, F: Fn(usize) -> Option<&'a [u8]>> ImageBuffer for Buffer<F> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.space == Space::Grey { JpegColorType::Luma } else { JpegColorType::Ycbcr }
    }

    fn width(&self) -> u16 {
        self.size.0 as u16
    }

    fn height(&self) -> u16 {
        self.size.1 as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let Some(row) = (self.row)(usize::from(y)) else {
            // The encoder cannot be stopped here; what it makes is thrown away.
            let channels = self.space.channels();
            buffers[..channels].iter_mut().for_each(|b| b.resize(b.len() + self.size.0, 0));
            return;
        };
        match self.space {
            Space::Grey => buffers[0].extend_from_slice(row),
            space => {
                let pixels = || row.as_chunks::<3>().0.iter();
                let [first, second, third, _] = buffers;
                // One plane after the other: the compiler makes vectors of these, and not of all three at once.
                if space == Space::Rgb {
                    first.extend(pixels().map(|&p| from_rgb(p)[0]));
                    second.extend(pixels().map(|&p| from_rgb(p)[1]));
                    third.extend(pixels().map(|&p| from_rgb(p)[2]));
                } else {
                    first.extend(pixels().map(|p| p[0]));
                    second.extend(pixels().map(|p| p[1]));
                    third.extend(pixels().map(|p| p[2]));
                }
            }
        }
    }
}

/// Encodes rows as they come. `None` when the picture never becomes complete or has a side beyond
/// [`MAX_SIDE`]. Time spent waiting for rows is added to `waited`.
pub fn encode_rows(rows: &Rows, quality: u8, waited: &mut Duration) -> Option<Vec<u8>> {
    let (broken, wait) = (Cell::new(false), Cell::new(Duration::ZERO));
    let row = |y| {
        let mut waited = Duration::ZERO;
        let row = rows.row(y, &mut waited);
        wait.set(wait.get() + waited);
        broken.set(broken.get() || row.is_none());
        row
    };
    let bytes =
        encode(Buffer { size: rows.size(), space: rows.space(), row }, quality, SamplingFactor::F_2_2);
    *waited += wait.get();
    bytes.filter(|_| !broken.get())
}

/// Encodes rows as a picture whose sides are so many times smaller, of means. `None` as of [`encode_rows`].
///
/// # Panics
/// If `factor` is 0 or larger than a side.
pub fn encode_reduced(rows: &Rows, factor: usize, quality: u8, waited: &mut Duration) -> Option<Vec<u8>> {
    let ((width, height), channels) = (rows.size(), rows.space().channels());
    let (small_width, small_height) = (width / factor, height / factor);
    assert!(
        small_width > 0 && small_height > 0,
        "a picture of {width}x{height} cannot be {factor} times smaller"
    );
    let area = (factor * factor) as u32;
    let mut data = Vec::with_capacity(small_width * small_height * channels);
    let mut sums = vec![0_u32; small_width * channels];
    for y in 0..small_height * factor {
        let row = rows.row(y, waited)?;
        for (pixel, sums) in row.chunks_exact(factor * channels).zip(sums.chunks_exact_mut(channels)) {
            for (n, sample) in pixel.iter().enumerate() {
                sums[n % channels] += u32::from(*sample);
            }
        }
        if (y + 1).is_multiple_of(factor) {
            data.extend(sums.iter_mut().map(|sum| ((std::mem::take(sum) + area / 2) / area) as u8));
        }
    }
    // Nobody is shown a picture whose last rows failed.
    rows.row(height - 1, waited)?;
    let image = Image::new(small_width, small_height, channels, data).ok()?;
    let row = |y| Some(image.row(y));
    encode(
        Buffer { size: (small_width, small_height), space: rows.space(), row },
        quality,
        SamplingFactor::F_2_2,
    )
}

/// Encodes an image with its colour in full resolution.
pub fn encode_image(image: &Image, space: Space, quality: u8) -> Option<Vec<u8>> {
    let row = |y| Some(image.row(y));
    let size = (image.width(), image.height());
    encode(Buffer { size, space, row }, quality, SamplingFactor::F_1_1)
}

fn encode<'a, F: Fn(usize) -> Option<&'a [u8]>>(
    buffer: Buffer<F>,
    quality: u8,
    sampling: SamplingFactor,
) -> Option<Vec<u8>> {
    if buffer.size.0.max(buffer.size.1) > MAX_SIDE {
        return None;
    }
    let mut bytes = Vec::with_capacity(buffer.size.0 * buffer.size.1 / 4);
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(sampling);
    // Otherwise one pixel in four would give its colour to the others: fine patterns would change colour.
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.encode_image(buffer).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mjpeg;
    use crate::raw::ycbcr_to_rgb;
    use mcir_upscale::cards;

    /// A picture whose colour, but not its brightness, is the mean of every two by two pixels: what 4:2:0 keeps.
    fn halved(image: &Image) -> Image {
        let (width, height) = (image.width(), image.height());
        let full = |x: usize, y: usize| {
            let p = &image.row(y.min(height - 1))[3 * x.min(width - 1)..][..3];
            from_rgb([p[0], p[1], p[2]])
        };
        let pixel = |i: usize| {
            let (x, y) = (i % width, i / width);
            let (left, top) = (x & !1, y & !1);
            let four =
                [(left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)].map(|(x, y)| full(x, y));
            let colour = |c: usize| (four.iter().map(|p| u32::from(p[c])).sum::<u32>().div_ceil(4)) as u8;
            ycbcr_to_rgb([full(x, y)[0], colour(1), colour(2)])
        };
        Image::new(width, height, 3, (0..width * height).flat_map(pixel).collect()).unwrap()
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let card = cards::draw().remove(0).image.crop(0, 0, 70, 45).unwrap();
        let mean = |a: &Image, b: &Image| {
            let sum: u64 = a.data().iter().zip(b.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            sum as f64 / a.data().len() as f64
        };
        let bytes = encode_image(&card, Space::Rgb, 98).unwrap();
        let (decoded, space) = mjpeg::decode(&bytes, Space::Rgb).unwrap();
        assert_eq!((decoded.width(), decoded.height(), space), (70, 45, Space::Rgb));
        assert!(mean(&decoded, &card) < 2.0, "{}", mean(&decoded, &card));

        let (rows, mut writer) = Rows::new((70, 45), Space::Rgb);
        (0..45).for_each(|y| writer.push(card.row(y)));
        writer.finish(Duration::ZERO);
        let bytes = encode_rows(&rows, 95, &mut Duration::default()).unwrap();
        let (decoded, _) = mjpeg::decode(&bytes, Space::Rgb).unwrap();
        // Fine stripes of colour lose much of it by halving alone, 4.1 levels; coding may add 2, as it may above.
        // With one pixel's colour for four, and not their mean, it would be 6.3 instead of 5.4.
        let halving = mean(&halved(&card), &card);
        assert!(mean(&decoded, &card) < halving + 2.0, "{} and {halving}", mean(&decoded, &card));
    }

    #[test]
    fn a_reduced_picture_is_of_means() {
        let (rows, mut writer) = Rows::new((35, 22), Space::Rgb);
        // Stripes whose mean is the same everywhere; a row and a column are left over.
        (0..22).for_each(|y| {
            writer.push(&[if y % 2 == 0 { [90, 20, 250] } else { [110, 40, 230] }; 35].concat())
        });
        writer.finish(Duration::ZERO);
        let bytes = encode_reduced(&rows, 2, 100, &mut Duration::default()).unwrap();
        let (decoded, _) = mjpeg::decode(&bytes, Space::Rgb).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (17, 11));
        let off = decoded
            .data()
            .chunks_exact(3)
            .flat_map(|p| [p[0].abs_diff(100), p[1].abs_diff(30), p[2].abs_diff(240)]);
        assert!(off.max() <= Some(2));
        let (rows, writer) = Rows::new((8, 8), Space::Rgb);
        drop(writer);
        assert_eq!(encode_reduced(&rows, 2, 90, &mut Duration::default()), None);
    }

    #[test]
    fn a_picture_that_breaks_off_is_not_shown() {
        let (rows, mut writer) = Rows::new((16, 64), Space::Grey);
        (0..40).for_each(|_| writer.push(&[9; 16]));
        drop(writer);
        assert_eq!(encode_rows(&rows, 90, &mut Duration::default()), None);
    }
}
