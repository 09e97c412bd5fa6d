//! mcir for Python: numpy arrays in and out, the interpreter free for others while anything is computed.
//!
//! This is the module `mcir._mcir`; `python/mcir/__init__.py` gives it its face and its types. Results that are tables travel
//! as JSON, in the program's own form.

mod images;
mod models;
mod quantize;

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(mcir, Error, PyException, "What mcir refuses, with the next thing to try.");
create_exception!(
    mcir,
    GateError,
    Error,
    "Quantization costs more than was allowed; `report` has the figures."
);

/// An error of the program, with its help.
fn failed(error: mcir_upscale::error::Error) -> PyErr {
    Error::new_err(format!("{error}; {}", error.help()))
}

/// Any other.
fn plain(error: impl std::fmt::Display) -> PyErr {
    Error::new_err(error.to_string())
}

/// The compiled part of mcir.
#[pymodule]
fn _mcir(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", py.get_type::<Error>())?;
    module.add("GateError", py.get_type::<GateError>())?;
    module.add_class::<models::Model>()?;
    module.add_class::<models::Upscaler>()?;
    module.add_function(wrap_pyfunction!(models::model_names, module)?)?;
    module.add_function(wrap_pyfunction!(models::isas, module)?)?;
    module.add_function(wrap_pyfunction!(images::imresize, module)?)?;
    module.add_function(wrap_pyfunction!(images::psnr, module)?)?;
    module.add_function(wrap_pyfunction!(images::ssim, module)?)?;
    module.add_function(wrap_pyfunction!(quantize::quantize, module)?)?;
    Ok(())
}
