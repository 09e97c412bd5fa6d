//! Quantization-aware fine-tuning: a network learns to live with 8 bits.
//!
//! `mcir-quantize prepare` chooses a type for each edge and writes it into the model file. Here the values that
//! convolutions read are rounded to those types, and weights to 8 bits for each output channel, while the
//! network learns to give what it gave in floats (distillation: no ground truth is needed, and nothing but the
//! rounding is learned). Rounding has no gradient; it is passed through as if it were not there (the
//! straight-through estimator), and values outside of a range get none. The result is a float model file with the
//! same types, which `mcir-quantize run` takes as they are.
//!
//! Source: Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
//! inference", CVPR 2018, section 3; Hinton et al., "Distilling the knowledge in a neural network", 2015.

use crate::data::batches::{Batch, Recipe};
use crate::export;
use crate::loss::pixel;
use crate::net::GraphNet;
use crate::net::graph::Simulate;
use crate::weights::WeightsError;
use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use mcir_runtime::error::LoadError;
use mcir_runtime::model::{DType, Model, NodeId};

/// Metadata of a model file that holds the types of its edges.
pub const TYPES: &str = "quantize.types";

/// Why a model cannot be tuned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QatError {
    /// The model has no types.
    #[error("the model has no `{TYPES}`; make one that has with `mcir-quantize prepare`")]
    NoTypes,
    /// The model is quantized.
    #[error("the model is quantized; tune the one that `mcir-quantize prepare` wrote")]
    Quantized,
    /// A line of the types cannot be read.
    #[error("`{line}` in `{TYPES}` is not a node with its types; run `mcir-quantize prepare` again")]
    Line {
        /// The line.
        line: String,
    },
    /// The loss is infinite or not a number.
    #[error("the loss is {loss} at step {step}; tune with a lower --lr")]
    NotFinite {
        /// The loss.
        loss: f32,
        /// Step, counted from zero.
        step: u64,
    },
    /// No batch can be made.
    #[error("cannot read decoded images back: {0}; check the disk")]
    Batch(std::io::Error),
    /// The weights do not fit the layer list.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The engine refuses the tuned model.
    #[error(transparent)]
    Export(#[from] export::ExportError),
    /// The metadata is too long.
    #[error("the tuned model is not valid: {0}; shorten its metadata")]
    Model(#[from] LoadError),
}

/// The 8-bit types of a model's edges: scale and zero point, by node.
#[derive(Debug, Clone, PartialEq)]
pub struct Types(Vec<Option<(f32, i8)>>);

impl Types {
    /// Reads the types that `mcir-quantize prepare` has stored.
    ///
    /// # Errors
    /// There are none, or they cannot be read.
    pub fn of(model: &Model) -> Result<Self, QatError> {
        let text = model.meta(TYPES).ok_or(QatError::NoTypes)?;
        let nodes = &model.graph().nodes;
        let mut types = vec![None; nodes.len()];
        for line in text.lines() {
            let wrong = || QatError::Line { line: line.to_owned() };
            let mut words = line.split(' ');
            let node = words.next().and_then(|name| nodes.iter().position(|n| n.name == name));
            let narrow = words.next().and_then(|word| {
                let mut parts = word.strip_prefix("i8:")?.split(':');
                let (scale, zero) = (parts.next()?.parse::<f32>().ok()?, parts.next()?.parse::<i8>().ok()?);
                (scale.is_finite() && scale > 0.0).then_some((scale, zero))
            });
            types[node.ok_or_else(wrong)?] = Some(narrow.ok_or_else(wrong)?);
        }
        Ok(Self(types))
    }
}

impl Simulate for Types {
    fn input(&self, edge: NodeId, x: Tensor<4>) -> Tensor<4> {
        let Some((scale, zero)) = self.0[usize::from(edge)] else { return x };
        let at = |level: i32| f64::from(scale) * f64::from(level - i32::from(zero));
        let inside = x.clamp(at(-128), at(127));
        through(inside, |x| (x / scale).round() * scale)
    }

    fn weight(&self, weight: Tensor<4>) -> Tensor<4> {
        let [out, depth] = [weight.dims()[0], weight.dims()[1..].iter().product()];
        let largest = weight.clone().detach().abs().reshape([out, depth]).max_dim(1);
        let step = (largest / 127.0).clamp_min(1e-11).reshape([out, 1, 1, 1]);
        through(weight, |w| (w / step.clone()).round() * step)
    }
}

/// `f(x)`, with the gradient of `x`.
fn through(x: Tensor<4>, f: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let change = f(x.clone().detach()) - x.clone().detach();
    x + change
}

/// How a model is tuned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Steps.
    pub steps: u64,
    /// Learning rate at the beginning; it falls to zero as a cosine.
    pub lr: f64,
}

/// Tunes a float model with types, on the low-resolution patches of `recipe`. `progress` is told the steps done and
/// the loss, the mean absolute difference to the float model's output.
///
/// # Errors
/// The model has no types or is quantized, or the loss is not finite.
pub fn tune(
    model: &Model,
    recipe: Recipe,
    settings: Settings,
    device: &Device,
    progress: &mut dyn FnMut(u64, f32),
) -> Result<Model, QatError> {
    if model.is_quantized() {
        return Err(QatError::Quantized);
    }
    let types = Types::of(model)?;
    let tensors = export::tensors(model);
    let plain = device.clone().inner();
    let teacher = GraphNet::from_tensors(model.graph(), &tensors, &plain)?;
    let device = plain.clone().autodiff();
    let mut student = GraphNet::from_tensors(model.graph(), &tensors, &device)?;
    let mut optimizer = AdamConfig::new().init();
    let (n, patch) = (recipe.batch, recipe.patch);
    for batch in recipe.ahead(0..settings.steps) {
        let Batch { step, lr, .. } = batch.map_err(QatError::Batch)?;
        let image = |device: &Device| {
            Tensor::<4>::from_data(TensorData::new(lr.clone(), [n, 3, patch, patch]), device)
        };
        let wanted = teacher.forward(image(&plain));
        let found = student.forward_with(image(&device), Some(&types));
        let total = pixel::l1(found, Tensor::from_inner(wanted));
        let loss = total.clone().into_scalar::<f32>();
        if !loss.is_finite() {
            return Err(QatError::NotFinite { loss, step });
        }
        let grads = GradientsParams::from_grads(total.backward(), &student);
        let done = step as f64 / settings.steps as f64;
        let rate = settings.lr * 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        student = optimizer.step(rate, student, grads);
        progress(step + 1, loss);
    }
    let mut metadata = model.metadata().to_vec();
    metadata.retain(|(key, _)| key != "qat.steps");
    metadata.push(("qat.steps".into(), settings.steps.to_string()));
    let tuned = export::model(&crate::net::Net::Graph(student.valid()), metadata)?;
    debug_assert!(tuned.graph().nodes.iter().all(|node| node.dtype == DType::F32));
    Ok(tuned)
}

#[cfg(test)]
mod tests;
