//! Operators on images, but for convolutions.

use super::layout::usual;
use super::{Lowering, Value, Why, fold};
use crate::array::{self, Array};
use crate::draft::{Size, Work};
use crate::net::Layer;
use crate::view::{Factor, View};
use mcir_runtime::model::{Activation, Filter};

impl Lowering<'_> {
    /// What an operator makes of images, and of constants with them.
    pub(super) fn images(&mut self, layer: &Layer, inputs: &[Option<Value>]) -> Result<Vec<Value>, Why> {
        let array = |k: usize| match inputs.get(k) {
            Some(Some(Value::Constant(array))) => Some(array.clone()),
            _ => None,
        };
        let view = |k: usize| {
            match inputs.get(k) {
            Some(Some(Value::View(view))) => Ok(view.clone()),
            Some(Some(Value::Padded(_))) => Err("only a convolution can follow this padding".to_string()),
            Some(Some(Value::Part(_))) => {
                Err("its input is a part of a mean or a norm that is used in another way than known"
                    .to_string())
            }
            Some(Some(Value::Cut(_))) => {
                Err("it takes a part of the image that is not its middle; all parts, joined in a circle, are done".to_string())
            }
            _ => Err("its input is no image".to_string()),
        }
        };
        let one = |view: Option<View>| {
            let why = || "it cuts through rows and columns, or its sizes do not fit".to_string();
            view.map(|view| vec![Value::View(view)]).ok_or_else(why)
        };
        for step in [Self::statistic, Self::attention, Self::erf] {
            if let Some(found) = step(self, layer, inputs) {
                return found;
            }
        }
        match layer.kind.as_str() {
            "Identity" | "Dropout" | "Cast" => Ok(vec![Value::View(view(0)?)]),
            // Of bytes, at the end of the network: the engine rounds when it writes pixels.
            "Round" if self.net.inputs.iter().all(|input| input.bytes) => Ok(vec![Value::View(view(0)?)]),
            "Shape" => {
                let dims = match &inputs[0] {
                    Some(Value::Constant(array)) => array.dims.clone(),
                    _ => view(0)?.dims(),
                };
                Ok(vec![Value::Constant(fold::shape(&dims, layer))])
            }
            "Reshape" => one(view(0)?.reshape(&array(1).ok_or("its sizes are no constant")?.ints())),
            "Flatten" => {
                let view = view(0)?;
                let dims = view.dims();
                let axis = match layer.int("axis", 1) {
                    axis if axis < 0 => axis + dims.len() as i64,
                    axis => axis,
                };
                let (outer, inner) = dims.split_at((axis.max(0) as usize).min(dims.len()));
                let size = |dims: &[usize]| dims.iter().product::<usize>() as i64;
                one(view.reshape(&[size(outer), size(inner)]))
            }
            "Transpose" => {
                let view = view(0)?;
                let order: Vec<usize> = match layer.ints("perm") {
                    Some(perm) => perm.iter().map(|&p| p.max(0) as usize).collect(),
                    None => (0..view.axes.len()).rev().collect(),
                };
                one(view.transpose(&order))
            }
            "Unsqueeze" => {
                one(view(0)?
                    .unsqueeze(&fold::axes(layer, array(1).as_ref()).ok_or("its axes are no constant")?))
            }
            "Squeeze" => one(view(0)?.squeeze(fold::axes(layer, array(1).as_ref()).as_deref())),
            "Expand" => {
                let dims = array(1).ok_or("its sizes are no constant")?.ints();
                one(view(0)?.expand(&dims.iter().map(|&d| d.max(0) as usize).collect::<Vec<_>>()))
            }
            "Tile" => {
                let times = array(1).ok_or("its numbers are no constant")?.ints();
                let mut view = view(0)?;
                if times.len() != view.axes.len() {
                    return Err("it has as many numbers as there are axes".into());
                }
                for (axis, &times) in times.iter().enumerate() {
                    view = view.tile(axis, times.max(1) as usize);
                }
                Ok(vec![Value::View(view)])
            }
            "Slice" => {
                let arrays: Vec<Option<Array>> = (0..inputs.len()).map(array).collect();
                let arrays: Vec<Option<&Array>> = arrays.iter().map(Option::as_ref).collect();
                self.slice(layer, &view(0)?, &arrays)
            }
            "Split" => {
                let sizes = layer.ints("split").map(<[i64]>::to_vec).or_else(|| array(1).map(|a| a.ints()));
                self.split(layer, &view(0)?, sizes)
            }
            "Gather" => self.gather(layer, &view(0)?, &array(1).ok_or("its indices are no constant")?),
            "MatMul" | "FusedMatMul" | "Gemm" => self.matrix(layer, inputs),
            // What onnxruntime makes of sums and norms, and of linear layers and GELUs.
            "SkipLayerNormalization" => self.skip_norm(layer, &view(0)?, &view(1)?, inputs),
            "BiasGelu" => {
                let sum = Layer { kind: "Add".into(), ..layer.clone() };
                match &self.sum(&sum, inputs, 1.0)?[..] {
                    [Value::View(view)] => self.activation(layer, &view.clone(), Activation::Gelu),
                    _ => Err("its input is no image".into()),
                }
            }
            "Pad" => self.pad(layer, &view(0)?, &array),
            "Conv" | "FusedConv" => self.conv(layer, inputs, &array),
            "ConvTranspose" => {
                let x = self.image(&view(0)?)?;
                self.conv_transpose(layer, x, &array)
            }
            "Concat" => {
                if let Some(found) = self.rolled(layer, inputs) {
                    return found;
                }
                let views: Vec<View> = (0..inputs.len()).map(view).collect::<Result<_, _>>()?;
                let axis = array::index(layer.int("axis", 0), views[0].axes.len());
                let turned = !views[0].is_image();
                let views: Vec<View> =
                    views.iter().map(|v| if turned { usual(v) } else { v.clone() }).collect();
                if !views.iter().all(View::is_image) || axis != Some(if turned { 3 } else { 1 }) {
                    return Err("it joins something else than the channels of images".into());
                }
                let mut nodes: Vec<usize> =
                    views.iter().map(|v| self.node_of(v)).collect::<Result<_, _>>()?;
                self.aligned(layer, &mut nodes)?;
                // Anything but a convolution gets the parts by one of 1x1 for each.
                let total: usize = nodes.iter().map(|&node| self.draft.nodes[node].channels).sum();
                self.spend(total, total)?;
                let node = self.push(layer, Work::Concat, &nodes);
                let image = View::image(node, self.sizes(node));
                one(if turned { image.transpose(&[0, 2, 3, 1]) } else { Some(image) })
            }
            "Add" | "Sub" => self.sum(layer, inputs, if layer.kind == "Sub" { -1.0 } else { 1.0 }),
            "Mul" | "Div" => self.product(layer, inputs),
            "Neg" => self.turned(&view(0)?, |l, x| l.affine(layer, x, |_| (-1.0, 0.0))),
            "Abs" => self.turned(&view(0)?, |l, x| l.magnitude(layer, x)),
            "BatchNormalization" => {
                let all: Option<Vec<Vec<f32>>> = (1..5).map(|k| array(k).map(|a| a.floats())).collect();
                let all = all.ok_or("its weights are no constant")?;
                let eps = layer.float("epsilon", 1e-5);
                let channels = view(0)?.dims().get(1).copied().unwrap_or(0);
                if all.iter().any(|list| list.len() != channels) {
                    return Err("its weights are for other channels".into());
                }
                let scale = |c: usize| all[0][c] / (all[3][c] + eps).sqrt();
                self.turned(&view(0)?, |l, x| {
                    l.affine(layer, x, |c| (scale(c), all[1][c] - all[2][c] * scale(c)))
                })
            }
            "Relu" => self.activation(layer, &view(0)?, Activation::Relu),
            "Tanh" => self.activation(layer, &view(0)?, Activation::Tanh),
            "Sigmoid" => self.activation(layer, &view(0)?, Activation::Sigmoid),
            "Silu" => self.activation(layer, &view(0)?, Activation::Silu),
            "Swish" if layer.float("alpha", 1.0) == 1.0 => {
                self.activation(layer, &view(0)?, Activation::Silu)
            }
            "HardSigmoid" => {
                let (alpha, beta) = (layer.float("alpha", 0.2), layer.float("beta", 0.5));
                self.activation(layer, &view(0)?, Activation::HardSigmoid { alpha, beta })
            }
            // ONNX's has no attributes; ncnn's has.
            "HardSwish" => {
                let (alpha, beta) = (layer.float("alpha", 1.0 / 6.0), layer.float("beta", 0.5));
                self.activation(layer, &view(0)?, Activation::HardSwish { alpha, beta })
            }
            "LeakyRelu" => {
                let slope = layer.float("alpha", 0.01);
                match slope {
                    0.0..1.0 => self.activation(layer, &view(0)?, Activation::LeakyRelu { slope }),
                    _ => self
                        .turned(&view(0)?, |l, x| l.prelu(layer, x, |channels| Some(vec![slope; channels]))),
                }
            }
            "PRelu" => {
                let slopes = array(1).ok_or("its slopes are no constant")?;
                let of = |channels: usize| match slopes.values.len() {
                    1 => Some(vec![slopes.values[0] as f32; channels]),
                    n if n == channels => Some(slopes.floats()),
                    _ => None,
                };
                self.turned(&view(0)?, |l, x| l.prelu(layer, x, of))
            }
            "Gelu" if layer.text("approximate", "none") == "none" => {
                self.activation(layer, &view(0)?, Activation::Gelu)
            }
            "Min" | "Max" => self.limit(layer, inputs),
            "Clip" => self.turned(&view(0)?, |l, x| l.clip(layer, x, &array)),
            // PyTorch's order of channels, or ONNX's.
            "SpaceToDepth" => {
                let (view, r) = (view(0)?, layer.int("blocksize", 0));
                let [_, c, h, w] = view.dims()[..] else { return Err("its input has not four axes".into()) };
                let [c, h, w] = [c, h, w].map(|side| side as i64);
                if !(1..=16).contains(&r) || h % r != 0 || w % r != 0 {
                    return Err(format!("blocks of {r} do not fit {w}x{h} pixels"));
                }
                let parts = view.reshape(&[1, c, h / r, r, w / r, r]);
                let order: &[usize] = match layer.text("mode", "DCR") {
                    "CRD" => &[0, 1, 3, 5, 2, 4],
                    _ => &[0, 3, 5, 1, 2, 4],
                };
                let parts = parts.and_then(|v| v.transpose(order));
                one(parts.and_then(|v| v.reshape(&[1, c * r * r, h / r, w / r])))
            }
            "DepthToSpace" => {
                let (view, r) = (view(0)?, layer.int("blocksize", 0));
                let dims = view.dims();
                let [_, c, h, w] = dims[..] else { return Err("its input has not four axes".into()) };
                if !(1..=16).contains(&r) || (c as i64) % (r * r) != 0 {
                    return Err(format!("blocks of {r} do not fit {c} channels"));
                }
                let (inner, h, w) = (c as i64 / (r * r), h as i64, w as i64);
                let (split, order): (_, &[usize]) = match layer.text("mode", "DCR") {
                    "CRD" => ([1, inner, r, r, h, w], &[0, 1, 4, 2, 5, 3]),
                    _ => ([1, r, r, inner, h, w], &[0, 3, 4, 1, 5, 2]),
                };
                let parts = view.reshape(&split).and_then(|v| v.transpose(order));
                one(parts.and_then(|v| v.reshape(&[1, inner, h * r, w * r])))
            }
            "MaxPool" => self.max_pool(layer, &view(0)?),
            "Resize" | "Upsample" => self.resize(layer, &view(0)?, &array),
            kind => Err(nearest(kind).into()),
        }
    }

    /// The node of an image with its axes in their usual order.
    pub(super) fn image(&mut self, view: &View) -> Result<usize, Why> {
        match view.is_image() {
            true => self.node_of(view),
            false => Err("its input has its axes in another order than an image".into()),
        }
    }

    /// `|x| = max(x, 0) + max(−x, 0)`
    fn magnitude(&mut self, layer: &Layer, view: &View) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        let channels = self.draft.nodes[x].channels;
        let negative = Work::Affine { scale: vec![-1.0; channels], shift: vec![0.0; channels] };
        let negative = self.push(layer, negative, &[x]);
        let parts = [x, negative].map(|part| self.push(layer, Work::Activation(Activation::Relu), &[part]));
        let node = self.push(layer, Work::Add { scale: 1.0 }, &parts);
        Ok(self.value(node))
    }

    pub(super) fn activation(
        &mut self,
        layer: &Layer,
        view: &View,
        activation: Activation,
    ) -> Result<Vec<Value>, Why> {
        // Of each value by itself: the order of the axes may stay as it is.
        if (view.first, view.origin, view.factor) == (0, [0; 2], Factor::ONE)
            && view.dims().iter().product::<usize>() == self.sizes(view.node).iter().product::<usize>()
        {
            let node = self.push(layer, Work::Activation(activation), &[view.node]);
            return Ok(vec![Value::View(View { node, ..view.clone() })]);
        }
        let x = self.node_of(view)?;
        let node = self.push(layer, Work::Activation(activation), &[x]);
        Ok(self.value(node))
    }

    fn prelu(
        &mut self,
        layer: &Layer,
        view: &View,
        slopes: impl Fn(usize) -> Option<Vec<f32>>,
    ) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        let channels = self.draft.nodes[x].channels;
        let slopes = slopes(channels)
            .ok_or_else(|| format!("its slopes are not one for each of {channels} channels"))?;
        let node = self.push(layer, Work::PRelu(slopes), &[x]);
        Ok(self.value(node))
    }

    /// `scale·x + shift`, by channel.
    pub(super) fn affine(
        &mut self,
        layer: &Layer,
        view: &View,
        of: impl Fn(usize) -> (f32, f32),
    ) -> Result<Vec<Value>, Why> {
        let x = self.image(view)?;
        let (scale, shift) = (0..self.draft.nodes[x].channels).map(of).unzip();
        let node = self.push(layer, Work::Affine { scale, shift }, &[x]);
        Ok(self.value(node))
    }

    /// Sums and differences of images, and with constants.
    fn sum(&mut self, layer: &Layer, inputs: &[Option<Value>], sign: f32) -> Result<Vec<Value>, Why> {
        match (&inputs[0], inputs.get(1).and_then(Option::as_ref)) {
            (Some(Value::View(x)), Some(Value::Constant(shift))) => {
                let shift = self.by_channel(x, shift).ok_or("it adds another number to each pixel")?;
                self.turned(x, |l, x| l.affine(layer, x, |c| (1.0, sign * shift[c])))
            }
            (Some(Value::Constant(shift)), Some(Value::View(x))) => {
                let shift = self.by_channel(x, shift).ok_or("it adds another number to each pixel")?;
                self.turned(x, |l, x| l.affine(layer, x, |c| (sign, shift[c])))
            }
            (Some(Value::View(a)), Some(Value::View(b))) => self.pair(layer, Work::Add { scale: sign }, a, b),
            _ => Err("its inputs are no images".into()),
        }
    }

    /// An operator on the values of two images, of which one may have to be repeated.
    pub(super) fn pair(&mut self, layer: &Layer, work: Work, a: &View, b: &View) -> Result<Vec<Value>, Why> {
        if let Some(mut nodes) = self.alike(a, b)? {
            self.aligned(layer, &mut nodes)?;
            let node = self.push(layer, work, &nodes);
            return Ok(vec![Value::View(View { axes: a.axes.clone(), roll: a.roll, ..View::of(node) })]);
        }
        let (a, b) = (&self.spread(layer, a, b)?, &self.spread(layer, b, a)?);
        let dims = array::common(&a.dims(), &b.dims()).ok_or("its inputs have different sizes")?;
        let wide = |view: &View| view.expand(&dims).ok_or("its inputs have different sizes");
        let (a, b) = (wide(a)?, wide(b)?);
        if a.is_image() != b.is_image() {
            return Err("its inputs have their axes in different orders".into());
        }
        let mut nodes = [self.node_of(&a)?, self.node_of(&b)?];
        self.aligned(layer, &mut nodes)?;
        let node = self.push(layer, work, &nodes);
        let image = View::image(node, self.sizes(node));
        // Both were, for example, with channels last: so is the result.
        let order = if a.is_image() { [0, 1, 2, 3] } else { [0, 2, 3, 1] };
        let view = image.transpose(&order).filter(|view| view.dims() == dims);
        view.map(|v| vec![Value::View(v)])
            .ok_or_else(|| "its inputs have an order of axes that is not known".into())
    }

    /// What is known of a whole image, at every pixel of another one; anything else as it is.
    fn spread(&mut self, layer: &Layer, view: &View, like: &View) -> Result<View, Why> {
        let size = |view: &View| self.draft.nodes[view.node].size;
        let point = Size::Pooled([1, 1]);
        if size(view) != point || size(like) == point || !view.is_image() {
            return Ok(view.clone());
        }
        let (x, like) = (self.node_of(view)?, self.image(like)?);
        let name = format!("{}.spread", layer.name);
        let node = self.draft.push(name, Work::Interpolate(Filter::Nearest), &[x, like]);
        Ok(View::image(node, self.sizes(node)))
    }

    /// Products of images, and with constants.
    fn product(&mut self, layer: &Layer, inputs: &[Option<Value>]) -> Result<Vec<Value>, Why> {
        let divide = layer.kind == "Div";
        match (&inputs[0], inputs.get(1).and_then(Option::as_ref)) {
            (Some(Value::View(x)), Some(Value::Constant(by)))
            | (Some(Value::Constant(by)), Some(Value::View(x)))
                if self.by_channel(x, by).is_none()
                    && by.scalar().is_some()
                    && (!divide || matches!(inputs[0], Some(Value::View(_)))) =>
            {
                // Of a part of the channels, or in another order: it waits for what computes with it.
                let by = by.values[0] as f32;
                let factor = Factor::of(x.factor.value() * if divide { 1.0 / by } else { by });
                Ok(vec![Value::View(View { factor, ..x.clone() })])
            }
            (Some(Value::View(x)), Some(Value::Constant(by))) => {
                let by = self.by_channel(x, by).ok_or("it scales each pixel by another number")?;
                self.turned(x, |l, x| l.affine(layer, x, |c| (if divide { 1.0 / by[c] } else { by[c] }, 0.0)))
            }
            (Some(Value::Constant(by)), Some(Value::View(x))) if !divide => {
                let by = self.by_channel(x, by).ok_or("it scales each pixel by another number")?;
                self.turned(x, |l, x| l.affine(layer, x, |c| (by[c], 0.0)))
            }
            (Some(Value::View(a)), Some(Value::View(b))) if !divide => self.pair(layer, Work::Mul, a, b),
            _ => Err("an image as a divisor is not done; export it as a product".into()),
        }
    }
}

/// What is in the way of an operator, and what comes nearest to it.
fn nearest(kind: &str) -> &'static str {
    match kind {
        "Gelu" | "Swish" | "Softplus" | "Erf" | "Elu" | "Selu" | "Mish" | "QuickGelu" => {
            "this non-linearity is not run; ReLU, leaky ReLU, PReLU, GELU (erf), tanh, sigmoid, SiLU and their hard forms are"
        }
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "GlobalMaxPool" | "AveragePool" => {
            "means and deviations of the whole image, norms over channels and the largest of a window are done"
        }
        "MatMul" | "Gemm" | "Softmax" | "LayerNormalization" | "Einsum" => {
            "linear layers on the channels of each pixel, and attention in square windows in SwinIR's form, are done"
        }
        _ => "the engine has no such operator",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::{Conv, Draft};
    use crate::net::Net;
    use std::collections::HashMap;

    #[test]
    fn a_channel_is_spread_over_blocks_by_a_choice_of_channels() {
        let net = Net::default();
        let draft = Draft::new(1, [8, 10]);
        let mut lowering = Lowering { net: &net, draft, values: HashMap::new(), extended: 0, budget: 100 };
        let conv = Conv { kernel: 1, weight: vec![1.0; 4], bias: vec![0.0; 4], relu: false };
        let wide = lowering.draft.push("wide", Work::Conv(conv), &[0]);
        let image = |l: &Lowering<'_>, node| Some(Value::View(View::image(node, l.sizes(node))));
        let inputs = [image(&lowering, wide), image(&lowering, 0)];
        let layer = Layer { name: "add".into(), kind: "Add".into(), ..Layer::default() };
        let found = lowering.images(&layer, &inputs).expect("broadcasts");
        let Value::View(view) = &found[0] else { panic!("an image") };
        assert_eq!(view.dims(), [1, 4, 8, 10]);
        let Work::Conv(choice) = &lowering.draft.nodes[2].work else { panic!("a choice of channels") };
        assert_eq!(choice.chosen(), Some(vec![0; 4]));
    }
}
