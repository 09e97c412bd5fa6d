//! Measuring one method: its images' quality, and how long it takes.

use crate::error::{Error, Result};
use crate::report::{Quality, Row};
use crate::upscaler::Upscaler;
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::{psnr_y, ssim_y};
use mcir_runtime::plan::Plan;
use std::time::{Duration, Instant};

/// Size of the image that latency is measured with, in pixels.
pub const LATENCY_SIZE: (usize, usize) = (320, 180);
/// Runs of the latency measurement: at least, at most, and no more are begun after this time.
const RUNS: (usize, usize) = (3, 21);
const RUN_TIME: Duration = Duration::from_millis(1500);

/// A way to upscale.
pub enum Method {
    /// Interpolation.
    Bicubic,
    /// A model.
    Model(Box<Upscaler>),
}

impl Method {
    /// Upscales an image.
    ///
    /// # Errors
    /// As [`Upscaler::run`].
    pub fn run(&mut self, lr: &Image, upscale: usize) -> Result<Image> {
        match self {
            Self::Bicubic => resize_bicubic(lr, lr.width() * upscale, lr.height() * upscale)
                .map_err(|source| Error::Image { name: "bicubic".into(), source }),
            Self::Model(upscaler) => upscaler.run(lr, &mut |_| {}),
        }
    }

    /// Its name with the kind of numbers, as in a report.
    pub fn label(&self) -> String {
        match self {
            Self::Bicubic => "bicubic".into(),
            Self::Model(upscaler) => format!("{} {}", upscaler.model().name, upscaler.model().precision()),
        }
    }

    /// The plan that was last used.
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Bicubic => None,
            Self::Model(upscaler) => upscaler.plan(),
        }
    }

    /// Its line of a report: latency measured now, qualities as given.
    ///
    /// # Errors
    /// As [`Method::run`].
    pub fn row(&mut self, upscale: usize, images: Vec<Quality>) -> Result<Row> {
        let (latency_ms, latency_runs) = self.latency(upscale)?;
        let mean = |value: fn(&Quality) -> f64| images.iter().map(value).sum::<f64>() / images.len() as f64;
        let model = match &*self {
            Self::Bicubic => None,
            Self::Model(upscaler) => Some(upscaler.model()),
        };
        Ok(Row {
            name: model.map_or_else(|| "bicubic".into(), |m| m.name.clone()),
            precision: model.map(|m| m.precision()),
            psnr_y_db: mean(|q| q.psnr_y_db),
            gain_db: None,
            ssim_y: mean(|q| q.ssim_y),
            drop_db: None,
            latency_ms,
            latency_runs,
            memory_bytes: self.plan().map(Plan::memory_bytes),
            file_bytes: model.map(|m| m.file_bytes),
            images,
        })
    }

    /// Median time in milliseconds and the number of runs, after one run to warm up.
    fn latency(&mut self, upscale: usize) -> Result<(f64, usize)> {
        let image = probe();
        self.run(&image, upscale)?;
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < RUNS.0 || (times.len() < RUNS.1 && start.elapsed() < RUN_TIME) {
            let start = Instant::now();
            self.run(&image, upscale)?;
            times.push(start.elapsed());
        }
        times.sort();
        Ok((times[times.len() / 2].as_secs_f64() * 1e3, times.len()))
    }
}

/// Quality of an upscaled image, with a border of `upscale` pixels left out.
///
/// # Errors
/// [`Error::Metric`] when the image is too small to be compared.
pub fn quality(name: &str, sr: &Image, hr: &Image, upscale: usize) -> Result<Quality> {
    let of_image = |source| Error::Metric { name: name.into(), source };
    Ok(Quality {
        psnr_y_db: psnr_y(sr, hr, upscale).map_err(of_image)?,
        ssim_y: ssim_y(sr, hr, upscale).map_err(of_image)?,
    })
}

/// A picture with smooth and busy parts in every channel.
fn probe() -> Image {
    let (width, height) = LATENCY_SIZE;
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        (x * (c + 1) + y * 3 + ((x ^ y) & 15) * 6) as u8
    };
    Image::new(width, height, 3, (0..width * height * 3).map(value).collect())
        .expect("the probe has the size that it is made for")
}
