//! Every operator and every embedded int8 model on both, and the clock.

use super::{Bits, Timed};
use mcir_gpu::cases::{self, SIZES, picture};
use mcir_gpu::{Gpu, Network};
use mcir_report::bench::Latency;
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};
use mcir_upscale::args::all_threads;
use mcir_upscale::device::Accelerator;
use mcir_upscale::embedded;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::NamedModel;
use std::time::{Duration, Instant};

/// Fewest pictures that a time is the median of.
const LEAST: usize = 3;

pub(super) fn all(
    accelerator: &Accelerator,
    size: (usize, usize),
    seconds: f64,
    tell: &mut dyn FnMut(&str),
) -> Result<(Vec<Bits>, Vec<Timed>)> {
    let gpu = accelerator.gpu();
    let mut operators = Vec::new();
    for case in cases::all() {
        tell(&case.name);
        operators.push(bits(gpu, &case.name, &case.model, &SIZES)?);
    }
    let mut models = Vec::new();
    let size = [size.0, size.1];
    for embedded in embedded::MODELS {
        let model = NamedModel::from_embedded(embedded, false)?;
        tell(&model.name);
        let bits = bits(gpu, &model.name, &model.model, &[size, [37, 23]])?;
        let (on_gpu, on_cpu) = match bits.error {
            Some(_) => (None, None),
            None => times(gpu, &model, size, seconds)?,
        };
        let upscale = model.upscale();
        models.push(Timed { bits, width: size[0], height: size[1], upscale, gpu: on_gpu, cpu: on_cpu });
    }
    Ok((operators, models))
}

/// Runs a model on both over pictures of these sizes.
fn bits(gpu: &Gpu, name: &str, model: &Model, sizes: &[[usize; 2]]) -> Result<Bits> {
    let mut all = Bits { name: name.into(), bytes: 0, different: 0, error: None };
    for &[width, height] in sizes {
        let pixels = picture(width, height, model.in_channels());
        let expected = on_cpu(name, model, [width, height], &pixels)?;
        let found = Network::new(gpu, model)
            .and_then(|network| network.frames(width, height)?.run(&pixels).map(<[u8]>::to_vec));
        match found {
            Ok(found) => {
                all.bytes += expected.len();
                all.different += expected.iter().zip(&found).filter(|(a, b)| a != b).count();
            }
            Err(error) => {
                all.error = Some(error.to_string());
                break;
            }
        }
    }
    Ok(all)
}

fn on_cpu(name: &str, model: &Model, [width, height]: [usize; 2], pixels: &[u8]) -> Result<Vec<u8>> {
    let options = PlanOptions::default().threads(all_threads());
    let unplanned = |source| Error::Plan { name: name.into(), source };
    let plan = Plan::new(model, width, &options).map_err(unplanned)?;
    let upscale = usize::from(model.upscale());
    let mut out = vec![0; width * height * upscale * upscale * model.out_channels()];
    let mut workspace = plan.try_workspace().map_err(unplanned)?;
    plan.run_image(&mut workspace, pixels, height, &mut out)
        .map_err(|source| Error::Run { name: name.into(), source })?;
    Ok(out)
}

/// Times on the GPU, none if it fails, and on all processors.
fn times(
    gpu: &Gpu,
    model: &NamedModel,
    size: [usize; 2],
    seconds: f64,
) -> Result<(Option<Latency>, Option<Latency>)> {
    let [width, height] = size;
    let pixels = picture(width, height, model.model.in_channels());
    let frames = Network::new(gpu, &model.model).and_then(|network| network.frames(width, height));
    let on_gpu = frames.ok().and_then(|mut frames| {
        sample(seconds, &mut || {
            frames.run(&pixels).map(|picture| drop(std::hint::black_box(picture.to_vec()))).ok()
        })
    });
    let options = PlanOptions::default().threads(all_threads());
    let unplanned = |source| Error::Plan { name: model.name.clone(), source };
    let plan = Plan::new(&model.model, width, &options).map_err(unplanned)?;
    let mut workspace = plan.try_workspace().map_err(unplanned)?;
    let mut out = vec![0; pixels.len() * model.upscale() * model.upscale()];
    let on_cpu =
        sample(seconds, &mut || plan.run_image(&mut workspace, &pixels, height, &mut out).map(drop).ok());
    Ok((on_gpu, on_cpu))
}

/// Times of what is done again and again, after a first time that does not count; nothing once it fails.
fn sample(seconds: f64, run: &mut dyn FnMut() -> Option<()>) -> Option<Latency> {
    run()?;
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < LEAST || begun.elapsed() < Duration::from_secs_f64(seconds) {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Some(Latency::of(&times))
}
