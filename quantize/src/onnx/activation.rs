//! Activations as ONNX operators.

use super::build::{Attribute, Builder};
use mcir_runtime::model::Activation;

/// Appends what computes the activation of tensor `x`; returns the name of the result.
pub(super) fn export(b: &mut Builder, name: &str, x: &str, activation: Activation) -> String {
    let out = format!("{name}.activated");
    match activation {
        Activation::Relu => b.node(&out, "Relu", &[x], &[]),
        Activation::LeakyRelu { slope } => {
            b.node(&out, "LeakyRelu", &[x], &[("alpha", Attribute::Float(slope))])
        }
        Activation::Tanh => b.node(&out, "Tanh", &[x], &[]),
        Activation::Sigmoid => b.node(&out, "Sigmoid", &[x], &[]),
        Activation::HardSigmoid { alpha, beta } => {
            let attributes = [("alpha", Attribute::Float(alpha)), ("beta", Attribute::Float(beta))];
            b.node(&out, "HardSigmoid", &[x], &attributes)
        }
        // Written as PyTorch's exporter writes them; engines recognise both.
        Activation::Silu => {
            let factor = b.node(&format!("{name}.sigmoid"), "Sigmoid", &[x], &[]);
            b.node(&out, "Mul", &[x, &factor], &[])
        }
        Activation::HardSwish { alpha, beta } => {
            let attributes = [("alpha", Attribute::Float(alpha)), ("beta", Attribute::Float(beta))];
            let factor = b.node(&format!("{name}.hard_sigmoid"), "HardSigmoid", &[x], &attributes);
            b.node(&out, "Mul", &[x, &factor], &[])
        }
        Activation::Gelu => {
            // x · (1 + erf(x/√2)) · 0.5: `Gelu` itself came later; engines recognise this.
            let root = b.f32s("gelu.root", &[], &[core::f32::consts::SQRT_2]);
            let one = b.f32s("gelu.one", &[], &[1.0]);
            let half = b.f32s("gelu.half", &[], &[0.5]);
            let scaled = b.node(&format!("{name}.gelu.scaled"), "Div", &[x, &root], &[]);
            let erf = b.node(&format!("{name}.gelu.erf"), "Erf", &[&scaled], &[]);
            let sum = b.node(&format!("{name}.gelu.sum"), "Add", &[&erf, &one], &[]);
            let product = b.node(&format!("{name}.gelu.product"), "Mul", &[x, &sum], &[]);
            b.node(&out, "Mul", &[&product, &half], &[])
        }
    }
}
