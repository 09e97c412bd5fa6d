//! The steps in order: fold, equalise, observe, choose types, quantize weights, correct biases.

use crate::bias;
use crate::calibrate::{Detail, Observation, observe, observe_some};
use crate::engine::Runner;
use crate::equalize::{STRENGTH, equalize};
use crate::error::QuantizeError;
use crate::fold::fold;
use crate::parallel::{self, Progress};
use crate::params::{EdgeTypes, Levels, edge_types};
use crate::rewrite::{Precision, Recipe, Rewritten, is_point, rewrite};
use crate::round;
use crate::samples::Samples;
use crate::spread::spread;
use crate::transformer::balance;
use crate::types;
use crate::weights::{self, QuantizedWeights};
use crate::winograd;
use mcir_runtime::model::{Conv2d, DType, Model, NodeId, Op, Role};
use std::ops::Range;

/// Most stages in which biases are corrected; deeper networks have several convolutions in a stage.
const BIAS_STAGES: usize = 24;
/// A stage of several convolutions in a row is gone through this often: each time settles what the one before has moved.
const BIAS_ROUNDS: usize = 2;
/// Images that are run for it all together, but at least this many in each round.
const BIAS_IMAGES: usize = 400;
const LEAST_BIAS_IMAGES: usize = 16;

/// How much work quantization may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effort {
    /// Weights go to the nearest step.
    Low,
    /// Weights are rounded with regard to each other, see [`round`].
    #[default]
    Normal,
    /// Several models with other settings are made, of which the one closest to the float model on the calibration images
    /// is kept; takes a few times as long.
    High,
}

/// What a quantized model is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// The engine, as accurate as it can be.
    #[default]
    Engine,
    /// The engine's [Winograd's convolution in 8 bits](winograd).
    Winograd,
    /// Engines that quantize symmetrically, as TensorRT does, by way of an [ONNX file](crate::onnx).
    Symmetric,
}

impl Purpose {
    const fn levels(self) -> Levels {
        match self {
            Self::Engine | Self::Winograd => Levels::Any,
            Self::Symmetric => Levels::Symmetric,
        }
    }
}

/// What differs between the models that are tried.
#[derive(Debug, Clone, Copy)]
struct Choice {
    /// See [`equalize`].
    strength: f64,
    /// See [`round`]; without it, weights go to the nearest step.
    rounding: bool,
}

const LOW: Choice = Choice { strength: STRENGTH, rounding: false };
const NORMAL: Choice = Choice { strength: STRENGTH, rounding: true };
/// What [`Effort::High`] tries beside [`NORMAL`].
const OTHERS: [Choice; 3] = [
    LOW,
    Choice { strength: 2.0 * STRENGTH, rounding: true },
    Choice { strength: 2.0 * STRENGTH, rounding: false },
];

/// How the work is done.
#[derive(Clone, Copy)]
pub struct Settings<'a> {
    /// How much of it.
    pub effort: Effort,
    /// What the model is made for.
    pub purpose: Purpose,
    /// Threads; the result does not depend on it.
    pub threads: usize,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
}

/// The convolutions of a folded model that are not in int8, with what they are in.
pub type Kept = [(NodeId, Precision)];

/// A float model that was observed on images, ready to be quantized in any mixture of precisions.
pub struct Calibrated<'a> {
    samples: &'a Samples,
    settings: Settings<'a>,
    folded: Model,
    /// What the float model's edges carry; `None` for a model that came with its types.
    seen: Option<Observation>,
    types: Vec<EdgeTypes>,
    weights: Vec<Option<QuantizedWeights>>,
}

impl<'a> Calibrated<'a> {
    /// Observes a float model and chooses types and weights. A model that comes with its types, as
    /// [`prepared`](Self::prepared) makes it and the trainer tunes it, is taken as it is.
    ///
    /// # Errors
    /// What [`fold`] and [`observe`] refuse.
    pub fn new(model: &Model, samples: &'a Samples, settings: Settings<'a>) -> Result<Self, QuantizeError> {
        let folded = fold(model)?;
        if let Some(types) = types::from_metadata(&folded)? {
            match settings.purpose {
                Purpose::Engine => {}
                Purpose::Winograd => return Err(QuantizeError::WinogradOfTypes),
                Purpose::Symmetric => types::symmetric(&folded, &types)?,
            }
            return Ok(Self::tuned(folded, samples, settings, types));
        }
        let Settings { threads, progress, .. } = settings;
        progress.begin("equalising", samples.len());
        let seen = observe(&folded, samples, Detail::Moments, threads, progress)?;
        progress.end();
        let chosen = |choice| Self::chosen(&folded, &seen, samples, settings, choice);
        let normal = match settings.effort {
            Effort::Low => return chosen(LOW),
            Effort::Normal => return chosen(NORMAL),
            Effort::High => chosen(NORMAL)?,
        };
        let mut best = (normal.distance(model)?, normal);
        for choice in OTHERS {
            let other = chosen(choice)?;
            let distance = other.distance(model)?;
            if distance < best.0 {
                best = (distance, other);
            }
        }
        Ok(best.1)
    }

    /// Types and weights by one choice; `seen` is what was observed on `folded`.
    fn chosen(
        folded: &Model,
        seen: &Observation,
        samples: &'a Samples,
        settings: Settings<'a>,
        choice: Choice,
    ) -> Result<Self, QuantizeError> {
        let Settings { threads, progress, .. } = settings;
        let folded = spread(&equalize(&balance(folded, seen)?, seen, choice.strength)?, seen)?;
        progress.begin("calibrating", samples.len());
        let seen = observe(&folded, samples, Detail::All, threads, progress)?;
        progress.end();
        let mut types = edge_types(&folded, &seen.histograms, settings.purpose.levels());
        let winograd = settings.purpose == Purpose::Winograd;
        if winograd {
            winograd::narrow(&folded, &seen.histograms, &mut types);
        }
        let weights = (0..folded.graph().nodes.len() as NodeId)
            .map(|id| quantized_weights(&folded, id, &seen, &types, winograd))
            .collect();
        let mut calibrated = Self { samples, settings, folded, seen: Some(seen), types, weights };
        if choice.rounding {
            calibrated.round_weights()?;
        }
        Ok(calibrated)
    }

    /// How far the int8 model's images are from those of `original`: the logarithm of the mean squared difference,
    /// mean over the samples, so that smooth images, where little is a loss, count as much as others.
    fn distance(&self, original: &Model) -> Result<f64, QuantizeError> {
        let int8 = self.build(&[])?.model;
        let Settings { threads, progress, .. } = self.settings;
        progress.begin("comparing", self.samples.len());
        let init = || [Runner::new(original), Runner::new(&int8)];
        let (logs, _) = parallel::map(self.samples.entries(), threads, init, |[original, int8], entry| {
            let sample = self.samples.read(entry)?;
            let (a, b) = (original.upscale(&sample.lr)?, int8.upscale(&sample.lr)?);
            let pairs = a.data().iter().zip(b.data());
            let sum: u64 = pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
            progress.step();
            // Half a unit: equal images are good, but not infinitely so.
            Ok::<_, QuantizeError>(((sum as f64 + 0.5) / a.data().len() as f64).ln())
        })?;
        progress.end();
        Ok(logs.iter().sum::<f64>() / logs.len() as f64)
    }

    /// A model whose weights have been tuned for these types: the int8 model computes what was tuned.
    fn tuned(folded: Model, samples: &'a Samples, settings: Settings<'a>, types: Vec<EdgeTypes>) -> Self {
        let plainly = |id: NodeId| {
            let node = folded.graph().node(id);
            if !is_quantized(&folded, id) {
                return None;
            }
            let DType::I8 { scale, .. } = types[usize::from(node.inputs[0])].narrow else {
                unreachable!("the narrow form has 8 bits")
            };
            let (weight, bias) = (folded.f32s(id, Role::Weight), folded.f32s(id, Role::Bias));
            Some(weights::quantize_plainly(&weight, &bias, scale))
        };
        let weights = (0..folded.graph().nodes.len() as NodeId).map(plainly).collect();
        Self { samples, settings, folded, seen: None, types, weights }
    }

    /// The folded and equalised float model with the types of its edges in the metadata, ready to be tuned for
    /// them.
    ///
    /// # Errors
    /// [`QuantizeError::Rewrite`] when the metadata gets too long.
    pub fn prepared(&self) -> Result<Model, QuantizeError> {
        let mut metadata = self.folded.metadata().to_vec();
        metadata.retain(|(key, _)| key != types::KEY);
        metadata.push((types::KEY.into(), types::to_text(&self.folded, &self.types)));
        self.folded.clone().with_metadata(metadata).map_err(QuantizeError::Rewrite)
    }

    /// Replaces all weights with better rounded ones.
    fn round_weights(&mut self) -> Result<(), QuantizeError> {
        let mut convolutions = self.convolutions();
        // Moved by a step, the weights might not fit any more.
        let winograd = self.settings.purpose == Purpose::Winograd;
        convolutions.retain(|&id| !(winograd && winograd::is_for(&self.folded, id)));
        let int8 = self.build(&[])?;
        let Settings { threads, progress, .. } = self.settings;
        let nodes: Vec<NodeId> = convolutions.iter().map(|&id| int8.node[usize::from(id)]).collect();
        progress.begin("rounding weights", self.samples.len());
        let (folded, weights) = (&self.folded, &mut self.weights);
        round::covariances(&int8.model, &nodes, self.samples, threads, progress, |place, covariance| {
            let id = convolutions[place];
            if let Some(quantized) = &mut weights[usize::from(id)] {
                covariance.round(&folded.f32s(id, Role::Weight), quantized, threads);
            }
        })?;
        progress.end();
        Ok(())
    }

    /// The folded and equalised float model; its nodes are what [`build`](Self::build) can keep in floats.
    pub fn folded(&self) -> &Model {
        &self.folded
    }

    /// What was seen on [`folded`](Self::folded); nothing when that came with its types.
    pub fn seen(&self) -> Option<&Observation> {
        self.seen.as_ref()
    }

    /// Convolutions of the folded model, in order, but for those of what is known of a whole image: they stay in floats.
    pub fn convolutions(&self) -> Vec<NodeId> {
        let nodes = 0..self.folded.graph().nodes.len() as NodeId;
        nodes.filter(|&id| is_quantized(&self.folded, id)).collect()
    }

    /// Nodes whose precision can be chosen, in order: convolutions and window attention. (Norms compute in
    /// floats anyway, and write what their readers want.)
    pub fn movable(&self) -> Vec<NodeId> {
        let chosen = |id: NodeId| {
            let attention = matches!(self.folded.graph().node(id).op, Op::WindowAttention { .. });
            attention || is_quantized(&self.folded, id)
        };
        (0..self.folded.graph().nodes.len() as NodeId).filter(|&id| chosen(id)).collect()
    }

    /// How the work is done.
    pub fn settings(&self) -> Settings<'a> {
        self.settings
    }

    /// Whether 16-bit activations are another choice than 8-bit ones for a convolution: they hold its input better,
    /// and its weights are small enough for 32-bit sums.
    pub fn can_be_int16(&self, id: NodeId) -> bool {
        let EdgeTypes { narrow, wide } = self.types[usize::from(self.folded.graph().node(id).inputs[0])];
        let (DType::I16 { scale }, Some(weights)) = (wide, &self.weights[usize::from(id)]) else {
            return false;
        };
        narrow != wide && weights.fit_16_bits(&self.folded.f32s(id, Role::Bias), scale)
    }

    /// The quantized model, with all convolutions in int8 but those that are kept in something better.
    ///
    /// # Errors
    /// What [`rewrite`] refuses.
    pub fn build(&self, kept: &Kept) -> Result<Rewritten, QuantizeError> {
        let (mut recipe, mut rewritten) = self.first_build(kept)?;
        let Some(seen) = &self.seen else { return Ok(rewritten) };
        let Settings { threads, progress, .. } = self.settings;
        let (stages, depth) = bias::stages(&self.folded, BIAS_STAGES);
        let rounds: Vec<Range<usize>> = stages
            .into_iter()
            .flat_map(|stage| vec![stage.clone(); if stage.len() > 1 { BIAS_ROUNDS } else { 1 }])
            .collect();
        let entries = self.samples.few((BIAS_IMAGES / rounds.len().max(1)).max(LEAST_BIAS_IMAGES));
        progress.begin("correcting biases", (rounds.len() + 1) * entries.len());
        // The means of the same images.
        let look =
            |model: &Model| observe_some(model, self.samples, &entries, Detail::Moments, threads, progress);
        let means = if entries.len() == self.samples.len() { None } else { Some(look(&self.folded)?) };
        let seen = means.as_ref().unwrap_or(seen);
        for stage in rounds {
            let now = look(&rewritten.model)?;
            let corrected = bias::corrected(&self.folded, seen, &recipe, Some((&rewritten, &now)));
            for (id, bias) in corrected.into_iter().enumerate().filter(|(id, _)| stage.contains(&depth[*id]))
            {
                recipe.bias[id] = bias;
            }
            rewritten = rewrite(&self.folded, &recipe)?;
        }
        progress.end();
        Ok(rewritten)
    }

    /// As [`build`](Self::build), but no image is run: only the error of the weights is corrected for.
    ///
    /// # Errors
    /// What [`rewrite`] refuses.
    pub fn build_quickly(&self, kept: &Kept) -> Result<Rewritten, QuantizeError> {
        Ok(self.first_build(kept)?.1)
    }

    fn first_build(&self, kept: &Kept) -> Result<(Recipe, Rewritten), QuantizeError> {
        let of = |id| if is_point(&self.folded, id) { Precision::F32 } else { Precision::Int8 };
        let mut precision: Vec<Precision> = (0..self.types.len() as NodeId).map(of).collect();
        let mut weights = self.weights.clone();
        for &(id, kept) in kept {
            precision[usize::from(id)] = kept;
            if kept == Precision::F32 {
                weights[usize::from(id)] = None;
            }
        }
        let mut recipe = Recipe { types: self.types.clone(), precision, weights, bias: Vec::new() };
        recipe.bias = match &self.seen {
            Some(seen) => bias::corrected(&self.folded, seen, &recipe, None),
            None => bias::unchanged(&self.folded),
        };
        let rewritten = rewrite(&self.folded, &recipe)?;
        Ok((recipe, rewritten))
    }
}

/// Whether a node is a convolution that can be quantized.
fn is_quantized(model: &Model, id: NodeId) -> bool {
    matches!(model.graph().node(id).op, Op::Conv2d(_)) && !is_point(model, id)
}

fn quantized_weights(
    model: &Model,
    id: NodeId,
    seen: &Observation,
    types: &[EdgeTypes],
    winograd: bool,
) -> Option<QuantizedWeights> {
    let Op::Conv2d(Conv2d { kernel, .. }) = model.graph().node(id).op else { return None };
    if is_point(model, id) {
        return None;
    }
    let input = usize::from(model.graph().node(id).inputs[0]);
    let DType::I8 { scale, .. } = types[input].narrow else { unreachable!("the narrow form has 8 bits") };
    // Means are taken care of by the bias: only what varies counts.
    let variance = &seen.moments[input].variance;
    let floor = 1e-3 * variance.iter().sum::<f64>() / variance.len() as f64 + 1e-20;
    let channels = variance.iter().map(|v| (v + floor) as f32);
    let importance: Vec<f32> = channels.cycle().take(variance.len() * usize::from(kernel).pow(2)).collect();
    let (weight, bias) = (model.f32s(id, Role::Weight), model.f32s(id, Role::Bias));
    let winograd = winograd && winograd::is_for(model, id);
    let least = |row: &[f32]| if winograd { winograd::least_scale(row) } else { 0.0 };
    Some(weights::quantize_from(&weight, &importance, &bias, scale, least))
}
