//! Quantizing under a gate: the steps of `mcir-quantize run`.

use crate::models::Model;
use crate::{GateError, plain};
use mcir_quantize::QuantizeError;
use mcir_quantize::cost::kept_nodes;
use mcir_quantize::describe::describe;
use mcir_quantize::gate::{Baseline, Drops, Limits, common_task};
use mcir_quantize::images;
use mcir_quantize::ladder::{climb, try_with};
use mcir_quantize::parallel::default_threads;
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_quantize::samples::Samples;
use mcir_quantize::sensitivity::sensitivities;
use mcir_upscale::models::NamedModel;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};

/// What is asked for.
struct Order {
    calibration: PathBuf,
    validation: Option<PathBuf>,
    limits: Limits,
    effort: Effort,
    winograd: bool,
    fallback: bool,
    images: usize,
    threads: usize,
}

/// The int8 model, and a JSON report. Raises `GateError` where it loses more than the limits.
#[pyfunction]
#[pyo3(signature = (
    model, calibration, validation, max_drop_db, max_worst_drop_db, min_agreement_db, effort, winograd, fallback, images, threads
))]
#[allow(clippy::too_many_arguments, reason = "the options of the program, which Python names")]
pub fn quantize(
    py: Python<'_>,
    model: &Model,
    calibration: PathBuf,
    validation: Option<PathBuf>,
    max_drop_db: f64,
    max_worst_drop_db: Option<f64>,
    min_agreement_db: Option<f64>,
    effort: &str,
    winograd: bool,
    fallback: bool,
    images: Option<usize>,
    threads: usize,
) -> PyResult<(Model, String)> {
    let effort = match effort {
        "low" => Effort::Low,
        "normal" => Effort::Normal,
        "high" => Effort::High,
        other => {
            let message = format!("effort must be 'low', 'normal' or 'high', not {other:?}");
            return Err(PyValueError::new_err(message));
        }
    };
    // As the program has it.
    let worst_db = max_worst_drop_db.unwrap_or(((3.0 * max_drop_db + 0.1) * 1e4).round() / 1e4);
    let agreement_db = min_agreement_db.unwrap_or(0.0);
    if !(max_drop_db >= 0.0 && worst_db >= 0.0 && agreement_db >= 0.0) {
        return Err(PyValueError::new_err("limits must be numbers of dB from 0 on"));
    }
    let order = Order {
        calibration,
        validation,
        limits: Limits {
            mean_db: max_drop_db,
            worst_db: Some(worst_db),
            least_agreement_db: min_agreement_db,
        },
        effort,
        winograd,
        fallback,
        images: images.unwrap_or(images::DEFAULT_CALIBRATION),
        threads: if threads == 0 { default_threads() } else { threads },
    };
    let float = &model.named;
    let (int8, drops) = py.detach(|| run(float, &order)).map_err(plain)?;
    let report = serde_json::to_string(&drops).map_err(plain)?;
    if !drops.passes(order.limits) {
        let worst = drops.worst();
        let error = GateError::new_err(format!(
            "{:.4} dB lost in the mean (limit {max_drop_db}), {:.4} on {} (limit {worst_db}), agreement {:.2} dB; calibrate on more images \
             like those that it will see, or raise the limits",
            drops.mean_drop_db, worst.drop_db, worst.name, drops.agreement_db
        ));
        error.value(py).setattr("report", report)?;
        return Err(error);
    }
    let file_bytes = int8.to_bytes().len();
    let named = NamedModel { name: float.name.clone(), model: int8, file_bytes };
    Ok((Model { named }, report))
}

fn run(float: &NamedModel, order: &Order) -> Result<(mcir_runtime::model::Model, Drops), QuantizeError> {
    let (model, threads, quiet) = (&float.model, order.threads, &());
    let task = common_task(model, model)?;
    let files = images::list(&order.calibration)?;
    let (calibration, held_out, folder): (_, _, &Path) = match &order.validation {
        Some(folder) => (images::spread(&files, order.images), images::list(folder)?, folder),
        None => {
            let (calibration, held_out) = images::split(&files, order.images);
            (calibration, held_out, &order.calibration)
        }
    };
    let (samples, _) = Samples::gather(&order.calibration, &calibration, task, threads, quiet)?;
    let (held_out, _) = images::usable(folder, held_out, task, threads, quiet)?;
    let purpose = if order.winograd { Purpose::Winograd } else { Purpose::Engine };
    let settings = Settings { effort: order.effort, purpose, threads, progress: quiet };
    let calibrated = Calibrated::new(model, &samples, settings)?;
    let baseline = Baseline::new(model, &held_out, threads, quiet)?;
    let mut candidate = try_with(&baseline, &calibrated, Vec::new())?;
    if !candidate.drops.passes(order.limits) && order.fallback {
        let (few, _) = images::few(&calibration, task);
        let costs = sensitivities(&calibrated, &few)?;
        candidate = climb(&baseline, &calibrated, candidate, &costs, order.limits)?;
    }
    let kept = kept_nodes(calibrated.folded(), &candidate.rewritten, &candidate.kept);
    let int8 = describe(candidate.rewritten.model, &kept, samples.len(), &candidate.drops)?;
    Ok((int8, candidate.drops))
}
