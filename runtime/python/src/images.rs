//! Images as arrays: `[height, width]` or `[height, width, 1]` grey, `[height, width, 3]` RGB, all of 8 bits.

use crate::plain;
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics::{psnr_rgb, psnr_y, ssim_rgb, ssim_y};
use numpy::{IxDyn, PyArray, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// An image out of an array, and whether the array has an axis for channels.
pub fn image(array: &Bound<'_, PyAny>) -> PyResult<(Image, bool)> {
    let Ok(array) = array.cast::<PyArrayDyn<u8>>() else {
        let kind = array.getattr("dtype").map_or_else(|_| "no array".into(), |dtype| dtype.to_string());
        return Err(PyTypeError::new_err(format!("an image must be a numpy array of uint8, not {kind}")));
    };
    let (height, width, channels) = match *array.shape() {
        [height, width] => (height, width, 1),
        [height, width, channels @ (1 | 3)] => (height, width, channels),
        ref other => {
            return Err(PyValueError::new_err(format!(
                "an image must be [height, width], [height, width, 1] or [height, width, 3], not {other:?}"
            )));
        }
    };
    // Slices and transposed arrays too; nobody writes meanwhile, because the interpreter is held. numpy's own idea of one piece
    // includes arrays whose columns come first.
    let held: PyReadonlyArrayDyn<'_, u8> = array.readonly();
    let view = held.as_array();
    let pixels = match view.as_slice() {
        Some(pixels) => pixels.to_vec(),
        None => view.iter().copied().collect(),
    };
    let image = Image::new(width, height, channels, pixels).map_err(plain)?;
    Ok((image, array.ndim() == 3))
}

/// The array of an image, with an axis for channels where that is wanted or needed.
pub fn array<'py>(py: Python<'py>, image: Image, axis: bool) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    let (height, width, channels) = (image.height(), image.width(), image.channels());
    let flat = PyArray::from_vec(py, image.into_data());
    match axis || channels > 1 {
        true => flat.reshape(IxDyn(&[height, width, channels])),
        false => flat.reshape(IxDyn(&[height, width])),
    }
}

/// `imresize(image, width, height)`: bicubic as MATLAB's, antialiased when it shrinks, bit for bit.
#[pyfunction]
pub fn imresize<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    width: usize,
    height: usize,
) -> PyResult<Bound<'py, PyArrayDyn<u8>>> {
    let (image, axis) = self::image(image)?;
    let resized = py.detach(|| resize_bicubic(&image, width, height)).map_err(plain)?;
    array(py, resized, axis)
}

/// How a pair of images is compared.
fn compare(
    py: Python<'_>,
    [sr, hr]: [&Bound<'_, PyAny>; 2],
    channels: &str,
    by: [fn(&Image, &Image, usize) -> Result<f64, mcir_runtime::metrics::MetricError>; 2],
    crop_border: usize,
) -> PyResult<f64> {
    let [on_y, on_all] = by;
    let measure = match channels {
        "y" => on_y,
        "rgb" => on_all,
        other => return Err(PyValueError::new_err(format!("channels must be 'y' or 'rgb', not {other:?}"))),
    };
    let ((sr, _), (hr, _)) = (image(sr)?, image(hr)?);
    py.detach(|| measure(&sr, &hr, crop_border)).map_err(plain)
}

/// Peak signal-to-noise ratio in dB.
#[pyfunction]
#[pyo3(signature = (sr, hr, crop_border=0, channels="y"))]
pub fn psnr(
    py: Python<'_>,
    sr: &Bound<'_, PyAny>,
    hr: &Bound<'_, PyAny>,
    crop_border: usize,
    channels: &str,
) -> PyResult<f64> {
    compare(py, [sr, hr], channels, [psnr_y, psnr_rgb], crop_border)
}

/// Structural similarity.
#[pyfunction]
#[pyo3(signature = (sr, hr, crop_border=0, channels="y"))]
pub fn ssim(
    py: Python<'_>,
    sr: &Bound<'_, PyAny>,
    hr: &Bound<'_, PyAny>,
    crop_border: usize,
    channels: &str,
) -> PyResult<f64> {
    compare(py, [sr, hr], channels, [ssim_y, ssim_rgb], crop_border)
}
