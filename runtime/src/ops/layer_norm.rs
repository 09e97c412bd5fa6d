//! Normalisation over the channels of each pixel: `(x − mean) / √(variance + eps) · weight[c] + bias[c]`.
//!
//! Computed in float inside, whatever the dtypes of the edges. Sums run in 16 interleaved parts that are
//! added in a fixed order, so that they vectorize and still give the same bits everywhere.

use super::rows::Codec;
use super::{Pointwise, dtypes, scale_of};
use crate::error::PlanError;
use crate::kernel::Isa;
use crate::model::{Model, NodeId, Role};
use alloc::vec::Vec;

/// Most channels; a pixel is kept on the stack.
const MAX_CHANNELS: usize = 1024;
const PARTS: usize = 16;

/// A layer norm.
pub(crate) struct LayerNormStep {
    from: Codec,
    to: Codec,
    from_scale: f32,
    eps: f32,
    /// Weight and bias in units of the output's scale.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl LayerNormStep {
    pub fn new(model: &Model, id: NodeId, eps: f32, isa: Isa) -> Result<Self, PlanError> {
        let ([from, _], to) = dtypes(model, id);
        let xor = isa.table().xor;
        let in_output_steps =
            |role| model.f32s(id, role).iter().map(|x| x / scale_of(to)).collect::<Vec<_>>();
        let (weight, bias) = (in_output_steps(Role::Weight), in_output_steps(Role::Bias));
        if weight.len() > MAX_CHANNELS {
            return Err(PlanError::Unsupported { node: id });
        }
        let (from_scale, from, to) = (scale_of(from), Codec::new(from, xor), Codec::new(to, xor));
        Ok(Self { from, to, from_scale, eps, weight, bias })
    }
}

impl Pointwise for LayerNormStep {
    #[inline(always)]
    fn row(&self, input: &[u8], out: &mut [u8]) {
        let LayerNormStep { from, to, from_scale, eps, weight, bias } = self;
        let channels = weight.len();
        let count = channels as f32;
        let total = out.len() / to.size_bytes();
        let mut pixel = [0.0_f32; MAX_CHANNELS];
        let x = &mut pixel[..channels];
        for at in (0..total).step_by(channels) {
            from.load(input, at, x);
            x.iter_mut().for_each(|x| *x *= from_scale);
            let mean = sum(x, |x| x) / count;
            x.iter_mut().for_each(|x| *x -= mean);
            let variance = sum(x, |x| x * x) / count;
            let factor = 1.0 / libm::sqrtf(variance + eps);
            for ((x, w), b) in x.iter_mut().zip(weight).zip(bias) {
                *x = *x * factor * w + b;
            }
            to.store(x, out, at);
        }
    }
}

#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut parts = [0.0_f32; PARTS];
    let mut chunks = x.chunks_exact(PARTS);
    for chunk in &mut chunks {
        for (part, &x) in parts.iter_mut().zip(chunk) {
            *part += f(x);
        }
    }
    for (part, &x) in parts.iter_mut().zip(chunks.remainder()) {
        *part += f(x);
    }
    parts.iter().sum()
}
