//! Trained weights as a model file.

use crate::config::Config;
use crate::files;
use crate::net::{Net, TABLE};
use crate::weights::{Tensors, WeightsError};
use mcir_runtime::error::LoadError;
use mcir_runtime::model::{Graph, Model, NodeId, Op, Role, TensorData};
use std::path::{Path, PathBuf};

/// Why a model file cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The engine refuses the model.
    #[error("the engine refuses the model: {0}; resume from an earlier checkpoint")]
    Model(#[from] LoadError),
    /// The network is none of the engine's.
    #[error(
        "nafnet, dehazeformer and idt are no networks of the engine's: there is no model file of them; use the checkpoint with \
         mcir-train eval"
    )]
    NoGraph,
    /// The weights do not fit the layer list.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The file cannot be written.
    #[error("cannot write {path}: {source}; free some space or choose another place")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The engine's model of a network. Walks the nodes of the network's own graph: no name is mapped.
///
/// # Errors
/// The engine refuses it, for example because a weight is not finite.
pub fn model(net: &Net, metadata: Vec<(String, String)>) -> Result<Model, ExportError> {
    let net = net.folded();
    let tensors = net.to_tensors();
    let Net::Graph(net) = net else { return Err(ExportError::NoGraph) };
    let graph = net.graph();
    let params: Result<Vec<_>, _> =
        (0..).take(graph.nodes.len()).map(|id| node(graph, id, &tensors)).collect();
    Ok(Model::new(graph.clone(), &params?, metadata)?)
}

fn node(graph: &Graph, id: NodeId, tensors: &Tensors) -> Result<Vec<TensorData>, WeightsError> {
    let name = &graph.node(id).name;
    let vectors = |n: usize| -> Result<_, WeightsError> {
        let weight = tensors.get(&format!("{name}.weight"), &[n])?.to_vec();
        let bias = tensors.get(&format!("{name}.bias"), &[n])?.to_vec();
        Ok(vec![TensorData::F32(weight), TensorData::F32(bias)])
    };
    match graph.node(id).op {
        Op::Conv2d(c) => {
            let [o, i, k] = [c.out_channels, c.in_channels, c.kernel.into()].map(usize::from);
            let weight = tensors.get(&format!("{name}.weight"), &[o, i, k, k])?;
            let bias = tensors.get(&format!("{name}.bias"), &[o])?.to_vec();
            let weight = out_last_to_input_last(weight, o, i, k * k);
            Ok(vec![TensorData::F32(weight), TensorData::F32(bias)])
        }
        Op::Affine | Op::LayerNorm { .. } => {
            let n = tensors.shape(&format!("{name}.weight")).map_or(0, |shape| shape[0]);
            vectors(n)
        }
        Op::PRelu => {
            let n = tensors.shape(&format!("{name}.weight")).map_or(0, |shape| shape[0]);
            Ok(vec![TensorData::F32(tensors.get(&format!("{name}.weight"), &[n])?.to_vec())])
        }
        Op::WindowAttention { num_heads, window_size, .. } => {
            let shape = [(2 * usize::from(window_size) - 1).pow(2), num_heads.into()];
            Ok(vec![TensorData::F32(tensors.get(&format!("{name}.{TABLE}"), &shape)?.to_vec())])
        }
        Op::Input { .. }
        | Op::Add { .. }
        | Op::Mul
        | Op::Activation(_)
        | Op::PixelShuffle { .. }
        | Op::Resize { .. }
        | Op::MaxPool(_)
        | Op::GlobalPool { .. }
        | Op::Interpolate { .. }
        | Op::Reduce { .. }
        | Op::Convert => Ok(Vec::new()),
    }
}

/// `[out, in, taps]` (PyTorch, burn) to `[out, taps, in]` (engine).
fn out_last_to_input_last(w: &[f32], out: usize, input: usize, taps: usize) -> Vec<f32> {
    let at = |o, t, i| w[(o * input + i) * taps + t];
    (0..out).flat_map(|o| (0..taps).flat_map(move |t| (0..input).map(move |i| at(o, t, i)))).collect()
}

/// The values of a float model file, named and laid out as a [`Net`] takes them.
pub fn tensors(model: &Model) -> Tensors {
    let mut tensors = Tensors::default();
    for (node, id) in model.graph().nodes.iter().zip(0..) {
        let is_conv = matches!(node.op, Op::Conv2d(_));
        for (spec, data) in model.param_specs(id).iter().zip(model.params(id)) {
            let TensorData::F32(values) = data else { continue };
            let [o, kh, kw, i] = spec.dims;
            let (part, shape, values) = match spec.role {
                // The inverse is the same permutation with the two inner sizes exchanged.
                Role::Weight if is_conv => {
                    ("weight", vec![o, i, kh, kw], out_last_to_input_last(&values, o, kh * kw, i))
                }
                Role::Weight => ("weight", vec![o], values),
                Role::Bias => ("bias", vec![o], values),
                Role::PositionBias => (TABLE, vec![o, kh], values),
                Role::WeightScale => continue,
            };
            tensors.insert(format!("{}.{part}", node.name), shape, values);
        }
    }
    tensors
}

/// What a model file says about the run that made it.
pub fn metadata(config: &Config, steps: u64) -> Vec<(String, String)> {
    let data = config.data.hr.file_name().unwrap_or_default().to_string_lossy().into_owned();
    [
        ("name", config.name.clone()),
        ("dataset", data),
        ("seed", config.seed.to_string()),
        ("steps", steps.to_string()),
        ("trainer", concat!("mcir-train ", env!("CARGO_PKG_VERSION")).into()),
    ]
    .map(|(k, v)| (k.to_string(), v))
    .to_vec()
}

/// Writes a model file under a temporary name and renames it.
///
/// # Errors
/// The system's.
pub fn write(model: &Model, path: &Path) -> Result<(), ExportError> {
    let io = |source| ExportError::Io { path: path.into(), source };
    files::replace(path, &model.to_bytes()).map_err(io)
}

#[cfg(test)]
mod tests;
