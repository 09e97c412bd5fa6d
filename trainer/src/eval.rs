//! PSNR and SSIM of a network on pairs of images.

pub mod parts;

use crate::data::pairs::{Pair, first_channel};
use crate::net::Net;
use burn::tensor::{Tensor, TensorData};
use mcir_runtime::image::Image;
use mcir_runtime::metrics::{self, MetricError};
use std::path::{Path, PathBuf};

/// Quality of one image.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ImageScore {
    /// Name of the image.
    pub name: String,
    /// PSNR on Y in dB, border of `upscale` pixels cropped; nothing is cropped without upscaling.
    pub psnr_y_db: f64,
    /// PSNR on RGB in dB, same border.
    pub psnr_rgb_db: f64,
    /// SSIM on Y, same border.
    pub ssim_y: f64,
    /// Mean SSIM of R, G and B, same border.
    pub ssim_rgb: f64,
    /// PSNR on RGB in dB of what the network was given, where that is as large as the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_psnr_rgb_db: Option<f64>,
}

/// Quality on a set of images: means, and each of them.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Scores {
    /// Mean of the images' PSNR on Y in dB; of all means of PSNR, exact images (infinite) are left out if there are others.
    pub psnr_y_db: f64,
    /// Mean of the images' PSNR on RGB in dB.
    pub psnr_rgb_db: f64,
    /// Mean of the images' SSIM.
    pub ssim_y: f64,
    /// Mean of the images' SSIM on RGB.
    pub ssim_rgb: f64,
    /// Mean of the inputs' PSNR on RGB in dB, without upscaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_psnr_rgb_db: Option<f64>,
    /// Every image.
    pub images: Vec<ImageScore>,
}

/// Images that are evaluated together.
#[derive(Debug, Clone)]
pub struct Set {
    /// What tables call it.
    pub name: String,
    /// The images.
    pub pairs: Vec<Pair>,
}

/// Quality on a named set.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SetScores {
    /// Name of the set.
    pub set: String,
    /// Quality.
    #[serde(flatten)]
    pub scores: Scores,
}

/// What a folder of images is called: its own name, or that of its parent if it is one of several
/// parts of a data set (`Set5/HR` is `Set5`).
pub fn set_name(folder: &Path) -> String {
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    let own = name(folder).unwrap_or_else(|| folder.display().to_string());
    let part = ["hr", "gt", "target", "sharp", "clear", "norain"].contains(&own.to_lowercase().as_str());
    folder.parent().and_then(name).filter(|_| part).unwrap_or(own)
}

/// Why images cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// No images.
    #[error("there is no image to evaluate on; name a folder with --data")]
    Empty,
    /// The network has another input than the images.
    #[error("the network reads {found} channels, images have 3; use a network for RGB")]
    Channels {
        /// Channels that the network reads.
        found: usize,
    },
    /// An image is too small to be compared.
    #[error(
        "{path} is {width}x{height} pixels, too small to measure: SSIM needs {least} in each direction; remove it from the \
         folder"
    )]
    Small {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Least width and height.
        least: usize,
    },
    /// An image cannot be compared.
    #[error("cannot compare {name} with its original: {source}; remove it from the folder")]
    Metric {
        /// Name of the image.
        name: String,
        /// What is wrong.
        source: MetricError,
    },
}

/// Checks that pairs can be evaluated, before a training of hours ends in the discovery that they cannot.
///
/// # Errors
/// [`EvalError::Small`] for the first image that is too small.
pub fn check(pairs: &[Pair], upscale: usize) -> Result<(), EvalError> {
    let least = metrics::SSIM_WINDOW + 2 * border(upscale);
    let small = pairs.iter().find(|p| p.hr.width().min(p.hr.height()) < least);
    small.map_or(Ok(()), |p| {
        let (width, height) = (p.hr.width(), p.hr.height());
        Err(EvalError::Small { path: p.path.clone(), width, height, least })
    })
}

/// The border is where upscaling lacks neighbours; restoration at one size is measured whole, as published.
fn border(upscale: usize) -> usize {
    if upscale == 1 { 0 } else { upscale }
}

/// [`evaluate`] for each set.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_sets(net: &Net, sets: &[Set]) -> Result<Vec<SetScores>, EvalError> {
    let one = |set: &Set| Ok(SetScores { set: set.name.clone(), scores: evaluate(net, &set.pairs)? });
    sets.iter().map(one).collect()
}

/// Upscales each pair's low-resolution image and compares it with the original.
///
/// # Errors
/// There is no pair, or one is too small for SSIM, or of another upscaling factor than the network.
pub fn evaluate(net: &Net, pairs: &[Pair]) -> Result<Scores, EvalError> {
    if pairs.is_empty() {
        return Err(EvalError::Empty);
    }
    let images = pairs.iter().map(|pair| score(net, pair)).collect::<Result<_, _>>()?;
    mean(images)
}

/// The means of images that were measured one by one, whoever did that.
///
/// # Errors
/// [`EvalError::Empty`].
pub fn mean(images: Vec<ImageScore>) -> Result<Scores, EvalError> {
    if images.is_empty() {
        return Err(EvalError::Empty);
    }
    let mean = |f: fn(&ImageScore) -> f64| images.iter().map(f).sum::<f64>() / images.len() as f64;
    let inputs: Option<Vec<f64>> = images.iter().map(|i| i.input_psnr_rgb_db).collect();
    Ok(Scores {
        psnr_y_db: mean_db(images.iter().map(|i| i.psnr_y_db)),
        psnr_rgb_db: mean_db(images.iter().map(|i| i.psnr_rgb_db)),
        ssim_y: mean(|i| i.ssim_y),
        ssim_rgb: mean(|i| i.ssim_rgb),
        input_psnr_rgb_db: inputs.map(|inputs| mean_db(inputs.into_iter())),
        images,
    })
}

/// The mean of PSNRs. Those of exact images are infinite and would hide all others: they are left out, unless there are no others.
fn mean_db(all: impl Iterator<Item = f64>) -> f64 {
    let finite: Vec<f64> = all.filter(|db| db.is_finite()).collect();
    if finite.is_empty() { f64::INFINITY } else { finite.iter().sum::<f64>() / finite.len() as f64 }
}

/// Upscales a pair's low-resolution image and compares it with the original.
///
/// # Errors
/// As [`evaluate`].
pub fn score(net: &Net, pair: &Pair) -> Result<ImageScore, EvalError> {
    let border = border(net.upscale());
    let sr = upscale(net, &pair.lr)?;
    let failed = |source| EvalError::Metric { name: pair.name.clone(), source };
    // The one channel of a grey original is Y, as in published tables.
    let original = pair.grey.then(|| first_channel(&pair.hr));
    let original = original.as_ref().unwrap_or(&pair.hr);
    Ok(ImageScore {
        name: pair.name.clone(),
        psnr_y_db: metrics::psnr_y(&sr, original, border).map_err(failed)?,
        psnr_rgb_db: metrics::psnr_rgb(&sr, &pair.hr, border).map_err(failed)?,
        ssim_y: metrics::ssim_y(&sr, original, border).map_err(failed)?,
        ssim_rgb: metrics::ssim_rgb(&sr, &pair.hr, border).map_err(failed)?,
        input_psnr_rgb_db: match net.upscale() {
            1 => Some(metrics::psnr_rgb(&pair.lr, &pair.hr, border).map_err(failed)?),
            _ => None,
        },
    })
}

/// The network's output for an RGB image, rounded to 8 bits.
///
/// # Errors
/// [`EvalError::Channels`].
pub fn upscale(net: &Net, lr: &Image) -> Result<Image, EvalError> {
    let found = net.in_channels();
    if found != lr.channels() {
        return Err(EvalError::Channels { found });
    }
    let (w, h) = (lr.width(), lr.height());
    let plane = |c: usize| lr.data()[c..].iter().step_by(3).map(|&v| f32::from(v) / 255.0);
    let values: Vec<f32> = (0..3).flat_map(plane).collect();
    let sr = net.forward(Tensor::from_data(TensorData::new(values, [1, 3, h, w]), &net.device()));
    let [_, c, h, w] = sr.dims();
    let values = sr.permute([0, 2, 3, 1]).into_data().try_into_vec::<f32>().expect("images are f32");
    let bytes = values.iter().map(|v| (v * 255.0).round().clamp(0.0, 255.0) as u8).collect();
    Ok(Image::new(w, h, c, bytes).expect("one byte for each value of the output"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_that_cannot_be_measured_are_named_beforehand() {
        let image = |w, h| Image::new(w, h, 3, vec![7; w * h * 3]).expect("an image");
        let pair = |w: usize, h: usize| {
            let (name, path) = ("a".into(), PathBuf::from("b/a.png"));
            vec![Pair { name, path, lr: image(w / 2, h / 2), hr: image(w, h), grey: false }]
        };
        assert!(check(&pair(16, 16), 2).is_ok());
        let error = check(&pair(20, 14), 2).expect_err("refused").to_string();
        assert!(error.contains("b/a.png is 20x14") && error.contains("needs 15"), "{error}");
        // The same limit as that of the metric.
        for (side, fits) in [(15, true), (14, false)] {
            assert_eq!(metrics::ssim_y(&image(side, 20), &image(side, 20), 2).is_ok(), fits);
        }
        assert!(check(&pair(12, 12), 1).is_ok());
    }

    #[test]
    fn exact_images_do_not_hide_the_others() {
        assert_eq!(mean_db([30.0, f64::INFINITY, 33.0].into_iter()), 31.5);
        assert_eq!(mean_db([f64::INFINITY; 2].into_iter()), f64::INFINITY);
    }

    #[test]
    fn sets_are_called_after_their_folders() {
        for (folder, name) in [
            ("data/Set5/HR", "Set5"),
            ("data/Set5/HR/", "Set5"),
            ("photos", "photos"),
            ("HR", "HR"),
            ("/GT", "GT"),
            ("a/Urban100", "Urban100"),
            (".", "."),
        ] {
            assert_eq!(set_name(Path::new(folder)), name, "{folder}");
        }
    }
}
