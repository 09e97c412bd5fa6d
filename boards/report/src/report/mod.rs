//! What `compare` measures, as a value that prints as a table or as JSON with the same fields.

mod merge;
#[cfg(test)]
mod tests;

pub use mcir_upscale::table::{Line, Table};

use crate::bench;
use mcir_files::name::counted;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// Version of the JSON output.
pub const SCHEMA: u32 = 2;
/// Name of interpolation, which models are compared with.
pub const BICUBIC: &str = "bicubic";
/// Name of the input as it is, which models that do not enlarge are compared with.
pub const UNCHANGED: &str = "unchanged";
/// Name of the target that is no other machine.
pub const HERE: &str = "this machine";

/// Measured quality and speed of models on one machine or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Always `compare`.
    pub command: String,
    /// Version of the program.
    pub version: String,
    /// Where the images come from, for the reader.
    pub data: String,
    /// How the latency was measured.
    pub latency: Latency,
    /// The machines that were measured, or were to be.
    pub targets: Vec<Target>,
    /// One for each upscaling factor.
    pub sections: Vec<Section>,
    /// Images that could not be used.
    pub skipped: Vec<Skipped>,
}

/// A machine, and how its measurement went.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Target {
    /// [`HERE`], or how it was reached.
    pub target: String,
    /// Why nothing was measured there; the fields below are then empty.
    pub failed: Option<Failure>,
    /// Board or processor.
    pub machine: Option<String>,
    /// The program that measured: its version, and whether it was flashed or uploaded for this.
    pub program: Option<String>,
    /// As `uname -m` prints it.
    pub architecture: Option<String>,
    /// Instruction set of the kernels; bicubic is plain code.
    pub isa: Option<String>,
    /// The machine before its measurement.
    pub before: bench::System,
    /// The machine after it.
    pub after: bench::System,
    /// What the energy is of; none where the machine does not tell any.
    pub energy_source: Option<String>,
    /// Why its times do not stand for it.
    pub invalid_because: Vec<String>,
}

/// What went wrong, and what to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The error.
    pub message: String,
    /// The next thing to try.
    pub help: String,
}

/// Conditions of the latency measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Width of the input image in pixels.
    pub width: usize,
    /// Height of the input image in pixels.
    pub height: usize,
    /// Threads.
    pub threads: usize,
}

/// Results for one upscaling factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The factor.
    pub upscale: usize,
    /// Pixels left out on each side when images are compared.
    pub crop_border: usize,
    /// Names of the images, in the order of [`Row::images`].
    pub images: Vec<String>,
    /// The sets that the images are of, one after the other.
    #[serde(default)]
    pub sets: Vec<ImageSet>,
    /// One for each method of each machine, bicubic first.
    pub rows: Vec<Row>,
}

/// Images that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSet {
    /// What it is called.
    pub name: String,
    /// How many images it has.
    pub images: usize,
}

/// Results of one method on one machine: averages over the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// [`Target::target`] of the machine.
    pub target: String,
    /// [`BICUBIC`] or [`UNCHANGED`], or the model's name.
    pub name: String,
    /// `f32` or `int8`; none for bicubic.
    pub precision: Option<String>,
    /// PSNR on Y in dB.
    #[serde(deserialize_with = "or_infinite")]
    pub psnr_y_db: f64,
    /// PSNR on Y above that of [`BICUBIC`] or [`UNCHANGED`], in dB; none for these themselves.
    pub gain_db: Option<f64>,
    /// SSIM on Y.
    pub ssim_y: f64,
    /// What an int8 model loses against the f32 model of its name, in dB.
    pub drop_db: Option<f64>,
    /// Median time for one image of the size in [`Latency`], in milliseconds.
    pub latency_ms: f64,
    /// Times of the runs that the median is of.
    pub latency: bench::Latency,
    /// The runs in their order, in milliseconds.
    pub samples_ms: Vec<f64>,
    /// Part of the time of these runs in which threads waited for a processor that other programs had: above
    /// [`BUSY`](bench::BUSY) the times are marked. None where the system does not tell.
    #[serde(default)]
    pub waited: Option<f64>,
    /// Energy of the machine for one such image, in millijoules.
    pub energy_mj: Option<f64>,
    /// Working memory of the engine for that size, in bytes: ring buffers and packed weights.
    pub memory_bytes: Option<usize>,
    /// Size of the model file.
    pub file_bytes: Option<usize>,
    /// Name of the GPU that it ran on; none for the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Whether all images came out as on [`HERE`], to the bit; none where that was not compared.
    pub same_bits: Option<bool>,
    /// Averages over the images of each of [`Section::sets`].
    #[serde(default)]
    pub sets: Vec<SetQuality>,
    /// Each image's values.
    pub images: Vec<Quality>,
    /// CRC-32 of each upscaled image's samples.
    pub crc32: Vec<u32>,
}

impl Row {
    /// The name with the kind of numbers.
    pub fn label(&self) -> String {
        self.precision.as_ref().map_or_else(|| self.name.clone(), |p| format!("{} {p}", self.name))
    }

    /// How much of the time of its measurement went to other programs, if that makes its times doubtful.
    pub fn disturbed(&self) -> Option<f64> {
        self.waited.filter(|&waited| waited > bench::BUSY)
    }

    /// A figure that depends on the time, marked if that is doubtful.
    fn timed(&self, figure: String) -> String {
        if self.disturbed().is_some() { format!("{figure}{MARK}") } else { figure }
    }
}

/// Quality of one upscaled image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// PSNR on Y in dB; infinite (`null` in JSON) for a perfect image.
    #[serde(deserialize_with = "or_infinite")]
    pub psnr_y_db: f64,
    /// SSIM on Y.
    pub ssim_y: f64,
}

impl Quality {
    /// The averages of several, which are not none. An infinite PSNR would hide all others, and is left out, unless all are.
    pub fn mean(of: &[Self]) -> Self {
        Self::mean_of(of, &vec![false; of.len()])
    }

    /// The averages; that of PSNR without those that are marked, or that are infinite, if others are left.
    fn mean_of(of: &[Self], marked: &[bool]) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let psnr = || of.iter().map(|q| q.psnr_y_db);
        let unmarked: Vec<_> =
            psnr().zip(marked).filter(|(db, m)| !**m && db.is_finite()).map(|(db, _)| db).collect();
        let finite: Vec<_> = psnr().filter(|db| db.is_finite()).collect();
        let psnr_y_db = match (unmarked.as_slice(), finite.as_slice()) {
            ([], []) => f64::INFINITY,
            ([], finite) => mean(finite),
            (unmarked, _) => mean(unmarked),
        };
        Self { psnr_y_db, ssim_y: mean(&of.iter().map(|q| q.ssim_y).collect::<Vec<_>>()) }
    }
}

/// Quality on one set of images: averages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SetQuality {
    /// PSNR and SSIM; none where no image of the set could be used.
    #[serde(flatten)]
    pub quality: Option<Quality>,
    /// PSNR on Y above bicubic's, in dB; none for bicubic itself.
    pub gain_db: Option<f64>,
}

/// A number, or infinity for the `null` that JSON has for it.
fn or_infinite<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(input)?.unwrap_or(f64::INFINITY))
}

/// An image that could not be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name.
    pub image: String,
    /// The error.
    pub error: String,
}

/// Stands behind figures that other programs have spoiled.
const MARK: char = '*';

impl Section {
    /// Which images some method met to the bit, so that its PSNR is infinite: means of PSNR are without them for all methods, or
    /// they would be means over different images.
    fn exact(&self) -> Vec<bool> {
        let is_exact =
            |n: usize| self.rows.iter().any(|r| r.images.get(n).is_some_and(|q| q.psnr_y_db.is_infinite()));
        (0..self.images.len()).map(is_exact).collect()
    }

    /// Which images are not in the means, where there are any.
    pub fn exact_note(&self) -> Option<String> {
        let exact: Vec<_> =
            self.exact().into_iter().zip(&self.images).filter(|(e, _)| *e).map(|(_, name)| name).collect();
        let (first, more) = (exact.first()?, exact.len() - 1);
        let which = match more {
            0 => format!("{first} came out exact (infinite PSNR)"),
            n => format!("{first} and {n} more came out exact (infinite PSNR)"),
        };
        Some(match self.images.len() - exact.len() {
            0 => format!("{which}: there is no other image to average"),
            left => format!("{which} with at least one method; means of PSNR are over the other {left}"),
        })
    }

    /// What the marks of figures mean, where there are any.
    pub fn note(&self) -> Option<String> {
        let most = self.rows.iter().filter_map(Row::disturbed).max_by(f64::total_cmp)?;
        Some(format!(
            "{MARK} not valid: other programs used the processors for up to {:.0} % of the time of this measurement; \
             measure again when they are idle",
            most * 100.0
        ))
    }

    /// Fills in what follows from all rows of a machine together: gain over bicubic and drop of int8 against f32; and the
    /// averages of each set.
    pub fn relate(&mut self) {
        self.relate_sets();
        let exact = self.exact();
        for row in self.rows.iter_mut().filter(|row| row.images.len() == exact.len() && !exact.is_empty()) {
            row.psnr_y_db = Quality::mean_of(&row.images, &exact).psnr_y_db;
        }
        let difference = |a: f64, b: f64| Some(a - b).filter(|db| db.is_finite());
        let psnr = |of: &Row, name: &str, precision: Option<&str>| {
            let fits =
                |r: &&Row| r.target == of.target && r.name == name && r.precision.as_deref() == precision;
            self.rows.iter().find(fits).map(|r| r.psnr_y_db)
        };
        let relations: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                let precision = row.precision.as_deref()?;
                let without = psnr(row, BICUBIC, None).or_else(|| psnr(row, UNCHANGED, None));
                let gain = without.and_then(|bicubic| difference(row.psnr_y_db, bicubic));
                let float = psnr(row, &row.name, Some("f32")).filter(|_| precision == "int8");
                Some((gain, float.and_then(|float| difference(float, row.psnr_y_db))))
            })
            .collect();
        for (row, relation) in self.rows.iter_mut().zip(relations) {
            (row.gain_db, row.drop_db) = relation.unwrap_or_default();
        }
    }

    fn relate_sets(&mut self) {
        let exact = self.exact();
        for row in &mut self.rows {
            let mut at = 0;
            let of_set = |set: &ImageSet| {
                let range = at..at + set.images;
                let images = row.images.get(range.clone()).unwrap_or_default();
                let marked = exact.get(range).unwrap_or_default();
                at += set.images;
                let quality = (!images.is_empty()).then(|| Quality::mean_of(images, marked));
                SetQuality { quality, gain_db: None }
            };
            row.sets = self.sets.iter().map(of_set).collect();
        }
        let psnr = |row: &Row, set: usize| row.sets[set].quality.map(|q| q.psnr_y_db);
        let gains: Vec<Vec<_>> = self
            .rows
            .iter()
            .map(|row| {
                let without = self.rows.iter().find(|r| r.target == row.target && r.precision.is_none());
                let gain = |set| Some(psnr(row, set)? - psnr(without?, set)?).filter(|db| db.is_finite());
                (0..self.sets.len()).map(|set| gain(set).filter(|_| row.precision.is_some())).collect()
            })
            .collect();
        for (row, gains) in self.rows.iter_mut().zip(gains) {
            row.sets.iter_mut().zip(gains).for_each(|(set, gain)| set.gain_db = gain);
        }
    }

    /// Averages, a line a method of each machine; of several sets, those of each. Columns that would be empty are left out,
    /// and so is that of the machine when there is only this one.
    pub fn summary(&self, targets: &[Target]) -> Table {
        type Cell = Box<dyn Fn(&Row) -> Option<String>>;
        type Plain = fn(&Row) -> Option<String>;
        fn column(heading: &str, cell: impl Fn(&Row) -> Option<String> + 'static) -> (String, Cell) {
            (heading.into(), Box::new(cell))
        }
        let versus = if self.upscale == 1 { "vs input" } else { "vs bicubic" };
        let db = |v: f64| format!("{v:.3}");
        let mut columns = vec![column("method", |r| Some(r.label()))];
        match self.sets.as_slice() {
            sets if sets.len() > 1 => {
                for (n, set) in sets.iter().enumerate() {
                    let of = move |r: &Row| r.sets.get(n).copied();
                    let quality = move |r: &Row| of(r).and_then(|set| set.quality);
                    columns.extend([
                        column(&format!("{} dB", set.name), move |r| quality(r).map(|q| db(q.psnr_y_db))),
                        column(versus, move |r| of(r)?.gain_db.map(|v| format!("{v:+.3}"))),
                        column("SSIM-Y", move |r| quality(r).map(|q| format!("{:.4}", q.ssim_y))),
                    ]);
                }
            }
            _ => columns.extend([
                column("PSNR-Y dB", move |r| Some(db(r.psnr_y_db))),
                column(versus, |r| r.gain_db.map(|v| format!("{v:+.3}"))),
                column("SSIM-Y", |r| Some(format!("{:.4}", r.ssim_y))),
            ]),
        }
        let rest: [(&str, Plain); 9] = [
            ("int8 drop dB", |r| r.drop_db.map(|v| format!("{v:.3}"))),
            ("latency ms", |r| Some(r.timed(format!("{:.1}", r.latency_ms)))),
            ("p99 ms", |r| Some(r.timed(format!("{:.1}", r.latency.p99_ms)))),
            ("frames/s", |r| Some(r.timed(format!("{:.1}", 1e3 / r.latency_ms)))),
            ("energy mJ", |r| r.energy_mj.map(|v| r.timed(format!("{v:.1}")))),
            ("memory MB", |r| r.memory_bytes.map(|v| format!("{:.2}", v as f64 / 1e6))),
            ("device", |r| r.device.clone()),
            ("file kB", |r| r.file_bytes.map(|v| format!("{:.1}", v as f64 / 1e3))),
            ("same bits", |r| r.same_bits.map(|same| if same { "yes" } else { "NO" }.into())),
        ];
        columns.extend(rest.map(|(heading, cell)| column(heading, cell)));
        let named = targets.iter().any(|t| t.target != HERE);
        let used: Vec<_> =
            columns.into_iter().filter(|(_, cell)| self.rows.iter().any(|r| cell(r).is_some())).collect();
        let first = named.then_some("target");
        let headings = used.iter().map(|(heading, _)| heading.as_str());
        let mut table = Table::new(first.into_iter().chain(headings));
        table.text_columns = 1 + usize::from(named);
        for target in targets {
            if let Some(failure) = &target.failed {
                table.push_across(&target.target, format!("failed: {}", failure.message));
            }
            for row in self.rows.iter().filter(|r| r.target == target.target) {
                let cells = used.iter().map(|(_, cell)| cell(row).unwrap_or_default());
                table.push(named.then(|| row.target.clone()).into_iter().chain(cells));
            }
        }
        table
    }

    /// PSNR and SSIM of every image, a line an image. A machine has columns of its own only where it gave other bits.
    pub fn details(&self) -> Table {
        let first = self.rows.first().map(|r| r.target.clone()).unwrap_or_default();
        let rows: Vec<_> =
            self.rows.iter().filter(|r| r.target == first || r.same_bits == Some(false)).collect();
        let heading = |r: &&Row| match r.target == first {
            true => r.label(),
            false => format!("{}, {}", r.label(), r.target),
        };
        let mut table =
            Table::new(std::iter::once("PSNR-Y dB / SSIM-Y".to_owned()).chain(rows.iter().map(heading)));
        for (i, image) in self.images.iter().enumerate() {
            let values = rows.iter().map(|r| {
                r.images.get(i).map_or_else(String::new, |q| format!("{:.2} / {:.4}", q.psnr_y_db, q.ssim_y))
            });
            table.push(std::iter::once(image.clone()).chain(values));
        }
        table
    }
}

impl Latency {
    /// The conditions in words, for results of a factor.
    pub fn describe(&self, upscale: usize, targets: &[Target]) -> String {
        let (w, h) = (self.width, self.height);
        let threads = if self.threads == 1 { "thread" } else { "threads" };
        let (big_w, big_h) = (w * upscale, h * upscale);
        let isa = match targets {
            [Target { isa: Some(isa), .. }] => format!(", {isa}"),
            _ => String::new(),
        };
        format!("{w}x{h} to {big_w}x{big_h}, median, {} {threads}{isa}", self.threads)
    }
}

impl Target {
    /// Board, program and state in a line; why it failed, if it did.
    pub fn describe(&self) -> String {
        if let Some(failure) = &self.failed {
            return format!("failed: {}; {}", failure.message, failure.help);
        }
        let mut parts: Vec<String> = [&self.machine, &self.architecture, &self.isa, &self.program]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        parts.push(format!("before: {}; after: {}", self.before, self.after));
        parts.extend(self.energy_source.iter().map(|source| format!("energy of the {source}")));
        parts.extend(self.invalid_because.iter().map(|why| format!("NOT VALID: {why}")));
        parts.join(", ")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            let (images, border) = (section.images.len(), section.crop_border);
            writeln!(
                f,
                "x{}: {}, {}, {border} pixels of border left out",
                section.upscale,
                self.data,
                counted(images, "image")
            )?;
            writeln!(f, "latency: {}\n", self.latency.describe(section.upscale, &self.targets))?;
            writeln!(f, "{}", section.summary(&self.targets))?;
            for note in section.note().into_iter().chain(section.exact_note()) {
                writeln!(f, "{note}\n")?;
            }
            writeln!(f, "{}", section.details())?;
        }
        for target in self.targets.iter().filter(|t| t.target != HERE || !t.invalid_because.is_empty()) {
            writeln!(f, "{}: {}", target.target, target.describe())?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped {}: {}", skipped.image, skipped.error)?;
        }
        Ok(())
    }
}
