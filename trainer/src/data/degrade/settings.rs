//! [`Degrade`]: which damage training images get, how often and how strong.

use super::scene::{Haze, Rain};
use serde::{Deserialize, Serialize};

/// Names of the presets.
pub const PRESETS: &str = "camera, photo, clean; for networks of one size haze, rain, motion";

/// How a low-resolution image is made from a high-resolution one. The stages follow each other in the order of the
/// fields, as they do in a camera; each range is drawn from anew for every patch.
///
/// # Source
/// Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image Super-Resolution" (BSRGAN), ICCV 2021;
/// Wang et al., "Real-ESRGAN", ICCVW 2021. Unlike there the order is fixed, because a camera's is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Degrade {
    /// Share of training patches that are spared, and only downscaled (bicubic): a network that never sees a clean image
    /// spoils it. Test images are not spared.
    pub clean: f64,
    /// Air.
    #[serde(default, skip_serializing_if = "is_default")]
    pub haze: Haze,
    /// Rain before the air.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rain: Rain,
    /// Lens and motion.
    pub blur: Blur,
    /// From the size of the target to that of the input.
    pub resize: Resize,
    /// Sensor.
    pub noise: Noise,
    /// The halos that a camera's processor leaves.
    pub sharpen: Sharpen,
    /// Compression.
    pub jpeg: Jpeg,
}

/// What does nothing is only written down if somebody chose it.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Blur. Lengths are in pixels of the low-resolution image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// Probability.
    pub prob: f64,
    /// How often each kind is drawn, relative to the others.
    pub isotropic: f64,
    /// As `isotropic`.
    pub anisotropic: f64,
    /// As `isotropic`.
    pub defocus: f64,
    /// As `isotropic`.
    pub motion: f64,
    /// Standard deviation of a Gaussian.
    pub sigma: [f64; 2],
    /// Radius of the disc of defocus.
    pub radius: [f64; 2],
    /// Length of a motion.
    pub length: [f64; 2],
}

/// Downscaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// One of these each time.
    pub filters: Vec<ResizeFilter>,
    /// Probability of an intermediate size, as where a camera's processor or a program scaled before.
    pub intermediate: f64,
    /// That size, relative to the low-resolution image.
    pub scale: [f64; 2],
}

/// A filter of downscaling, widened by the factor against aliasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeFilter {
    /// Mean of the area that a pixel covers.
    Area,
    /// Triangle.
    Bilinear,
    /// Keys' kernel with a = −0.5, as MATLAB's `imresize`.
    Bicubic,
}

/// Noise of a sensor, with variance `shot · value + read²`; values are in 0..1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Probability.
    pub prob: f64,
    /// Variance for each unit of light.
    pub shot: [f64; 2],
    /// Standard deviation in the dark.
    pub read: [f64; 2],
    /// Probability that it is the same in all channels.
    pub grey: f64,
    /// Probability that it is correlated between neighbours, as demosaicking and a camera's denoising leave it.
    pub correlated: f64,
}

/// Unsharp masking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sharpen {
    /// Probability.
    pub prob: f64,
    /// Share of what a blur takes away that is added.
    pub amount: [f64; 2],
    /// Standard deviation of that blur in pixels of the low-resolution image.
    pub sigma: [f64; 2],
}

/// JPEG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jpeg {
    /// Probability.
    pub prob: f64,
    /// Quality as libjpeg counts it, 1 to 100.
    pub quality: [u8; 2],
    /// One of these each time.
    pub subsampling: Vec<Subsampling>,
    /// Probability of a second generation, on a grid of its own.
    pub twice: f64,
}

/// Resolution of the chroma of a JPEG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subsampling {
    /// As luma.
    #[serde(rename = "4:4:4")]
    Full,
    /// Half in width.
    #[serde(rename = "4:2:2")]
    Horizontal,
    /// Half in width and height.
    #[serde(rename = "4:2:0")]
    Both,
}

impl Degrade {
    /// `camera` for pictures of webcams, phones and camera modules, `photo` for photographs that were taken and kept with
    /// care, `clean` for bicubic downscaling alone. `haze`, `rain` and `motion` do one thing each, for networks that do not
    /// upscale.
    pub fn preset(name: &str) -> Option<Self> {
        let one_thing = || Some(Self { clean: 0.05, ..Self::preset("clean")? });
        let camera = Self {
            clean: 0.12,
            haze: Haze::default(),
            rain: Rain::default(),
            blur: Blur {
                prob: 0.5,
                isotropic: 0.5,
                anisotropic: 0.25,
                defocus: 0.15,
                motion: 0.1,
                sigma: [0.2, 0.55],
                radius: [0.3, 0.7],
                length: [0.5, 1.4],
            },
            resize: Resize {
                filters: vec![ResizeFilter::Area, ResizeFilter::Bilinear, ResizeFilter::Bicubic],
                intermediate: 0.2,
                scale: [0.8, 1.6],
            },
            noise: Noise { prob: 0.7, shot: [0.0, 0.001], read: [0.0, 0.016], grey: 0.35, correlated: 0.4 },
            sharpen: Sharpen { prob: 0.2, amount: [0.1, 0.6], sigma: [0.5, 1.2] },
            jpeg: Jpeg {
                prob: 0.8,
                quality: [35, 95],
                subsampling: vec![Subsampling::Both, Subsampling::Horizontal, Subsampling::Full],
                twice: 0.2,
            },
        };
        match name {
            "camera" => Some(camera),
            "photo" => Some(Self {
                haze: camera.haze,
                rain: camera.rain,
                clean: 0.2,
                blur: Blur {
                    prob: 0.5,
                    sigma: [0.1, 0.4],
                    radius: [0.2, 0.5],
                    length: [0.4, 1.0],
                    ..camera.blur
                },
                resize: Resize { intermediate: 0.1, scale: [0.9, 1.6], ..camera.resize },
                noise: Noise { prob: 0.5, shot: [0.0, 0.0003], read: [0.0, 0.008], ..camera.noise },
                sharpen: Sharpen { prob: 0.15, amount: [0.1, 0.4], ..camera.sharpen },
                jpeg: Jpeg { prob: 0.7, quality: [60, 97], twice: 0.1, ..camera.jpeg },
            }),
            "clean" => Some(Self {
                haze: camera.haze,
                rain: camera.rain,
                clean: 1.0,
                blur: Blur { prob: 0.0, ..camera.blur },
                resize: Resize { filters: vec![ResizeFilter::Bicubic], intermediate: 0.0, ..camera.resize },
                noise: Noise { prob: 0.0, ..camera.noise },
                sharpen: Sharpen { prob: 0.0, ..camera.sharpen },
                jpeg: Jpeg { prob: 0.0, ..camera.jpeg },
            }),
            "haze" => one_thing().map(|d| Self { haze: Haze { prob: 1.0, ..d.haze }, ..d }),
            "rain" => one_thing().map(|d| Self { rain: Rain { prob: 1.0, ..d.rain }, ..d }),
            "motion" => one_thing().map(|d| {
                let (isotropic, anisotropic, defocus) = (0.0, 0.0, 0.0);
                let length = [3.0, 16.0];
                let blur = Blur { prob: 1.0, isotropic, anisotropic, defocus, motion: 1.0, length, ..d.blur };
                Self { blur, ..d }
            }),
            _ => None,
        }
    }

    /// Whether the preset of this name is for networks that do not upscale.
    pub fn keeps_size(preset: &str) -> bool {
        ["haze", "rain", "motion"].contains(&preset)
    }

    /// The first value that is out of bounds: its key, the value and the limit.
    pub fn fault(&self) -> Option<(&'static str, String, &'static str)> {
        let Self { clean, haze, rain, blur, resize, noise, sharpen, jpeg } = self;
        let probability = |key, value: f64| {
            let ok = (0.0..=1.0).contains(&value);
            (!ok).then(|| (key, value.to_string(), "a probability from 0 to 1"))
        };
        let interval = |key, [low, high]: [f64; 2], least: f64, most: f64, limit| {
            let ok = low.is_finite() && high.is_finite() && least <= low && low <= high && high <= most;
            (!ok).then(|| (key, format!("[{low}, {high}]"), limit))
        };
        const PART: &str = "a range within 0 to 1, low value first";
        let kinds = [blur.isotropic, blur.anisotropic, blur.defocus, blur.motion];
        let weights = kinds.iter().all(|k| (0.0..=1e6).contains(k)) && kinds.iter().any(|&k| k > 0.0);
        let [low, high] = jpeg.quality;
        let quality = 1 <= low && low <= high && high <= 100;
        [
            probability("data.degrade.clean", *clean),
            probability("data.degrade.haze.prob", haze.prob),
            interval(
                "data.degrade.haze.beta",
                haze.beta,
                0.0,
                10.0,
                "a range within 0 to 10, low value first",
            ),
            interval("data.degrade.haze.light", haze.light, 0.0, 1.0, PART),
            interval("data.degrade.haze.near", haze.near, 0.0, 1.0, PART),
            interval("data.degrade.haze.rough", haze.rough, 0.0, 1.0, PART),
            probability("data.degrade.rain.prob", rain.prob),
            interval(
                "data.degrade.rain.density",
                rain.density,
                0.0,
                1000.0,
                "a range within 0 to 1000, low value first",
            ),
            interval(
                "data.degrade.rain.length",
                rain.length,
                0.0,
                100.0,
                "a range within 0 to 100, low value first",
            ),
            interval(
                "data.degrade.rain.lean",
                rain.lean,
                -90.0,
                90.0,
                "a range within -90 to 90, low value first",
            ),
            interval("data.degrade.rain.brightness", rain.brightness, 0.0, 1.0, PART),
            probability("data.degrade.blur.prob", blur.prob),
            (!weights).then(|| {
                let limit = "weights from 0 to 1000000, one of them above 0";
                ("data.degrade.blur.isotropic, anisotropic, defocus, motion", format!("{kinds:?}"), limit)
            }),
            interval(
                "data.degrade.blur.sigma",
                blur.sigma,
                0.0,
                8.0,
                "a range within 0 to 8, low value first",
            ),
            interval(
                "data.degrade.blur.radius",
                blur.radius,
                0.0,
                8.0,
                "a range within 0 to 8, low value first",
            ),
            interval(
                "data.degrade.blur.length",
                blur.length,
                0.0,
                16.0,
                "a range within 0 to 16, low value first",
            ),
            resize.filters.is_empty().then(|| {
                ("data.degrade.resize.filters", "empty".into(), "a list of area, bilinear, bicubic")
            }),
            probability("data.degrade.resize.intermediate", resize.intermediate),
            interval(
                "data.degrade.resize.scale",
                resize.scale,
                0.25,
                4.0,
                "a range within 0.25 to 4, low value first",
            ),
            probability("data.degrade.noise.prob", noise.prob),
            interval(
                "data.degrade.noise.shot",
                noise.shot,
                0.0,
                0.25,
                "a range within 0 to 0.25, low value first",
            ),
            interval(
                "data.degrade.noise.read",
                noise.read,
                0.0,
                0.5,
                "a range within 0 to 0.5, low value first",
            ),
            probability("data.degrade.noise.grey", noise.grey),
            probability("data.degrade.noise.correlated", noise.correlated),
            probability("data.degrade.sharpen.prob", sharpen.prob),
            interval(
                "data.degrade.sharpen.amount",
                sharpen.amount,
                0.0,
                4.0,
                "a range within 0 to 4, low value first",
            ),
            interval(
                "data.degrade.sharpen.sigma",
                sharpen.sigma,
                0.1,
                8.0,
                "a range within 0.1 to 8, low value first",
            ),
            probability("data.degrade.jpeg.prob", jpeg.prob),
            (!quality).then(|| {
                let limit = "a range within 1 to 100, low value first";
                ("data.degrade.jpeg.quality", format!("[{low}, {high}]"), limit)
            }),
            jpeg.subsampling
                .is_empty()
                .then(|| ("data.degrade.jpeg.subsampling", "empty".into(), "a list of 4:4:4, 4:2:2, 4:2:0")),
            probability("data.degrade.jpeg.twice", jpeg.twice),
        ]
        .into_iter()
        .flatten()
        .next()
    }
}
