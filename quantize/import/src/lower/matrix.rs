//! Products with constant matrices: linear layers, which are convolutions of one pixel.

use super::{Lowering, Value, Why};
use crate::array::Array;
use crate::draft::{Conv, Work};
use crate::net::Layer;
use crate::view::View;

impl Lowering<'_> {
    /// `MatMul` and `Gemm` with a constant: a linear layer on the channels of each pixel, wherever these stand.
    pub(super) fn matrix(&mut self, layer: &Layer, inputs: &[Option<Value>]) -> Result<Vec<Value>, Why> {
        let constant = |k: usize| match inputs.get(k) {
            Some(Some(Value::Constant(array))) => Some(array),
            _ => None,
        };
        let (x, weight, behind) = match (&inputs[0], inputs.get(1).and_then(Option::as_ref)) {
            (Some(Value::View(x)), Some(Value::Constant(weight))) => (x, weight, true),
            (Some(Value::Constant(weight)), Some(Value::View(x))) => (x, weight, false),
            _ => {
                return Err("it multiplies matrices that are not an image and constant weights; those of the attention in square \
                            windows are done"
                    .into());
            }
        };
        let is = |name: &str| layer.int(name, 0) != 0;
        if layer.kind == "Gemm" && (is("transA") || !behind) {
            return Err("its image is turned; a linear layer on the channels of each pixel is done".into());
        }
        let dims = &weight.dims[..];
        let outer = dims.len().saturating_sub(2);
        let &[rows, columns] = &dims[outer..] else { return Err("its weights are no matrix".into()) };
        if dims[..outer].iter().any(|size| *size != 1) {
            return Err("its weights are several matrices".into());
        }
        // Of `x · w` the rows are inputs, of `w · x` the columns.
        let (by_row, inputs_here, outputs) = match behind && !is("transB") {
            true => (true, rows, columns),
            false => (false, columns, rows),
        };
        let last = x.axes.len().wrapping_sub(if behind { 1 } else { 2 });
        let turned = super::layout::usual(x);
        let place = match turned.is_image() {
            // Channels last, or one pixel.
            true if turned != *x => Some(3),
            true => Some(1),
            false => self.channel_axis(x),
        };
        let place = place.or_else(|| self.channel_axis(x));
        if place != Some(last) || turned.is_image() && turned.dims()[1] != inputs_here {
            return Err(format!(
                "it multiplies {:?} with a matrix of {rows}x{columns}; a linear layer on the channels of each pixel is done",
                x.dims()
            ));
        }
        let factor = layer.float("alpha", 1.0);
        let bias = match (layer.kind.as_str(), inputs.get(2)) {
            ("Gemm", Some(Some(_))) => {
                let bias = constant(2).ok_or("its bias is no constant")?;
                bias_of(bias, outputs, layer.float("beta", 1.0))?
            }
            _ => vec![0.0; outputs],
        };
        self.spend(outputs, inputs_here)?;
        let at = |o: usize, i: usize| if by_row { i * columns + o } else { o * columns + i };
        let places = (0..outputs).flat_map(|o| (0..inputs_here).map(move |i| (o, i)));
        let weight = places.map(|(o, i)| weight.values[at(o, i)] as f32 * factor).collect();
        let conv = Conv { kernel: 1, weight, bias, relu: false };
        self.turned(x, |l, x: &View| {
            let x = l.image(x)?;
            if l.draft.nodes[x].channels != inputs_here {
                return Err("its weights are for other channels".into());
            }
            let node = l.push(layer, Work::Conv(conv), &[x]);
            Ok(l.value(node))
        })
    }
}

fn bias_of(bias: &Array, outputs: usize, factor: f32) -> Result<Vec<f32>, Why> {
    let values = match bias.values.len() {
        1 => vec![bias.values[0] as f32; outputs],
        n if n == outputs && bias.dims.last() == Some(&outputs) => bias.floats(),
        n => return Err(format!("its bias has {n} values for {outputs} channels")),
    };
    Ok(values.into_iter().map(|value| value * factor).collect())
}
