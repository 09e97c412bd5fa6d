//! The PSNR gate: what quantization costs on images that calibration has not seen.
//!
//! The drop compares both models with the photograph. For a network that was trained to look sharp rather than to come near it (a GAN)
//! that says little, as noise moves its pictures in any direction; how near the two models' pictures are to each other, their
//! *agreement*, is then what to limit.

use crate::engine::Runner;
use crate::error::QuantizeError;
use crate::images::{self, Pair, Task};
use crate::parallel::{self, Progress};
use crate::samples::{Entry, Sample, Samples};
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::{psnr_rgb, psnr_y};
use mcir_runtime::model::Model;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// PSNR of images that are equal, so that means and drops stay finite.
pub const CAP_DB: f64 = 100.0;

/// What quantization costs on one image. PSNR on Y, with the upscaling factor as crop border.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImageDrop {
    /// File name without the folder.
    pub name: String,
    /// Width of the high-resolution image in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Of the float model, in dB.
    pub psnr_f32_db: f64,
    /// Of the quantized model, in dB.
    pub psnr_int8_db: f64,
    /// Difference of the two; positive when quantization loses.
    pub drop_db: f64,
    /// PSNR of the quantized model's picture against the float model's, over all channels, in dB.
    pub agreement_db: f64,
}

/// Images whose drop lies in a range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Lower end in dB, inside.
    pub from_db: f64,
    /// Upper end in dB, outside but for the last bin.
    pub to_db: f64,
    /// Number of images.
    pub images: usize,
}

/// Bins of the histogram of drops.
const MOST_BINS: usize = 16;

/// What quantization costs on a set of images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drops {
    /// Mean over the images, in dB.
    pub mean_drop_db: f64,
    /// Mean PSNR-Y of the float model, in dB.
    pub psnr_f32_db: f64,
    /// Mean PSNR-Y of the quantized model, in dB.
    pub psnr_int8_db: f64,
    /// Mean PSNR of its pictures against the float model's, in dB.
    pub agreement_db: f64,
    /// Each image, in the order of the files.
    pub images: Vec<ImageDrop>,
    /// How the drops are spread; at most 16 bins of equal width.
    pub histogram: Vec<Bin>,
}

impl Drops {
    /// Summary of the images.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(images: Vec<ImageDrop>) -> Self {
        assert!(!images.is_empty(), "a drop is measured on at least one image");
        let mean = |f: fn(&ImageDrop) -> f64| images.iter().map(f).sum::<f64>() / images.len() as f64;
        Self {
            mean_drop_db: mean(|i| i.drop_db),
            psnr_f32_db: mean(|i| i.psnr_f32_db),
            psnr_int8_db: mean(|i| i.psnr_int8_db),
            agreement_db: mean(|i| i.agreement_db),
            histogram: histogram(&images),
            images,
        }
    }

    /// The image that loses most.
    pub fn worst(&self) -> &ImageDrop {
        let by_drop = |a: &&ImageDrop, b: &&ImageDrop| a.drop_db.total_cmp(&b.drop_db);
        self.images.iter().max_by(by_drop).expect("there is at least one image")
    }

    /// By how much the limits are exceeded, in dB; zero or less where they are not.
    pub fn excess_db(&self, limits: Limits) -> f64 {
        let mean = Some(self.mean_drop_db - limits.mean_db);
        let worst = limits.worst_db.map(|worst| self.worst().drop_db - worst);
        let apart = limits.least_agreement_db.map(|least| least - self.agreement_db);
        [mean, worst, apart].into_iter().flatten().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Power of the difference between the two models' pictures, mean over the images, that of full scale being 1.
    pub fn noise(&self) -> f64 {
        let of = |image: &ImageDrop| 10.0_f64.powf(-image.agreement_db / 10.0);
        self.images.iter().map(of).sum::<f64>() / self.images.len() as f64
    }

    /// Whether the drops are within the limits.
    pub fn passes(&self, limits: Limits) -> bool {
        self.excess_db(limits) <= 0.0
    }

    /// The limits that are exceeded and by what, the end of a sentence; none when all are kept.
    pub fn missed(&self, limits: Limits) -> Option<String> {
        let (mean, worst, agreement) = (self.mean_drop_db, self.worst(), self.agreement_db);
        let worst_db = limits.worst_db.filter(|&limit| worst.drop_db > limit);
        let least_db = limits.least_agreement_db.filter(|&least| agreement < least);
        let missed: Vec<_> = (mean > limits.mean_db)
            .then(|| format!("{mean:.4} dB lost, limit {}", limits.mean_db))
            .into_iter()
            .chain(
                worst_db
                    .map(|limit| format!("{:.4} dB lost on {}, limit {limit}", worst.drop_db, worst.name)),
            )
            .chain(least_db.map(|least| {
                format!("int8 pictures agree with f32 ones to {agreement:.1} dB, limit {least}")
            }))
            .collect();
        (!missed.is_empty()).then(|| missed.join("; "))
    }
}

/// What quantization may cost, in dB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest drop of PSNR-Y, mean over the images.
    pub mean_db: f64,
    /// The same of each image, if there is such a limit: a mean hides one picture that is spoilt.
    pub worst_db: Option<f64>,
    /// Least agreement, mean over the images, if there is such a limit.
    pub least_agreement_db: Option<f64>,
}

fn histogram(images: &[ImageDrop]) -> Vec<Bin> {
    let all = || images.iter().map(|i| i.drop_db);
    let (lo, hi) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let bins = MOST_BINS.min(images.len());
    let step = ((hi - lo) / bins as f64).max(1e-9);
    let at = |i: usize| lo + step * i as f64;
    let mut found: Vec<Bin> =
        (0..bins).map(|i| Bin { from_db: at(i), to_db: at(i + 1), images: 0 }).collect();
    all().for_each(|drop| found[(((drop - lo) / step) as usize).min(bins - 1)].images += 1);
    found
}

/// Pixels left out at each side, where upscaling lacks neighbours; restoration at one size is measured whole.
fn border(upscale: usize) -> usize {
    if upscale == 1 { 0 } else { upscale }
}

/// The images that two models are for.
///
/// # Errors
/// [`QuantizeError::Mismatch`] when they are for different ones.
pub fn common_task(first: &Model, second: &Model) -> Result<Task, QuantizeError> {
    let differ = |what, first, second| Err(QuantizeError::Mismatch { what, first, second });
    if first.upscale() != second.upscale() {
        return differ("upscaling factor", first.upscale().into(), second.upscale().into());
    }
    if first.in_channels() != second.in_channels() {
        return differ("input channels", first.in_channels(), second.in_channels());
    }
    if first.out_channels() != second.out_channels() {
        return differ("output channels", first.out_channels(), second.out_channels());
    }
    task_of(first)
}

/// The images that a model is for.
///
/// # Errors
/// [`QuantizeError::Mismatch`] when it writes another number of channels than it reads.
pub fn task_of(model: &Model) -> Result<Task, QuantizeError> {
    let (first, second) = (model.in_channels(), model.out_channels());
    if first != second {
        return Err(QuantizeError::Mismatch { what: "channels (read and written)", first, second });
    }
    Ok(Task { upscale: usize::from(model.upscale()), channels: first })
}

/// The float model on the images that quantized ones are measured on: it runs once, however many of those there are. Its pictures
/// wait in a temporary file.
pub struct Baseline<'a> {
    float: &'a Model,
    files: &'a [PathBuf],
    psnr_db: Vec<f64>,
    pictures: Samples,
    bicubic_db: f64,
}

impl<'a> Baseline<'a> {
    /// Measures the float model on the files.
    ///
    /// # Errors
    /// [`QuantizeError::Image`] when a file cannot be used, [`QuantizeError::Spool`].
    pub fn new(
        float: &'a Model,
        files: &'a [PathBuf],
        threads: usize,
        progress: &dyn Progress,
    ) -> Result<Self, QuantizeError> {
        let task = task_of(float)?;
        let (mut psnr_db, mut pictures, mut bicubic_db, mut failed) = (vec![], Samples::new()?, 0.0, None);
        progress.begin("measuring f32", files.len());
        let work = |runner: &mut Runner<'_>, path: &PathBuf| {
            let pair = load(path, task)?;
            let picture = runner.upscale(&pair.lr)?;
            let bicubic = resize_bicubic(&pair.lr, pair.hr.width(), pair.hr.height())?;
            let [model, bicubic] =
                [&picture, &bicubic].map(|image| psnr_y(image, &pair.hr, border(task.upscale)));
            progress.step();
            Ok::<_, QuantizeError>((model?.min(CAP_DB), bicubic?.min(CAP_DB), picture))
        };
        let take = |(model, bicubic, lr): (f64, f64, Image)| {
            psnr_db.push(model);
            bicubic_db += bicubic / files.len() as f64;
            failed = failed.take().or(pictures.push(&Sample { name: String::new(), lr }).err());
        };
        parallel::in_order(files, threads, || Runner::new(float), work, take)?;
        progress.end();
        match failed {
            Some(error) => Err(error),
            None => Ok(Self { float, files, psnr_db, pictures, bicubic_db }),
        }
    }

    /// By how much the float model's pictures are nearer to the photographs than bicubic interpolation, in dB of PSNR-Y; mean
    /// over the images.
    pub fn gain_over_bicubic_db(&self) -> f64 {
        self.psnr_db.iter().sum::<f64>() / self.psnr_db.len().max(1) as f64 - self.bicubic_db
    }

    /// Measures a quantized model on the same files.
    ///
    /// # Errors
    /// [`QuantizeError::Image`] when a file cannot be used, [`QuantizeError::Mismatch`] when the models are for
    /// different images.
    ///
    /// # Panics
    /// If there are no files.
    pub fn measure(
        &self,
        int8: &Model,
        threads: usize,
        progress: &dyn Progress,
    ) -> Result<Drops, QuantizeError> {
        let task = common_task(self.float, int8)?;
        let rows: Vec<(&PathBuf, f64, &Entry)> = (self.files.iter().zip(&self.psnr_db))
            .zip(self.pictures.entries())
            .map(|((path, &psnr_db), picture)| (path, psnr_db, picture))
            .collect();
        progress.begin("measuring int8", rows.len());
        let init = || Runner::new(int8);
        let (images, _) = parallel::map(&rows, threads, init, |runner, &(path, psnr_f32_db, picture)| {
            let pair = load(path, task)?;
            let found = runner.upscale(&pair.lr)?;
            let psnr_int8_db = psnr_y(&found, &pair.hr, border(task.upscale))?.min(CAP_DB);
            let agreement_db = psnr_rgb(&found, &self.pictures.read(picture)?.lr, 0)?.min(CAP_DB);
            progress.step();
            Ok::<_, QuantizeError>(ImageDrop {
                name: images::name_of(path),
                width: pair.hr.width(),
                height: pair.hr.height(),
                psnr_f32_db,
                psnr_int8_db,
                drop_db: psnr_f32_db - psnr_int8_db,
                agreement_db,
            })
        })?;
        progress.end();
        Ok(Drops::new(images))
    }
}

fn load(path: &Path, task: Task) -> Result<Pair, QuantizeError> {
    images::load(path, task).map_err(|reason| QuantizeError::Image { path: path.to_owned(), reason })
}

/// Measures both models on the files.
///
/// # Errors
/// As [`Baseline::measure`].
///
/// # Panics
/// If there are no files.
pub fn measure(
    float: &Model,
    int8: &Model,
    files: &[PathBuf],
    threads: usize,
    progress: &dyn Progress,
) -> Result<Drops, QuantizeError> {
    common_task(float, int8)?;
    Baseline::new(float, files, threads, progress)?.measure(int8, threads, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_images_are_in_the_histogram() {
        for values in [&[0.1][..], &[0.0, 0.0, 0.0], &[-0.01, 0.02, 0.02, 0.07, 0.0], &[0.5; 40]] {
            let image = |&drop_db: &f64| ImageDrop {
                name: String::new(),
                width: 1,
                height: 1,
                psnr_f32_db: 30.0,
                psnr_int8_db: 30.0 - drop_db,
                drop_db,
                agreement_db: 40.0,
            };
            let drops = Drops::new(values.iter().map(image).collect());
            let counted: usize = drops.histogram.iter().map(|bin| bin.images).sum();
            assert!(counted == values.len() && drops.histogram.len() <= MOST_BINS);
            for bin in &drops.histogram {
                let inside = |v: &&f64| **v >= bin.from_db - 1e-12 && **v <= bin.to_db + 1e-12;
                assert!(values.iter().filter(inside).count() >= bin.images, "{bin:?} of {values:?}");
            }
        }
    }
}
