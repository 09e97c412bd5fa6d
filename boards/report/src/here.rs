//! Measuring on this machine, for `compare` and for its end on a board.

use super::data::TestSet;
use super::measure::{Method, Timed, Timing, border, crc32, quality};
use super::page::Plate;
use crate::bench::{BUSY, Reading, waited_ns};
use crate::machine::{Machine, energy::Meter};
use crate::report::{self, HERE, ImageSet, Quality, Report, SCHEMA, Section, Skipped, Target};
use mcir_runtime::image::Image;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::device::Accelerator;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What to measure, beside models and images.
pub struct Settings {
    /// How the engine runs.
    pub options: PlanOptions,
    /// The GPU that models run on, if they do.
    pub gpu: Option<Accelerator>,
    /// How latency is measured; none for quality only.
    pub timing: Option<Timing>,
}

/// How far a measurement is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The machine.
    pub target: &'a str,
    /// What is done now.
    pub what: &'a str,
    /// Steps done.
    pub done: u64,
    /// All steps.
    pub total: u64,
    /// An image could not be used.
    pub error: Option<&'a Error>,
}

/// Called at each step.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) + 'a;

/// The steps, counted.
struct Steps<'a, 'b> {
    done: u64,
    total: u64,
    tell: &'a mut OnProgress<'b>,
}

impl Steps<'_, '_> {
    fn at(&mut self, what: &str, error: Option<&Error>) {
        (self.tell)(Progress { target: HERE, what, done: self.done, total: self.total, error });
    }
}

/// Runs all models, and bicubic for each of their factors (for 1 nothing), over all images.
///
/// # Errors
/// What keeps a model from being run. An image that cannot be used is in the report.
pub fn measure(
    models: Vec<NamedModel>,
    set: &TestSet,
    settings: &Settings,
    mut plates: Option<&mut Vec<Plate>>,
    tell: &mut OnProgress<'_>,
) -> Result<Report> {
    let mut by_upscale: BTreeMap<usize, Vec<Method>> = BTreeMap::new();
    for model in models {
        let upscale = model.upscale();
        let methods = by_upscale.entry(upscale).or_insert_with(|| vec![Method::without_model(upscale)]);
        methods
            .push(Method::Model(Box::new(Upscaler::new(model, settings.options).on(settings.gpu.as_ref()))));
    }
    let each = set.images.len() + usize::from(settings.timing.is_some());
    let total = by_upscale.values().map(|m| (m.len() * each) as u64).sum();
    let mut steps = Steps { done: 0, total, tell };
    let before = Reading::now();
    let meter = settings.timing.and_then(|_| Meter::here());
    let machine = Machine::here();
    let (width, height) = settings.timing.map_or((0, 0), |t| t.size);
    let mut report = Report {
        schema: SCHEMA,
        command: "compare".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        data: set.description.clone(),
        latency: report::Latency { width, height, threads: settings.options.threads },
        targets: Vec::new(),
        sections: Vec::new(),
        skipped: Vec::new(),
    };
    let mut busy = Busy::default();
    for (upscale, methods) in by_upscale {
        let section = measure_section(
            set,
            upscale,
            methods,
            settings.timing.as_ref().map(|timing| (timing, settings.options.threads, meter.as_ref())),
            &mut report.skipped,
            plates.as_deref_mut(),
            &mut steps,
            &mut busy,
        )?;
        report.sections.extend(section);
    }
    let after = Reading::now();
    let isa = settings.options.isa.unwrap_or_else(mcir_runtime::Isa::best).name();
    report.targets.push(Target {
        target: HERE.into(),
        machine: machine.model.or(machine.processor),
        program: Some(format!("mcir-board {}", env!("CARGO_PKG_VERSION"))),
        architecture: machine.architecture,
        isa: Some(isa.into()),
        invalid_because: after
            .throttled_since(&before)
            .into_iter()
            .chain(busy.reason(settings.options.threads))
            .collect(),
        before: before.system,
        after: after.system,
        energy_source: meter.map(|m| m.source),
        ..Target::default()
    });
    Ok(report)
}

/// How much of the time that latency was measured in went to other programs.
#[derive(Debug, Default)]
struct Busy {
    waited: Duration,
    elapsed: Duration,
}

impl Busy {
    /// Does something that is measured.
    fn during<T>(&mut self, measured: impl FnOnce() -> T) -> T {
        let (start, before) = (Instant::now(), waited_ns());
        let result = measured();
        self.elapsed += start.elapsed();
        let waited = waited_ns().zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
        self.waited += Duration::from_nanos(waited);
        result
    }

    /// Why the times do not stand for the machine, if so.
    fn reason(&self, threads: usize) -> Option<String> {
        let could = self.elapsed.as_secs_f64().max(1e-9) * threads.max(1) as f64;
        let part = self.waited.as_secs_f64() / could;
        (part > BUSY).then(|| {
            format!(
                "other programs used the processors for {:.0} % of the time; measure again when they are idle",
                part * 100.0
            )
        })
    }
}

/// Runs all methods of one factor over all images; none when no image could be used.
#[allow(clippy::too_many_arguments, reason = "what is measured, with what, and where it is told")]
fn measure_section(
    set: &TestSet,
    upscale: usize,
    mut methods: Vec<Method>,
    timing: Option<(&Timing, usize, Option<&Meter>)>,
    skipped: &mut Vec<Skipped>,
    mut plates: Option<&mut Vec<Plate>>,
    steps: &mut Steps<'_, '_>,
    busy: &mut Busy,
) -> Result<Option<Section>> {
    let mut used = Vec::new();
    let mut qualities: Vec<Vec<(Quality, u32)>> = vec![Vec::new(); methods.len()];
    for image in &set.images {
        let what = format!("x{upscale} {}", image.name);
        steps.at(&what, None);
        let at_end = steps.done + methods.len() as u64;
        let measured = set.pair(image, upscale).and_then(|pair| {
            let run = |method: &mut Method| -> Result<(Image, Quality)> {
                let sr = method.run(&pair.lr, upscale)?;
                let quality = quality(&image.name, &sr, &pair.hr, upscale)?;
                steps.done += 1;
                steps.at(&what, None);
                Ok((sr, quality))
            };
            let results = methods.iter_mut().map(run).collect::<Result<Vec<_>>>()?;
            Ok((pair.hr, results))
        });
        match measured {
            Ok((hr, results)) => {
                used.push(image);
                for (all, (sr, quality)) in qualities.iter_mut().zip(&results) {
                    all.push((*quality, crc32(sr)));
                }
                if let Some(plates) = plates.as_deref_mut() {
                    plates.push(Plate::new(upscale, &image.name, &hr, &methods, results)?);
                }
            }
            Err(error @ (Error::Plan { .. } | Error::Run { .. })) => return Err(error),
            Err(error) => {
                steps.done = at_end;
                steps.at(&what, Some(&error));
                skipped.push(Skipped { image: image.name.clone(), error: error.to_string() });
            }
        }
    }
    if used.is_empty() {
        return Ok(None);
    }
    let mut rows = Vec::new();
    for (method, qualities) in methods.iter_mut().zip(qualities) {
        rows.push(match timing {
            Some((timing, threads, meter)) => {
                steps.at(&format!("x{upscale} latency of {}", method.label()), None);
                let timed = busy.during(|| method.latency(upscale, timing, threads, meter))?;
                method.row(qualities, timed)
            }
            None => method.row(qualities, Timed { samples_ms: vec![0.0], ..Timed::default() }),
        });
        steps.done += u64::from(timing.is_some());
    }
    let counts = set.count(used.iter().copied());
    let sets = set.names().into_iter().zip(counts).map(|(name, images)| ImageSet { name, images });
    let images = used.iter().map(|image| image.name.clone()).collect();
    let mut section = Section { upscale, crop_border: border(upscale), images, sets: sets.collect(), rows };
    section.relate();
    Ok(Some(section))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_machine_is_named() {
        let of = |waited, elapsed| {
            Busy { waited: Duration::from_millis(waited), elapsed: Duration::from_millis(elapsed) }.reason(2)
        };
        assert_eq!((of(0, 0), of(8, 100)), (None, None));
        assert!(of(100, 100).unwrap().contains("used the processors for 50 % of the time"));
        let mut busy = Busy::default();
        assert_eq!(busy.during(|| 7), 7);
    }
}
