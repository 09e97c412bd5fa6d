//! Models, and running them on pictures.

use crate::images::{array, image};
use crate::{failed, plain};
use mcir_quantize::report::summary;
use mcir_runtime::Isa;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::args::{Mode, all_threads};
use mcir_upscale::embedded;
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler;
use numpy::PyArrayDyn;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A network with its weights.
#[pyclass(frozen, module = "mcir")]
#[derive(Clone)]
pub struct Model {
    pub named: NamedModel,
}

#[pymethods]
impl Model {
    /// A model file, a folder with one, or the name of an embedded model; with a strength, the step of its family.
    #[staticmethod]
    #[pyo3(signature = (name, strength=None))]
    fn open(py: Python<'_>, name: PathBuf, strength: Option<f32>) -> PyResult<Self> {
        let name =
            name.to_str().ok_or_else(|| PyValueError::new_err("the name of the model is not UTF-8"))?;
        if strength.is_some_and(|strength| !(0.0..=1.0).contains(&strength)) {
            return Err(PyValueError::new_err("strength must be a number from 0 to 1"));
        }
        let open = || match strength {
            Some(strength) => NamedModel::at_strength(name, strength),
            None => NamedModel::open(name),
        };
        Ok(Self { named: py.detach(open).map_err(failed)? })
    }

    /// The bytes of a model file.
    #[staticmethod]
    #[pyo3(signature = (data, name=None))]
    fn from_bytes(py: Python<'_>, data: &[u8], name: Option<String>) -> PyResult<Self> {
        let (bytes, file_bytes) = (data.to_vec(), data.len());
        let model = py.detach(|| mcir_runtime::model::Model::from_bytes(bytes)).map_err(plain)?;
        let name = name.or_else(|| model.meta("name").map(str::to_owned)).unwrap_or_else(|| "model".into());
        Ok(Self { named: NamedModel { name, model, file_bytes } })
    }

    /// The bytes of its file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.named.model.to_bytes())
    }

    #[getter]
    fn name(&self) -> &str {
        &self.named.name
    }

    #[getter]
    fn precision(&self) -> &'static str {
        self.named.precision()
    }

    #[getter]
    fn upscale(&self) -> usize {
        self.named.upscale()
    }

    #[getter]
    fn channels(&self) -> (usize, usize) {
        (self.named.model.in_channels(), self.named.model.out_channels())
    }

    #[getter]
    fn parameters(&self) -> u64 {
        self.named.model.num_params()
    }

    #[getter]
    fn macs_per_pixel(&self) -> u64 {
        self.named.model.macs_per_pixel()
    }

    #[getter]
    fn metadata(&self) -> BTreeMap<String, String> {
        self.named.model.metadata().iter().cloned().collect()
    }

    /// What `mcir-quantize inspect --json` prints.
    fn summary_json(&self, py: Python<'_>, width: usize) -> PyResult<String> {
        let summary = py.detach(|| summary(&self.named.model, width)).map_err(plain)?;
        serde_json::to_string(&summary).map_err(plain)
    }
}

/// A model that runs on pictures. Pictures of equal width share one plan.
#[pyclass(frozen, module = "mcir")]
pub struct Upscaler {
    inner: Mutex<upscaler::Upscaler>,
    model: Model,
}

#[pymethods]
impl Upscaler {
    #[new]
    #[pyo3(signature = (model, threads=0, isa=None, mode="rgb"))]
    fn new(model: &Model, threads: usize, isa: Option<&str>, mode: &str) -> PyResult<Self> {
        let isa = match isa {
            None => None,
            Some(name) => {
                let found = Isa::from_name(name).filter(|isa| isa.is_available());
                Some(found.ok_or_else(|| {
                    let all = isas().join(", ");
                    PyValueError::new_err(format!(
                        "this processor has no instruction set {name:?}; it has {all}"
                    ))
                })?)
            }
        };
        let mode = match mode {
            "rgb" => Mode::Rgb,
            "y" => Mode::Y,
            other => return Err(PyValueError::new_err(format!("mode must be 'rgb' or 'y', not {other:?}"))),
        };
        let threads = if threads == 0 { all_threads() } else { threads };
        let options = PlanOptions::default().isa(isa).threads(threads);
        let inner = upscaler::Upscaler::new(model.named.clone(), options).mode(mode);
        Ok(Self { inner: Mutex::new(inner), model: model.clone() })
    }

    #[getter]
    fn model(&self) -> Model {
        self.model.clone()
    }

    /// The picture, larger. Threads of Python that share an upscaler take turns.
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        picture: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
        let (picture, axis) = image(picture)?;
        let larger = py.detach(|| {
            // A panic in another thread left nothing half done that the next picture does not begin anew.
            let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
            inner.run(&picture, &mut |_| {})
        });
        array(py, larger.map_err(failed)?, axis)
    }
}

/// Names of the embedded models.
#[pyfunction]
pub fn model_names() -> Vec<&'static str> {
    embedded::MODELS.iter().map(|model| model.name).collect()
}

/// Instruction sets of this processor, the fastest last.
#[pyfunction]
pub fn isas() -> Vec<&'static str> {
    Isa::available().map(Isa::name).collect()
}
