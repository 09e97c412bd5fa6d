//! The stages of a degradation, each as a function of planes.

use super::planes::Planes;
use super::settings::Subsampling;
use crate::seed::Stream;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// A blur, lengths in pixels of the image it is applied to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// The same in all directions.
    Gaussian {
        /// Standard deviation.
        sigma: f64,
    },
    /// An ellipse.
    Anisotropic {
        /// Standard deviations along the ellipse's axes.
        sigma: [f64; 2],
        /// Direction of the first axis in radians.
        angle: f64,
    },
    /// A disc.
    Defocus {
        /// Its radius.
        radius: f64,
    },
    /// A line.
    Motion {
        /// Its length.
        length: f64,
        /// Its direction in radians.
        angle: f64,
    },
}

impl Kernel {
    /// The same blur on an image that is larger by a factor.
    pub fn enlarged(self, by: f64) -> Self {
        match self {
            Self::Gaussian { sigma } => Self::Gaussian { sigma: sigma * by },
            Self::Anisotropic { sigma, angle } => Self::Anisotropic { sigma: sigma.map(|s| s * by), angle },
            Self::Defocus { radius } => Self::Defocus { radius: radius * by },
            Self::Motion { length, angle } => Self::Motion { length: length * by, angle },
        }
    }

    /// The blurred image.
    pub fn apply(self, image: &Planes) -> Planes {
        match self {
            Self::Gaussian { sigma } => gaussian(image, sigma),
            Self::Anisotropic { sigma: [a, b], angle } => {
                let (sin, cos) = angle.sin_cos();
                let reach = reach(a.max(b));
                let at = |x: f64, y: f64| {
                    let (u, v) = ((x * cos + y * sin) / a.max(0.05), (y * cos - x * sin) / b.max(0.05));
                    (-0.5 * (u * u + v * v)).exp()
                };
                image.filter(&sampled(reach, at))
            }
            Self::Defocus { radius } => {
                // A pixel that the rim goes through counts for its share.
                let at = |x: f64, y: f64| (radius + 0.5 - x.hypot(y)).clamp(0.0, 1.0);
                image.filter(&sampled(radius.ceil() as usize, at))
            }
            Self::Motion { length, angle } => {
                let (sin, cos) = angle.sin_cos();
                let at = |x: f64, y: f64| {
                    let (along, across) = ((x * cos + y * sin).abs(), (y * cos - x * sin).abs());
                    (0.5 * length + 0.5 - along).clamp(0.0, 1.0) * (1.0 - across).max(0.0)
                };
                image.filter(&sampled((0.5 * length).ceil() as usize, at))
            }
        }
    }
}

/// Pixels to each side that a Gaussian needs.
fn reach(sigma: f64) -> usize {
    (3.0 * sigma).ceil().max(1.0) as usize
}

/// A square kernel of sum one, from its values at whole pixels.
fn sampled(reach: usize, at: impl Fn(f64, f64) -> f64) -> Vec<f32> {
    let side = 2 * reach + 1;
    let place = |i: usize| i as f64 - reach as f64;
    let values: Vec<f64> = (0..side * side).map(|i| at(place(i % side), place(i / side))).collect();
    let sum: f64 = values.iter().sum();
    values.iter().map(|v| (v / sum) as f32).collect()
}

/// Gaussian blur; none where the deviation is too small to be seen.
pub fn gaussian(image: &Planes, sigma: f64) -> Planes {
    if sigma < 0.1 {
        return image.clone();
    }
    let reach = reach(sigma) as i64;
    let values: Vec<f64> = (-reach..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum: f64 = values.iter().sum();
    let taps: Vec<f32> = values.iter().map(|v| (v / sum) as f32).collect();
    image.filter_separably(&taps)
}

/// Noise of variance `shot · value + read²`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SensorNoise {
    /// Variance for each unit of light.
    pub shot: f64,
    /// Standard deviation in the dark.
    pub read: f64,
    /// Whether all channels have the same.
    pub grey: bool,
    /// Standard deviation of the blur that correlates it, if it is correlated.
    pub correlation: Option<f64>,
}

impl SensorNoise {
    /// Adds it.
    pub fn apply(self, image: &mut Planes, stream: &mut Stream) {
        let (n, channels) = (image.width * image.height, image.channels());
        let drawn = if self.grey { 1 } else { channels };
        let data = (0..drawn * n).map(|_| bell(stream)).collect();
        let mut noise = Planes { width: image.width, height: image.height, data };
        if let Some(sigma) = self.correlation {
            noise = gaussian(&noise, sigma);
            let power =
                noise.data.iter().map(|v| f64::from(v * v)).sum::<f64>() / noise.data.len().max(1) as f64;
            let gain = (1.0 / power.max(1e-12).sqrt()) as f32;
            noise.data.iter_mut().for_each(|v| *v *= gain);
        }
        let (shot, read) = (self.shot as f32, self.read as f32);
        for plane in 0..channels {
            let noise = &noise.data[plane % drawn * n..][..n];
            for (value, noise) in image.data[plane * n..][..n].iter_mut().zip(noise) {
                *value += noise * (shot * value.max(0.0) + read * read).sqrt();
            }
        }
    }
}

/// Nearly normal with mean 0 and deviation 1: the sum of four uniform numbers, which a step needs a hundred thousand of.
fn bell(stream: &mut Stream) -> f32 {
    let bits = stream.bits();
    let sum = (0..4).map(|i| (bits >> (16 * i) & 0xffff) as f32).sum::<f32>();
    // Mean 4·32767.5, variance 4·65536²/12.
    (sum - 131_070.0) / 37_837.23
}

/// Unsharp masking.
pub fn sharpen(image: &mut Planes, amount: f64, sigma: f64) {
    let blurred = gaussian(image, sigma);
    let amount = amount as f32;
    image.data.iter_mut().zip(&blurred.data).for_each(|(v, b)| *v += amount * (*v - b));
}

/// One generation of JPEG, whose grid of blocks begins `shift` pixels to the left of the image and above it.
///
/// # Panics
/// If the image is larger than JPEG allows, which no decoder of ours gives.
pub fn jpeg(image: &Planes, quality: u8, subsampling: Subsampling, shift: (usize, usize)) -> Planes {
    let shifted = image.extend(shift.0, shift.1);
    let side = |n: usize| u16::try_from(n).expect("an image within the limits of JPEG");
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(match subsampling {
        Subsampling::Full => SamplingFactor::F_1_1,
        Subsampling::Horizontal => SamplingFactor::F_2_1,
        Subsampling::Both => SamplingFactor::F_2_2,
    });
    let color = if image.channels() == 1 { ColorType::Luma } else { ColorType::Rgb };
    encoder
        .encode(&shifted.bytes(), side(shifted.width), side(shifted.height), color)
        .expect("an image in memory can be encoded");
    let decoded = image::load_from_memory_with_format(&file, image::ImageFormat::Jpeg)
        .expect("what was just encoded can be decoded");
    let bytes =
        if image.channels() == 1 { decoded.into_luma8().into_raw() } else { decoded.into_rgb8().into_raw() };
    let channels = image.channels();
    let plane = |c: usize| bytes[c..].iter().step_by(channels).map(|&v| f32::from(v) / 255.0);
    let data = (0..channels).flat_map(plane).collect();
    let shifted = Planes { data, ..shifted };
    shifted.crop(shift, (image.width, image.height))
}
