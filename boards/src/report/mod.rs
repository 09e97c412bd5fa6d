//! What `compare` measures, as a value that prints as a table or as JSON with the same fields.

mod table;
#[cfg(test)]
mod tests;

pub use table::Table;

use serde::Serialize;
use std::fmt;

/// Version of the JSON output.
pub const SCHEMA: u32 = 1;

/// Measured quality and speed of models.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Always `compare`.
    pub command: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// Where the images come from, for the reader.
    pub data: String,
    /// How the latency was measured.
    pub latency: Latency,
    /// One for each upscaling factor.
    pub sections: Vec<Section>,
    /// Images that could not be used.
    pub skipped: Vec<Skipped>,
}

/// Conditions of the latency measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latency {
    /// Width of the input image in pixels.
    pub width: usize,
    /// Height of the input image in pixels.
    pub height: usize,
    /// Threads.
    pub threads: usize,
    /// Instruction set of the kernels; bicubic is plain code.
    pub isa: &'static str,
}

/// Results for one upscaling factor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Section {
    /// The factor.
    pub upscale: usize,
    /// Pixels left out on each side when images are compared.
    pub crop_border: usize,
    /// Names of the images, in the order of [`Row::images`].
    pub images: Vec<String>,
    /// One for each method, bicubic first.
    pub rows: Vec<Row>,
}

/// Results of one method: averages over the images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// `bicubic`, or the model's name.
    pub name: String,
    /// `f32` or `int8`; none for bicubic.
    pub precision: Option<&'static str>,
    /// PSNR on Y in dB.
    pub psnr_y_db: f64,
    /// PSNR on Y above bicubic's, in dB; none for bicubic itself.
    pub gain_db: Option<f64>,
    /// SSIM on Y.
    pub ssim_y: f64,
    /// What an int8 model loses against the f32 model of its name, in dB.
    pub drop_db: Option<f64>,
    /// Median time for one image of the size in [`Latency`], in milliseconds.
    pub latency_ms: f64,
    /// Runs that the median is of.
    pub latency_runs: usize,
    /// Working memory of the engine for that size, in bytes: ring buffers and packed weights.
    pub memory_bytes: Option<usize>,
    /// Size of the model file.
    pub file_bytes: Option<usize>,
    /// Each image's values.
    pub images: Vec<Quality>,
}

impl Row {
    /// The name with the kind of numbers.
    pub fn label(&self) -> String {
        self.precision.map_or_else(|| self.name.clone(), |p| format!("{} {p}", self.name))
    }
}

/// Quality of one upscaled image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// PSNR on Y in dB; infinite (`null` in JSON) for a perfect image.
    pub psnr_y_db: f64,
    /// SSIM on Y.
    pub ssim_y: f64,
}

/// An image that could not be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its name.
    pub image: String,
    /// The error.
    pub error: String,
}

impl Section {
    /// Fills in what follows from all rows together: gain over bicubic and drop of int8 against f32.
    pub fn relate(&mut self) {
        let known: Vec<_> = self.rows.iter().map(|r| (r.name.clone(), r.precision, r.psnr_y_db)).collect();
        let psnr = |name: &str, precision| {
            known.iter().find(|(n, p, _)| n == name && *p == precision).map(|&(_, _, psnr)| psnr)
        };
        for row in &mut self.rows {
            if row.precision.is_some() {
                row.gain_db = psnr("bicubic", None).map(|bicubic| row.psnr_y_db - bicubic);
            }
            if row.precision == Some("int8") {
                row.drop_db = psnr(&row.name, Some("f32")).map(|float| float - row.psnr_y_db);
            }
        }
    }

    /// Averages, a line a method.
    pub fn summary(&self) -> Table {
        let mut table = Table::new([
            "method",
            "PSNR-Y dB",
            "vs bicubic",
            "SSIM-Y",
            "int8 drop dB",
            "latency ms",
            "file kB",
        ]);
        for row in &self.rows {
            table.push([
                row.label(),
                format!("{:.3}", row.psnr_y_db),
                row.gain_db.map_or_else(String::new, |v| format!("{v:+.3}")),
                format!("{:.4}", row.ssim_y),
                row.drop_db.map_or_else(String::new, |v| format!("{v:.3}")),
                format!("{:.1}", row.latency_ms),
                row.file_bytes.map_or_else(String::new, |v| format!("{:.1}", v as f64 / 1e3)),
            ]);
        }
        table
    }

    /// PSNR and SSIM of every image, a line an image.
    pub fn details(&self) -> Table {
        let mut table = Table::new(
            std::iter::once("PSNR-Y dB / SSIM-Y".to_owned()).chain(self.rows.iter().map(Row::label)),
        );
        for (i, image) in self.images.iter().enumerate() {
            let values = self.rows.iter().map(|r| r.images[i]);
            table.push(
                std::iter::once(image.clone())
                    .chain(values.map(|q| format!("{:.2} / {:.4}", q.psnr_y_db, q.ssim_y))),
            );
        }
        table
    }
}

impl Latency {
    /// The conditions in words, for results of a factor.
    pub fn describe(&self, upscale: usize) -> String {
        let (w, h) = (self.width, self.height);
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        let (big_w, big_h) = (w * upscale, h * upscale);
        format!("{w}x{h} to {big_w}x{big_h}, median, {} {threads}, {}", self.threads, self.isa)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            let (images, border) = (section.images.len(), section.crop_border);
            writeln!(
                f,
                "x{}: {}, {images} images, {border} pixels of border left out",
                section.upscale, self.data
            )?;
            writeln!(f, "latency: {}\n", self.latency.describe(section.upscale))?;
            writeln!(f, "{}", section.summary())?;
            writeln!(f, "{}", section.details())?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped {}: {}", skipped.image, skipped.error)?;
        }
        Ok(())
    }
}
