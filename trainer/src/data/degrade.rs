//! Low-resolution images from high-resolution ones: by clean downscaling ([`downscale`]), or with the damage that cameras
//! and files do ([`Degrade`] says how much, a [`Degradation`] is what was drawn for one image).

mod planes;
mod scene;
mod settings;
mod stages;

pub use planes::Planes;
pub use scene::{Haze, Part, Rain, Scattering, Streaks};
pub use settings::{Blur, Degrade, Jpeg, Noise, PRESETS, Resize, ResizeFilter, Sharpen, Subsampling};
pub use stages::{Kernel, SensorNoise};

use crate::seed::{Purpose, Stream};
use mcir_runtime::image::{Image, ImageError, resize_bicubic};
use std::fmt;

/// Pixels of the low-resolution image that a training patch is degraded with on every side, and that are then cut off:
/// blurs and blocks of JPEG see a surrounding, and the grid of blocks may lie anywhere.
pub const MARGIN: usize = 8;

/// Crops at the right and at the bottom to a multiple of `upscale`, then downscales as MATLAB's `imresize`
/// does with 8-bit images. Returns the low-resolution and the cropped image.
///
/// # Errors
/// The image is smaller than `upscale` pixels in a direction.
pub fn downscale(hr: &Image, upscale: usize) -> Result<(Image, Image), ImageError> {
    let hr = hr.crop_to_multiple(upscale)?;
    let lr = resize_bicubic(&hr, hr.width() / upscale, hr.height() / upscale)?;
    Ok((lr, hr))
}

/// A low-resolution image and the cropped original, as [`downscale`] makes them, with a degradation that depends on seed
/// and index alone; and what was drawn.
///
/// # Errors
/// The image is smaller than `upscale` pixels in a direction.
pub fn degrade(
    hr: &Image,
    upscale: usize,
    settings: &Degrade,
    seed: u64,
    index: u64,
) -> Result<(Image, Image, Degradation), ImageError> {
    let hr = hr.crop_to_multiple(upscale)?;
    let mut stream = Stream::new(seed, Purpose::Degrade, index);
    let recipe = Degradation::draw(settings, &mut stream);
    let lr = recipe.apply(&Planes::of(&hr), upscale, &mut stream).to_image()?;
    Ok((lr, hr, recipe))
}

/// What was drawn for one image. Lengths are in pixels of the low-resolution image.
#[derive(Debug, Clone, PartialEq)]
pub struct Degradation {
    /// Haze in the scene.
    pub haze: Option<Scattering>,
    /// Rain before it.
    pub rain: Option<Streaks>,
    /// Blur before downscaling.
    pub blur: Option<Kernel>,
    /// Filter of each step of downscaling; two, if there is an intermediate size.
    pub filters: [ResizeFilter; 2],
    /// The intermediate size, relative to the low-resolution image.
    pub intermediate: Option<f64>,
    /// Noise.
    pub noise: Option<SensorNoise>,
    /// Amount and deviation of unsharp masking.
    pub sharpen: Option<(f64, f64)>,
    /// Generations of JPEG: quality, chroma, place of the grid.
    pub jpeg: Vec<(u8, Subsampling, (usize, usize))>,
}

impl Degradation {
    /// Draws what a training patch gets, which may be nothing.
    ///
    /// # Panics
    /// If the settings have a [fault](Degrade::fault).
    pub fn draw_for_training(settings: &Degrade, stream: &mut Stream) -> Self {
        if unit(stream) < settings.clean {
            let filters = [ResizeFilter::Bicubic; 2];
            return Self {
                haze: None,
                rain: None,
                blur: None,
                filters,
                intermediate: None,
                noise: None,
                sharpen: None,
                jpeg: Vec::new(),
            };
        }
        let drawn = Self::draw(settings, stream);
        // A patch is a small part of what a picture shows.
        Self { haze: drawn.haze.map(|haze| haze.on_a_part(stream)), ..drawn }
    }

    /// Draws one.
    ///
    /// # Panics
    /// If the settings have a [fault](Degrade::fault).
    pub fn draw(settings: &Degrade, stream: &mut Stream) -> Self {
        let Degrade { haze, rain, blur, resize, noise, sharpen, jpeg, clean: _ } = settings;
        let yes = |stream: &mut Stream, prob: f64| unit(stream) < prob;
        let within = |stream: &mut Stream, [low, high]: [f64; 2]| low + (high - low) * unit(stream);
        // Where there is none, nothing is drawn, and what follows is as it was before there could be any.
        let haze = (haze.prob > 0.0 && yes(stream, haze.prob)).then(|| haze.draw(stream));
        let rain = (rain.prob > 0.0 && yes(stream, rain.prob)).then(|| rain.draw(stream));
        let blur = yes(stream, blur.prob).then(|| {
            let kinds = [blur.isotropic, blur.anisotropic, blur.defocus, blur.motion];
            let mut left = unit(stream) * kinds.iter().sum::<f64>();
            let kind = kinds.iter().position(|k| {
                left -= k;
                left < 0.0
            });
            let angle = std::f64::consts::PI * unit(stream);
            match kind {
                Some(1) => {
                    let sigma = [within(stream, blur.sigma), within(stream, blur.sigma)];
                    Kernel::Anisotropic { sigma, angle }
                }
                Some(2) => Kernel::Defocus { radius: within(stream, blur.radius) },
                Some(3) => Kernel::Motion { length: within(stream, blur.length), angle },
                _ => Kernel::Gaussian { sigma: within(stream, blur.sigma) },
            }
        });
        let filters = [0, 1].map(|_| resize.filters[stream.below(resize.filters.len())]);
        let intermediate = yes(stream, resize.intermediate).then(|| within(stream, resize.scale));
        let noise = yes(stream, noise.prob).then(|| SensorNoise {
            shot: within(stream, noise.shot),
            read: within(stream, noise.read),
            grey: yes(stream, noise.grey),
            correlation: yes(stream, noise.correlated).then(|| within(stream, [0.4, 0.9])),
        });
        let sharpen = yes(stream, sharpen.prob)
            .then(|| (within(stream, sharpen.amount), within(stream, sharpen.sigma)));
        let generations = match yes(stream, jpeg.prob) {
            true => 1 + usize::from(yes(stream, jpeg.twice)),
            false => 0,
        };
        let [low, high] = jpeg.quality;
        let generation = |_| {
            let quality = low + stream.below(usize::from(high - low) + 1) as u8;
            let subsampling = jpeg.subsampling[stream.below(jpeg.subsampling.len())];
            (quality, subsampling, (stream.below(8), stream.below(8)))
        };
        let jpeg = (0..generations).map(generation).collect();
        Self { haze, rain, blur, filters, intermediate, noise, sharpen, jpeg }
    }

    /// The low-resolution image of a high-resolution one whose sides are multiples of `upscale`. Its values are those of
    /// bytes.
    pub fn apply(&self, hr: &Planes, upscale: usize, stream: &mut Stream) -> Planes {
        let (width, height) = (hr.width / upscale, hr.height / upscale);
        let mut image = hr.clone();
        if let Some(haze) = &self.haze {
            haze.apply(&mut image);
        }
        if let Some(rain) = &self.rain {
            rain.apply(&mut image, upscale, stream);
        }
        if let Some(kernel) = self.blur {
            image = kernel.enlarged(upscale as f64).apply(&image);
        }
        if let Some(scale) = self.intermediate {
            // Not below what the image then is enlarged from, nor above what there is.
            let side = |low: usize, high: usize| ((low as f64 * scale).round() as usize).clamp(1, high);
            image = image.resize(side(width, hr.width), side(height, hr.height), self.filters[1]);
        }
        image = image.resize(width, height, self.filters[0]);
        if let Some(noise) = self.noise {
            noise.apply(&mut image, stream);
        }
        if let Some((amount, sigma)) = self.sharpen {
            stages::sharpen(&mut image, amount, sigma);
        }
        for &(quality, subsampling, shift) in &self.jpeg {
            image = stages::jpeg(&image, quality, subsampling, shift);
        }
        image.round();
        image
    }
}

/// Uniform in 0..1.
fn unit(stream: &mut Stream) -> f64 {
    (stream.bits() >> 11) as f64 / (1u64 << 53) as f64
}

impl fmt::Display for Degradation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.haze.map(|haze| haze.to_string()));
        parts.extend(self.rain.map(|rain| rain.to_string()));
        parts.extend(self.blur.map(|kernel| match kernel {
            Kernel::Gaussian { sigma } => format!("blur {sigma:.2}"),
            Kernel::Anisotropic { sigma: [a, b], .. } => format!("blur {a:.2} x {b:.2}"),
            Kernel::Defocus { radius } => format!("defocus {radius:.2}"),
            Kernel::Motion { length, .. } => format!("motion {length:.1}"),
        }));
        let name = |filter| match filter {
            ResizeFilter::Area => "area",
            ResizeFilter::Bilinear => "bilinear",
            ResizeFilter::Bicubic => "bicubic",
        };
        parts.extend(self.intermediate.map(|scale| format!("{} to {scale:.2}", name(self.filters[1]))));
        parts.push(name(self.filters[0]).into());
        parts.extend(self.noise.map(|noise| {
            let (grey, correlated) = (
                if noise.grey { " grey" } else { "" },
                if noise.correlation.is_some() { " correlated" } else { "" },
            );
            format!("noise {:.4}/{:.3}{grey}{correlated}", noise.shot, noise.read)
        }));
        parts.extend(self.sharpen.map(|(amount, sigma)| format!("sharpened {amount:.2}/{sigma:.1}")));
        parts.extend(self.jpeg.iter().map(|(quality, subsampling, _)| {
            let subsampling = match subsampling {
                Subsampling::Full => "4:4:4",
                Subsampling::Horizontal => "4:2:2",
                Subsampling::Both => "4:2:0",
            };
            format!("JPEG {quality} {subsampling}")
        }));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests;
