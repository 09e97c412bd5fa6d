//! Convolutions and linear layers, with their weights.

use super::build::Attribute;
use super::{Export, Layout, activation};
use mcir_runtime::model::{Conv2d, DType, NodeId, Role};

impl Export<'_> {
    /// A convolution, or a matrix product where a linear layer reads pixels.
    pub(super) fn conv(&mut self, id: NodeId, name: &str, input: NodeId, conv: Conv2d) -> (String, Layout) {
        let layout = match self.edges[usize::from(input)].layout {
            Layout::Pixels if conv.kernel == 1 => Layout::Pixels,
            _ => Layout::Planes,
        };
        let x = self.edge(input, layout);
        let (weight, bias) = self.conv_params(id, name, input, conv, layout);
        let out = format!("{name}.out");
        let value = match layout {
            Layout::Planes => {
                let (k, half) = (i64::from(conv.kernel), i64::from(conv.kernel / 2));
                let attributes =
                    [("kernel_shape", Attribute::Ints(&[k, k])), ("pads", Attribute::Ints(&[half; 4]))];
                self.builder.node(&out, "Conv", &[&x, &weight, &bias], &attributes)
            }
            Layout::Pixels => {
                let product = self.builder.node(&format!("{name}.product"), "MatMul", &[&x, &weight], &[]);
                self.builder.node(&out, "Add", &[&product, &bias], &[])
            }
        };
        let value = match conv.activation {
            Some(activation) => activation::export(&mut self.builder, name, &value, activation),
            None => value,
        };
        (value, layout)
    }

    /// Names of the weights, `[out, in, k, k]` or `[in, out]`, and the bias, as floats.
    fn conv_params(
        &mut self,
        id: NodeId,
        name: &str,
        input: NodeId,
        conv: Conv2d,
        layout: Layout,
    ) -> (String, String) {
        let (out, channels) = (usize::from(conv.out_channels), usize::from(conv.in_channels));
        let k = usize::from(conv.kernel);
        let (dims, axis) = match layout {
            Layout::Planes => (vec![out, channels, k, k], 0),
            Layout::Pixels => (vec![channels, out], 1),
        };
        let (weight_name, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
        let (DType::I8 { scale, .. } | DType::I16 { scale }) = self.model.graph().node(input).dtype else {
            let weight = reorder(&self.model.f32s(id, Role::Weight), out, k, channels, layout);
            let bias = self.model.f32s(id, Role::Bias);
            return (
                self.builder.f32s(&weight_name, &dims, &weight),
                self.builder.f32s(&bias_name, &[out], &bias),
            );
        };
        let (tensorrt, reads_quantized) = (self.tensorrt, self.edges[usize::from(input)].quantized);
        let weight = reorder(self.model.i8s(id, Role::Weight), out, k, channels, layout);
        let scales = self.model.f32s(id, Role::WeightScale);
        let bias = self.model.i32s(id, Role::Bias);
        let bias_scales: Vec<f32> = scales.iter().map(|w| w * scale).collect();
        let b = &mut self.builder;
        let weight = if tensorrt && !reads_quantized {
            // Only what reads 8 bits is computed in 8 bits.
            let scale_of = |i: usize| scales[if axis == 0 { i / (channels * k * k) } else { i % out }];
            let weight: Vec<f32> =
                weight.iter().enumerate().map(|(i, &w)| f32::from(w) * scale_of(i)).collect();
            b.f32s(&weight_name, &dims, &weight)
        } else {
            let quantized = b.i8s(&format!("{weight_name}.q"), &dims, &weight);
            let scales = b.f32s(&format!("{weight_name}.scale"), &[out], &scales);
            let along = [("axis", Attribute::Int(axis))];
            let zeros = tensorrt.then(|| b.i8s(&format!("{weight_name}.zero_point"), &[out], &vec![0; out]));
            let inputs: Vec<&str> =
                [&quantized, &scales].into_iter().chain(&zeros).map(String::as_str).collect();
            b.node(&weight_name, "DequantizeLinear", &inputs, &along)
        };
        let bias = if tensorrt {
            let bias: Vec<f32> = bias.iter().zip(&bias_scales).map(|(&b, &scale)| b as f32 * scale).collect();
            b.f32s(&bias_name, &[out], &bias)
        } else {
            let quantized = b.i32s(&format!("{bias_name}.q"), &[out], &bias);
            let scales = b.f32s(&format!("{bias_name}.scale"), &[out], &bias_scales);
            let along = [("axis", Attribute::Int(0))];
            b.node(&bias_name, "DequantizeLinear", &[&quantized, &scales], &along)
        };
        (weight, bias)
    }
}

/// Weights `[out, k, k, in]` in the order of a layout.
fn reorder<T: Copy>(weights: &[T], out: usize, k: usize, channels: usize, layout: Layout) -> Vec<T> {
    let at = |o: usize, tap: usize, c: usize| weights[(o * k * k + tap) * channels + c];
    match layout {
        Layout::Planes => (0..out * channels * k * k)
            .map(|i| at(i / (channels * k * k), i % (k * k), i / (k * k) % channels))
            .collect(),
        Layout::Pixels => (0..channels * out).map(|i| at(i % out, 0, i / out)).collect(),
    }
}
