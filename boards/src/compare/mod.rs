//! `mcir-board compare`: quality and speed of models against bicubic interpolation and one another.

pub(crate) mod data;
pub(crate) mod measure;
mod page;

use crate::args::{EngineArgs, OutputArgs};
use crate::embedded;
use crate::error::{Error, Result};
use crate::models::NamedModel;
use crate::report::{Latency, Quality, Report, SCHEMA, Section, Skipped};
use crate::upscaler::Upscaler;
use data::TestSet;
use mcir_runtime::image::Image;
use mcir_runtime::plan::PlanOptions;
use measure::{LATENCY_SIZE, Method, quality};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Compare models and bicubic interpolation: quality, latency, pictures
///
/// Without arguments, the embedded models on test cards that the program draws itself.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Model file, folder with model.f32.mcir and model.int8.mcir, or embedded model; may be repeated
    /// [default: all embedded models]
    #[arg(short = 'm', long = "model", value_name = "MODEL")]
    models: Vec<String>,

    /// Only models that upscale by this factor
    #[arg(short = 's', long = "upscale", value_name = "FACTOR", value_parser = clap::value_parser!(u8).range(2..=8))]
    upscale: Option<u8>,

    /// Folder of high-resolution images, or one with `HR` and `LR_bicubic/X4` in it [default: drawn test cards]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Write a web page with the pictures side by side
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// What keeps a model from being read or run; [`Error::Some`] when images had to be left out.
pub fn run(cmd: &Cmd) -> Result<()> {
    // One thread: a figure that does not depend on how many processors there are and what else they do.
    let options = cmd.engine.plan_options(1)?;
    let by_upscale = cmd.open_models(options)?;
    let set = cmd.data.as_deref().map_or_else(|| Ok(TestSet::cards()), TestSet::folder)?;

    let steps = by_upscale.values().map(|m| (m.len() * (set.images.len() + 1)) as u64).sum();
    let bar = cmd.print.progress(steps);
    let mut report = Report {
        schema: SCHEMA,
        command: "compare",
        version: env!("CARGO_PKG_VERSION"),
        data: set.description.clone(),
        latency: Latency {
            width: LATENCY_SIZE.0,
            height: LATENCY_SIZE.1,
            threads: options.threads,
            isa: options.isa.unwrap_or_else(mcir_runtime::Isa::best).name(),
        },
        sections: Vec::new(),
        skipped: Vec::new(),
    };
    let mut plates = cmd.report.is_some().then(Vec::new);
    for (upscale, methods) in by_upscale {
        measure_section(&set, upscale, methods, &mut report, plates.as_mut(), &bar)?;
    }
    bar.finish_and_clear();

    if let (Some(path), Some(plates)) = (&cmd.report, &plates) {
        page::write(path, &report, plates)?;
        cmd.print.note(&bar, format_args!("the page with the pictures is {}", path.display()));
    }
    if cmd.print.json {
        cmd.print.result(serde_json::to_string_pretty(&report).expect("a report is plain data"))?;
    } else if !cmd.print.quiet {
        cmd.print.result(report.to_string().trim_end())?;
    }
    match report.skipped.len() {
        0 => Ok(()),
        failed => {
            let done: usize = report.sections.iter().map(|s| s.images.len()).sum();
            Err(Error::Some { failed, total: done + failed })
        }
    }
}

impl Cmd {
    /// The methods to compare for each factor, bicubic first.
    fn open_models(&self, options: PlanOptions) -> Result<BTreeMap<usize, Vec<Method>>> {
        let models = if self.models.is_empty() {
            let both = |m| [NamedModel::from_embedded(m, true), NamedModel::from_embedded(m, false)];
            embedded::MODELS.iter().flat_map(both).collect::<Result<Vec<_>>>()?
        } else {
            let forms = self.models.iter().map(|name| NamedModel::forms(name)).collect::<Result<Vec<_>>>()?;
            forms.into_iter().flatten().collect()
        };
        let asked = self.upscale.map(usize::from);
        let mut by_upscale = BTreeMap::new();
        for model in models {
            let upscale = model.upscale();
            if asked.is_none_or(|asked| asked == upscale) {
                let methods = by_upscale.entry(upscale).or_insert_with(|| vec![Method::Bicubic]);
                methods.push(Method::Model(Box::new(Upscaler::new(model, options))));
            }
        }
        match asked {
            Some(upscale) if by_upscale.is_empty() => {
                Err(Error::NoEmbedded { upscale, embedded: embedded::names() })
            }
            None if by_upscale.is_empty() => Ok(BTreeMap::from([(4, vec![Method::Bicubic])])),
            _ => Ok(by_upscale),
        }
    }
}

/// Runs all methods of one factor over all images.
fn measure_section(
    set: &TestSet,
    upscale: usize,
    mut methods: Vec<Method>,
    report: &mut Report,
    mut plates: Option<&mut Vec<page::Plate>>,
    bar: &indicatif::ProgressBar,
) -> Result<()> {
    let mut images = Vec::new();
    let mut qualities: Vec<Vec<Quality>> = vec![Vec::new(); methods.len()];
    for image in &set.images {
        bar.set_message(format!("x{upscale} {}", image.name));
        let measured = set.pair(image, upscale).and_then(|pair| {
            let run = |method: &mut Method| -> Result<(Image, Quality)> {
                let sr = method.run(&pair.lr, upscale)?;
                let quality = quality(&image.name, &sr, &pair.hr, upscale)?;
                bar.inc(1);
                Ok((sr, quality))
            };
            let results = methods.iter_mut().map(run).collect::<Result<Vec<_>>>()?;
            Ok((pair.hr, results))
        });
        match measured {
            Ok((hr, results)) => {
                images.push(image.name.clone());
                for (all, (_, quality)) in qualities.iter_mut().zip(&results) {
                    all.push(*quality);
                }
                if let Some(plates) = plates.as_deref_mut() {
                    plates.push(page::Plate::new(upscale, &image.name, &hr, &methods, results)?);
                }
            }
            Err(error @ (Error::Plan { .. } | Error::Run { .. })) => return Err(error),
            Err(error) => {
                bar.suspend(|| eprintln!("error: {error}\n  help: {}", error.help()));
                report.skipped.push(Skipped { image: image.name.clone(), error: error.to_string() });
            }
        }
    }
    if images.is_empty() {
        return Ok(());
    }
    bar.set_message(format!("x{upscale} latency"));
    let rows = methods.iter_mut().zip(qualities).map(|(method, qualities)| {
        let row = method.row(upscale, qualities);
        bar.inc(1);
        row
    });
    let mut section = Section { upscale, crop_border: upscale, images, rows: rows.collect::<Result<_>>()? };
    section.relate();
    report.sections.push(section);
    Ok(())
}
