//! Published PyTorch weights: reads a state dict, recognises its layout and architecture, renames it to the
//! graph's own names.
//!
//! | layout | recognised by | networks |
//! |---|---|---|
//! | BasicSR | `conv_first.weight`, `body.0.conv1.weight` | EDSR; the graph's names |
//! | EDSR-PyTorch | `head.0.weight`, `tail.0.0.weight` | EDSR; works on 0..255, means in `sub_mean`, `add_mean` |

use crate::weights::{Tensors, WeightsError, mean_shift};
use burn::store::burn_pack::Tensor as PackTensor;
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge};
use burn::tensor::DType;
use mcir_runtime::arch::edsr::{self, Tail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why weights cannot be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is not there.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be understood.
    #[error(
        "cannot read {path} as PyTorch or safetensors weights: {what}; save the state dict again with torch.save"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        what: String,
    },
    /// The tensors are of no known network.
    #[error(
        "{path} holds no network that can be imported (first of {found} tensors: {first}); EDSR in the BasicSR or EDSR-PyTorch layout can be"
    )]
    Layout {
        /// The file.
        path: PathBuf,
        /// Number of tensors.
        found: usize,
        /// Name of the first.
        first: String,
    },
    /// A tensor has a shape that no EDSR has.
    #[error("tensor {name} has shape {found:?}, which fits no EDSR; expected {expected}")]
    Shape {
        /// Name in the file.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// What would fit.
        expected: &'static str,
    },
    /// The tensors do not make the network that was recognised.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Settings that a state dict does not hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The network subtracts the DIV2K mean and works on 0..255, as all published EDSR do.
    pub mean_shift: bool,
    /// Factor on each residual; `None` takes 0.1 for 256 channels or more and 1 otherwise, as published.
    pub res_scale: Option<f32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { mean_shift: true, res_scale: None }
    }
}

/// Reads a file and returns the architecture with its weights under the graph's names.
///
/// # Errors
/// Any [`ImportError`].
pub fn load(path: &Path, options: &Options) -> Result<(edsr::Config, Tensors), ImportError> {
    let mut tensors = read(path)?;
    if tensors.shape("head.0.weight").is_some() {
        tensors = from_edsr_pytorch(tensors)?;
    }
    if tensors.shape("conv_first.weight").is_none() || tensors.shape("body.0.conv1.weight").is_none() {
        let first = tensors.iter().next().map_or("none", |t| t.0).to_string();
        return Err(ImportError::Layout { path: path.into(), found: tensors.len(), first });
    }
    let config = detect(&tensors, options)?;
    for name in ["sub_mean", "add_mean"] {
        // BasicSR keeps the mean in its code.
        if config.mean_shift && tensors.shape(&format!("{name}.weight")).is_none() {
            let (scale, shift) = mean_shift(name);
            tensors.insert(format!("{name}.weight"), vec![3], scale.to_vec());
            tensors.insert(format!("{name}.bias"), vec![3], shift.to_vec());
        }
    }
    Ok((config, tensors))
}

/// Reads all float tensors of a `.safetensors`, `.pth` or `.pt` file.
///
/// PyTorch files may hold the state dict itself or, as trainers save it, below a key; of those, averaged
/// weights (`params_ema`) are preferred. A prefix `module.` of data-parallel training is dropped.
///
/// # Errors
/// The file is not there or is neither format.
pub fn read(path: &Path) -> Result<Tensors, ImportError> {
    std::fs::File::open(path).map_err(|source| ImportError::Io { path: path.into(), source })?;
    let format = |what: String| ImportError::Format { path: path.into(), what };
    // The stores would renumber `upsample.0, upsample.2` to `0, 1` if they were not told to leave names alone.
    if path.extension().is_some_and(|e| e == "safetensors") {
        let mut store = SafetensorsStore::from_file(path).map_indices_contiguous(false);
        return collect(store.get_all_tensors().map_err(|e| format(e.to_string()))?).map_err(format);
    }
    for key in ["params_ema", "params", "state_dict", "model_state_dict"] {
        let mut store = PytorchStore::from_file(path).with_top_level_key(key).map_indices_contiguous(false);
        if let Ok(tensors) = store.get_all_tensors() {
            let tensors = collect(tensors).map_err(format)?;
            if !tensors.is_empty() {
                return Ok(tensors);
            }
        }
    }
    let mut store = PytorchStore::from_file(path).map_indices_contiguous(false);
    collect(store.get_all_tensors().map_err(|e| format(e.to_string()))?).map_err(format)
}

fn collect(packed: &BTreeMap<String, PackTensor>) -> Result<Tensors, String> {
    let mut tensors = Tensors::default();
    for (name, tensor) in packed {
        let float = matches!(tensor.dtype, DType::F64 | DType::F32 | DType::F16 | DType::BF16);
        if float {
            let data = bridge::to_data(tensor).map_err(|e| e.to_string())?;
            let shape = data.shape().to_vec();
            let values = data.try_to_vec_as::<f32>().map_err(|e| e.to_string())?;
            tensors.insert(name.strip_prefix("module.").unwrap_or(name).into(), shape, values);
        }
    }
    Ok(tensors)
}

/// EDSR-PyTorch's names and units to BasicSR's.
fn from_edsr_pytorch(mut tensors: Tensors) -> Result<Tensors, ImportError> {
    let blocks = (0..).take_while(|i| tensors.shape(&format!("body.{i}.body.0.weight")).is_some()).count();
    let mut renamed = Tensors::default();
    for name in ["sub_mean", "add_mean"] {
        let (scale, shift) = match tensors.remove(&format!("{name}.weight")) {
            Some((shape, matrix)) => {
                let wrong = |found| ImportError::Shape {
                    name: format!("{name}.weight"),
                    found,
                    expected: "a diagonal [3, 3, 1, 1]",
                };
                let diagonal = matrix.iter().enumerate().all(|(i, &v)| i % 4 == 0 || v == 0.0);
                if shape != [3, 3, 1, 1] || !diagonal {
                    return Err(wrong(shape));
                }
                let (_, bias) = tensors.remove(&format!("{name}.bias")).unwrap_or((vec![3], vec![0.0; 3]));
                // In the file both ends are in 0..255; in the graph the images are in 0..1.
                let range = edsr::IMG_RANGE;
                let unit = |v: &f32| if name == "sub_mean" { v * range } else { v / range };
                let scale = [0, 4, 8].iter().map(|&i| unit(&matrix[i])).collect();
                let shift = if name == "sub_mean" { bias } else { bias.iter().map(|v| v / range).collect() };
                (scale, shift)
            }
            None => {
                let (scale, shift) = mean_shift(name);
                (scale.to_vec(), shift.to_vec())
            }
        };
        renamed.insert(format!("{name}.weight"), vec![3], scale);
        renamed.insert(format!("{name}.bias"), vec![3], shift);
    }
    for (name, shape, values) in tensors.iter() {
        let (node, part) = name.rsplit_once('.').unwrap_or((name, ""));
        let node = match node.split('.').collect::<Vec<_>>()[..] {
            ["head", "0"] => "conv_first".into(),
            ["body", i, "body", "0"] => format!("body.{i}.conv1"),
            ["body", i, "body", "2"] => format!("body.{i}.conv2"),
            ["body", i] if i == blocks.to_string() => "conv_after_body".into(),
            ["tail", "0", i] => format!("upsample.{i}"),
            ["tail", "1"] => "conv_last".into(),
            // Left under its own name, it is reported as one too many.
            _ => node.to_string(),
        };
        renamed.insert(format!("{node}.{part}"), shape.to_vec(), values.to_vec());
    }
    Ok(renamed)
}

/// The EDSR that has tensors of these shapes.
fn detect(tensors: &Tensors, options: &Options) -> Result<edsr::Config, ImportError> {
    let shape = |name: &str, expected| {
        let found = tensors.shape(name).unwrap_or_default();
        let wrong = || ImportError::Shape { name: name.into(), found: found.to_vec(), expected };
        <[usize; 4]>::try_from(found).map_err(|_| wrong())
    };
    let [num_feat, channels, ..] = shape("conv_first.weight", "[num_feat, 3, 3, 3]")?;
    let num_block = (0..).take_while(|i| tensors.shape(&format!("body.{i}.conv1.weight")).is_some()).count();
    let expected = "[4·num_feat, num_feat, 3, 3] or, for x3, [9·num_feat, num_feat, 3, 3]";
    let [first, ..] = shape("upsample.0.weight", expected)?;
    let steps = (0..).take_while(|i| tensors.shape(&format!("upsample.{}.weight", 2 * i)).is_some()).count();
    let upscale = match (first / num_feat.max(1), steps) {
        (9, 1) => 3,
        (4, 1..=3) => 1 << steps,
        _ => {
            let found = tensors.shape("upsample.0.weight").unwrap_or_default().to_vec();
            return Err(ImportError::Shape { name: "upsample.0.weight".into(), found, expected });
        }
    };
    // Limits of any EDSR; the graph's own validation has the last word.
    let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Ok(edsr::Config {
        upscale,
        num_feat: small(num_feat),
        num_block: small(num_block),
        res_scale: options.res_scale.unwrap_or(if num_feat >= 256 { 0.1 } else { 1.0 }),
        tail: Tail::Paper,
        image_residual: None,
        channels: small(channels),
        mean_shift: options.mean_shift,
    })
}

#[cfg(test)]
mod tests;
