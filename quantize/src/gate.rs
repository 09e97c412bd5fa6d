//! The PSNR gate: what quantization costs on images that calibration has not seen.

use crate::engine::Runner;
use crate::error::QuantizeError;
use crate::images::{self, Task};
use crate::parallel::{self, Progress};
use mcir_runtime::metrics::psnr_y;
use mcir_runtime::model::Model;
use serde::Serialize;
use std::path::PathBuf;

/// PSNR of images that are equal, so that means and drops stay finite.
const CAP_DB: f64 = 100.0;

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
            histogram: histogram(&images),
            images,
        }
    }

    /// The image that loses most.
    pub fn worst(&self) -> &ImageDrop {
        let by_drop = |a: &&ImageDrop, b: &&ImageDrop| a.drop_db.total_cmp(&b.drop_db);
        self.images.iter().max_by(by_drop).expect("there is at least one image")
    }

    /// By how much the drops exceed the limits, in dB; zero or less where they do not.
    pub fn excess_db(&self, limits: Limits) -> f64 {
        let mean = self.mean_drop_db - limits.mean_db;
        limits.worst_db.map_or(mean, |worst| mean.max(self.worst().drop_db - worst))
    }

    /// Whether the drops are within the limits.
    pub fn passes(&self, limits: Limits) -> bool {
        self.excess_db(limits) <= 0.0
    }
}

/// Largest drops of PSNR-Y that are allowed, in dB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Mean over the images.
    pub mean_db: f64,
    /// Of each image, if there is such a limit: a mean hides one picture that is spoilt.
    pub worst_db: Option<f64>,
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

/// The float model on the images that quantized ones are measured on: it runs once, however many of those there are.
pub struct Baseline<'a> {
    float: &'a Model,
    files: &'a [PathBuf],
    psnr_db: Vec<f64>,
}

impl<'a> Baseline<'a> {
    /// Measures the float model on the files.
    ///
    /// # Errors
    /// [`QuantizeError::Image`] when a file cannot be used.
    pub fn new(
        float: &'a Model,
        files: &'a [PathBuf],
        threads: usize,
        progress: &dyn Progress,
    ) -> Result<Self, QuantizeError> {
        let measured = psnr_of(float, files, threads, ("measuring f32", progress))?;
        Ok(Self { float, files, psnr_db: measured.into_iter().map(|(psnr_db, _)| psnr_db).collect() })
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
        common_task(self.float, int8)?;
        let measured = psnr_of(int8, self.files, threads, ("measuring int8", progress))?;
        let rows = self.files.iter().zip(&self.psnr_db).zip(measured);
        let images = rows.map(|((path, &psnr_f32_db), (psnr_int8_db, [width, height]))| ImageDrop {
            name: images::name_of(path),
            width,
            height,
            psnr_f32_db,
            psnr_int8_db,
            drop_db: psnr_f32_db - psnr_int8_db,
        });
        Ok(Drops::new(images.collect()))
    }
}

/// PSNR-Y of a model on each file, and the size of its high-resolution image.
fn psnr_of(
    model: &Model,
    files: &[PathBuf],
    threads: usize,
    (stage, progress): (&str, &dyn Progress),
) -> Result<Vec<(f64, [usize; 2])>, QuantizeError> {
    let task = task_of(model)?;
    progress.begin(stage, files.len());
    let (measured, _) = parallel::map(
        files,
        threads,
        || Runner::new(model),
        |runner, path| {
            let pair = images::load(path, task)
                .map_err(|reason| QuantizeError::Image { path: path.clone(), reason })?;
            let psnr_db = psnr_y(&runner.upscale(&pair.lr)?, &pair.hr, task.upscale)?.min(CAP_DB);
            progress.step();
            Ok::<_, QuantizeError>((psnr_db, [pair.hr.width(), pair.hr.height()]))
        },
    )?;
    progress.end();
    Ok(measured)
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
