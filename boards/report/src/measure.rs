//! Measuring one method: its images' quality, and how long it takes.

use crate::bench::{Latency, waited_ns, warm_up};
use crate::machine::energy::Meter;
use crate::report::{BICUBIC, HERE, Quality, Row, UNCHANGED};
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::{psnr_y, ssim_y};
use mcir_upscale::error::{Error, Result};
use mcir_upscale::upscaler::Upscaler;
use std::time::{Duration, Instant};

/// Runs of the latency measurement, at least and at most.
const RUNS: (usize, usize) = (3, 200);
/// The warm-up ends after this, steady or not.
const WARMUP: Duration = Duration::from_secs(2);

/// How latency is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// Width and height of the input image in pixels.
    pub size: (usize, usize),
    /// No more runs are begun after this time.
    pub time: Duration,
}

/// What was measured of a method's speed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Timed {
    /// Times of runs in milliseconds.
    pub samples_ms: Vec<f64>,
    /// Energy of a run in millijoules.
    pub energy_mj: Option<f64>,
    /// Part of the time in which its threads waited for a processor that others had.
    pub waited: Option<f64>,
}

/// A way to upscale.
pub enum Method {
    /// Interpolation.
    Bicubic,
    /// What a network that does not enlarge is given, as it is.
    Unchanged,
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
            Self::Unchanged => Ok(lr.clone()),
            Self::Bicubic => resize_bicubic(lr, lr.width() * upscale, lr.height() * upscale)
                .map_err(Error::image("bicubic")),
            Self::Model(upscaler) => upscaler.run(lr, &mut |_| {}),
        }
    }

    /// Name of what models are compared with.
    fn baseline(&self) -> &'static str {
        if matches!(self, Self::Unchanged) { UNCHANGED } else { BICUBIC }
    }

    /// What models of a factor are compared with.
    pub fn without_model(upscale: usize) -> Self {
        if upscale == 1 { Self::Unchanged } else { Self::Bicubic }
    }

    /// Its name with the kind of numbers, as in a report.
    pub fn label(&self) -> String {
        match self {
            Self::Bicubic | Self::Unchanged => self.baseline().into(),
            Self::Model(upscaler) => format!("{} {}", upscaler.model().name, upscaler.model().precision()),
        }
    }

    /// Its line of a report: qualities and CRCs of its images, and its speed.
    ///
    /// # Panics
    /// Without any time.
    pub fn row(&self, images: Vec<(Quality, u32)>, timed: Timed) -> Row {
        let Timed { samples_ms, energy_mj, waited } = timed;
        let latency = Latency::of(&samples_ms);
        let (images, crc32): (Vec<_>, Vec<_>) = images.into_iter().unzip();
        let mean = Quality::mean(&images);
        let model = match self {
            Self::Bicubic | Self::Unchanged => None,
            Self::Model(upscaler) => Some(upscaler.model()),
        };
        Row {
            target: HERE.into(),
            name: model.map_or_else(|| self.baseline().into(), |m| m.name.clone()),
            precision: model.map(|m| m.precision().into()),
            psnr_y_db: mean.psnr_y_db,
            gain_db: None,
            ssim_y: mean.ssim_y,
            drop_db: None,
            latency_ms: latency.p50_ms,
            latency,
            samples_ms,
            waited,
            energy_mj,
            memory_bytes: match self {
                Self::Bicubic | Self::Unchanged => None,
                Self::Model(upscaler) => upscaler.memory_bytes(),
            },
            file_bytes: model.map(|m| m.file_bytes),
            same_bits: None,
            device: match self {
                Self::Bicubic | Self::Unchanged => None,
                Self::Model(upscaler) => upscaler.gpu().map(str::to_owned),
            },
            sets: Vec::new(),
            images,
            crc32,
        }
    }

    /// Times of runs on so many threads, after a warm-up.
    ///
    /// # Errors
    /// As [`Method::run`].
    pub fn latency(
        &mut self,
        upscale: usize,
        timing: &Timing,
        threads: usize,
        meter: Option<&Meter>,
    ) -> Result<Timed> {
        let image = probe(timing.size);
        let mut run = || -> Result<f64> {
            let start = Instant::now();
            std::hint::black_box(self.run(&image, upscale)?);
            Ok(start.elapsed().as_secs_f64() * 1e3)
        };
        // A plan is made for the width before anything is timed.
        run()?;
        // A governor has raised the clock by then.
        let least = (timing.time / 5).min(Duration::from_millis(300));
        warm_up(least, WARMUP.min(timing.time), &mut run)?;
        let energy = meter.map(Meter::start);
        let waited = waited_ns();
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < RUNS.0 || (times.len() < RUNS.1 && start.elapsed() < timing.time) {
            // To a tenth of a microsecond: a report has many of them.
            times.push((run()? * 1e4).round() * 1e-4);
        }
        let could = start.elapsed().as_nanos() as f64 * self.threads(threads) as f64;
        let waited =
            waited_ns().zip(waited).map(|(after, before)| after.saturating_sub(before) as f64 / could);
        // Of the thread that waits for a GPU it would say little.
        let waited = waited.filter(|_| !matches!(self, Self::Model(upscaler) if upscaler.gpu().is_some()));
        let runs = times.len() as f64;
        let energy_mj = energy.and_then(|energy| energy.joules()).map(|joules| joules / runs * 1e3);
        Ok(Timed { samples_ms: times, energy_mj, waited })
    }

    /// Of so many threads those that it uses.
    fn threads(&self, threads: usize) -> usize {
        match self {
            Self::Bicubic | Self::Unchanged => 1,
            Self::Model(_) => threads.max(1),
        }
    }
}

/// Pixels at the edges that are left out of a comparison: where upscaling lacks neighbours. Restoration at one size is measured
/// whole.
pub fn border(upscale: usize) -> usize {
    if upscale == 1 { 0 } else { upscale }
}

/// Quality of an image, without its [`border`].
///
/// # Errors
/// [`Error::Metric`] when the image is too small to be compared.
pub fn quality(name: &str, sr: &Image, hr: &Image, upscale: usize) -> Result<Quality> {
    let of_image = |source| Error::Metric { name: name.into(), source };
    Ok(Quality {
        psnr_y_db: psnr_y(sr, hr, border(upscale)).map_err(of_image)?,
        ssim_y: ssim_y(sr, hr, border(upscale)).map_err(of_image)?,
    })
}

/// CRC-32 of the samples of an image.
pub fn crc32(image: &Image) -> u32 {
    crc32fast::hash(image.data())
}

/// A picture with smooth and busy parts in every channel.
fn probe((width, height): (usize, usize)) -> Image {
    let value = |i: usize| {
        let (x, y, c) = (i / 3 % width, i / 3 / width, i % 3);
        (x * (c + 1) + y * 3 + ((x ^ y) & 15) * 6) as u8
    };
    Image::new(width, height, 3, (0..width * height * 3).map(value).collect())
        .expect("the probe has the size that it is made for")
}
